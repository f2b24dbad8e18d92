"""Environments of `infra/terraform/envs`: their variables, and the names derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from adapters.aws.object_keys import FIRST_EXECUTION, model_key, object_url
from cardwatch.errors import Misconfigured
from infra.aws.hcl import Variables, read_assignments, read_variables

TERRAFORM: Final = Path(__file__).resolve().parents[1] / "terraform"
BOOTSTRAP: Final = TERRAFORM / "bootstrap"
IMAGES: Final = ("lambda", "scoring", "archive", "monitor", "pipelines")
"""Images of the system; each name is the end of a repository's name. infra/terraform/bootstrap creates these."""

IMAGE_TAG: Final = "image_tag"
MODEL_URL: Final = "champion_model_data_url"


class Environment:
    """One copy of the system on AWS. Raises `Misconfigured` if `folder` has no environment of this name."""

    def __init__(self, name: str, *, folder: Path = TERRAFORM / "envs") -> None:
        self.name, self.tfvars = name, folder / name / "terraform.tfvars"
        if not self.tfvars.is_file():
            known = ", ".join(sorted(path.parent.name for path in folder.glob("*/terraform.tfvars"))) or "none"
            raise Misconfigured(f"there is no environment {name!r}: {self.tfvars} is missing; there are {known}")
        self.variables: Final[Variables] = read_variables(TERRAFORM, self.tfvars)
        self.region = self.variables.text("region")
        self.prefix = f"{self.variables.text('name')}-{self.variables.text('environment')}"
        self.transactions = f"{self.prefix}-transactions"
        self.decisions = f"{self.prefix}-decisions"

    def bucket(self, account: str) -> str:
        """Return the name of the data bucket in this account."""
        return f"{self.prefix}-data-{account}"

    def state_bucket(self, account: str) -> str:
        """Return the name of the bucket of Terraform's state in this account."""
        return f"{self.prefix}-state-{account}"

    def releases_bucket(self, account: str) -> str:
        """Return the name of the bucket of first models in this account."""
        return f"{self.prefix}-releases-{account}"

    def model_url(self, account: str) -> str:
        """Return the URL of the first champion: that of the variables, else one in the bootstrap root's bucket."""
        if MODEL_URL in self.variables:
            return self.variables.text(MODEL_URL)
        return object_url(self.releases_bucket(account), model_key(FIRST_EXECUTION))

    def repositories(self) -> dict[str, str]:
        """Return each image's ECR repository, without the images that the variable `images` takes from elsewhere."""
        external = self.variables.texts("images")
        return {part: f"{self.prefix}-{part}" for part in IMAGES if part not in external}


class LocalFiles:
    """Terraform's variable and backend files for an environment in an account, below `home`.

    They are not committed: the images' tag changes with each build, and bucket names contain the account's number.
    """

    def __init__(self, environment: Environment, home: Path) -> None:
        self._environment = environment
        self._folder = home.absolute() / "aws"

    def image_tag(self, given: str | None) -> str:
        """Return the images' tag: the given one, else that of the environment, else that of the last deployment.

        Raises `Misconfigured` if there is none.
        """
        if given:
            return given
        if IMAGE_TAG in self._environment.variables:
            return self._environment.variables.text(IMAGE_TAG)
        last = self._path("tfvars")
        if last.is_file():
            return read_assignments(last).text(IMAGE_TAG)
        raise Misconfigured(
            f"--image-tag is not given: name the tag under which the images of {self._environment.name} are pushed"
        )

    def variables(self, account: str, image_tag: str) -> Path:
        """Write the environment's variables, with image tag and model URL if it does not set them."""
        defaults = {IMAGE_TAG: image_tag, MODEL_URL: self._environment.model_url(account)}
        missing = {name: value for name, value in defaults.items() if name not in self._environment.variables}
        return self._write("tfvars", self._environment.tfvars.read_text(encoding="utf-8"), missing)

    def backend(self, account: str) -> Path:
        """Write the backend of the system's state: that of the environment, in the account's bucket."""
        backend = (self._environment.tfvars.parent / "backend.hcl").read_text(encoding="utf-8")
        return self._write("backend.hcl", backend, {"bucket": self._environment.state_bucket(account)})

    def bootstrap_variables(self) -> Path:
        """Write the variables of infra/terraform/bootstrap."""
        variables = self._environment.variables
        names = ("name", "environment", "region")
        return self._write("bootstrap.tfvars", "", {name: variables.text(name) for name in names})

    def bootstrap_backend(self) -> Path:
        """Write the backend of infra/terraform/bootstrap: a local state, because it creates the state bucket."""
        return self._write("bootstrap.backend.hcl", "", {"path": str(self._path("bootstrap.tfstate"))})

    def _write(self, kind: str, text: str, assignments: Mapping[str, str]) -> Path:
        path = self._path(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f'{name} = "{value}"\n' for name, value in assignments.items()]
        path.write_text(text + "".join(lines), encoding="utf-8")
        return path

    def _path(self, kind: str) -> Path:
        return self._folder / f"{self._environment.name}.{kind}"
