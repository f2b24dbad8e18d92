"""What every feature store promises, on the real LMDB, a real Redis or Valkey, and DynamoDB as moto serves it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from adapters.aws.dynamodb import create_table
from adapters.feature_store.dynamodb import DynamoDbStore
from adapters.feature_store.layout import STATE_LAYOUT, chunks
from adapters.feature_store.lmdb import LmdbStore
from adapters.feature_store.open import OpenStore
from adapters.feature_store.redis import RedisStore
from adapters.feature_store.snapshots import restore_snapshot, write_snapshot
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured, StaleWriter, StoreRefused, StoreUnavailable
from cardwatch.events import EPOCH, Channel, Transaction
from cardwatch.features.columns import card_index, encode
from cardwatch.features.kernel import fold
from cardwatch.features.log_segment import fold_segment
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import STATE, empty_states
from cardwatch.ports import StoreContents
from cardwatch.records import LogSegment

KINDS = ["lmdb", "redis", "dynamodb"]
Open = Callable[..., OpenStore]

_number = count()


@pytest.fixture
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Open]:
    """For each kind of store: what opens a new one, and the same one again."""

    def of_kind(kind: str) -> Open:
        if kind == "lmdb":
            return partial(LmdbStore, tmp_path / f"store-{next(_number)}")
        if kind == "redis":
            url = f"{request.getfixturevalue('redis_url')}/{next(_number) % 16}"
            with redis.Redis.from_url(url) as server:
                server.flushdb()
            return partial(RedisStore, url)
        url = f"dynamodb://cards-{next(_number)}?region=eu-central-1&endpoint={request.getfixturevalue('dynamodb_endpoint')}"
        create_table(url)
        return partial(DynamoDbStore, url)

    return of_kind


@pytest.fixture(params=KINDS)
def open_store(request: pytest.FixtureRequest, opener: Callable[[str], Open]) -> Open:
    return opener(request.param)


def arbitrary_states(n: int, seed: int = 0) -> np.ndarray:
    """States whose bytes are as different as bytes can be."""
    return np.frombuffer(bytearray(np.random.default_rng(seed).bytes(n * STATE.itemsize)), STATE)


def names(n: int) -> list[str]:
    return [f"card-{number}" for number in range(n)]


def contents_of(store: OpenStore) -> tuple[dict[int, int], dict[str, bytes]]:
    with store.contents() as contents:
        states = {
            card: state.tobytes() for cards, some in contents.cards for card, state in zip(cards, some, strict=True)
        }
        return contents.applied, states


def test_a_card_never_seen_has_the_empty_state(open_store: Open) -> None:
    with open_store() as store:
        assert store.load(["nobody"]).tobytes() == empty_states(1).tobytes()
        assert len(store.load([])) == 0


def test_a_new_store_has_applied_nothing(open_store: Open) -> None:
    with open_store() as store:
        assert store.applied(3) == 0
        assert contents_of(store) == ({}, {})


def test_states_come_back_in_the_order_asked_for_to_the_bit(open_store: Open) -> None:
    written = arbitrary_states(2)
    with open_store() as store:
        store.apply(0, expected=0, position=10, card_ids=["a", "b"], states=written)
        assert store.load(["b", "x", "a"]).tobytes() == (
            written[1:].tobytes() + empty_states(1).tobytes() + written[:1].tobytes()
        )
        assert store.applied(0) == 10


def test_what_was_applied_is_there_when_the_store_is_opened_again_to_read(open_store: Open) -> None:
    written = arbitrary_states(1)
    with open_store() as store:
        store.apply(2, expected=0, position=10, card_ids=["a"], states=written)
    with open_store(readonly=True) as reader:
        assert reader.load(["a"]).tobytes() == written.tobytes()
        assert reader.applied(2) == 10


def test_five_hundred_cards_are_one_load(open_store: Open) -> None:
    cards, written = names(500), arbitrary_states(500)
    with open_store() as store:
        store.apply(0, expected=0, position=1, card_ids=cards, states=written)
        assert store.load(cards).tobytes() == written.tobytes()


def test_a_store_knows_about_how_much_it_holds(open_store: Open) -> None:
    with open_store() as store:
        assert store.size().cards <= 1  # DynamoDB counts items, the layout and the partitions among them
        for partition, some in enumerate(chunks(names(250), 125)):
            states = arbitrary_states(len(some))
            store.apply(partition, expected=0, position=1, card_ids=some, states=states)
        assert 250 <= store.size().cards <= 253
    with open_store(readonly=True) as reader:
        assert 250 <= reader.size().cards <= 253
        if not isinstance(reader, DynamoDbStore):  # moto counts no bytes
            assert reader.size().bytes > 250 * STATE.itemsize


def test_partitions_are_applied_apart(open_store: Open) -> None:
    with open_store() as store:
        store.apply(0, expected=0, position=10, card_ids=[], states=empty_states(0))
        assert (store.applied(0), store.applied(1)) == (10, 0)
        store.apply(1, expected=0, position=7, card_ids=["a"], states=arbitrary_states(1))
        assert contents_of(store)[0] == {0: 10, 1: 7}


@pytest.mark.parametrize("cards", [1, 250])
@pytest.mark.parametrize("begins", [0, 5, 11])
def test_a_batch_that_began_elsewhere_is_refused_and_changes_nothing(open_store: Open, begins: int, cards: int) -> None:
    with open_store() as store:
        store.apply(0, expected=0, position=10, card_ids=["card-0"], states=arbitrary_states(1))
        before = contents_of(store)
        with pytest.raises(StaleWriter, match=f"began at offset {begins}, but the store is at 10"):
            store.apply(0, expected=begins, position=12, card_ids=names(cards), states=arbitrary_states(cards, seed=1))
        assert contents_of(store) == before


def test_loaded_states_are_the_callers_own(open_store: Open) -> None:
    written = arbitrary_states(1)
    with open_store() as store:
        store.apply(0, expected=0, position=1, card_ids=["a"], states=written)
        loaded = store.load(["a"])
        loaded["sequence"] += 1
        assert store.load(["a"]).tobytes() == written.tobytes()


def test_a_card_is_folded_up_to_where_it_was_applied_at_least(open_store: Open) -> None:
    written = arbitrary_states(1)
    with open_store() as store:
        store.apply(0, expected=0, position=4, card_ids=["a"], states=written)
        loaded = store.load_positioned(0, ["a", "never seen"])
        assert loaded.states.tobytes() == written.tobytes() + empty_states(1).tobytes()
        assert loaded.positions[0] == 4
        assert loaded.positions[1] <= 4


def test_a_store_of_another_layout_is_not_opened(open_store: Open) -> None:
    with open_store(layout="of-last-year") as store:
        store.apply(0, expected=0, position=1, card_ids=["a"], states=arbitrary_states(1))
    for readonly in (False, True):
        refusal = f"of-last-year, this version reads and writes {STATE_LAYOUT}: (remove it|run `cardwatch upgrade`)"
        with pytest.raises(StoreRefused, match=refusal):
            open_store(readonly=readonly)


def test_a_snapshot_is_not_restored_over_a_store_that_holds_something(open_store: Open, tmp_path: Path) -> None:
    with open_store() as store:
        store.apply(0, expected=0, position=1, card_ids=["a"], states=arbitrary_states(1))
        write_snapshot(store, tmp_path / "snapshot")
        with pytest.raises(StoreRefused, match="is not empty"):
            restore_snapshot(tmp_path / "snapshot", store)


def test_a_store_that_was_filled_by_half_is_not_opened(open_store: Open) -> None:
    class Killed(Exception):
        pass

    def dying() -> Any:
        yield ["a"], arbitrary_states(1)
        raise Killed

    with open_store() as store, pytest.raises(Killed):
        store.fill(StoreContents({0: 5}, dying()))
    with pytest.raises(StoreRefused, match="is incomplete after an interrupted restore of a snapshot"):
        open_store()


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_a_snapshot_of_each_kind_of_store_fills_each_other(
    opener: Callable[[str], Open], source: str, target: str, tmp_path: Path
) -> None:
    cards, written = names(120), arbitrary_states(120)
    with opener(source)() as store:
        store.apply(0, expected=0, position=50, card_ids=cards[:70], states=written[:70])
        store.apply(3, expected=0, position=9, card_ids=cards[70:], states=written[70:])
        about = write_snapshot(store, tmp_path / "snapshot")
    assert (about.applied, about.cards) == ({0: 50, 3: 9}, 120)
    opened = opener(target)
    with opened() as store:
        assert restore_snapshot(tmp_path / "snapshot", store) == about
    with opened() as store:
        assert store.load(cards).tobytes() == written.tobytes()
        assert (store.applied(0), store.applied(3)) == (50, 9)
        store.apply(0, expected=50, position=51, card_ids=cards[:1], states=written[1:2])
        assert store.load(cards[:1]).tobytes() == written[1:2].tobytes()


@pytest.mark.parametrize("kind", ["redis", "dynamodb"])
def test_contents_of_no_one_moment_are_refused(opener: Callable[[str], Open], kind: str, tmp_path: Path) -> None:
    with opener(kind)() as store:
        store.apply(0, expected=0, position=1, card_ids=["a"], states=arbitrary_states(1))
        with store.contents() as contents:
            store.apply(0, expected=1, position=2, card_ids=["a"], states=arbitrary_states(1, seed=1))
            with pytest.raises(StoreRefused, match="was written while it was read"):
                list(contents.cards)


def payments() -> list[Transaction]:
    """290 payments: 40 of the busy card among the first 90, then one each of 250 others."""
    cards = ["busy" if n % 2 == 0 and n < 80 else f"card-{n}" for n in range(290)]
    return [
        Transaction(
            transaction_id=f"t-{n}",
            card_id=card,
            merchant_id="m",
            occurred_at=EPOCH + timedelta(days=20_000, minutes=n),
            amount_minor=1_000 + n,
            currency="EUR",
            merchant_category="5411",
            channel=Channel.CHIP,
            country="DE",
        )
        for n, card in enumerate(cards)
    ]


def part_of(log: Sequence[Transaction], start: int, stop: int) -> LogSegment:
    cards, index = card_index([transaction.card_id for transaction in log[start:stop]])
    return LogSegment(stop, cards, index, np.arange(start, stop), encode(log[start:stop]))


class DiesInTheMiddle(DynamoDbStore):
    """Killed after so many of a batch's transactions."""

    survives = 1

    def _transact(self, *arguments: Any) -> None:
        if self.survives == 0:
            raise KeyboardInterrupt
        self.survives -= 1
        super()._transact(*arguments)


