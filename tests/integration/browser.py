"""A headless Chromium that tests control by the DevTools protocol."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

START_SECONDS = 60.0
STEP_SECONDS = 30.0


class Browser:
    """One page of a Chromium with its own profile in `folder`."""

    def __init__(self, program: str, folder: Path) -> None:
        options = (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--no-proxy-server", "--disable-background-networking", "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
        )  # fmt: skip
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen([program, *options, "about:blank"], stdout=log, stderr=log)
        try:
            self._page = self._connect(folder / "DevToolsActivePort")
        except BaseException:
            self.close()
            raise
        self._number = 0
        self.requested: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Network"):
            self.command(f"{domain}.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(timeout=START_SECONDS)

    def command(self, method: str, **parameters: object) -> Any:
        """Return the result of a command of the protocol; collect requests and errors of the page meanwhile."""
        self._number += 1
        self._page.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._page.recv(timeout=STEP_SECONDS))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def look_as(self, scheme: str, width: int, height: int = 900) -> None:
        """Prefer this colour scheme, on a screen of this size in CSS pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        self.command("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Return the JSON value of an expression in the page, which may be a promise."""
        result = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression in the page is true."""
        deadline = time.monotonic() + STEP_SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"not within {STEP_SECONDS:g} s: {condition}; {self.errors}"
            time.sleep(0.02)

    def type_into(self, selector: str, text: str) -> None:
        """Focus an element and type."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.command("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def screenshot(self, file: Path) -> None:
        """Write the whole page as a PNG."""
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _connect(self, file: Path) -> ClientConnection:
        deadline = time.monotonic() + START_SECONDS
        while not (file.exists() and file.read_text().strip()):
            assert time.monotonic() < deadline, "Chromium does not start"
            assert self._process.poll() is None, "Chromium has exited"
            time.sleep(0.02)
        port = int(file.read_text().split()[0])
        targets = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
        [page] = [target for target in targets if target["type"] == "page"]
        return connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None)

    def _note(self, event: dict[str, Any]) -> None:
        match event["method"], event["params"]:
            case "Network.requestWillBeSent", parameters:
                self.requested.append(parameters["request"]["url"])
            case "Runtime.exceptionThrown", parameters:
                self.errors.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled", {"type": "error"} as parameters:
                self.errors.append(str(parameters["args"]))
