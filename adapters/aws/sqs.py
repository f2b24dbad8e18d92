"""An SQS queue: batched sends, receives, and deletion of processed messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from adapters.aws.clients import aws_client, translated_errors
from adapters.runtime.retry import resend
from cardwatch.errors import StreamUnavailable

MESSAGES_PER_REQUEST: Final = 10
BYTES_PER_REQUEST: Final = 1024 * 1024
PAUSES_SECONDS: Final = (0.1, 0.4, 1.6)
"""Pauses before messages that SQS did not accept are sent again."""


class Message(NamedTuple):
    """A received message. `handle` identifies it for deletion."""

    body: str
    handle: str


class Queue:
    """The queue at `url`. `client` is for tests. Every call raises `StreamUnavailable` if SQS does not answer."""

    def __init__(self, url: str, *, client: Any = None) -> None:
        self._url, self._client = url, client or aws_client("sqs")
        self._where = f"SQS queue {url.rpartition('/')[2]}"

    def send(self, bodies: Sequence[bytes]) -> None:
        """Send UTF-8 messages, each at least once, or raise `StreamUnavailable`."""
        request: list[str] = []
        size = 0
        for body in bodies:
            if request and (len(request) == MESSAGES_PER_REQUEST or size + len(body) > BYTES_PER_REQUEST):
                self._send(request)
                request, size = [], 0
            request.append(body.decode())
            size += len(body)
        if request:
            self._send(request)

    def receive(self) -> Iterator[Message]:
        """Yield messages until the queue is empty. A message that is not deleted is received again later."""
        while True:
            with translated_errors(self._where, StreamUnavailable):
                answer = self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=MESSAGES_PER_REQUEST)
            if not (messages := answer.get("Messages", [])):
                return
            for message in messages:
                yield Message(message["Body"], message["ReceiptHandle"])

    def delete(self, message: Message) -> None:
        """Delete a processed message."""
        with translated_errors(self._where, StreamUnavailable):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.handle)

    def _send(self, bodies: list[str]) -> None:
        def send(by_id: dict[str, str]) -> dict[str, str]:
            with translated_errors(self._where, StreamUnavailable):
                answer = self._client.send_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": entry_id, "MessageBody": body} for entry_id, body in by_id.items()],
                )
            return {failed["Id"]: by_id[failed["Id"]] for failed in answer.get("Failed", [])}

        by_id = {str(index): body for index, body in enumerate(bodies)}
        if rejected := resend(send, by_id, pauses_seconds=PAUSES_SECONDS):
            raise StreamUnavailable(f"{self._where} has not accepted {len(rejected)} of {len(bodies)} messages")
