"""The environments of `infra/terraform/envs`: their variables, and the names that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from adapters.aws.object_keys import FIRST_EXECUTION, model_key, object_url
from cardwatch.errors import Misconfigured
from infra.aws.deploy.hcl import Variables, read_assignments, read_variables

TERRAFORM: Final = Path(__file__).resolve().parents[2] / "terraform"
BOOTSTRAP: Final = TERRAFORM / "bootstrap"
IMAGES: Final = ("lambda", "scoring", "archive", "monitor", "pipelines")
"""Each image's part, which is the end of its repository's name; infra/terraform/bootstrap makes these."""


IMAGE_TAG: Final = "image_tag"
MODEL_URL: Final = "champion_model_data_url"


class Environment:
    """One copy of the system on AWS. Raises `Misconfigured` if there is none of this name in `folder`."""

    def __init__(self, name: str, *, folder: Path = TERRAFORM / "envs") -> None:
        self.name, self.tfvars = name, folder / name / "terraform.tfvars"
        if not self.tfvars.is_file():
            known = ", ".join(sorted(path.parent.name for path in folder.glob("*/terraform.tfvars"))) or "none"
            raise Misconfigured(f"there is no environment {name!r}: {self.tfvars} is missing; there are {known}")
        self.variables: Final[Variables] = read_variables(TERRAFORM, self.tfvars)
        self.region = self.variables.text("region")
        self.prefix = f"{self.variables.text('name')}-{self.variables.text('environment')}"

    @property
    def transactions(self) -> str:
        """The stream that transactions go into."""
        return f"{self.prefix}-transactions"

    @property
    def decisions(self) -> str:
        """The stream that decisions come out of."""
        return f"{self.prefix}-decisions"

    def bucket(self, account: str) -> str:
        """The bucket of all that is kept, in this account."""
        return f"{self.prefix}-data-{account}"

    def state_bucket(self, account: str) -> str:
        """The bucket of Terraform's state, in this account."""
        return f"{self.prefix}-state-{account}"

    def model_url(self, account: str) -> str:
        """Where the first champion lies: where the environment says, else in the bucket that bootstrap makes for it."""
        if MODEL_URL in self.variables:
            return self.variables.text(MODEL_URL)
        return object_url(f"{self.prefix}-releases-{account}", model_key(FIRST_EXECUTION))

    def repositories(self) -> dict[str, str]:
        """Each image's ECR repository, by part; without those that `images` takes from elsewhere."""
        elsewhere = self.variables.texts("images")
        return {part: f"{self.prefix}-{part}" for part in IMAGES if part not in elsewhere}


class LocalFiles:
    """What Terraform is told about an environment in an account, as files below `home`.

    Nobody commits them: the images' tag changes with each build, and bucket names have the account's number in them.
    """

    def __init__(self, environment: Environment, home: Path) -> None:
        self._environment = environment
        self._folder = home.absolute() / "aws"

    def image_tag(self, given: str | None) -> str:
        """The images' tag: as given, else as the environment says, else that of last time. Raises `Misconfigured`."""
        if given:
            return given
        if IMAGE_TAG in self._environment.variables:
            return self._environment.variables.text(IMAGE_TAG)
        last = self._path("tfvars")
        if last.is_file():
            return read_assignments(last).text(IMAGE_TAG)
        raise Misconfigured(
            f"--image-tag is not given: under which tag are the images of {self._environment.name} pushed?"
        )

    def variables(self, account: str, image_tag: str) -> Path:
        """The environment's variables, with tag and first model where it does not say them itself."""
        added = {IMAGE_TAG: image_tag, MODEL_URL: self._environment.model_url(account)}
        missing = {name: value for name, value in added.items() if name not in self._environment.variables}
        return self._write("tfvars", self._environment.tfvars.read_text(encoding="utf-8"), missing)

    def backend(self, account: str) -> Path:
        """Where the state of the system is: as the environment says, in the account's bucket."""
        said = (self._environment.tfvars.parent / "backend.hcl").read_text(encoding="utf-8")
        return self._write("backend.hcl", said, {"bucket": self._environment.state_bucket(account)})

    def bootstrap_variables(self) -> Path:
        """The variables of infra/terraform/bootstrap."""
        variables = self._environment.variables
        names = ("name", "environment", "region")
        return self._write("bootstrap.tfvars", "", {name: variables.text(name) for name in names})

    def bootstrap_backend(self) -> Path:
        """Where the state of infra/terraform/bootstrap is: on this machine, for it makes the bucket of the other."""
        return self._write("bootstrap.backend.hcl", "", {"path": str(self._path("bootstrap.tfstate"))})

    def _write(self, kind: str, text: str, added: Mapping[str, str]) -> Path:
        path = self._path(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f'{name} = "{value}"\n' for name, value in added.items()]
        path.write_text(text + "".join(lines), encoding="utf-8")
        return path

    def _path(self, kind: str) -> Path:
        return self._folder / f"{self._environment.name}.{kind}"
