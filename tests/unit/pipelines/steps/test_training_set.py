"""Training sets: their rows, labels and reference tables, from a history of a few rows."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.overlay_rules import OverlayRule, RuleCondition
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.events import Action
from cardwatch.features.definitions import column
from cardwatch.features.hashing import identity_hash
from cardwatch.features.reference_table import MERCHANT_VALUES, ReferenceTable
from cardwatch.label_maturity import end_of_day
from cardwatch.label_states import LabelCoverage
from cardwatch.promotion.split import TemporalSplit, temporal_split
from pipelines.steps.training_set import ReplayedLog, assemble_training_set, replay_log

FIRST = date(2025, 1, 1)
MONTH = TemporalSplit(
    train_from=FIRST, evaluate_from=FIRST + timedelta(days=20), evaluate_until=FIRST + timedelta(days=25)
)


def day(number: int) -> datetime:
    """Noon of day `number`, counted from 1."""
    return datetime(2025, 1, 1, 12, tzinfo=UTC) + timedelta(days=number - 1)


def transaction(
    name: str, at: datetime, *, offset: int, partition: int = 0, card: str = "card-a", **fields: str
) -> dict[str, object]:
    return {
        "transaction_id": name,
        "card_id": card,
        "merchant_id": "shop",
        "occurred_at": at,
        "amount_minor": 1_000 + offset,
        "currency": "EUR",
        "merchant_category": "5411",
        "channel": "chip",
        "country": "DE",
        "latitude": None,
        "longitude": None,
        "device_id": None,
        "customer_id": None,
        "card_range": None,
        "previous_outcome": None,
        "partition": partition,
        "log_offset": offset,
        **fields,
    }


def label(name: str, observed_at: datetime, *, is_fraud: bool = True, offset: int = 0) -> dict[str, object]:
    return {
        "transaction_id": name,
        "is_fraud": is_fraud,
        "observed_at": observed_at,
        "partition": 0,
        "log_offset": offset,
    }


def decision(
    partition: int,
    offset: int,
    table_id: str = "",
    *,
    action: str = "approve",
    reasons: Sequence[str] = (),
    degraded: bool = False,
    propensity: float | None = None,
) -> dict[str, object]:
    return {
        "partition": partition,
        "log_offset": offset,
        "table_id": table_id,
        "action": action,
        "reasons": list(reasons),
        "degraded": degraded,
        "control_propensity": propensity,
    }


TRANSACTIONS = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("card_id", pa.string()),
        ("merchant_id", pa.string()),
        ("occurred_at", pa.timestamp("ms", "UTC")),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
        ("merchant_category", pa.string()),
        ("channel", pa.string()),
        ("country", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("device_id", pa.string()),
        ("customer_id", pa.string()),
        ("card_range", pa.string()),
        ("previous_outcome", pa.string()),
        ("partition", pa.int32()),
        ("log_offset", pa.int64()),
    ]
)
LABELS = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("is_fraud", pa.bool_()),
        ("observed_at", pa.timestamp("ms", "UTC")),
        ("partition", pa.int32()),
        ("log_offset", pa.int64()),
    ]
)
DECISIONS = pa.schema(
    [
        ("partition", pa.int32()),
        ("log_offset", pa.int64()),
        ("table_id", pa.string()),
        ("action", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("degraded", pa.bool_()),
        ("control_propensity", pa.float64()),
    ]
)


class FewRows:
    """A history of a few rows, given in log order."""

    def __init__(self, transactions: list[dict[str, object]], decisions: list[dict[str, object]] | None = None) -> None:
        self._transactions = pa.Table.from_pylist(transactions, TRANSACTIONS)
        self._decisions = pa.Table.from_pylist(decisions or [], DECISIONS)

    def log(self) -> "FewRows":
        return self

    @property
    def partitions(self) -> list[int]:
        return sorted(set(self._transactions["partition"].to_pylist()))

    def transactions(self, partition: int, columns: Sequence[str], *, batch_rows: int) -> Iterator[pa.Table]:
        return iter([self._transactions.filter(pc.equal(self._transactions["partition"], partition))])

    def recorded_tables(self, partition: int, *, batch_rows: int) -> Iterator[pa.Table]:
        found = self._decisions.filter(pc.equal(self._decisions["partition"], partition))
        found = found.filter(pc.not_equal(found["table_id"], ""))
        return iter([found] if found.num_rows else [])

    def actions(self) -> pa.Table:
        return self._decisions


def labels(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), LABELS)


def three_days() -> ReplayedLog:
    return replay_log(
        FewRows(
            [
                transaction("t1", day(1), offset=0),
                transaction("t2", day(2), offset=1),
                transaction("t3", day(3), offset=2),
            ]
        ),
        [],
    )


@pytest.mark.rubric("data-4")
def test_a_label_observed_after_t_is_not_used() -> None:
    seen_in_time = label("t1", end_of_day(date(2025, 1, 30)) - timedelta(milliseconds=1))
    seen_too_late = label("t2", end_of_day(date(2025, 1, 30)), offset=1)

    rows = assemble_training_set(three_days(), labels(seen_in_time, seen_too_late), date(2025, 1, 30), MONTH)

    assert rows.transaction_ids.tolist() == ["t1", "t2", "t3"]
    assert rows.is_fraud.tolist() == [True, False, False]


def test_the_newest_label_known_at_t_counts() -> None:
    reported = label("t1", day(5))
    withdrawn = label("t1", day(9), is_fraud=False, offset=1)

    before = assemble_training_set(three_days(), labels(withdrawn, reported), date(2025, 1, 8), MONTH)
    after = assemble_training_set(three_days(), labels(withdrawn, reported), date(2025, 1, 9), MONTH)

    assert before.is_fraud.tolist() == [True, False, False]
    assert after.is_fraud.tolist() == [False, False, False]


def test_windows_do_not_overlap_and_immature_days_are_excluded() -> None:
    history = FewRows([transaction(f"t{n}", day(n), offset=n) for n in range(1, 31)])
    chosen = temporal_split(date(2025, 1, 30), first=FIRST, maturity_days=5, evaluation_days=3, train_days=60)

    rows = assemble_training_set(replay_log(history, []), labels(), date(2025, 1, 30), chosen)
    train = rows.between(chosen.train_from, chosen.evaluate_from)
    judge = rows.between(chosen.evaluate_from, chosen.evaluate_until)

    assert train.transaction_ids.tolist() == [f"t{n}" for n in range(1, 23)]
    assert judge.transaction_ids.tolist() == ["t23", "t24", "t25"]
    assert len(rows.features) == 25


def test_features_of_a_window_use_all_history_before_it() -> None:
    only_day_3 = TemporalSplit(
        train_from=date(2025, 1, 3), evaluate_from=date(2025, 1, 4), evaluate_until=date(2025, 1, 5)
    )

    rows = assemble_training_set(three_days(), labels(), date(2025, 1, 30), only_day_3)

    assert rows.features[:, column("history_length")].tolist() == [2.0]
    assert rows.features[:, column("seconds_since_last")].tolist() == [86_400.0]


def test_a_repeated_transaction_is_trained_on_once() -> None:
    history = FewRows([transaction("t1", day(1), offset=0), transaction("t1", day(1), offset=1)])

    rows = assemble_training_set(replay_log(history, []), labels(label("t1", day(2))), date(2025, 1, 30), MONTH)

    assert rows.transaction_ids.tolist() == ["t1"]
    assert rows.amount_minor.tolist() == [1_000]


def table_with_risk(day_number: int, risk: float) -> ReferenceTable:
    shop = np.array([identity_hash("shop")], np.uint64)
    values = np.zeros((1, len(MERCHANT_VALUES)), np.float32)
    values[0, MERCHANT_VALUES.index("risk_30d")] = risk
    return ReferenceTable.of_merchants(day_number, shop, values)


def test_recorded_tables_take_precedence_over_the_table_of_the_day() -> None:
    new_year = (FIRST - date(1970, 1, 1)).days
    first, second = table_with_risk(new_year, 2.0), table_with_risk(new_year + 2, 3.0)
    late_switch = FewRows(
        [transaction(f"t{n}", day(n), offset=n) for n in (1, 2, 3, 4)], [decision(0, 3, first.table_id)]
    )

    log = replay_log(late_switch, [second, first])

    # Days 1 and 2: the first table is valid. Day 3: the decision recorded the first table. Day 4: the second is valid.
    assert log.features[:, column("merchant_risk_30d")].tolist() == [2.0, 2.0, 2.0, 3.0]


def test_a_missing_recorded_table_is_an_error_with_its_id() -> None:
    history = FewRows([transaction("t1", day(1), offset=0)], [decision(0, 0, "lost-table")])

    with pytest.raises(CardwatchError, match="lost-table"):
        replay_log(history, [])


def test_states_and_offsets_are_those_at_the_end_of_the_log() -> None:
    history = FewRows(
        [
            transaction("t1", day(1), offset=4, partition=0, card="card-a"),
            transaction("t2", day(2), offset=7, partition=0, card="card-b"),
            transaction("t3", day(3), offset=9, partition=0, card="card-a"),
            transaction("t4", day(1), offset=2, partition=3, card="card-c"),
        ]
    )

    log = replay_log(history, [])

    assert log.ends == {0: 10, 3: 3}
    assert log.cards == ["card-a", "card-b", "card-c"]
    assert log.card_partitions.tolist() == [0, 0, 3]
    assert log.states["sequence"].tolist() == [2, 1, 1]


def test_the_fingerprint_depends_on_the_known_data_the_day_and_the_windows() -> None:
    as_of = date(2025, 1, 30)
    known, unknown = label("t1", day(2)), label("t2", end_of_day(as_of), offset=1)

    def fingerprint(*rows: dict[str, object], day: date = as_of, over: TemporalSplit = MONTH) -> str:
        return assemble_training_set(three_days(), labels(*rows), day, over).fingerprint

    shorter = TemporalSplit(
        train_from=MONTH.train_from, evaluate_from=MONTH.evaluate_from, evaluate_until=date(2025, 1, 24)
    )
    assert fingerprint(known) == fingerprint(known, unknown)
    assert (
        len(
            {
                fingerprint(known),
                fingerprint(),
                fingerprint(known, day=day(29).date()),
                fingerprint(over=shorter),
            }
        )
        == 4
    )


def test_an_empty_archive_is_refused() -> None:
    with pytest.raises(Misconfigured, match="empty"):
        replay_log(FewRows([]), [])


def decided_days(*decisions: dict[str, object]) -> ReplayedLog:
    return replay_log(FewRows([transaction(f"t{n}", day(n), offset=n) for n in (1, 2, 3, 4)], list(decisions)), [])


def test_a_declined_transaction_without_a_label_is_no_row_and_is_counted_as_censored() -> None:
    history = decided_days(
        decision(0, 1, action="decline"), decision(0, 2, action="decline"), decision(0, 3, action="challenge")
    )
    rows = assemble_training_set(history, labels(label("t2", day(3))), date(2025, 1, 30), MONTH)
    assert rows.transaction_ids.tolist() == ["t2", "t3", "t4"]
    assert rows.is_fraud.tolist() == [True, False, False]
    assert rows.label_coverage == LabelCoverage(known_fraud=1, presumed_genuine=2, censored=1)


def test_a_declined_transaction_that_was_confirmed_is_a_genuine_row() -> None:
    history = decided_days(decision(0, 1, action="decline"))
    rows = assemble_training_set(history, labels(label("t1", day(2), is_fraud=False)), date(2025, 1, 30), MONTH)
    assert rows.is_fraud.tolist() == [False] * 4
    assert rows.label_coverage == LabelCoverage(known_genuine=1, presumed_genuine=3)


def test_history_without_decisions_has_nothing_that_is_censored() -> None:
    rows = assemble_training_set(decided_days(), labels(label("t1", day(2))), date(2025, 1, 30), MONTH)
    assert len(rows.features) == 4 and rows.weight.tolist() == [1.0] * 4
    assert rows.label_coverage.censored == 0


def covering(largest_minor: float | None) -> DecisionPolicy:
    share = ControlShare() if largest_minor is None else ControlShare(share=0.25, cap_minor=largest_minor)
    return DecisionPolicy(control=share)


def test_control_rows_stand_for_the_declined_ones_that_their_share_covers() -> None:
    history = decided_days(
        decision(0, 1, propensity=0.25), decision(0, 2, action="decline"), decision(0, 3, action="decline")
    )
    known = labels(label("t1", day(3)), label("t2", day(3)), label("t3", day(3)))

    def weights(largest: float | None) -> dict[str, float]:
        rows = assemble_training_set(history, known, date(2025, 1, 30), MONTH, policy=covering(largest))
        return dict(zip(rows.transaction_ids.tolist(), rows.weight.tolist(), strict=True))

    # The amount of t<n> is 1,000 + n: a share up to 1,002 covers t2, and not t3.
    assert weights(1_002) == {"t1": 4.0, "t3": 1.0, "t4": 1.0}
    assert weights(None) == {"t1": 4.0, "t2": 1.0, "t3": 1.0, "t4": 1.0}


def test_control_rows_stand_for_no_decline_in_which_rules_had_a_part() -> None:
    history = decided_days(
        decision(0, 1, propensity=0.25),
        decision(0, 2, action="decline", reasons=["AMOUNT", "NEW_DEVICE"]),
        decision(0, 3, action="decline", reasons=["POLICY_COUNTRY", "AMOUNT"]),
        decision(0, 4, action="decline", reasons=["RULE_AMOUNT"], degraded=True),
    )
    known = labels(*(label(f"t{n}", day(5)) for n in (1, 2, 3, 4)))
    rows = assemble_training_set(history, known, date(2025, 1, 30), MONTH, policy=covering(9_999))
    weights = dict(zip(rows.transaction_ids.tolist(), rows.weight.tolist(), strict=True))
    assert weights == {"t1": 4.0, "t3": 1.0, "t4": 1.0}
    assert rows.declined_by_rules.tolist() == [False, True, True]
    silent = assemble_training_set(history, labels(), date(2025, 1, 30), MONTH, policy=covering(9_999))
    assert silent.transaction_ids.tolist() == ["t1"] and silent.label_coverage.censored == 3


IN_EUROS = DecisionPolicy(
    currency="EUR",
    rates={"JPY": 0.5},
    control=ControlShare(share=0.25, cap_minor=600),
    rules=(
        OverlayRule(
            reason="POLICY_RANGE", action=Action.DECLINE, when=(RuleCondition(name="card_range", one_of=("r",)),)
        ),
        OverlayRule(
            reason="POLICY_COUNTRY", action=Action.CHALLENGE, when=(RuleCondition(name="country", one_of=("JP",)),)
        ),
    ),
)


def test_amounts_and_what_rules_ask_for_follow_the_policy() -> None:
    log = [
        transaction("t1", day(1), offset=0, country="JP", channel="ecommerce", card_range="r"),
        transaction("t2", day(1), offset=1, country="JP", channel="ecommerce", currency="JPY"),
        transaction("t3", day(1), offset=2, country="JP", currency="XTS"),
    ]
    history = replay_log(FewRows(log), [], policy=IN_EUROS)
    rows = assemble_training_set(history, labels(), date(2025, 1, 30), MONTH, policy=IN_EUROS)
    first, second, third = rows.policy_amount_minor.tolist()
    assert (first, second) == (float(rows.amount_minor[0]), rows.amount_minor[1] / 2)
    assert np.isnan(third)  # there is no rate for XTS
    # A chip has no challenge, so the rule of the country has no effect on the third.
    assert [ACTIONS[place] for place in rows.overlay] == [Action.DECLINE, Action.CHALLENGE, Action.APPROVE]


def test_a_control_share_covers_amounts_in_the_currency_of_the_policy() -> None:
    # The amount of t<n> is 1,000 + n, which is half as much in euros: 501, and above the cap without a rate.
    log = [
        transaction(f"t{n}", day(n), offset=n, currency=currency)
        for n, currency in ((1, "JPY"), (2, "JPY"), (3, "EUR"))
    ]
    decided = [decision(0, 1, propensity=0.25), decision(0, 2, action="decline"), decision(0, 3, action="decline")]
    history = replay_log(FewRows(log, decided), [], policy=IN_EUROS)
    known = labels(label("t2", day(3)), label("t3", day(3)))
    rows = assemble_training_set(history, known, date(2025, 1, 30), MONTH, policy=IN_EUROS)
    assert dict(zip(rows.transaction_ids.tolist(), rows.weight.tolist(), strict=True)) == {"t1": 4.0, "t3": 1.0}


def test_decisions_are_found_by_their_position_and_change_the_fingerprint() -> None:
    approved, declined = decided_days(), decided_days(decision(0, 4, action="decline"))
    assert declined.declined.tolist() == [False, False, False, True]
    assert decided_days(decision(1, 4, action="decline")).declined.tolist() == [False] * 4
    of = [assemble_training_set(log, labels(), date(2025, 1, 30), MONTH).fingerprint for log in (approved, declined)]
    assert of[0] != of[1]


def test_the_rows_of_a_window_keep_their_weights() -> None:
    rows = assemble_training_set(decided_days(decision(0, 4, propensity=0.5)), labels(), date(2025, 1, 30), MONTH)
    late = rows.between(date(2025, 1, 3), date(2025, 1, 5))
    assert late.weight.tolist() == [1.0, 2.0]
    assert late.label_coverage == rows.label_coverage


def test_rows_of_excluded_days_are_neither_trained_nor_judged_on() -> None:
    everything = assemble_training_set(three_days(), labels(), date(2025, 1, 30), MONTH)
    excluded = frozenset({day(2).date()})
    without = assemble_training_set(three_days(), labels(), date(2025, 1, 30), MONTH, excluded)
    number = (day(2).date() - date(1970, 1, 1)).days
    assert number in everything.days
    assert set(without.days) == set(everything.days) - {number}
    assert without.fingerprint != everything.fingerprint
