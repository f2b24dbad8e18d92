"""The process of one Lambda execution environment: `python -m infra.moto.lambda_.runtime HANDLER SOCKET`.

It imports the handler (`package.module.function`) once and writes the result of the import to the socket with that
descriptor. After that, each line on the socket is an invocation: a JSON object with `event`, `context` and
`timeout_ms`. Each result is one line with the fields of `InvocationResult`. The process exits when the socket is
closed. The handler prints to stdout.
"""

from __future__ import annotations

import importlib
import json
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Final, NamedTuple

END: Final = "END RequestId: "
"""Prefix of the last line that is printed for an invocation."""

Handler = Callable[[Any, Any], Any]


class InvocationResult(NamedTuple):
    """The result of an invocation: JSON text, whether it is an error, and the lines that the function has printed."""

    payload: str
    failed: bool
    log: str = ""
    request_id: str = ""


class LambdaContext(NamedTuple):
    """The second argument of a handler, with the fields that are known here. The deadline is monotonic."""

    function_name: str
    function_version: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    aws_request_id: str
    log_group_name: str
    log_stream_name: str
    deadline_seconds: float

    def get_remaining_time_in_millis(self) -> int:
        """Return the time until the invocation times out, in milliseconds."""
        return max(0, int((self.deadline_seconds - time.monotonic()) * 1000.0))


def invoke(handler: Handler, line: bytes) -> InvocationResult:
    """Call the handler for one invocation. An exception becomes a failed result."""
    invocation = json.loads(line)
    deadline_seconds = time.monotonic() + invocation["timeout_ms"] / 1000.0
    context = LambdaContext(**invocation["context"], deadline_seconds=deadline_seconds)
    try:
        return InvocationResult(json.dumps(handler(invocation["event"], context)), failed=False)
    except Exception as error:
        traceback.print_exc()
        return error_result(error)
    finally:
        print(f"{END}{context.aws_request_id}", flush=True)  # noqa: T201 (as AWS does)


def error_result(error: BaseException) -> InvocationResult:
    """Return an exception in AWS's format of a function error."""
    body = {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }
    return InvocationResult(json.dumps(body), failed=True)


def load_handler(name: str) -> Handler:
    """Return the function with this qualified name. Raises any exception that the import of its module raises."""
    module, _, function = name.rpartition(".")
    found: Handler = getattr(importlib.import_module(module), function)
    return found


def main() -> None:
    """Import the handler, then process invocations until the socket is closed."""
    name, descriptor = sys.argv[1], int(sys.argv[2])
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:

        def send(result: InvocationResult) -> None:
            stream.write(json.dumps(result._asdict()).encode() + b"\n")
            stream.flush()

        try:
            handler = load_handler(name)
        except Exception as error:
            traceback.print_exc()
            send(error_result(error))
            return
        send(InvocationResult("null", failed=False))
        for line in stream:
            send(invoke(handler, line))


if __name__ == "__main__":
    main()
