"""Training sets: features from a replay of the archive, and the labels that were known at one point in time.

The features of a transaction use the reference table that its decision recorded. History without decisions uses the
table that is valid on the transaction's day. Labels count if they were observed before T. A transaction without a label
is genuine if it was not declined; a declined one is censored, and is no row of the set (`cardwatch.label_states`).
History without decisions was all approved.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, structs
from numpy.typing import NDArray

from adapters.archive.arrow_columns import KERNEL_COLUMNS
from adapters.archive.card_states import CardStates
from adapters.archive.log_files import log_offsets
from adapters.archive.outcome_states import control_propensities, declined, declined_by_rules, newest_label_codes
from adapters.archive.policy_amounts import amounts_in_currency_of
from adapters.archive.reader import Archive
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.overlay_rules import FIELDS, FieldColumns, strictest_actions
from cardwatch.drift.policy import DriftPolicy
from cardwatch.errors import Misconfigured
from cardwatch.events import Action
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.reference_table import DAY_MS, ReferenceTable
from cardwatch.features.replay import ReferenceTables
from cardwatch.label_maturity import DEFAULT_MATURITY_DAYS, end_of_day
from cardwatch.label_states import LabelCoverage, LabelState, control_weights, label_states
from cardwatch.promotion.split import TemporalSplit, temporal_split
from pipelines.steps.partition_replay import ReplayedBatch, replay_partition

MATURITY_DAYS: Final = DEFAULT_MATURITY_DAYS
EVALUATION_DAYS: Final = DriftPolicy().judge_days
HOLDOUT_DAYS: Final = 7
"""Length of a first champion's evaluation window in days: one week, so that its baseline contains every weekday."""
TRAIN_DAYS: Final = 90
"""Maximum length of the training window in days."""
MINIMUM_TRAIN_DAYS: Final = 14
"""Minimum length of the training window in days. Two weeks contain every weekday twice."""

_EPOCH: Final = date(1970, 1, 1)
_COLUMNS: Final = ["transaction_id", "card_id", "occurred_at", "amount_minor", "partition", "log_offset"]

log = logging.getLogger(__name__)


