"""Data for measuring servers: cards with a history, a model of full size, and the bodies of requests.

The model is trained on feature rows of the kernel with an artificial rule for fraud and noise, so that its trees have
the maximum size. It is calibrated so that one transaction in two hundred is an alert.
"""

from __future__ import annotations

from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import LmdbStore
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.runtime.settings import Settings, new_api_key
from benchmarks.load import write_bodies
from benchmarks.serving.naive import DETECTOR_FOLDER
from benchmarks.serving.servers import registry
from benchmarks.transactions import DAYS, FIRST_DAY, MERCHANTS, random_columns, random_table, random_transactions
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.detector import FACTS_FILE, Detector
from cardwatch.events import Action, Transaction, encode, from_epoch_ms
from cardwatch.features.columns import encode as kernel_rows
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import DAY_MS, MERCHANT_SECTION, ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.registry import CHAMPION
from models.training import FittedDetector, TrainingSettings, fit_detector

CARDS: Final = 100_000
GROUPS: Final = 10
HISTORY: Final = 30
"""Number of earlier transactions per card."""
TRAINING_ROWS: Final = 60_000
CALIBRATION_ROWS: Final = 6_000
TRANSACTIONS: Final = 20_000
ALERTS: Final = TRANSACTIONS // 200
BATCH: Final = 64
ROWS: Final = 500
SETTINGS: Final = TrainingSettings(trees=300, depth=6, learning_rate=0.05, max_bin=256, threads=2)
TRANSACTION_DAY: Final = FIRST_DAY + DAYS


