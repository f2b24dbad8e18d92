"""The environment `moto` as Terraform makes and unmakes it: first what must exist before, then all of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from adapters.aws.account import Account
from adapters.aws.object_keys import FIRST_EXECUTION, model_key, object_url
from adapters.runtime.settings import Settings
from infra.aws.deploy.environments import BOOTSTRAP, TERRAFORM, Environment, LocalFiles
from infra.aws.deploy.terraform import Report, Terraform

_MADE: Final = re.compile(r": (?:Creation|Destruction) complete after ")
_WANTED: Final = re.compile(r"^  # (?P<what>.* (?:created|updated in-place|destroyed|replaced).*)")
_TELL_EVERY: Final = 40


class Deployment:
    """Both roots, with their states where the environment's state would be. `report` hears how far Terraform is."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self.environment = Environment("moto")
        self._files = LocalFiles(self.environment, settings.home)
        self._account = Account(self.environment.region).identity().account
        self._home, self._progress, self._beside = settings.home, ApplyProgress(report), ApplyProgress(report)
        self._first = Terraform(settings, BOOTSTRAP, report=self._beside.hear, name="bootstrap")
        self._main = Terraform(settings, TERRAFORM, report=self._progress.hear, name="system")

    @property
    def releases(self) -> str:
        """The bucket that the first champion is taken from."""
        return f"{self.environment.prefix}-releases-{self._account}"

    @property
    def buckets(self) -> list[str]:
        """What the second root needs of the first: where its state lies, and where the first champion."""
        return [self.environment.state_bucket(self._account), self.releases]

    @property
    def scoring_image(self) -> str:
        """The URI of the image that scores."""
        registry = f"{self._account}.dkr.ecr.{self.environment.region}.amazonaws.com"
        return f"{registry}/{self.environment.prefix}-scoring:{self.environment.variables.text('image_tag')}"

    @property
    def made(self) -> int:
        """How many resources the last call has made, or unmade."""
        return self._progress.count

    def apply_bootstrap(self) -> None:
        """Buckets for state and releases, repositories."""
        self._first.init(self._files.bootstrap_backend())
        self._first.apply(self._files.bootstrap_variables(), "deletion_protection=false")

    def apply(self) -> dict[str, Any]:
        """Everything else; gives its outputs. The first model has to be in `releases`."""
        self._progress.count = 0
        self._main.init(self._backend())
        self._main.apply(self.environment.tfvars, self._model)
        return self._main.outputs()

    def unsettled(self) -> list[str]:
        """What a second plan wants to do; nothing, if all is well."""
        self._progress.wanted.clear()
        if not self._main.plan(self.environment.tfvars, self._model):
            return []
        return self._progress.wanted or ["only outputs"]

    def destroy(self) -> None:
        """All of it, the state's bucket last."""
        self._progress.count = 0
        self._main.destroy(self.environment.tfvars, self._model)
        self._first.destroy(self._files.bootstrap_variables(), "deletion_protection=false")

    @property
    def _model(self) -> str:
        return f"champion_model_data_url={object_url(self.releases, model_key(FIRST_EXECUTION))}"

    def _backend(self) -> Path:
        """The state in S3 with its lock, as for an account; only the addresses of buckets are those of a stand-in."""
        file = self._home / "system.backend.hcl"
        said = {
            "bucket": f'"{self.environment.state_bucket(self._account)}"',
            "key": '"system.tfstate"',
            "region": f'"{self.environment.region}"',
            "use_lockfile": "true",
            "use_path_style": "true",
        }
        file.write_text("".join(f"{name} = {value}\n" for name, value in said.items()))
        return file


class ApplyProgress:
    """Counts what Terraform says that it has made or unmade, and tells now and then. `wanted`: what a plan is about."""

    def __init__(self, report: Report) -> None:
        self._report, self.count = report, 0
        self.wanted: list[str] = []

    def hear(self, line: str) -> None:
        """A line of Terraform's output."""
        if wanted := _WANTED.match(line):
            self.wanted.append(wanted["what"])
        if _MADE.search(line):
            self.count += 1
            if self.count % _TELL_EVERY == 0:
                self._report(f"{self.count} resources")
