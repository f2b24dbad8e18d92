"""Model containers behind an endpoint: each a process with its model on its disk, asked over HTTP on loopback."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx

from adapters.runtime.ports import free_ports
from adapters.runtime.settings import LOOPBACK
from infra.moto import storage
from infra.moto.children import Child, children, environment
from infra.moto.images import Disk, entry_point

START_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 60.0
"""What SageMaker gives a container for an answer."""

_POLL_SECONDS: Final = 0.1


class NotStarted(Exception):
    """A container that did not answer /ping with 200; the message is for people."""


class Reply(NamedTuple):
    """What a container has answered. Status 0: nothing."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ModelContainer:
    """The container of one variant: `model` is moto's, with its image, its archive and its environment."""

    def __init__(self, account: str, region: str, variant: str, model: Mapping[str, Any]) -> None:
        self._account, self._region, self.variant = account, region, variant
        self._container = model["PrimaryContainer"] or model["Containers"][0]
        self._disk = Disk(variant)
        [self._port] = free_ports(1)
        self._child: Child | None = None
        self._http = httpx.Client(base_url=f"http://{LOOPBACK}:{self._port}", timeout=ANSWER_SECONDS)

    def start(self) -> None:
        """Fetch the model, start the program, wait until it answers; raises `NotStarted`."""
        try:
            if archive := self._container.get("ModelDataUrl"):
                storage.unpack(storage.read(self._account, archive), self._disk.ml / "model")
            command = [*entry_point(self._container["Image"]), "serve"]
            variables = self._disk.variables(self._container.get("Environment") or {})
            variables |= {
                "SAGEMAKER_BIND_TO_PORT": str(self._port),
                "CARDWATCH_BIND": LOOPBACK,
                "CARDWATCH_SCORING_URL": f"http://{LOOPBACK}:{self._port}",
            }
            with self._disk.log.open("wb") as log:
                self._child = children.start(
                    command, environment(self._region, variables), output=log, folder=self._disk.root
                )
        except OSError as error:
            raise NotStarted(str(error)) from error
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._child.poll() is not None or time.monotonic() > deadline:
                said = self._disk.last_words()
                raise NotStarted(f"The {self.variant} variant did not pass the ping health check. It said: {said}")
            time.sleep(_POLL_SECONDS)

    def ask(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """`POST /invocations`."""
        try:
            answer = self._http.post("/invocations", content=body, headers=dict(headers))
        except httpx.HTTPError as error:
            return Reply(0, {}, str(error).encode())
        return Reply(answer.status_code, dict(answer.headers), answer.content)

    def stop(self) -> None:
        """End the program and delete its disk."""
        if self._child is not None:
            children.stop(self._child)
        self._http.close()
        self._disk.remove()

    def _answers(self) -> bool:
        try:
            return self._http.get("/ping", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False