class ServingFixture(Struct, frozen=True, kw_only=True):
    """A home with store, tables, model and registry. It is deleted when the process ends.

    `rows`: the features of the transactions, float32 [20,000, 67]. `transactions`, `batches` and `row_batches` are
    files of bodies for `benchmarks.load`. `alert_ratio`: the share of transactions that are challenged or declined.
    """

    folder: TemporaryDirectory[str]
    settings: Settings
    fitted: FittedDetector
    rows: NDArray[np.float32]
    transactions: Path
    batches: Path
    row_batches: Path
    alert_ratio: float

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a request to the scoring service."""
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self.settings.api_key}"}


@cache
def serving_fixture() -> ServingFixture:
    """Return the fixture of this process, created at the first call."""
    folder = TemporaryDirectory(prefix="cardwatch-benchmark-")
    home = Path(folder.name)
    settings = Settings(home=home, api_key=new_api_key())
    merchants = identity_hashes([f"merchant-{i:06d}" for i in range(MERCHANTS)])
    table = ReferenceTable.of_merchants(
        TRANSACTION_DAY, np.sort(merchants), random_table().sections[MERCHANT_SECTION].values
    )
    ReferenceTableStore(settings.tables).put(table)
    transactions = _transactions()
    with LmdbStore(settings.store) as store:
        known_rows = _write_states(store, merchants, table)
        states = store.load([transaction.card_id for transaction in transactions])
    rows = fold(states, np.arange(TRANSACTIONS), kernel_rows(transactions), table).features
    fitted = _alerting(_fit(known_rows), rows)
    _promote(fitted, settings)
    return ServingFixture(
        folder=folder,
        settings=settings,
        fitted=fitted,
        rows=rows,
        transactions=write_bodies(home / "transactions.bodies", map(encode, transactions)),
        batches=write_bodies(home / "batches.bodies", map(msgspec.json.encode, _parts(transactions, BATCH))),
        row_batches=write_bodies(home / "rows.bodies", [part.astype("<f4").tobytes() for part in _parts(rows, ROWS)]),
        alert_ratio=_alert_ratio(fitted.detector, rows, transactions),
    )


def _transactions() -> list[Transaction]:
    """Return transactions on the day after the histories, each the next one of its card."""
    gap_ms = DAY_MS // TRANSACTIONS
    return [
        structs.replace(transaction, occurred_at=from_epoch_ms(TRANSACTION_DAY * DAY_MS + position * gap_ms))
        for position, transaction in enumerate(random_transactions(TRANSACTIONS, CARDS, seed=2))
    ]


def _write_states(store: LmdbStore, merchants: NDArray[np.uint64], table: ReferenceTable) -> NDArray[np.float32]:
    """Write the state of every card, one group at a time; return the rows of the last transactions of each group."""
    cards, last = CARDS // GROUPS, (TRAINING_ROWS + CALIBRATION_ROWS) // GROUPS
    kept = []
    for group in range(GROUPS):
        columns, owners = random_columns(cards * HISTORY, cards, seed=group)
        columns["merchant_hash"] = merchants[
            np.searchsorted(random_table().sections[MERCHANT_SECTION].hashes, columns["merchant_hash"])
        ]
        states = empty_states(cards)
        kept.append(fold(states, owners, columns, table).features[-last:].copy())
        names = [f"card-{group * cards + i:08d}" for i in range(cards)]
        store.apply(0, expected=group, position=group + 1, card_ids=names, states=states)
    return np.concatenate(kept)


def _fit(rows: NDArray[np.float32]) -> FittedDetector:
    """Train with one fraud in five rows: those with the highest random sum of features, products and noise."""
    random = np.random.default_rng(3)
    known = (rows - np.nanmean(rows, axis=0)) / (np.nanstd(rows, axis=0) + 1e-9)
    known = np.nan_to_num(known.clip(-3, 3))  # outliers would be split off singly, and the trees would stay small
    weights = random.normal(size=(2, rows.shape[1]))
    risk = known @ weights[0] + (known * np.roll(known, 1, axis=1)) @ weights[1]
    risk += random.normal(scale=risk.std(), size=len(rows))
    is_fraud = risk > np.quantile(risk, 0.8)
    chosen = random.permutation(len(rows))
    training, calibration = chosen[:TRAINING_ROWS], chosen[TRAINING_ROWS:]
    return fit_detector(
        rows[training],
        is_fraud[training],
        calibration_features=rows[calibration],
        calibration_is_fraud=is_fraud[calibration],
        settings=SETTINGS,
    )


def _alerting(fitted: FittedDetector, rows: NDArray[np.float32]) -> FittedDetector:
    """Return the same trees, calibrated in two steps, so that the `ALERTS` riskiest rows are alerts."""
    ordered = np.sort(fitted.detector.margins(rows)).astype(np.float64)
    step = Calibration(margins=ordered[[-ALERTS - 1, -ALERTS]].tolist(), probabilities=[0.0005, 0.9])
    facts = structs.replace(fitted.detector.facts, calibration=step)
    files = {**fitted.files, FACTS_FILE: msgspec.json.encode(facts)}
    return FittedDetector(Detector.from_files(files), files)


def _promote(fitted: FittedDetector, settings: Settings) -> None:
    folder = settings.home / DETECTOR_FOLDER
    fitted.save(folder)
    facts = fitted.detector.facts
    with registry(settings) as (_, named):
        version = MlflowTracking(named.mlflow_url).log_model(
            folder, run_name="benchmark", schema_hash=facts.schema_hash, fingerprint=facts.fingerprint
        )
        with closing(MlflowRegistry(named.mlflow_url)) as models:
            models.set_alias(CHAMPION, version)


def _alert_ratio(detector: Detector, rows: NDArray[np.float32], transactions: list[Transaction]) -> float:
    amounts = np.array([transaction.amount_minor for transaction in transactions], np.float64)
    actions = DecisionPolicy().decide(detector.probabilities(detector.margins(rows)), amounts, channels_of(rows))
    return sum(action is not Action.APPROVE for action in actions) / len(actions)


def _parts(items: list[Transaction] | NDArray[np.float32], size: int) -> list[list[Transaction] | NDArray[np.float32]]:
    """Return consecutive parts of one size; the remainder is dropped."""
    return [items[start : start + size] for start in range(0, len(items) - size + 1, size)]
