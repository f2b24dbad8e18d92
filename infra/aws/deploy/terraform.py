"""Terraform: found, or its absence explained; run with an environment that nobody's habits get into."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from adapters.runtime.settings import PREFIX, Settings, child_environment
from cardwatch.errors import CardwatchError, Misconfigured

Report = Callable[[str], object]

INSTALL: Final = "https://developer.hashicorp.com/terraform/install"
MIN_VERSION: Final = (1, 11)

_PARALLELISM: Final = 30
_TAIL_LINES: Final = 30
_KEPT: Final = ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "TF_LOG", "TF_LOG_PATH")
_CHANGES, _FAILURE = 2, 1


class Terraform:
    """One root in `folder`. What it keeps for itself (providers, which backend) lies in `home/terraform/NAME`.

    `aws`, if given, is all that it finds of AWS in its environment; else it finds what this process does. `report` gets
    every line that it prints. Calls raise `Misconfigured` if there is no Terraform, and `CardwatchError` with the end
    of what it said if it fails.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        aws: Mapping[str, str] | None = None,
        report: Report | None = None,
        name: str = "",
    ) -> None:
        self._settings, self._folder, self._report = settings, folder, report
        self._data = settings.home.absolute() / "terraform" / (name or folder.name)
        self._aws = aws

    def version(self) -> str:
        """The version that is installed; raises `Misconfigured` with the way to install one, or a later one."""
        found = str(json.loads(self._ask("version", "-json"))["terraform_version"])
        if tuple(int(part) for part in found.split("-", maxsplit=1)[0].split(".")[:2]) < MIN_VERSION:
            wanted = ".".join(map(str, MIN_VERSION))
            raise Misconfigured(f"Terraform {found} is too old: install {wanted} or later, see {INSTALL}")
        return found

    def init(self, backend: Path | None = None) -> None:
        """Find the providers, and the backend that a file of settings describes."""
        chosen = [] if backend is None else [f"-backend-config={backend.absolute()}"]
        self._run("init", "-input=false", "-reconfigure", *chosen)

    def plan(self, var_file: Path, *variables: str) -> bool:
        """Whether an apply would change anything; `variables` are further ones, as `name=value`."""
        status = self._run("plan", *_given(var_file, variables), "-detailed-exitcode", allowed=(0, _CHANGES))
        return status == _CHANGES

    def apply(self, var_file: Path, *variables: str, targets: Sequence[str] = ()) -> None:
        """Make everything as it is described, or only `targets` and what they need."""
        chosen = [f"-target={target}" for target in targets]
        self._run("apply", "-auto-approve", *_given(var_file, variables), *chosen)

    def destroy(self, var_file: Path, *variables: str) -> None:
        """Delete everything that was made."""
        self._run("destroy", "-auto-approve", *_given(var_file, variables))

    def outputs(self) -> dict[str, Any]:
        """The values of the root's outputs."""
        return {name: output["value"] for name, output in json.loads(self._ask("output", "-json")).items()}

    def _run(self, *arguments: str, allowed: Sequence[int] = (0,)) -> int:
        """Run a command, its lines to `report`; gives its exit status, which is one of those `allowed`."""
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        with self._start(arguments, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None  # noqa: S101 (it was asked for)
            try:
                for line in process.stdout:
                    tail.append(line.rstrip())
                    if self._report is not None:
                        self._report(line.rstrip())
            except KeyboardInterrupt:
                process.wait()  # it was interrupted as well, and writes down what it has made so far
                raise
        if process.returncode not in allowed:
            raise CardwatchError(f"terraform {arguments[0]} in {self._folder} failed:\n" + "\n".join(tail))
        return process.returncode

    def _ask(self, *arguments: str) -> str:
        with self._start(arguments, stderr=subprocess.PIPE) as process:
            answer, said = process.communicate()
        if process.returncode != 0:
            raise CardwatchError(f"terraform {arguments[0]} in {self._folder} failed: {said.strip()}")
        return answer

    def _start(self, arguments: Sequence[str], *, stderr: int) -> subprocess.Popen[str]:
        environment = self._environment()
        program = shutil.which("terraform", path=environment.get("PATH"))
        if program is None:
            raise Misconfigured(f"Terraform is not installed, or not on PATH: {INSTALL} says how to come by it")
        words = [program, f"-chdir={self._folder.absolute()}", *arguments]
        if arguments[0] != "version":
            words.append("-no-color")
        return subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
        )

    def _environment(self) -> dict[str, str]:
        everything = child_environment(Settings())
        kept = {
            name: value
            for name, value in everything.items()
            if not name.startswith(PREFIX)
            and (not name.startswith("TF_") or name in _KEPT)
            and (self._aws is None or not name.startswith("AWS_"))
        }
        self._data.mkdir(parents=True, exist_ok=True)
        own = {"TF_DATA_DIR": str(self._data), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
        return {**kept, **own, **(self._aws or {}), **self._plugins()}

    def _plugins(self) -> dict[str, str]:
        """Where providers come from, if the settings say so: a folder that holds them as a mirror does."""
        mirror = self._settings.tf_plugins
        if mirror is None:
            return {}
        if not mirror.is_dir():
            raise Misconfigured(f"{PREFIX}TF_PLUGINS={str(mirror)!r} is not a folder with Terraform's providers")
        file = self._data / "terraform.rc"
        path = json.dumps(str(mirror.absolute()))
        file.write_text(f"provider_installation {{\n  filesystem_mirror {{\n    path = {path}\n  }}\n}}\n")
        return {"TF_CLI_CONFIG_FILE": str(file)}


def _given(var_file: Path, variables: Sequence[str]) -> list[str]:
    """What plan, apply and destroy are told alike."""
    given = [f"-var-file={var_file.absolute()}", *(f"-var={variable}" for variable in variables)]
    return ["-input=false", f"-parallelism={_PARALLELISM}", *given]