@pytest.mark.parametrize("stretch", [290, 100, 33])
def test_a_batch_that_dynamodb_holds_by_half_is_finished_by_folding_the_gap_to_the_same_bytes(
    opener: Callable[[str], Open], stretch: int
) -> None:
    log = payments()
    whole = part_of(log, 0, 290)
    expected = empty_states(len(whole.cards))
    fold(expected, whole.card_index, whole.rows, ReferenceTable.empty())

    opened = opener("dynamodb")
    [url] = opened.args  # type: ignore[attr-defined]
    with DiesInTheMiddle(url) as store, pytest.raises(KeyboardInterrupt):
        store.apply(0, expected=0, position=290, card_ids=whole.cards, states=expected)
    with opened() as store:
        assert store.applied(0) == 0
        assert sorted(set(store.load_positioned(0, whole.cards).positions.tolist())) == [0, 290]
        with store.contents() as contents, pytest.raises(StoreRefused, match="half-written batch"):
            list(contents.cards)
        for start in range(0, 290, stretch):
            fold_segment(store, 0, start, part_of(log, start, min(start + stretch, 290)))
        assert store.applied(0) == 290
        assert store.load(whole.cards).tobytes() == expected.tobytes()


def test_the_same_batch_again_finishes_what_dynamodb_holds_by_half(opener: Callable[[str], Open]) -> None:
    cards, written = names(250), arbitrary_states(250)
    opened = opener("dynamodb")
    [url] = opened.args  # type: ignore[attr-defined]
    with DiesInTheMiddle(url) as store, pytest.raises(KeyboardInterrupt):
        store.apply(0, expected=0, position=9, card_ids=cards, states=written)
    with opened() as store:
        store.apply(0, expected=0, position=9, card_ids=cards, states=written)
        assert store.load(cards).tobytes() == written.tobytes()
        assert store.applied(0) == 9


