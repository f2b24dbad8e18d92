"""The Terraform command line, run with an environment independent of the user's configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from adapters.runtime.settings import PREFIX, Settings, child_environment
from cardwatch.errors import CardwatchError, Misconfigured
from infra.reporting import Report

INSTALL: Final = "https://developer.hashicorp.com/terraform/install"
MIN_VERSION: Final = (1, 11)

_PARALLELISM: Final = 30
_TAIL_LINES: Final = 30
_INHERITED_VARIABLES: Final = ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "TF_LOG", "TF_LOG_PATH")
"""The only variables of Terraform that are taken from the user's environment."""
_CHANGES_STATUS: Final = 2
"""Exit status of `terraform plan -detailed-exitcode` if there are changes."""


class Terraform:
    """One root module in `folder`. Providers and backend configuration are kept in `home/terraform/NAME`.

    `aws`, if given, replaces all AWS variables of this process's environment. `report` receives every line of output.
    Calls raise `Misconfigured` if Terraform is not installed, and `CardwatchError` with the end of its output if it
    fails.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        aws: Mapping[str, str] | None = None,
        report: Report = lambda _: None,
        name: str = "",
    ) -> None:
        self._settings, self._folder, self._report = settings, folder, report
        self._data = settings.home.absolute() / "terraform" / (name or folder.name)
        self._aws = aws

    def version(self) -> str:
        """Return the installed version; raises `Misconfigured` with a link if there is none or it is too old."""
        version = str(json.loads(self._output_of("version", "-json"))["terraform_version"])
        if tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".")[:2]) < MIN_VERSION:
            minimum = ".".join(map(str, MIN_VERSION))
            raise Misconfigured(f"Terraform {version} is too old: install {minimum} or later, see {INSTALL}")
        return version

    def init(self, backend: Path | None = None) -> None:
        """Install the providers, and configure the backend by a file of settings."""
        options = [] if backend is None else [f"-backend-config={backend.absolute()}"]
        self._run("init", "-input=false", "-reconfigure", *options)

    def plan(self, var_file: Path, *variables: str) -> bool:
        """Return whether an apply would change anything; `variables` are further ones, as `name=value`."""
        status = self._run("plan", *_options(var_file, variables), "-detailed-exitcode", allowed=(0, _CHANGES_STATUS))
        return status == _CHANGES_STATUS

    def apply(self, var_file: Path, *variables: str) -> None:
        """Create or change all resources as described."""
        self._run("apply", "-auto-approve", *_options(var_file, variables))

    def destroy(self, var_file: Path, *variables: str) -> None:
        """Destroy all resources."""
        self._run("destroy", "-auto-approve", *_options(var_file, variables))

    def outputs(self) -> dict[str, Any]:
        """Return the values of the root's outputs."""
        outputs = json.loads(self._output_of("output", "-json"))
        return {name: output["value"] for name, output in outputs.items()}

    def _run(self, *arguments: str, allowed: Sequence[int] = (0,)) -> int:
        """Run a command, report its output, and return its exit status, which is one of `allowed`."""
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        with self._start(arguments, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None  # noqa: S101 (it is a pipe)
            try:
                for line in process.stdout:
                    tail.append(line.rstrip())
                    self._report(line.rstrip())
            except KeyboardInterrupt:
                process.wait()  # Terraform is interrupted as well, and saves its state
                raise
        if process.returncode not in allowed:
            raise CardwatchError(f"terraform {arguments[0]} in {self._folder} failed:\n" + "\n".join(tail))
        return process.returncode

    def _output_of(self, *arguments: str) -> str:
        with self._start(arguments, stderr=subprocess.PIPE) as process:
            output, errors = process.communicate()
        if process.returncode != 0:
            raise CardwatchError(f"terraform {arguments[0]} in {self._folder} failed: {errors.strip()}")
        return output

    def _start(self, arguments: Sequence[str], *, stderr: int) -> subprocess.Popen[str]:
        environment = self._environment()
        program = shutil.which("terraform", path=environment.get("PATH"))
        if program is None:
            raise Misconfigured(f"Terraform is not installed, or not on PATH: see {INSTALL}")
        command = [program, f"-chdir={self._folder.absolute()}", *arguments]
        if arguments[0] != "version":
            command.append("-no-color")
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
        )

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in child_environment(Settings()).items()
            if not name.startswith(PREFIX)
            and (not name.startswith("TF_") or name in _INHERITED_VARIABLES)
            and (self._aws is None or not name.startswith("AWS_"))
        }
        self._data.mkdir(parents=True, exist_ok=True)
        own = {"TF_DATA_DIR": str(self._data), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
        return {**inherited, **own, **(self._aws or {}), **self._plugin_mirror()}

    def _plugin_mirror(self) -> dict[str, str]:
        """Return the variable for the providers' mirror folder of the settings, if they name one."""
        mirror = self._settings.tf_plugins
        if mirror is None:
            return {}
        if not mirror.is_dir():
            raise Misconfigured(f"{PREFIX}TF_PLUGINS={str(mirror)!r} is not a folder with Terraform's providers")
        file = self._data / "terraform.rc"
        path = json.dumps(str(mirror.absolute()))
        file.write_text(f"provider_installation {{\n  filesystem_mirror {{\n    path = {path}\n  }}\n}}\n")
        return {"TF_CLI_CONFIG_FILE": str(file)}


def _options(var_file: Path, variables: Sequence[str]) -> list[str]:
    """Return the common options of plan, apply and destroy."""
    options = [f"-var-file={var_file.absolute()}", *(f"-var={variable}" for variable in variables)]
    return ["-input=false", f"-parallelism={_PARALLELISM}", *options]
