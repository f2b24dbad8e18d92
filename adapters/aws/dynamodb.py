"""DynamoDB: client, translation of errors, and batch calls that retry unprocessed items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import boto3
from botocore import exceptions
from botocore.config import Config

from adapters.runtime.retry import resend
from cardwatch.errors import Misconfigured, StaleWriter, StoreRefused, StoreUnavailable

Item = dict[str, Any]

KEYS_PER_READ: Final = 100
"""Maximum number of keys in a BatchGetItem."""
ITEMS_PER_WRITE: Final = 25
"""Maximum number of items in a BatchWriteItem."""

CONCURRENT_CALLS: Final = 8
"""Number of threads and connections of a store."""

PAUSES_SECONDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses before the part of a batch that DynamoDB did not process, for throttling or size, is requested again."""

_TRANSIENT_CODES: Final = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TransactionInProgressException",
}


@contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Translate DynamoDB's errors, except for a cancelled transaction, whose meaning only the caller knows."""
    try:
        yield
    except exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "TransactionCanceledException":
            raise
        if code == "ConditionalCheckFailedException":
            raise StaleWriter(f"{where}: another process has written since it was read") from error
        if code == "ResourceNotFoundException":
            raise Misconfigured(
                f"{where}: there is no such table in this region; create it with a string key pk"
            ) from error
        if code in _TRANSIENT_CODES or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise StoreUnavailable(f"{where} does not take this now: {error}") from error
        raise StoreRefused(f"{where} refuses a call: {error}") from error
    except (exceptions.NoCredentialsError, exceptions.NoRegionError) as error:
        raise Misconfigured(f"{where} cannot be reached: {error}") from error
    except exceptions.BotoCoreError as error:
        raise StoreUnavailable(f"{where} does not answer: {error}") from error


def connect(url: str) -> tuple[str, Any]:
    """Return the table in `url` (`dynamodb://TABLE?region=...&endpoint=...`), and a client. Raises `Misconfigured`."""
    address = urlsplit(url)
    options = dict(parse_qsl(address.query))
    if not address.netloc or (unknown := set(options) - {"region", "endpoint"}):
        wrong = f"does not know {', '.join(sorted(unknown))}" if address.netloc else "names no table"
        raise Misconfigured(f"'{url}' {wrong}: a DynamoDB store is dynamodb://TABLE?region=...&endpoint=...")
    config = Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "max_attempts": 4},
        max_pool_connections=CONCURRENT_CALLS,
    )
    try:
        with translated_errors(f"DynamoDB table {address.netloc}"):
            client = boto3.client(
                "dynamodb", region_name=options.get("region"), endpoint_url=options.get("endpoint"), config=config
            )
    except ValueError as error:
        raise Misconfigured(f"'{url}': {error}") from error
    return address.netloc, client


def create_table(url: str) -> None:
    """Create the table in `url`, billed by request, for tests and local endpoints. On AWS, Terraform creates it."""
    table, client = connect(url)
    with translated_errors(f"DynamoDB table {table}"):
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.get_waiter("table_exists").wait(TableName=table)
    client.close()


def get_items(client: Any, table: str, keys: Sequence[str]) -> dict[str, Item]:
    """Return the items of at most 100 distinct keys by key, read consistently. Keys without an item are left out."""
    found: dict[str, Item] = {}

    def read(request_items: Item) -> Item:
        answer = client.batch_get_item(RequestItems=request_items)
        found.update({item["pk"]["S"]: item for item in answer["Responses"].get(table, [])})
        return answer.get("UnprocessedKeys") or {}

    if keys:
        _until_processed(read, {table: {"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}})
    return found


def put_items(client: Any, table: str, items: Sequence[Item]) -> None:
    """Write at most 25 items unconditionally."""

    def write(request_items: Item) -> Item:
        return client.batch_write_item(RequestItems=request_items).get("UnprocessedItems") or {}

    if items:
        _until_processed(write, {table: [{"PutRequest": {"Item": item}} for item in items]})


def _until_processed(call: Callable[[Item], Item], request_items: Item) -> None:
    if resend(call, request_items, pauses_seconds=PAUSES_SECONDS):
        raise StoreUnavailable("DynamoDB is throttled: it does not process a part of a batch even after retries")
