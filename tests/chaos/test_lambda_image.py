"""The image of the functions on AWS, with a read-only file system as in Lambda."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable

import pytest

from infra.compose import find_engine
from tests.chaos.compose_project import ComposeProject

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1_800)]

MAX_MB = 700
MAX_SECONDS = 3.0
SETTINGS = {
    "AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
    "CARDWATCH_STORE_URL": "dynamodb://cards?region=eu-central-1", "CARDWATCH_ENDPOINT": "endpoint",
    "CARDWATCH_DATA_BUCKET": "bucket", "CARDWATCH_DECISIONS_STREAM": "decisions",
    "CARDWATCH_DEAD_LETTERS_QUEUE": "https://queue.example/1/dead-letters", "CARDWATCH_HOME": "/tmp/cardwatch",  # noqa: S108 (Lambda has no other)
}  # fmt: skip
MEASURE = """
import json, sys, time
begin = time.perf_counter()
module = __import__(sys.argv[1], fromlist=["handle"])
imported = time.perf_counter()
module._function()
print(json.dumps([imported - begin, time.perf_counter() - imported, time.process_time()]))
"""


@pytest.fixture(scope="module")
def compose() -> ComposeProject:
    engine = find_engine()
    if engine is None:
        pytest.fail("neither Docker with compose nor podman-compose is installed: nothing was tested")
    return ComposeProject(engine, "cardwatch-lambda", {})


@pytest.fixture(scope="module")
def image(compose: ComposeProject) -> str:
    return compose.build_target("lambda")


def test_it_is_small_enough_for_a_fast_start(
    compose: ComposeProject, image: str, show: Callable[[object], None]
) -> None:
    size_mb = int(compose.run("image", "inspect", "-f", "{{.Size}}", image)) / 1e6
    show(f"the image of the functions has {size_mb:.0f} MB")
    assert size_mb <= MAX_MB


@pytest.mark.parametrize("handler", ["services.stream.aws.handler", "services.scoring.aws.handler"])
def test_a_cold_start_takes_seconds_at_most(
    compose: ComposeProject, image: str, show: Callable[[object], None], handler: str
) -> None:
    variables = [part for name, value in SETTINGS.items() for part in ("-e", f"{name}={value}")]
    options = ["--rm", "--read-only", "--tmpfs", "/tmp", *variables, "--entrypoint", "python"]  # noqa: S108 (Lambda's)
    starts = [json.loads(compose.run("run", *options, image, "-c", MEASURE, handler)) for _ in range(5)]
    imported, created, processor = (statistics.median(values) for values in zip(*starts, strict=True))
    show(f"{handler}: imports {imported:.1f} s, clients and kernel {created:.1f} s, processor time {processor:.1f} s")
    assert imported + created <= MAX_SECONDS


def test_the_model_function_can_be_imported(compose: ComposeProject, image: str) -> None:
    compose.run(
        "run", "--rm", "--read-only", "--entrypoint", "python", image, "-c", "import pipelines.sagemaker.handler"
    )
