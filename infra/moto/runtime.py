"""One execution environment of a Lambda function: `python -m infra.moto.runtime HANDLER SOCKET`.

The handler (`package.module.function`) is imported once. Then every line on the socket with that descriptor is an
invocation, a JSON object with `event`, `context` and `timeout_ms`, and its answer is a line with `payload` (JSON as
text) and `failed`. The end of the socket is the end of the process. What is printed goes where stdout goes.
"""

from __future__ import annotations

import importlib
import json
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

END: Final = "END RequestId: "
"""How the last line begins that is printed for an invocation."""

Handler = Callable[[Any, Any], Any]


class Context:
    """What AWS passes to a handler as its second argument, the fields that are known here."""

    def __init__(self, fields: dict[str, Any], timeout_ms: int) -> None:
        self.function_name: str = fields["function_name"]
        self.function_version: str = fields["function_version"]
        self.invoked_function_arn: str = fields["invoked_function_arn"]
        self.memory_limit_in_mb: int = fields["memory_limit_in_mb"]
        self.aws_request_id: str = fields["aws_request_id"]
        self.log_group_name: str = fields["log_group_name"]
        self.log_stream_name: str = fields["log_stream_name"]
        self._until = time.monotonic() + timeout_ms / 1000.0

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""
        return max(0, int((self._until - time.monotonic()) * 1000.0))


def answer(handler: Handler, line: bytes) -> dict[str, Any]:
    """What one invocation gives: the handler's result, or its exception as AWS tells it."""
    invocation = json.loads(line)
    try:
        result = handler(invocation["event"], Context(invocation["context"], invocation["timeout_ms"]))
        return {"payload": json.dumps(result), "failed": False}
    except Exception as error:
        traceback.print_exc()
        return failure(error)
    finally:
        print(f"{END}{invocation['context']['aws_request_id']}", flush=True)  # noqa: T201 (as AWS does)


def failure(error: BaseException) -> dict[str, Any]:
    """An exception as the body of a function error."""
    told = {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }
    return {"payload": json.dumps(told), "failed": True}


def find(name: str) -> Handler:
    """The function that `name` stands for; raises whatever its module raises when it is imported."""
    module, _, function = name.rpartition(".")
    found: Handler = getattr(importlib.import_module(module), function)
    return found


def main() -> None:
    """Import the handler, say so, and answer until nobody asks any more."""
    name, descriptor = sys.argv[1], int(sys.argv[2])
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:

        def say(what: dict[str, Any]) -> None:
            stream.write(json.dumps(what).encode() + b"\n")
            stream.flush()

        try:
            handler = find(name)
        except Exception as error:
            traceback.print_exc()
            say(failure(error))
            return
        say({"payload": "null", "failed": False})
        for line in stream:
            say(answer(handler, line))


if __name__ == "__main__":
    main()