class ReplayedLog(Struct, frozen=True, kw_only=True):
    """Features and card states of the complete archive. Rows are in log order: by partition, then offset.

    `transactions` has the columns that training and reports use. `features` is float32 [rows, features], NaN where
    missing. `duplicates` marks repeated transactions, which have no features, `declined` the ones that were declined,
    and `declined_by_rules` those of them in whose decision rules had a part. `control_propensity` is float64 [rows]:
    that of control rows, NaN for all others. `states` has dtype STATE, the states of `cards` after the last row;
    `card_partitions` are their partitions. `ends` is the next offset of each partition.
    """

    transactions: pa.Table
    occurred_at_ms: NDArray[np.int64]
    features: NDArray[np.float32]
    duplicates: NDArray[np.bool_]
    declined: NDArray[np.bool_]
    declined_by_rules: NDArray[np.bool_]
    control_propensity: NDArray[np.float64]
    cards: list[str]
    card_partitions: NDArray[np.int64]
    states: NDArray[np.void]
    ends: dict[int, int]

    @property
    def first_day(self) -> date:
        """UTC day of the oldest transaction."""
        return _EPOCH + timedelta(days=int(self.occurred_at_ms.min()) // DAY_MS)

    def rows_between(self, first: date, until: date, excluded_days: frozenset[date] = frozenset()) -> NDArray[np.bool_]:
        """Return which rows are of training, bool [rows]: those of days in [first, until), without duplicates.

        Rows of `excluded_days`, which are quarantined, are left out too.
        """
        days = self.occurred_at_ms // DAY_MS
        excluded = np.isin(days, [_day_number(day) for day in sorted(excluded_days)])
        return _days_between(days, first, until) & ~self.duplicates & ~excluded

    def split(
        self,
        as_of: date,
        *,
        maturity_days: int,
        evaluation_days: int,
        excluded_days: frozenset[date] = frozenset(),
    ) -> TemporalSplit:
        """Return the windows at the end of day `as_of`. Raises `NotEnoughHistory` if the log is too short."""
        return temporal_split(
            as_of,
            first=self.first_day,
            maturity_days=maturity_days,
            evaluation_days=evaluation_days,
            train_days=TRAIN_DAYS,
            minimum_train_days=MINIMUM_TRAIN_DAYS,
            excluded_days=excluded_days,
        )


class TrainingSet(Struct, frozen=True, kw_only=True):
    """Feature rows and their labels, in log order. All arrays have the same length n.

    `features` is float32 [n, features], NaN where missing; amounts are in minor units. Censored transactions are no
    rows. `policy_amount_minor` is float64 [n]: the amounts in the policy's currency, NaN where the policy has no rate.
    `overlay` is int8 [n]: the strictest action that rules of the policy file ask for, see `strictest_actions`. `weight`
    is float32 [n]: how many transactions the row stands for, 1 or, for a control row, 1 / its propensity. An estimate
    that is to hold for all transactions must use it. `declined_by_rules` marks the rows with a label that were
    declined, and not by the model alone: control rows do not stand for their like. `label_coverage` counts the
    transactions of both windows, also those that are no rows. Training sets with equal content have equal fingerprints.
    """

    features: NDArray[np.float32]
    is_fraud: NDArray[np.bool_]
    weight: NDArray[np.float32]
    declined_by_rules: NDArray[np.bool_]
    amount_minor: NDArray[np.int64]
    policy_amount_minor: NDArray[np.float64]
    overlay: NDArray[np.int8]
    occurred_at_ms: NDArray[np.int64]
    card_ids: NDArray[np.object_]
    transaction_ids: NDArray[np.object_]
    fingerprint: str
    label_coverage: LabelCoverage

    @property
    def days(self) -> NDArray[np.int64]:
        """UTC event day of each row, int64 [n] in days since 1970."""
        return self.occurred_at_ms // DAY_MS

    def between(self, first: date, until: date) -> TrainingSet:
        """Return the rows whose event day is in [first, until)."""
        return self.at(_days_between(self.days, first, until))

    def at(self, rows: NDArray[np.bool_]) -> TrainingSet:
        """Return the rows that are chosen in `rows`, bool [n]."""
        columns = {name: value[rows] for name, value in structs.asdict(self).items() if isinstance(value, np.ndarray)}
        return structs.replace(self, **columns)

    def with_half_life(self, half_life_days: float | None) -> TrainingSet:
        """Return the rows with weights that halve in so many days, and have the same sum. None changes nothing.

        This is exponential forgetting: what was fraud before a change tells less about what is fraud now (Klinkenberg,
        "Learning drifting concepts: example selection vs. example weighting", Intelligent Data Analysis 8, 2004).
        """
        if half_life_days is None or not len(self.weight):
            return self
        aged = self.weight * 0.5 ** ((self.days.max() - self.days) / half_life_days)
        return structs.replace(self, weight=(aged * (self.weight.sum() / aged.sum())).astype(np.float32))


def columns_for(policy: DecisionPolicy) -> list[str]:
    """Return the columns of transactions that the policy needs to decide them, beside features and amounts."""
    named = {condition.name for rule in policy.rules for condition in rule.when}
    asks = any(rule.action is Action.CHALLENGE for rule in policy.rules)
    wanted = {*named, *(["channel"] if asks else []), *(["currency"] if policy.currency else [])}
    return [name for name in FIELDS if name in wanted]


def replay_log(
    archive: Archive,
    tables: Sequence[ReferenceTable],
    former: Mapping[str, date] | None = None,
    *,
    policy: DecisionPolicy | None = None,
) -> ReplayedLog:
    """Replay the complete archive, starting from empty card states. `tables` are all tables that were ever built.

    `former`: the ids of tables that `cardwatch upgrade` has replaced, and their first days. `policy`: the columns that
    it needs are kept (`columns_for`).
    """
    further = columns_for(policy) if policy else []
    archived, reference_tables = archive.log(), ReferenceTables(tables, former)
    batches: list[ReplayedBatch] = []
    cards: list[CardStates] = []
    for partition in archived.partitions:
        cards.append(CardStates())
        for batch in replay_partition(
            archived,
            partition,
            reference_tables,
            cards[-1],
            further_columns=[name for name in further if name not in KERNEL_COLUMNS],
        ):
            batches.append(batch._replace(transactions=batch.transactions.select([*_COLUMNS, *further])))
    if not batches:
        raise Misconfigured("the archive is empty: there is nothing to train on")
    transactions = pa.concat_tables([batch.transactions for batch in batches])
    replayed = ReplayedLog(
        transactions=transactions,
        occurred_at_ms=np.concatenate([batch.occurred_at_ms for batch in batches]),
        features=np.concatenate([batch.folded.features for batch in batches]),
        duplicates=np.concatenate([batch.folded.duplicates for batch in batches]),
        **decided_columns(transactions, archive.actions()),
        cards=[card for of_partition in cards for card in of_partition.cards],
        card_partitions=np.repeat(archived.partitions, [len(of_partition.cards) for of_partition in cards]),
        states=np.concatenate([of_partition.states for of_partition in cards]),
        ends=next_offsets(transactions),
    )
    log.info("replayed %d transactions of %d cards", len(replayed.features), len(replayed.cards))
    return replayed


def newest_closed_day(archive: Archive) -> date:
    """Return the newest complete day of the archive, the default of a first training.

    The newest day with a transaction may lie in the far future, because one wrong clock suffices. Raises
    `Misconfigured` if no day is closed.
    """
    day = max(archive.closed_days(), default=None)
    if day is None:
        raise Misconfigured("the archive has no complete day yet: wait until a day is closed, or name the day")
    return day


def assemble_training_set(
    history: ReplayedLog,
    labels: pa.Table,
    as_of: date,
    split: TemporalSplit,
    excluded_days: frozenset[date] = frozenset(),
    *,
    policy: DecisionPolicy | None = None,
) -> TrainingSet:
    """Return the rows of both windows, with the labels that were observed before the end of day `as_of`.

    `policy` is that under which models are judged, by default one without rules, rates and control share; `history`
    must have its columns (`columns_for`). Control rows stand for declines up to its largest amount, see
    `control_weights`. Rows of `excluded_days` are left out, see `cardwatch.data_contract.quarantine`.
    """
    policy = policy or DecisionPolicy()
    known = labels.filter(pc.less(labels["observed_at"], pa.scalar(end_of_day(as_of), labels["observed_at"].type)))
    mature = history.rows_between(split.train_from, split.evaluate_until, excluded_days)
    of_windows = history.transactions.filter(pa.array(mature))
    codes = newest_label_codes(of_windows["transaction_id"], known)
    states = label_states(codes, history.declined[mature], np.zeros(len(codes), np.int64), 0)
    amounts = amounts_in_currency_of(policy, of_windows)
    weight = control_weights(
        states,
        history.declined[mature],
        amounts,
        history.control_propensity[mature],
        largest_control_minor=policy.control.largest_minor,
        declined_by_rules=history.declined_by_rules[mature],
    )
    used = weight > 0
    rows = np.flatnonzero(mature)[used]
    features = history.features[rows]
    chosen, is_fraud = of_windows.filter(pa.array(used)), states[used] == LabelState.KNOWN_FRAUD
    coverage = LabelCoverage.of(states)
    fingerprint = _fingerprint(history, known, as_of, split, excluded_days)
    log.info(
        "%d rows, %d frauds, %d censored, fingerprint %s: train on [%s, %s), judge on [%s, %s)",
        len(is_fraud),
        int(is_fraud.sum()),
        coverage.censored,
        fingerprint[:12],
        split.train_from,
        split.evaluate_from,
        split.evaluate_from,
        split.evaluate_until,
    )
    return TrainingSet(
        features=features,
        is_fraud=is_fraud,
        weight=weight[used],
        declined_by_rules=history.declined_by_rules[rows],
        amount_minor=chosen["amount_minor"].to_numpy().astype(np.int64),
        policy_amount_minor=amounts[used],
        overlay=strictest_actions(policy.rules, features, _fields_of(chosen), policy.challenge_channels),
        occurred_at_ms=history.occurred_at_ms[rows],
        card_ids=np.array(chosen["card_id"].to_pylist(), np.object_),
        transaction_ids=np.array(chosen["transaction_id"].to_pylist(), np.object_),
        fingerprint=fingerprint,
        label_coverage=coverage,
    )


def _fields_of(transactions: pa.Table) -> FieldColumns:
    return lambda name: transactions[name].to_pylist()


def decided_columns(transactions: pa.Table, actions: pa.Table) -> dict[str, NDArray[Any]]:
    """Return what `ReplayedLog` says about the decision of each transaction, by its position in the log."""
    is_declined = np.zeros(transactions.num_rows, np.bool_)
    is_by_rules = np.zeros(transactions.num_rows, np.bool_)
    propensity = np.full(transactions.num_rows, np.nan)
    partitions, offsets = transactions["partition"].to_numpy(), log_offsets(transactions)
    decided_partitions, decided_offsets = actions["partition"].to_numpy(), log_offsets(actions)
    for partition in np.unique(decided_partitions):
        rows, decided = np.flatnonzero(partitions == partition), np.flatnonzero(decided_partitions == partition)
        _, at, of = np.intersect1d(offsets[rows], decided_offsets[decided], assume_unique=True, return_indices=True)
        is_declined[rows[at]] = declined(actions)[decided[of]]
        is_by_rules[rows[at]] = declined_by_rules(actions)[decided[of]]
        propensity[rows[at]] = control_propensities(actions)[decided[of]]
    return {"declined": is_declined, "declined_by_rules": is_by_rules, "control_propensity": propensity}


def _fingerprint(
    history: ReplayedLog, labels: pa.Table, as_of: date, split: TemporalSplit, excluded_days: frozenset[date]
) -> str:
    before = history.occurred_at_ms < (_day_number(as_of) + 1) * DAY_MS
    seen = history.transactions.filter(pa.array(before))
    content: dict[str, Any] = {
        "log_ends": next_offsets(seen),
        "label_ends": next_offsets(labels),
        "as_of": as_of,
        "windows": split,
        "schema_hash": SCHEMA_HASH,
        "decided": hashlib.sha256(
            history.declined[before].tobytes()
            + history.declined_by_rules[before].tobytes()
            + history.control_propensity[before].tobytes()
        ).hexdigest(),
    }
    if excluded_days:
        content["excluded_days"] = sorted(excluded_days)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def next_offsets(rows: pa.Table) -> dict[int, int]:
    """Return the offset after the newest of these rows in each partition."""
    partitions, offsets = rows["partition"].to_numpy(), log_offsets(rows)
    return {int(partition): int(offsets[partitions == partition].max()) + 1 for partition in np.unique(partitions)}


def _days_between(days: NDArray[np.int64], first: date, until: date) -> NDArray[np.bool_]:
    return (days >= _day_number(first)) & (days < _day_number(until))


def _day_number(day: date) -> int:
    return (day - _EPOCH).days
