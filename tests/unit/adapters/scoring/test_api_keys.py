"""API keys: their file, the check of a key, and the rate limit."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.scoring import api_keys
from adapters.scoring.api_keys import ApiKey, KeyRing, KeyScope, RateLimit, add_key, read_keys, revoke_key
from cardwatch.errors import KeyRefused, KeyUnknown, Misconfigured, ScopeMissing

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
OWN = "key-of-the-stack"
GOOD = {"id": "abcd_-12", "name": "acquirer", "sha256": "0" * 64, "scopes": ["score"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "api-keys.json"


def adding(file: Path, name: str = "acquirer", *scopes: KeyScope, rate: float | None = None) -> str:
    return add_key(file, name=name, scopes=scopes or [KeyScope.SCORE], rate_per_second=rate, created_at=NOON)[0]


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


def test_a_new_key_is_an_id_and_256_random_bits_and_only_their_hash_is_stored(file: Path) -> None:
    plain, key = add_key(
        file,
        name="acquirer",
        scopes=[KeyScope.EXPLAIN, KeyScope.SCORE, KeyScope.SCORE],
        rate_per_second=2.5,
        created_at=NOON,
    )
    key_id, secret = plain.split(".")
    assert (len(key_id), len(secret)) == (8, 43)  # 32 bytes are 43 digits of base64
    assert read_keys(file) == (key,)
    assert json.loads(file.read_text()) == {
        "keys": [
            {
                "id": key_id,
                "name": "acquirer",
                "sha256": sha256(plain.encode()).hexdigest(),
                "scopes": ["score", "explain"],
                "rate_per_second": 2.5,
                "created_at": "2025-01-06T12:00:00Z",
            }
        ]
    }
    assert secret not in repr(plain)


def test_only_the_owner_may_read_the_file_also_after_other_permissions(file: Path) -> None:
    adding(file)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    adding(file, "issuer")
    assert file.stat().st_mode & 0o777 == 0o600


def test_keys_created_at_the_same_time_are_all_stored(file: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda number: adding(file, f"caller {number}")[:8], range(40)))
    assert {key.id for key in read_keys(file)} == made
    assert len(made) == 40


def test_a_key_is_revoked_by_name_or_by_id(file: Path) -> None:
    by_id = adding(file)[:8]
    adding(file, "issuer")
    adding(file, "stays")
    assert revoke_key(file, by_id).name == "acquirer"
    assert revoke_key(file, "issuer").name == "issuer"
    assert [key.name for key in read_keys(file)] == ["stays"]


@pytest.mark.parametrize("name", ["", " ", "-x", "a\n", "a ", "\x1b[2J", "x" * 65])
def test_a_name_that_could_not_be_shown_is_refused(file: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match=r"is not a valid key name: 1 to 64 letters and digits"):
        adding(file, name)
    assert not file.exists()


@pytest.mark.parametrize("name", ["x", "x" * 64, "Bank A/fraud team", "müller@example.com"])
def test_usual_names_are_valid(file: Path, name: str) -> None:
    adding(file, name)
    assert read_keys(file)[0].name == name


def test_a_name_or_an_id_is_used_once(file: Path) -> None:
    key_id = adding(file)[:8]
    for name in ("acquirer", key_id):
        with pytest.raises(Misconfigured, match=f"'{name}' is taken"):
            adding(file, name)
    assert len(read_keys(file)) == 1


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_an_invalid_rate_is_refused(file: Path, rate: float) -> None:
    with pytest.raises(Misconfigured, match=f"^{rate} transactions a second is not a valid rate"):
        adding(file, rate=rate)
    assert not file.exists()


def test_a_key_without_a_scope_is_not_created(file: Path) -> None:
    with pytest.raises(Misconfigured, match="needs a scope: score, explain, admin"):
        add_key(file, name="acquirer", scopes=[], rate_per_second=None, created_at=NOON)


def holding(*keys: Mapping[str, object]) -> bytes:
    return json.dumps({"keys": keys}).encode()


BROKEN = {
    b"": "truncated",
    b"{": "truncated",
    b"[]": "Expected `object`",
    b"{}": "required field `keys`",
    b'{"keys": [], "more": 1}': "unknown field `more`",
    b'{"keys": [{"name": "\xff"}]}': "utf-8",
    holding({**GOOD, "secret": "x"}): "unknown field `secret`",
    holding({**GOOD, "id": "short"}): r"\$\.keys\[0\]\.id",
    holding({**GOOD, "name": "a\nb"}): r"\$\.keys\[0\]\.name",
    holding({**GOOD, "sha256": "0" * 63}): r"\$\.keys\[0\]\.sha256",
    holding({**GOOD, "sha256": "G" * 64}): r"\$\.keys\[0\]\.sha256",
    holding({**GOOD, "scopes": []}): r"\$\.keys\[0\]\.scopes",
    holding({**GOOD, "scopes": ["root"]}): r"\$\.keys\[0\]\.scopes\[0\]",
    holding({**GOOD, "rate_per_second": 0}): r"\$\.keys\[0\]\.rate_per_second",
    holding({**GOOD, "rate_per_second": "9"}): r"\$\.keys\[0\]\.rate_per_second",
    holding({**GOOD, "created_at": "2025-01-06T12:00:00"}): r"\$\.keys\[0\]\.created_at",
    holding(GOOD, {**GOOD, "id": "00000000"}): "an id or a name twice",
    holding(GOOD, {**GOOD, "name": "issuer"}): "an id or a name twice",
    holding(GOOD, {**GOOD, "id": "00000000", "name": "abcd_-12"}): "an id or a name twice",
}


@pytest.mark.parametrize(("content", "what"), BROKEN.items())
def test_a_broken_file_is_refused_with_its_name_and_what_is_wrong(tmp_path: Path, content: bytes, what: str) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(content)
    for use in (read_keys, adding, lambda file: revoke_key(file, "acquirer"), lambda file: KeyRing(OWN, file)):
        with pytest.raises(Misconfigured, match=rf"keys\.json .*{what}.*; "):
            use(file)
    assert file.read_bytes() == content


def test_a_handwritten_file_may_omit_rate_and_time(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(holding(GOOD))
    [key] = read_keys(file)
    assert (key.rate_per_second, key.created_at) == (None, None)


def test_a_key_is_valid_for_its_scopes_only(file: Path) -> None:
    plain = adding(file, "acquirer", KeyScope.ADMIN)
    ring = KeyRing(OWN, file)
    assert ring.check(bearer(plain), KeyScope.ADMIN) == read_keys(file)[0]
    for scope in (KeyScope.SCORE, KeyScope.EXPLAIN):
        with pytest.raises(ScopeMissing) as caught:
            ring.check(bearer(plain), scope)
        assert str(caught.value) == f"the API key of 'acquirer' does not have the scope '{scope.value}'"


@pytest.mark.parametrize(
    "own", ["x", "no-dot", "abcd_-12.dots.too", "with space", "schlüssel", "long" * 1000, "\udcff"]
)
def test_the_own_key_may_be_any_string_and_has_all_scopes(file: Path, own: str) -> None:
    ring = KeyRing(own, file)
    for scope in KeyScope:
        assert ring.check(b"Bearer " + own.encode(errors="surrogateescape"), scope).rate_per_second is None
    with pytest.raises(KeyUnknown):
        ring.check(b"Bearer other", KeyScope.SCORE)


def test_the_own_key_has_all_scopes_even_if_it_is_in_the_file(file: Path) -> None:
    plain = adding(file)
    assert KeyRing(plain, file).check(bearer(plain), KeyScope.ADMIN).scopes == tuple(KeyScope)


def test_an_empty_own_key_is_never_valid(file: Path) -> None:
    for header in (b"", b"Bearer", b"Bearer ", b"Bearer ."):
        with pytest.raises(KeyUnknown):
            KeyRing("", file).check(header, KeyScope.SCORE)


def test_the_scheme_is_accepted_in_any_case(file: Path) -> None:
    ring = KeyRing(OWN, file)
    assert {ring.check(f"{scheme} {OWN}".encode(), KeyScope.SCORE).id for scheme in ("bearer", "BEARER")} == {"own"}


@pytest.mark.parametrize(
    "altered",
    [
        lambda key: key,
        lambda key: b"Basic " + key,
        lambda key: b"Bearer" + key,
        lambda key: b"Bearer  " + key,
        lambda key: b"Bearer\t" + key,
        lambda key: b" Bearer " + key,
        lambda key: b"Bearer " + key + b" ",
        lambda key: b"Bearer " + key[:-1],
        lambda key: b"Bearer " + key[:8],
        lambda key: b"Bearer " + key[:9],
        lambda key: b"Bearer " + key[8:],
        lambda key: b"Bearer 00000000" + key[8:],
        lambda key: b"Bearer " + key.swapcase(),
        lambda key: b"Bearer " + key + b"\xff\x00",
        lambda key: b"Bearer " + key + b"x" * 1_000_000,
        lambda key: b"Bearer " + sha256(key).hexdigest().encode(),
    ],
)
def test_anything_but_bearer_and_the_key_is_refused(file: Path, altered: Callable[[bytes], bytes]) -> None:
    plain = adding(file)
    header = altered(plain.encode())
    with pytest.raises(KeyUnknown) as caught:
        KeyRing(OWN, file).check(header, KeyScope.SCORE)
    assert plain[9:] not in str(caught.value)


@given(st.binary(max_size=100), st.sampled_from([b"", b"Bearer ", b"bearer abcd_-12", b"Bearer abcd_-12."]))
def test_arbitrary_bytes_are_refused_as_a_key(
    tmp_path_factory: pytest.TempPathFactory, rest: bytes, head: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "keys.json"
    file.write_bytes(holding(GOOD))
    with pytest.raises(KeyRefused):
        KeyRing(OWN, file).check(head + rest, KeyScope.SCORE)


def test_a_wrong_secret_and_an_unknown_id_are_compared_equally_often(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = adding(file)
    ring = KeyRing(OWN, file)
    compared: list[tuple[int, int]] = []

    def counting(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return False

    monkeypatch.setattr(hmac, "compare_digest", counting)
    for sent in (f"{plain}x", f"unknown_.{plain[9:]}", "nodot"):
        with pytest.raises(KeyUnknown):
            ring.check(bearer(sent), KeyScope.SCORE)
    assert compared == [(32, 32)] * 6


def test_a_key_ring_reads_changes_of_its_file(file: Path) -> None:
    ring = KeyRing(OWN, file)
    assert ring.ids == {"own"}
    assert not ring.refresh()
    plain = adding(file)
    assert ring.refresh()
    assert ring.ids == {"own", plain[:8]}
    assert ring.check(bearer(plain), KeyScope.SCORE).name == "acquirer"
    revoke_key(file, "acquirer")
    assert ring.refresh()
    with pytest.raises(KeyUnknown):
        ring.check(bearer(plain), KeyScope.SCORE)


def test_keys_of_a_deleted_file_are_invalid_and_the_own_one_stays_valid(file: Path) -> None:
    plain = adding(file)
    ring = KeyRing(OWN, file)
    file.unlink()
    assert ring.refresh()
    with pytest.raises(KeyUnknown):
        ring.check(bearer(plain), KeyScope.SCORE)
    assert ring.check(bearer(OWN), KeyScope.ADMIN).id == "own"
    assert ring.problem is None


def test_an_unchanged_file_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adding(file)
    ring = KeyRing(OWN, file)
    monkeypatch.setattr(api_keys, "read_keys", lambda _: pytest.fail("read again"))
    assert not ring.refresh()


def test_a_file_that_becomes_invalid_leaves_its_keys_valid_and_is_logged_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = adding(file)
    ring, good = KeyRing(OWN, file), file.read_bytes()
    for broken in (b'{"keys": [], "opensesame": 1}', b'{"keys": ["opensesame"]}'):
        file.write_bytes(broken)
        assert not ring.refresh()
        assert not ring.refresh()
        assert ring.check(bearer(plain), KeyScope.SCORE).name == "acquirer"
    assert ring.problem is not None
    assert str(file) in ring.problem
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "opensesame" not in caplog.text + ring.problem

    file.write_bytes(good)
    assert ring.refresh()
    assert ring.problem is None
    file.write_bytes(b"")
    assert not ring.refresh()
    assert len(caplog.records) == 2


def test_a_file_that_could_not_be_read_for_a_moment_is_read_although_it_has_not_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = KeyRing(OWN, file)
    plain = adding(file)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", _too_many_open_files)
        assert not ring.refresh()
        assert ring.problem is not None
    assert ring.refresh()
    assert ring.problem is None
    assert ring.check(bearer(plain), KeyScope.SCORE).name == "acquirer"


def _too_many_open_files(_: Path) -> bytes:
    raise OSError(24, "Too many open files")


def limited(rate: float | None, key_id: str = "abcd_-12") -> ApiKey:
    return ApiKey(id=key_id, name=key_id, sha256="0" * 64, scopes=(KeyScope.SCORE,), rate_per_second=rate)


def test_a_burst_of_one_second_is_admitted_and_then_the_rate_applies() -> None:
    limit, key = RateLimit(), limited(10)
    assert limit.take(key, 4, 100.0) is None
    assert limit.take(key, 6, 100.0) is None
    assert limit.take(key, 1, 100.0) == pytest.approx(0.1)
    assert limit.take(key, 5, 100.1) == pytest.approx(0.4)  # 1 of 5 has come
    assert limit.take(key, 1, 100.1) is None  # what was refused has cost nothing
    assert limit.take(key, 1, 100.1) == pytest.approx(0.1)


def test_an_idle_hour_accumulates_the_burst_of_one_second() -> None:
    limit, key = RateLimit(), limited(10)
    assert limit.take(key, 10, 0.0) is None
    assert limit.take(key, 10, 3600.0) is None
    assert limit.take(key, 1, 3600.0) == pytest.approx(0.1)


def test_a_batch_beyond_the_burst_waits_for_a_full_bucket_and_delays_later_ones() -> None:
    limit, key = RateLimit(), limited(10)
    assert limit.take(key, 25, 0.0) is None  # 10 - 25 = -15
    assert limit.take(key, 1, 0.0) == pytest.approx(1.6)  # 16 are lacking
    assert limit.take(key, 25, 0.0) == pytest.approx(2.5)  # 25 are, to be full
    assert limit.take(key, 25, 2.4) == pytest.approx(0.1)
    assert limit.take(key, 25, 2.5) is None


def test_a_rate_below_one_still_admits_one() -> None:
    limit, key = RateLimit(), limited(0.5)
    assert limit.take(key, 1, 0.0) is None
    assert limit.take(key, 1, 0.0) == pytest.approx(2.0)
    assert limit.take(key, 1, 2.0) is None


def test_each_of_four_workers_admits_a_quarter() -> None:
    limit, key = RateLimit(share=0.25), limited(10)
    assert limit.take(key, 2, 0.0) is None  # 2.5 - 2 = 0.5
    assert limit.take(key, 1, 0.0) == pytest.approx(0.2)  # 0.5 is lacking, at 2.5 a second


def test_without_a_rate_there_is_no_limit() -> None:
    limit, key = RateLimit(), limited(None)
    assert [limit.take(key, 1_000_000, 0.0) for _ in range(3)] == [None] * 3


def test_keys_are_independent_and_a_dropped_one_has_a_full_bucket() -> None:
    limit, one, other = RateLimit(), limited(10, "one_____"), limited(10, "other___")
    assert limit.take(one, 10, 0.0) is None
    assert limit.take(other, 10, 0.0) is None
    limit.keep_only({"other___"})
    assert limit.take(one, 10, 0.0) is None
    assert limit.take(other, 10, 0.0) == pytest.approx(1.0)


gaps_and_batches = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 500)), min_size=1, max_size=30)
rates = st.floats(0.01, 1_000)


@given(gaps_and_batches, rates, st.sampled_from([1.0, 0.5, 0.125]))
def test_no_interval_has_more_than_its_rate_one_burst_and_one_batch(
    asked: list[tuple[float, int]], rate: float, share: float
) -> None:
    limit, key, now_seconds = RateLimit(share), limited(rate), 1_000.0
    granted: list[tuple[float, int]] = []
    for gap, batch in asked:
        now_seconds += gap
        if limit.take(key, batch, now_seconds) is None:
            granted.append((now_seconds, batch))
    beyond = max(1.0, rate * share) + max(batch for _, batch in asked)
    for first, (begins, _) in enumerate(granted):
        for last in range(first, len(granted)):
            sent = sum(batch for _, batch in granted[first : last + 1])
            assert sent <= rate * share * (granted[last][0] - begins) + beyond + 1e-3


@given(gaps_and_batches, rates)
def test_a_caller_that_waits_as_required_is_admitted(asked: list[tuple[float, int]], rate: float) -> None:
    limit, key, now_seconds = RateLimit(), limited(rate), 1_000.0
    for gap, batch in asked:
        now_seconds += gap
        wait = limit.take(key, batch, now_seconds)
        if wait is not None:
            assert wait > 0
            now_seconds += wait
            assert limit.take(key, batch, now_seconds) is None
