"""Logging of training runs and new model versions with MLflow's client, which is imported on the first call.

Only data is logged: parameters, metrics, JSON, Markdown and XGBoost's format.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from adapters.model_registry.mlflow_access import PREFIX, MlflowAccess
from adapters.model_registry.mlflow_registry import ARTIFACTS, MlflowRegistry
from adapters.runtime.addresses import plain, without_userinfo
from adapters.runtime.files import read_folder
from cardwatch.errors import RegistryUnavailable
from cardwatch.registry import CHAMPION, MODEL, digest_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT: Final = "cardwatch"


class MlflowTracking:
    """Runs in the experiment `cardwatch` of the MLflow server at `url`, and versions of the model `cardwatch`."""

    def __init__(self, url: str) -> None:
        self._address, self._access = url, MlflowAccess.to(url)

    def log_model(
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
    ) -> str:
        """Log a detector's folder as a run, register it, and return the number of the new version.

        `artifacts` are further files by path, such as the model card. Metrics that are None are left out. `tags` are
        tags of the version besides `digest`, `schema_hash` and `fingerprint`. The version has no alias yet.
        Raises `RegistryUnavailable` if the server does not answer or refuses.
        """
        self._require_server()
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        files = read_folder(folder)
        try:
            with self._client() as client:
                run_id = self._start_run(client, run_name)
                for key, value in (params or {}).items():
                    client.log_param(run_id, key, value)
                for key, number in (metrics or {}).items():
                    if number is not None:
                        client.log_metric(run_id, key, number)
                client.log_artifacts(run_id, str(folder), ARTIFACTS)
                self._log_artifacts(client, run_id, artifacts or {})
                client.set_terminated(run_id)
                identity = {"digest": digest_of(files), "schema_hash": schema_hash, "fingerprint": fingerprint}
                return self._register(client, run_id, {**(tags or {}), **identity})
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

    def _start_run(self, client: MlflowClient, run_name: str) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
        run_id: str = client.create_run(experiment_id, run_name=run_name).info.run_id
        return run_id

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
