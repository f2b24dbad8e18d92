"""The SageMaker endpoint that scores, and how a model gets behind it: a model, a configuration, and the move to it."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from botocore.exceptions import ClientError
from msgspec import Struct

from adapters.aws.clients import answering, aws_client
from cardwatch.errors import ScoringUnavailable

CHAMPION_VARIANT: Final = "champion"
IN_SERVICE: Final = "InService"
UPDATING: Final = "Updating"
ROLLED_BACK: Final = "RolledBack"

_KEPT: Final = ("ProductionVariants", "ShadowProductionVariants", "DataCaptureConfig")
_WORKING: Final = (UPDATING, "Creating", "SystemUpdating")
_AT_ONCE: Final = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300}}


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a model runs in: image, role, variables, network, the key of its disks, and alarms that turn it out."""

    image: str
    role: str
    environment: dict[str, str]
    subnets: list[str]
    security_groups: list[str]
    kms_key: str
    alarms: list[str]


class Endpoint:
    """The endpoint `name`. `client` is for tests.

    Every call raises `ScoringUnavailable` if SageMaker does not answer, `Misconfigured` if it refuses.
    """

    def __init__(self, name: str, *, client: Any = None) -> None:
        self.name, self._client = name, client or aws_client("sagemaker")
        self._where = f"SageMaker endpoint {name}"

    def move_to(self, version: str, model_url: str, surroundings: Surroundings) -> str:
        """Begin to serve this model with what serves now: the same instances and the same capture. Gives the name of
        the configuration that the endpoint is on its way to.

        Names are made of what they name: the same call again finds what is there, and begins nothing anew.
        """
        present = self._describe()
        called = self._name(version, model_url, surroundings)
        if present["EndpointConfigName"] == called:
            return called
        self._create_model(called, model_url, surroundings)
        self._create_config(called, present["EndpointConfigName"], surroundings)
        arguments: dict[str, Any] = {}
        if surroundings.alarms:
            policy = present.get("LastDeploymentConfig", {}).get("BlueGreenUpdatePolicy", _AT_ONCE)
            alarms = [{"AlarmName": alarm} for alarm in surroundings.alarms]
            arguments["DeploymentConfig"] = {
                "BlueGreenUpdatePolicy": policy,
                "AutoRollbackConfiguration": {"Alarms": alarms},
            }
        with answering(self._where, ScoringUnavailable):
            self._client.update_endpoint(EndpointName=self.name, EndpointConfigName=called, **arguments)
        return called

    def status(self, config: str) -> str:
        """Where the move to a configuration stands: `InService`, `Updating`, or the word for what went wrong.

        Served by another configuration than that, it is `RolledBack`: an alarm has turned the model out.
        """
        present = self._describe()
        status = str(present["EndpointStatus"])
        if status in _WORKING:
            return UPDATING
        return ROLLED_BACK if status == IN_SERVICE and present["EndpointConfigName"] != config else status

    def _describe(self) -> dict[str, Any]:
        with answering(self._where, ScoringUnavailable):
            found: dict[str, Any] = self._client.describe_endpoint(EndpointName=self.name)
        return found

    def _name(self, version: str, model_url: str, surroundings: Surroundings) -> str:
        made_of = f"{model_url} {surroundings}".encode()
        return f"{self.name}-v{version}-{hashlib.sha256(made_of).hexdigest()[:8]}"

    def _create_model(self, name: str, model_url: str, surroundings: Surroundings) -> None:
        with answering(self._where, ScoringUnavailable):
            if self._exists(self._client.describe_model, ModelName=name):
                return
            self._client.create_model(
                ModelName=name,
                ExecutionRoleArn=surroundings.role,
                PrimaryContainer={
                    "Image": surroundings.image,
                    "ModelDataUrl": model_url,
                    "Environment": surroundings.environment,
                },
                VpcConfig={"Subnets": surroundings.subnets, "SecurityGroupIds": surroundings.security_groups},
                EnableNetworkIsolation=True,
            )

    def _create_config(self, name: str, present: str, surroundings: Surroundings) -> None:
        with answering(self._where, ScoringUnavailable):
            if self._exists(self._client.describe_endpoint_config, EndpointConfigName=name):
                return
            config = self._client.describe_endpoint_config(EndpointConfigName=present)
            kept = {key: config[key] for key in _KEPT if config.get(key)}
            kept["ProductionVariants"] = [
                {**variant, "ModelName": name} if variant["VariantName"] == CHAMPION_VARIANT else variant
                for variant in config["ProductionVariants"]
            ]
            self._client.create_endpoint_config(EndpointConfigName=name, KmsKeyId=surroundings.kms_key, **kept)

    def _exists(self, describe: Any, **arguments: str) -> bool:
        try:
            describe(**arguments)
        except ClientError as error:
            if "Could not find" in str(error):  # SageMaker has no code of its own for that
                return False
            raise
        return True
