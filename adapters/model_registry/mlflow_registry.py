"""The model registry on an MLflow server, over HTTP. MLflow itself takes seconds to import, so it is not imported.

Versions and aliases use the REST API of MLflow 3. Files use the endpoints of MLflow's web interface, which work for all
artifact stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from adapters.model_registry.mlflow_access import MlflowAccess
from adapters.model_registry.mlmodel import MLMODEL_FILE
from adapters.runtime.addresses import without_userinfo
from cardwatch.errors import CorruptModel, NoChampion, RegistryUnavailable
from cardwatch.registry import CHAMPION, MODEL, ModelVersion, ServedAliases, digest_of

ARTIFACTS: Final = "detector"
"""Folder of a run's artifacts that contains exactly the detector's files, and `MLmodel` for MLflow's own tools."""

CANARY_SHARE: Final = "canary_share"
"""Tag of the registered model: the share of the cards that the version under the alias `canary` decides."""

_API: Final = "/api/2.0/mlflow"
_MAX_VERSIONS: Final = 2**31
"""The type of a version in the database of MLflow is a 32-bit integer."""


class MlflowRegistry:
    """Versions, aliases and files of the model `cardwatch` on the server at `url`, with the login of `MlflowAccess`.

    Every call raises `RegistryUnavailable` if the server does not answer in time or returns an error.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self._access = MlflowAccess.to(url)
        self._url = self._access.url
        self._http = self._access.http_client(timeout_seconds=timeout_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def champion(self) -> ModelVersion:
        """Return the version under `champion`. Raises `NoChampion` if there is none."""
        found = self.alias(CHAMPION)
        if found is None:
            raise self.no_champion()
        return found

    def no_champion(self) -> NoChampion:
        """Return the error for a missing champion, which says how to train one."""
        return NoChampion(f"the registry at {self._url} has no {MODEL}@{CHAMPION}: train one with the flow `bootstrap`")

    def aliases(self) -> ServedAliases:
        """Return the version of every alias and the canary's share, in one short request; none without the model."""
        response = self._send("GET", "/registered-models/get", params={"name": MODEL})
        if _has_error_code(response, "RESOURCE_DOES_NOT_EXIST"):
            return ServedAliases({})
        model = self._checked(response)["registered_model"]
        versions = {each["alias"]: str(each["version"]) for each in model.get("aliases", [])}
        tags = {tag["key"]: tag["value"] for tag in model.get("tags", [])}
        return ServedAliases(versions, _share(tags.get(CANARY_SHARE, "")))

    def alias(self, name: str) -> ModelVersion | None:
        """Return the version under an alias, None if the alias or the model does not exist."""
        response = self._send("GET", "/registered-models/alias", params={"name": MODEL, "alias": name})
        if _has_error_code(response, "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        return _version(self._checked(response)["model_version"])

    def version(self, version: str) -> ModelVersion | None:
        """Return a version by its number, None if it does not exist."""
        if not _is_number(version):
            return None
        response = self._send("GET", "/model-versions/get", params={"name": MODEL, "version": version})
        if _has_error_code(response, "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        return _version(self._checked(response)["model_version"])

    def versions(self) -> list[ModelVersion]:
        """Return all versions, the newest first; empty if the model does not exist."""
        found: list[ModelVersion] = []
        page: dict[str, str] = {}
        while True:
            params = {"filter": f"name='{MODEL}'", "max_results": "200", **page}
            body = self._checked(self._send("GET", "/model-versions/search", params=params))
            found += [_version(each) for each in body.get("model_versions", [])]
            if not (token := body.get("next_page_token")):
                return sorted(found, key=lambda version: int(version.version), reverse=True)
            page = {"page_token": token}

    def set_alias(self, name: str, version: str) -> None:
        """Move an alias to a version."""
        body = {"name": MODEL, "alias": name, "version": version}
        self._checked(self._send("POST", "/registered-models/alias", json=body))

    def delete_alias(self, name: str) -> None:
        """Remove an alias; nothing happens if it does not exist."""
        response = self._send("DELETE", "/registered-models/alias", json={"name": MODEL, "alias": name})
        if not _has_error_code(response, "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            self._checked(response)

    def set_canary_share(self, share: float) -> None:
        """Record the share of the cards that the canary decides, in a tag of the model."""
        body = {"name": MODEL, "key": CANARY_SHARE, "value": repr(share)}
        self._checked(self._send("POST", "/registered-models/set-tag", json=body))

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        """Return the version's files by name. Raises `CorruptModel` if they have changed since the registration."""
        files = {
            name: self._file(version, name) for name in self.run_file_names(version, ARTIFACTS) if name != MLMODEL_FILE
        }
        found = digest_of(files)
        if found != version.digest:
            raise CorruptModel(
                f"version {version.version} of {MODEL} has digest {found}, the registry recorded"
                f" {version.digest or 'none'}: its files were changed after it was registered"
            )
        return files

    def run_files(self, version: ModelVersion, folder: str) -> dict[str, bytes]:
        """Return the files in a folder of the artifacts of the version's run, by name; empty if there is none."""
        return {name: self.run_file(version, f"{folder}/{name}") for name in self.run_file_names(version, folder)}

    def run_file(self, version: ModelVersion, path: str) -> bytes:
        """Return one file of the artifacts of the version's run. One that is missing is an error of the server."""
        return self._content("/get-artifact", {"run_id": version.run_id, "path": path})

    def put_run_file(self, version: ModelVersion, path: str, content: bytes) -> None:
        """Write a file to the artifacts of the version's run, over one that is there. MLflow takes at most 10 MB."""
        params = {"run_uuid": version.run_id, "path": path}
        response = self._request("POST", "/ajax-api/2.0/mlflow/upload-artifact", params=params, content=content)
        if response.is_error:
            raise self._refusal(response)

    def run_file_names(self, version: ModelVersion, folder: str) -> list[str]:
        """Return the names of the files in a folder of the artifacts of the version's run; empty if there is none."""
        params = {"run_id": version.run_id, "path": folder}
        listing = self._checked(self._send("GET", "/artifacts/list", params=params))
        return [Path(file["path"]).name for file in listing.get("files", []) if not file.get("is_dir")]

    def _file(self, version: ModelVersion, name: str) -> bytes:
        params = {"name": MODEL, "version": version.version, "path": name}
        return self._content("/model-versions/get-artifact", params)

    def _content(self, path: str, params: Mapping[str, str]) -> bytes:
        response = self._request("GET", path, params=params)
        if response.is_error:
            raise self._refusal(response)
        return response.content

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self._request(method, _API + path, **arguments)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(
                f"the model registry at {self._url} does not answer: {type(error).__name__}"
                f" {without_userinfo(str(error))}"
            ) from error

    def _checked(self, response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise self._refusal(response)
        try:
            body: dict[str, Any] = response.json()
        except ValueError as error:
            raise self._refusal(response) from error
        return body

    def _refusal(self, response: httpx.Response) -> RegistryUnavailable:
        text = without_userinfo(response.text[:200])
        rejected = response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
        return RegistryUnavailable(
            f"the model registry at {self._url} answered {response.status_code} to"
            f" {response.request.method} {response.request.url.path}: {text}"
            + (f"; {self._access.refusal_hint()}" if rejected else "")
        )


def _version(found: Mapping[str, Any]) -> ModelVersion:
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    return ModelVersion(version=str(found["version"]), run_id=found.get("run_id", ""), tags=tags)


def _share(text: str) -> float | None:
    """Return the share, None if there is none or it is no share."""
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0.0 < share < 1.0 else None


def _is_number(version: str) -> bool:
    """Whether a version can exist. For a number that its database cannot hold, MLflow answers with an error."""
    return version.isascii() and version.isdigit() and len(version) <= 10 and int(version) < _MAX_VERSIONS


def _has_error_code(response: httpx.Response, *codes: str) -> bool:
    if not response.is_client_error:
        return False
    try:
        return response.json().get("error_code") in codes
    except ValueError:
        return False
