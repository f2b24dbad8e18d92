"""The trees without a server: our predictor compared with other predictors of the same model, all on one thread.

All work of a caller for one prediction is measured; the conversion of the model is not. Treelite's GTIL and XGBoost's
`inplace_predict` return margins, ONNX Runtime returns probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Final

import numpy as np
import onnxmltools
import onnxruntime
import treelite
import xgboost
from numpy.typing import NDArray
from onnxmltools.convert.common.data_types import FloatTensorType

from benchmarks.harness import Metrics, compared, each_in_turn, in_turn
from benchmarks.serving.fixture import serving_fixture
from benchmarks.serving.naive import model_file
from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import FEATURES

BATCH: Final = 512
CALLS: Final = 10
"""Number of calls with a batch in one round."""
EXPLAINED: Final = 500

Rows = NDArray[np.float32]
Predictor = Callable[[Rows], NDArray[np.floating]]


def measure() -> Metrics:
    """Return the microseconds of each predictor for 1 and for 512 rows, over ours, and of exact contributions."""
    data = serving_fixture()
    detector, rows = data.fitted.detector, data.rows
    booster = xgboost.Booster({"nthread": 1}, model_file=str(model_file(data.settings.home)))
    margins = detector.margins(rows)
    others: dict[str, Predictor] = {
        "xgboost": partial(booster.inplace_predict, predict_type="margin", validate_features=False),
        "treelite": _in_treelite(booster),
        "onnx": _in_onnx(booster),
    }
    probabilities = 1.0 / (1.0 + np.exp(-margins.astype(np.float64)))
    off = {
        "xgboost": f"margins differ by {_greatest(others['xgboost'](rows) - margins)} at most",
        "treelite": f"margins differ by {_greatest(others['treelite'](rows) - margins)} at most",
        "onnx": f"probabilities differ by {_greatest(others['onnx'](rows) - probabilities)} at most",
    }
    return {
        **_one_row(detector, others, rows, off),
        **_batch(detector, others, rows[:BATCH]),
        **_contributions(detector, booster, rows),
    }


def _in_treelite(booster: xgboost.Booster) -> Predictor:
    model = treelite.frontend.from_xgboost(booster)
    return lambda rows: treelite.gtil.predict(model, rows, nthread=1, pred_margin=True).reshape(-1)


def _in_onnx(booster: xgboost.Booster) -> Predictor:
    unnamed = booster.copy()
    unnamed.feature_names = None  # the converter requires the names f0, f1 ...
    converted = onnxmltools.convert_xgboost(unnamed, initial_types=[("rows", FloatTensorType([None, len(FEATURES)]))])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(converted.SerializeToString(), options)
    return lambda rows: session.run(["probabilities"], {"rows": rows})[0][:, 1]


def _one_row(detector: Detector, others: dict[str, Predictor], rows: Rows, off: dict[str, str]) -> Metrics:
    singles = cycle([rows[i : i + 1] for i in range(len(rows))])
    candidates = {"ours": detector.margins, **others}
    micros = each_in_turn(
        {name: lambda predict=predict: predict(next(singles)) for name, predict in candidates.items()}, times=5_000
    )
    return {
        f"predict_one_{name}": compared(
            micros[name],
            micros["ours"],
            unit="µs",
            how=f"one row, p50, over ours, the four called in turn; {off[name]}",
        )
        for name in others
    }


def _batch(detector: Detector, others: dict[str, Predictor], rows: Rows) -> Metrics:
    def repeat(predict: Predictor) -> None:
        for _ in range(CALLS):
            predict(rows)

    candidates = {"ours": detector.margins, **others}
    seconds = in_turn({name: partial(repeat, predict) for name, predict in candidates.items()}, rounds=7)
    return {
        f"predict_{BATCH}_{name}": compared(
            seconds[name], seconds["ours"], unit="µs", how=f"{BATCH} rows, over ours", scale=1e6 / CALLS
        )
        for name in others
    }


def _contributions(detector: Detector, booster: xgboost.Booster, rows: Rows) -> Metrics:
    def in_xgboost(part: Rows) -> NDArray[np.float32]:
        matrix = xgboost.DMatrix(part, feature_names=booster.feature_names, nthread=1)
        return booster.predict(matrix, pred_contribs=True)[:, :-1]

    off = _greatest(detector.contributions(rows[:EXPLAINED]) - in_xgboost(rows[:EXPLAINED]))
    singles = cycle([rows[i : i + 1] for i in range(len(rows))])
    micros = each_in_turn(
        {
            "contributions": lambda: detector.contributions(next(singles)),
            "reasons": lambda: detector.reasons(next(singles)),
            "xgboost": lambda: in_xgboost(next(singles)),
        },
        times=1_000,
    )
    return {
        "contributions_one": compared(
            micros["contributions"],
            micros["xgboost"],
            unit="µs",
            how=f"exact contributions of one row, over XGBoost's `pred_contribs`; they differ by {off} at most",
            goal="at most 1,500, differing by at most 1e-05",
        ),
        "reasons_one": compared(
            micros["reasons"],
            micros["xgboost"],
            unit="µs",
            how="reason codes of one row, over XGBoost's `pred_contribs`",
            goal="at most 0.5 times, and at most 500",
        ),
    }


def _greatest(differences: NDArray[np.floating]) -> str:
    return f"{np.abs(differences).max():.1g}"
