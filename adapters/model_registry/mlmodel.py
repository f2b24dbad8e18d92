"""The file `MLmodel`, with which MLflow's own tools load a registered detector without pickle.

It names the columns and types of features and scores (MLflow's signature), the digest of the detector's files, and
`adapters.model_registry.pyfunc_loader`, which loads them where this project is installed. It names no packages to
install: this project is in no package index, so a package of its name there would be somebody else's.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from cardwatch.errors import CorruptModel

MLMODEL_FILE: Final = "MLmodel"
LOADER: Final = "adapters.model_registry.pyfunc_loader"
MARGIN, PROBABILITY = "margin", "probability"


class ModelMetadata(Struct, frozen=True):
    """Our part of the file: the digest of the detector's files."""

    digest: str


class LoadableModel(Struct, frozen=True):
    """The part of the file that the loader reads."""

    metadata: ModelMetadata


def colspec_json(columns: Sequence[tuple[str, str]]) -> str:
    """Return named and typed columns as MLflow writes them in signatures. `columns` are pairs of name and type."""
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415 (MLflow takes seconds to import)

    return str(Schema([ColSpec(kind, name) for name, kind in columns]).to_json())


def mlmodel(*, run_id: str, digest: str, feature_names: Sequence[str]) -> bytes:
    """Return the content of the file. It is JSON, which is YAML as well."""
    from mlflow import __version__  # noqa: PLC0415 (as above)

    content = {
        "run_id": run_id,
        "flavors": {"python_function": {"loader_module": LOADER, "python_version": platform.python_version()}},
        "signature": {
            "inputs": colspec_json([(name, "float") for name in feature_names]),
            "outputs": colspec_json([(MARGIN, "float"), (PROBABILITY, "double")]),
        },
        "metadata": ModelMetadata(digest),
        "mlflow_version": __version__,
    }
    return msgspec.json.format(msgspec.json.encode(content))


def digest_in(content: bytes) -> str:
    """Return the digest that a file `MLmodel` names. Raises `CorruptModel` if it cannot be read."""
    try:
        return msgspec.json.decode(content, type=LoadableModel).metadata.digest
    except msgspec.DecodeError as error:
        raise CorruptModel(f"{MLMODEL_FILE} cannot be read: {error}") from error
