"""The SageMaker endpoint that scores: creation of models and configurations, and updates of the endpoint."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from botocore.exceptions import ClientError
from msgspec import Struct

from adapters.aws.clients import aws_client, translated_errors
from cardwatch.errors import ScoringUnavailable

CHAMPION_VARIANT: Final = "champion"
IN_SERVICE: Final = "InService"
UPDATING: Final = "Updating"
ROLLED_BACK: Final = "RolledBack"

_COPIED: Final = ("ProductionVariants", "ShadowProductionVariants", "DataCaptureConfig")
_IN_PROGRESS: Final = (UPDATING, "Creating", "SystemUpdating")
DEFAULT_ROLLOUT: Final[dict[str, dict[str, Any]]] = {
    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300}
}


class ContainerSettings(Struct, frozen=True, kw_only=True):
    """Settings of a model's container: image, role, variables, network, disk key, and the alarms of a rollback."""

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

    def move_to(self, version: str, model_url: str, container: ContainerSettings) -> str:
        """Start an update to this model, with the present instances and data capture. Return the new configuration.

        Names are hashes of the arguments, so that a repeated call finds what exists and starts nothing again.
        """
        present = self._describe()
        config_name = self._name(version, model_url, container)
        if present["EndpointConfigName"] == config_name:
            return config_name
        self._create_model(config_name, model_url, container)
        self._create_config(config_name, present["EndpointConfigName"], container)
        arguments: dict[str, Any] = {}
        if container.alarms:
            policy = present.get("LastDeploymentConfig", {}).get("BlueGreenUpdatePolicy", DEFAULT_ROLLOUT)
            alarms = [{"AlarmName": alarm} for alarm in container.alarms]
            arguments["DeploymentConfig"] = {
                "BlueGreenUpdatePolicy": policy,
                "AutoRollbackConfiguration": {"Alarms": alarms},
            }
        with translated_errors(self._where, ScoringUnavailable):
            self._client.update_endpoint(EndpointName=self.name, EndpointConfigName=config_name, **arguments)
        return config_name

    def status(self, config: str) -> str:
        """Return the state of the update to `config`: `InService`, `Updating`, or SageMaker's name of a failure.

        It is `RolledBack` if another configuration is in service, because an alarm has stopped the update.
        """
        present = self._describe()
        status = str(present["EndpointStatus"])
        if status in _IN_PROGRESS:
            return UPDATING
        return ROLLED_BACK if status == IN_SERVICE and present["EndpointConfigName"] != config else status

    def _describe(self) -> dict[str, Any]:
        with translated_errors(self._where, ScoringUnavailable):
            found: dict[str, Any] = self._client.describe_endpoint(EndpointName=self.name)
        return found

    def _name(self, version: str, model_url: str, container: ContainerSettings) -> str:
        # The hash is part of stored names, so its text keeps the first name of the class.
        text = f"{model_url} {container}".replace(ContainerSettings.__name__, "Surroundings", 1)
        return f"{self.name}-v{version}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def _create_model(self, name: str, model_url: str, container: ContainerSettings) -> None:
        with translated_errors(self._where, ScoringUnavailable):
            if self._exists(self._client.describe_model, ModelName=name):
                return
            self._client.create_model(
                ModelName=name,
                ExecutionRoleArn=container.role,
                PrimaryContainer={
                    "Image": container.image,
                    "ModelDataUrl": model_url,
                    "Environment": container.environment,
                },
                VpcConfig={"Subnets": container.subnets, "SecurityGroupIds": container.security_groups},
                EnableNetworkIsolation=True,
            )

    def _create_config(self, name: str, present: str, container: ContainerSettings) -> None:
        with translated_errors(self._where, ScoringUnavailable):
            if self._exists(self._client.describe_endpoint_config, EndpointConfigName=name):
                return
            config = self._client.describe_endpoint_config(EndpointConfigName=present)
            copied = {key: config[key] for key in _COPIED if config.get(key)}
            copied["ProductionVariants"] = [
                {**variant, "ModelName": name} if variant["VariantName"] == CHAMPION_VARIANT else variant
                for variant in config["ProductionVariants"]
            ]
            self._client.create_endpoint_config(EndpointConfigName=name, KmsKeyId=container.kms_key, **copied)

    def _exists(self, describe: Any, **arguments: str) -> bool:
        try:
            describe(**arguments)
        except ClientError as error:
            if "Could not find" in str(error):  # SageMaker has no error code for this
                return False
            raise
        return True