def test_dynamodb_does_not_take_a_card_back(opener: Callable[[str], Open]) -> None:
    opened = opener("dynamodb")
    with opened() as store:
        store.apply(0, expected=0, position=9, card_ids=["a"], states=arbitrary_states(1))
        with pytest.raises(StaleWriter, match=r"cards of the batch 9\.\.8 are folded beyond it"):
            store.apply(0, expected=9, position=8, card_ids=["a"], states=arbitrary_states(1, seed=1))
        assert store.load(["a"]).tobytes() == arbitrary_states(1).tobytes()


def test_a_dynamodb_table_that_is_not_there_is_named(dynamodb_endpoint: str) -> None:
    with pytest.raises(Misconfigured, match="table nowhere: there is no such table"):
        DynamoDbStore(f"dynamodb://nowhere?region=eu-central-1&endpoint={dynamodb_endpoint}")


@pytest.mark.parametrize(
    "url", ["dynamodb://?region=x", "dynamodb://cards?zone=x", "dynamodb://cards?region=x&endpoint=nonsense"]
)
def test_a_dynamodb_address_that_says_nothing_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="dynamodb"):
        DynamoDbStore(url)


def test_a_redis_that_dies_is_a_retriable_error_soon_and_goes_on_when_it_is_back(
    start_redis: Callable[..., Any], tmp_path: Path
) -> None:
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    url, process = start_redis(*durable, folder=tmp_path)
    with RedisStore(url) as store:
        store.apply(0, expected=0, position=1, card_ids=["a"], states=arbitrary_states(1))
        process.kill()
        process.wait(timeout=10)
        before = time.monotonic()
        for call in (lambda: store.load(["a"]), lambda: store.applied(0), lambda: RedisStore(url)):
            with pytest.raises(
                StoreUnavailable, match=r"the feature store at 127\.0\.0\.1:\d+ does not answer"
            ) as caught:
                call()
            assert caught.value.retriable
        assert time.monotonic() - before < 10
        start_redis(*durable, folder=tmp_path, port=int(url.rsplit(":", 1)[1]))
        assert store.load(["a"]).tobytes() == arbitrary_states(1).tobytes()
        assert store.applied(0) == 1


