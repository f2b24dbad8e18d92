from __future__ import annotations

import hashlib

import botocore.session

from adapters.aws.sagemaker_endpoint import DEFAULT_ROLLOUT, ContainerSettings, Endpoint

CONTAINER = ContainerSettings(
    image="image:1",
    role="arn:role",
    environment={"KEY": "value"},
    subnets=["subnet-1"],
    security_groups=["sg-1"],
    kms_key="key-1",
    alarms=[],
)
TEXT = (
    "s3://bucket/model.tar.gz Surroundings(image='image:1', role='arn:role', environment={'KEY': 'value'}, "
    "subnets=['subnet-1'], security_groups=['sg-1'], kms_key='key-1', alarms=[])"
)
CONFIG = f"scoring-v7-{hashlib.sha256(TEXT.encode()).hexdigest()[:8]}"


class AlreadyUpdated:
    """A client of SageMaker whose endpoint has the configuration already."""

    def describe_endpoint(self, EndpointName: str) -> dict[str, str]:  # noqa: N803 (boto3's)
        return {"EndpointName": EndpointName, "EndpointConfigName": CONFIG}


def test_a_configuration_has_the_name_that_earlier_versions_gave_it() -> None:
    endpoint = Endpoint("scoring", client=AlreadyUpdated())
    assert endpoint.move_to("7", "s3://bucket/model.tar.gz", CONTAINER) == CONFIG


def test_an_update_is_rolled_out_in_a_way_that_sagemaker_knows() -> None:
    shape = botocore.session.get_session().get_service_model("sagemaker").shape_for("TrafficRoutingConfigType")
    assert DEFAULT_ROLLOUT["TrafficRoutingConfiguration"]["Type"] in shape.enum
