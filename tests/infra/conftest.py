"""The local AWS, shared by all tests of a session. Each test uses unique names."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from adapters.runtime.ports import free_ports
from infra.local_stack.supervisor import Supervisor
from infra.moto.server import REGION, process_spec, url

Client = Callable[[str], Any]

# A model container: it answers with the name in its model's file, and with what it was sent.
FAKE_MODEL = """
    import json, os, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from pathlib import Path

    name = (Path(os.environ["MODEL"]) / "name.txt").read_text()
    if name == "broken":
        sys.exit("this model cannot be loaded")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status, body=b"", **headers):
            self.send_response(status)
            for key, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(200)

        def do_POST(self):
            sent = self.rfile.read(int(self.headers["content-length"]))
            if sent == b"fail":
                return self.answer(503, b"no champion")
            attributes = self.headers.get("x-amzn-sagemaker-custom-attributes", "")
            told = {"model": name, "sent": sent.hex(), "arguments": sys.argv[1:], "type": self.headers["content-type"]}
            self.answer(
                200,
                json.dumps(told).encode(),
                content_type="application/json",
                x_amzn_sagemaker_custom_attributes=f"echo={attributes}",
            )

        def log_message(self, *_):
            pass

    HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running local AWS."""
    folder = tmp_path_factory.mktemp("moto")
    program = folder / "fake_model.py"
    program.write_text(textwrap.dedent(FAKE_MODEL))
    [port] = free_ports(1)
    with Supervisor(folder) as supervisor:
        supervisor.start(process_spec(port, folder, "--image", f"fake={sys.executable} {program}"))
        yield url(port)


@pytest.fixture(scope="session")
def client(local_aws: str) -> Iterator[Client]:
    """Makes a client of a service by its name in boto3."""
    made: dict[str, Any] = {}

    def of(service: str) -> Any:
        if service not in made:
            made[service] = boto3.client(
                service,
                region_name=REGION,
                endpoint_url=local_aws,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",  # noqa: S106 (it takes any)
                config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
            )
        return made[service]

    yield of
    for each in made.values():
        each.close()