def test_a_redis_that_would_evict_cards_is_refused(start_redis: Callable[..., Any]) -> None:
    url, _ = start_redis("--maxmemory-policy", "allkeys-lru")
    with pytest.raises(Misconfigured, match="maxmemory-policy allkeys-lru: it would evict cards; set it to noeviction"):
        RedisStore(url)


def test_a_redis_that_wants_a_password_is_told_apart_and_no_password_is_shown(start_redis: Callable[..., Any]) -> None:
    url, _ = start_redis()
    with redis.Redis.from_url(url) as server:
        server.config_set("requirepass", "opensesame")
    port = int(url.rsplit(":", 1)[1])
    for address in (url, f"redis://:guessed@127.0.0.1:{port}"):
        with pytest.raises(Misconfigured, match=r"rejects the login: .*CARDWATCH_STORE_PASSWORD") as caught:
            RedisStore(address)
        assert "guessed" not in str(caught.value)
    with RedisStore(f"valkey://:opensesame@127.0.0.1:{port}") as store:
        assert store.applied(0) == 0


def test_a_password_of_its_own_may_hold_any_character(start_redis: Callable[..., Any]) -> None:
    any_characters = "p@s/s#w%rd?:1 [ü] '\"\\$ %2F"
    url, _ = start_redis()
    with redis.Redis.from_url(url) as server:
        server.config_set("requirepass", any_characters)
    settings = read_settings({"CARDWATCH_STORE_URL": url + "/0", "CARDWATCH_STORE_PASSWORD": any_characters})
    with RedisStore(settings.store_url) as store:
        assert store.applied(0) == 0


def test_a_worker_of_another_version_cannot_write_into_a_redis_that_was_made_anew(
    opener: Callable[[str], Open],
) -> None:
    opened = opener("redis")
    [url] = opened.args  # type: ignore[attr-defined]
    with opened(layout="of-last-year") as old:
        with redis.Redis.from_url(url) as server:
            server.flushdb()
        with opened() as new:
            new.apply(0, expected=0, position=1, card_ids=["a"], states=arbitrary_states(1))
            with pytest.raises(
                StoreRefused, match=f"layout {STATE_LAYOUT}, this version reads and writes of-last-year"
            ):
                old.apply(0, expected=1, position=2, card_ids=["a"], states=arbitrary_states(1))
            with pytest.raises(StoreRefused, match="of-last-year"):
                old.load(["a"])


def test_lmdb_is_read_by_another_process_while_it_is_open(tmp_path: Path) -> None:
    asking = (
        "import sys; from pathlib import Path; from adapters.feature_store.lmdb import LmdbStore;"
        "print(LmdbStore(Path(sys.argv[1]), readonly=True).load(['a'])['sequence'][0])"
    )
    states = empty_states(1)
    states["sequence"] = 7
    with LmdbStore(tmp_path) as store:
        store.apply(0, expected=0, position=1, card_ids=["a"], states=states)
        answer = subprocess.run(
            [sys.executable, "-c", asking, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
        )
    assert answer.stdout.strip() == "7"


def test_lmdb_in_a_place_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Misconfigured, match=r"cannot open the feature store in .*file/store"):
        LmdbStore(tmp_path / "file" / "store")
