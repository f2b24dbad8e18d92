"""Logging of training runs and new model versions with MLflow's client, which is imported on the first call.

Only data is logged: parameters, metrics, JSON, Markdown and XGBoost's format.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from adapters.model_registry.mlflow_access import PREFIX, MlflowAccess
from adapters.model_registry.mlflow_registry import ARTIFACTS, MlflowRegistry
from adapters.model_registry.mlmodel import MLMODEL_FILE, colspec_json, mlmodel
from adapters.runtime.addresses import plain, without_userinfo
from adapters.runtime.files import read_folder
from cardwatch.errors import RegistryUnavailable
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.registry import CHAMPION, MODEL, digest_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT: Final = "cardwatch"
_MAX_DATASET_DIGEST: Final = 36
"""MLflow refuses longer digests of datasets; the whole one is in `DatasetInfo.source`."""

_MAX_RUN_TAG: Final = 8_000
"""MLflow refuses longer tags of runs. Those of versions may have 100,000 characters."""


class DatasetInfo(Struct, frozen=True, kw_only=True):
    """Rows that went into a run.

    `context` is what they were used for, "training" or "evaluation". `digest` is that of their content, `source` says
    as JSON where they come from, `profile` as JSON what they are like.
    """

    name: str
    context: str
    digest: str
    source: str
    profile: str


class MlflowTracking:
    """Runs in the experiment `cardwatch` of the MLflow server at `url`, and versions of the model `cardwatch`."""

    def __init__(self, url: str) -> None:
        self._address, self._access = url, MlflowAccess.to(url)

    def log_model(  # noqa: PLR0913 (what a run consists of, all by name)
        self,
        folder: Path,
        *,
        run_name: str,
        schema_hash: str,
        fingerprint: str,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float | None] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
        tags: Mapping[str, str] | None = None,
        datasets: Sequence[DatasetInfo] = (),
        feature_names: Sequence[str] = FEATURE_NAMES,
    ) -> str:
        """Log a detector's folder as a run, register it, and return the number of the new version.

        `artifacts` are further files by path, such as the model card. Metrics that are None are left out. `tags` are
        tags of the version besides `digest`, `schema_hash` and `fingerprint`; its run has those of at most 8,000
        characters. The version has no alias yet. `feature_names` are the columns of the model's rows, by
        default those that this code computes; with them MLflow's own tools can load it (`pyfunc_loader`).
        Raises `RegistryUnavailable` if the server does not answer or refuses.
        """
        self._require_server()
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        files = read_folder(folder)
        digest = digest_of(files)
        identity = {"digest": digest, "schema_hash": schema_hash, "fingerprint": fingerprint}
        all_tags = {**(tags or {}), **identity}
        try:
            with self._client() as client:
                run_id = self._start_run(client, run_name, all_tags)
                for key, value in (params or {}).items():
                    client.log_param(run_id, key, value)
                for key, number in (metrics or {}).items():
                    if number is not None:
                        client.log_metric(run_id, key, number)
                self._log_datasets(client, run_id, datasets, feature_names)
                client.log_artifacts(run_id, str(folder), ARTIFACTS)
                loadable = mlmodel(run_id=run_id, digest=digest, feature_names=feature_names)
                self._log_artifacts(client, run_id, {**(artifacts or {}), f"{ARTIFACTS}/{MLMODEL_FILE}": loadable})
                client.set_terminated(run_id)
                return self._register(client, run_id, all_tags)
        except (MlflowException, OSError) as error:
            reason = without_userinfo(str(error))
            raise RegistryUnavailable(f"MLflow at {self._access.url} did not accept the model: {reason}") from error

    def _require_server(self) -> None:
        # Fails immediately, while MLflow's client would retry for minutes.
        with closing(MlflowRegistry(self._address)) as registry:
            registry.alias(CHAMPION)

    @contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        """Yield MLflow's client. It reads the login from the environment at each request, so it is there meanwhile."""
        from mlflow import environment_variables  # noqa: PLC0415
        from mlflow.tracking import MlflowClient  # noqa: PLC0415

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        login = [(getattr(environment_variables, f"{PREFIX}{name}"), name) for name in ("USERNAME", "PASSWORD")]
        before = [variable.get_raw() for variable, _ in login]
        try:
            for variable, name in login:
                if value := self._access.variables.get(name):
                    variable.set(plain(value))
            yield MlflowClient(tracking_uri=self._access.url, registry_uri=self._access.url)
        finally:
            for (variable, _), value in zip(login, before, strict=True):
                variable.unset() if value is None else variable.set(value)

    def _start_run(self, client: MlflowClient, run_name: str, tags: Mapping[str, str]) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
        short = {name: value for name, value in tags.items() if len(value) <= _MAX_RUN_TAG}
        run_id: str = client.create_run(experiment_id, run_name=run_name, tags=short).info.run_id
        return run_id

    def _log_datasets(
        self, client: MlflowClient, run_id: str, datasets: Sequence[DatasetInfo], feature_names: Sequence[str]
    ) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415
        from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT  # noqa: PLC0415

        columns = colspec_json([(name, "float") for name in feature_names])
        inputs = [
            DatasetInput(
                Dataset(
                    name=each.name,
                    digest=each.digest[:_MAX_DATASET_DIGEST],
                    source_type="cardwatch",
                    source=each.source,
                    schema=f'{{"mlflow_colspec": {columns}}}',
                    profile=each.profile,
                ),
                [InputTag(MLFLOW_DATASET_CONTEXT, each.context)],
            )
            for each in datasets
        ]
        if inputs:
            client.log_inputs(run_id, inputs)

    def _log_artifacts(self, client: MlflowClient, run_id: str, artifacts: Mapping[str, bytes]) -> None:
        with TemporaryDirectory(prefix="cardwatch-") as folder:
            for name, content in artifacts.items():
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            client.log_artifacts(run_id, folder)

    def _register(self, client: MlflowClient, run_id: str, tags: dict[str, Any]) -> str:
        if not client.search_registered_models(f"name = '{MODEL}'"):
            client.create_registered_model(MODEL)
        source = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACTS}"
        return str(client.create_model_version(MODEL, source, run_id, tags=tags).version)
