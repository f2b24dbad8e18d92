"""The model container of an endpoint's variant: a process that serves a model over HTTP on the loopback interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx

from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.retry import poll
from infra.moto import s3
from infra.moto.container_images import ContainerDisk, entry_point
from infra.moto.processes import Process, environment, process_groups

START_SECONDS: Final = 60.0
"""Maximum time until a new container passes its health check."""

RESPONSE_SECONDS: Final = 60.0
"""Maximum time for the response to an invocation, as on SageMaker."""


class ContainerNotStarted(Exception):
    """A container that did not pass its health check. The message is the endpoint's failure reason."""


class ContainerResponse(NamedTuple):
    """The response of a container. Status 0 means that there was none; the body is then the error."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ModelContainer:
    """The container of one variant. `model` is moto's description with the image, the model archive and environment."""

    def __init__(self, account: str, region: str, variant: str, model: Mapping[str, Any]) -> None:
        self._account, self._region, self.variant = account, region, variant
        self._definition = model["PrimaryContainer"] or model["Containers"][0]
        self._disk = ContainerDisk(variant)
        [self._port] = free_ports(1)
        self._process: Process | None = None
        self._http = httpx.Client(base_url=f"http://{LOOPBACK}:{self._port}", timeout=RESPONSE_SECONDS)

    def start(self) -> None:
        """Download the model, start the program and wait for its health check. Raises `ContainerNotStarted`."""
        try:
            if archive := self._definition.get("ModelDataUrl"):
                s3.unpack(s3.read(self._account, archive), self._disk.ml / "model")
            command = [*entry_point(self._definition["Image"]), "serve"]
            variables = self._disk.local_variables(self._definition.get("Environment") or {})
            variables |= {
                "SAGEMAKER_BIND_TO_PORT": str(self._port),
                "CARDWATCH_BIND": LOOPBACK,
                "CARDWATCH_SCORING_URL": f"http://{LOOPBACK}:{self._port}",
            }
            with self._disk.log.open("wb") as log:
                self._process = process_groups.start(
                    command, environment(self._region, variables), output=log, folder=self._disk.root
                )
        except OSError as error:
            raise ContainerNotStarted(str(error)) from error
        process = self._process
        poll(lambda: self._healthy() or process.poll() is not None, timeout_seconds=START_SECONDS)
        if not self._healthy():
            log_tail = self._disk.log_tail()
            raise ContainerNotStarted(
                f"The {self.variant} variant did not pass the ping health check. Its last output: {log_tail}"
            )

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> ContainerResponse:
        """Send `POST /invocations`."""
        try:
            response = self._http.post("/invocations", content=body, headers=dict(headers))
        except httpx.HTTPError as error:
            return ContainerResponse(0, {}, str(error).encode())
        return ContainerResponse(response.status_code, dict(response.headers), response.content)

    def stop(self) -> None:
        """Stop the program and delete its disk."""
        if self._process is not None:
            process_groups.stop(self._process)
        self._http.close()
        self._disk.remove()

    def _healthy(self) -> bool:
        try:
            return self._http.get("/ping", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False
