"""Deployment of the environment `moto` by Terraform: the bootstrap root first, then the system."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from adapters.aws.account import Account
from adapters.aws.object_keys import object_url
from adapters.runtime.settings import Settings
from infra.aws.deploy.champion import MODEL_KEY
from infra.aws.deploy.terraform import Terraform
from infra.aws.environments import BOOTSTRAP, TERRAFORM, Environment, LocalFiles
from infra.reporting import Report

_COMPLETED: Final = re.compile(r": (?:Creation|Destruction) complete after ")
_PLANNED: Final = re.compile(r"^  # (?P<change>.* (?:created|updated in-place|destroyed|replaced).*)")
_REPORT_EVERY: Final = 40
"""Number of resources between two progress messages."""
_UNPROTECTED: Final = "deletion_protection=false"


class Deployment:
    """Both roots with their states as in an account. `report` receives the progress of Terraform."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self.environment = Environment("moto")
        self._files = LocalFiles(self.environment, settings.home)
        self._account = Account(self.environment.region).identity().account
        self.releases = self.environment.releases_bucket(self._account)
        self._model = f"champion_model_data_url={object_url(self.releases, MODEL_KEY)}"
        self._home, self._progress = settings.home, ApplyProgress(report)
        self._bootstrap = Terraform(settings, BOOTSTRAP, report=ApplyProgress(report).read_line, name="bootstrap")
        self._system = Terraform(settings, TERRAFORM, report=self._progress.read_line, name="system")

    @property
    def buckets(self) -> list[str]:
        """Buckets of the bootstrap root that the system's root needs."""
        return [self.environment.state_bucket(self._account), self.releases]

    @property
    def scoring_image(self) -> str:
        """URI of the scoring image."""
        registry = f"{self._account}.dkr.ecr.{self.environment.region}.amazonaws.com"
        return f"{registry}/{self.environment.prefix}-scoring:{self.environment.variables.text('image_tag')}"

    @property
    def changed_resources(self) -> int:
        """Number of resources that the last call has created or destroyed."""
        return self._progress.count

    def apply_bootstrap(self) -> None:
        """Create the buckets for state and releases, and the image repositories."""
        self._bootstrap.init(self._files.bootstrap_backend())
        self._bootstrap.apply(self._files.bootstrap_variables(), _UNPROTECTED)

    def apply(self) -> dict[str, Any]:
        """Create the system and return its outputs. The first model must be in `releases`."""
        self._progress.count = 0
        self._system.init(self._backend())
        self._system.apply(self.environment.tfvars, self._model)
        return self._system.outputs()

    def planned_changes(self) -> list[str]:
        """Return the changes that a new plan contains; none if the system is as described."""
        self._progress.planned.clear()
        if not self._system.plan(self.environment.tfvars, self._model):
            return []
        return self._progress.planned or ["only outputs"]

    def destroy(self) -> None:
        """Destroy the system and then the bootstrap root, which has the bucket of the system's state."""
        self._progress.count = 0
        self._system.destroy(self.environment.tfvars, self._model)
        self._bootstrap.destroy(self._files.bootstrap_variables(), _UNPROTECTED)

    def _backend(self) -> Path:
        """Write the S3 backend with its lock file, as in an account but with path-style addresses for moto."""
        file = self._home / "system.backend.hcl"
        values = {
            "bucket": f'"{self.environment.state_bucket(self._account)}"',
            "key": '"system.tfstate"',
            "region": f'"{self.environment.region}"',
            "use_lockfile": "true",
            "use_path_style": "true",
        }
        file.write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
        return file


class ApplyProgress:
    """Parses Terraform's output: counts created and destroyed resources, and collects the changes of a plan."""

    def __init__(self, report: Report) -> None:
        self._report, self.count = report, 0
        self.planned: list[str] = []

    def read_line(self, line: str) -> None:
        """Parse a line of Terraform's output."""
        if change := _PLANNED.match(line):
            self.planned.append(change["change"])
        if _COMPLETED.search(line):
            self.count += 1
            if self.count % _REPORT_EVERY == 0:
                self._report(f"{self.count} resources")
