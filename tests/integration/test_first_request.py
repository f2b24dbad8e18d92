"""The first request of a newcomer, on the page of a running service and by `cardwatch example`, gets a real score."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs

from adapters.archive.example_transaction import ExampleTransactionFile
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.settings import Secret, child_environment
from cardwatch.events import Transaction, decode
from cardwatch.features.columns import encode as kernel_rows
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.kernel import fold
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cli.example import example
from cli.send.lines import read_transactions
from models.training import FittedDetector
from tests.integration.browser import Browser

pytestmark = pytest.mark.long

Stack = Any

TODAY = date(2025, 3, 11)
PAID = decode(
    b"""{"transaction_id": "t-77", "card_id": "card-it's-mine", "merchant_id": "shop-9",
    "occurred_at": "2025-03-11T10:20:30Z", "amount_minor": 123456, "currency": "EUR", "merchant_category": "5732",
    "channel": "ecommerce", "country": "DE", "device_id": "d-1"}""",
    Transaction,
)
"""The newest transaction of the stack. The quote in the token must survive the shell."""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
SCREENS = [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)]


@pytest.fixture(scope="module")
def service(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The shared service with a champion, one card, a reference table of the day and an archived transaction."""
    stack.promote(detectors[0], tmp_path_factory.mktemp("models") / "champion")
    states = empty_states(1)
    fold(states, np.zeros(1, np.int64), kernel_rows([PAID]), ReferenceTable.empty())
    with stack.store() as store:
        store.apply(0, expected=(at := store.applied(0)), position=at + 1, card_ids=[PAID.card_id], states=states)
    builder = ReferenceBuilder()
    yesterday = structs.replace(PAID, occurred_at=datetime(2025, 3, 10, 9, tzinfo=UTC))
    builder.add_transactions(kernel_rows([yesterday]), identity_hashes([PAID.card_id]))
    ReferenceTableStore(stack.settings.tables).put(builder.build(TODAY))
    ExampleTransactionFile(stack.settings.tables).write(PAID)
    yield stack
    for path in stack.settings.tables.iterdir():  # other tests expect a service without tables
        path.unlink()


@pytest.fixture(scope="module")
def browser(require: Callable[[object, str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    require(program, "Chromium is not installed; on Debian and Ubuntu: apt install chromium")
    with closing(Browser(str(program), tmp_path_factory.mktemp("browser"))) as started:
        yield started


def opened(browser: Browser, service: Stack, scheme: str = "light", width: int = 1280) -> Browser:
    """The page, with the list of calls, as it looks on this screen."""
    browser.look_as(scheme, width)
    browser.requested.clear()
    browser.open(service.settings.scoring_url)
    browser.until("document.querySelector('#state.good') && document.querySelectorAll('.opblock').length > 8")
    return browser


def get_example(browser: Browser, key: str) -> None:
    browser.type_into("#key", key)
    browser.click("#ask button")
    browser.until("!document.querySelector('#request').hidden || !document.querySelector('#problem').hidden")


def test_the_example_of_the_page_is_of_this_stack_and_gets_a_score(browser: Browser, service: Stack) -> None:
    page = opened(browser, service)
    get_example(page, str(service.settings.api_key))
    shown = json.loads(page.evaluate("document.querySelector('#body').value"))
    assert (shown["card_id"], shown["merchant_id"]) == (PAID.card_id, PAID.merchant_id)
    assert shown["occurred_at"] == "2025-03-11T10:21:30Z"
    page.click("#send")
    page.until("!document.querySelector('#answer').hidden")
    answer = json.loads(page.text("#response"))
    assert (answer["degraded"], answer["sequence"]) == (False, 1)
    assert page.text("#action") == answer["action"]
    assert f"probability of fraud {answer['probability']:.4f}" in page.text("#meaning")
    own = service.settings.scoring_url + "/"
    assert [url for url in page.requested if not url.startswith((own, "data:", "blob:"))] == []
    assert page.errors == []


def test_the_calls_below_begin_with_the_same_example_and_the_key(browser: Browser, service: Stack) -> None:
    page = opened(browser, service)
    get_example(page, str(service.settings.api_key))
    page.click("#operations-Score-score .opblock-summary-control")
    page.until(
        "(document.querySelector('#operations-Score-score textarea.body-param__text') || {}).value?.includes('shop-9')"
    )
    page.click("#operations-Score-score .execute")
    page.until("document.querySelector('#operations-Score-score .live-responses-table .response')")
    said = page.text("#operations-Score-score .live-responses-table .response")
    assert re.search(r'"degraded":\s*false', said)
    assert re.search(r'"sequence":\s*1\b', said)


def test_without_a_valid_key_the_page_shows_no_card_and_says_why(browser: Browser, service: Stack) -> None:
    page = opened(browser, service)
    get_example(page, "guess")
    assert page.text("#problem") == "401: the API key is not valid, or not any more"
    assert "card-it" not in page.evaluate("document.documentElement.outerHTML")
    for place in ("addresses.env", ".env", "cardwatch keys add"):
        assert place in page.evaluate("document.querySelector('details').textContent")


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_every_text_is_legible_and_nothing_is_cut_off(
    browser: Browser, service: Stack, scheme: str, width: int
) -> None:
    page = opened(browser, service, scheme, width)
    page.evaluate("document.querySelector('details').open = true")
    get_example(page, str(service.settings.api_key))
    page.click("#send")
    for operation in ("Score-score", "Operations-readyz"):
        page.click(f"#operations-{operation} .opblock-summary-control")
        page.until(f"document.querySelector('#operations-{operation} .responses-table')")
    page.until("!document.querySelector('#answer').hidden")
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    seen = page.evaluate(CONTRAST)
    assert seen["texts"] > 100
    assert seen["found"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_command_prints_a_request_that_a_shell_sends(
    service: Stack, require: Callable[[object, str], None]
) -> None:
    require(shutil.which("curl"), "curl is not installed; on Debian and Ubuntu: apt install curl")
    environment = child_environment(service.settings)
    command = [sys.executable, "-m", "cli.main", "example"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    assert str(service.settings.api_key) not in printed
    sent = subprocess.run(
        ["/bin/sh"], input=printed, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    answer = json.loads(sent.stdout)
    assert (answer["transaction_id"], answer["degraded"], answer["sequence"]) == ("example-1", False, 1)


def test_the_example_can_be_sent_as_a_transaction_again_and_again(service: Stack) -> None:
    printed = [CliRunner().invoke(example, ["--json"], env=service.settings.to_environment()).stdout for _ in range(2)]
    made = read_transactions(BytesIO("".join(printed).encode()), skip=False, report=print)
    assert [(each.card_id, each.merchant_id) for each in made] == [(PAID.card_id, PAID.merchant_id)] * 2
    assert made[0].occurred_at == datetime(2025, 3, 11, 10, 21, 30, tzinfo=UTC)


def test_the_command_says_what_is_wrong_with_the_key(service: Stack) -> None:
    settings = structs.replace(service.settings, api_key=Secret("guess"))
    command = [sys.executable, "-m", "cli.main", "example"]
    refused = subprocess.run(
        command, env=child_environment(settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "refuses CARDWATCH_API_KEY: the API key is not valid" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_an_example_with_every_character_that_a_token_may_have_is_printed_safely(service: Stack) -> None:
    strange = structs.replace(PAID, card_id="'\"$(touch x)`\\ü", merchant_id="a b;c&d|e")
    ExampleTransactionFile(service.settings.tables).write(strange)
    try:
        answer = httpx.get(f"{service.settings.scoring_url}/v1/example", headers=service.key, trust_env=False)
        assert answer.json()["transaction"]["card_id"] == strange.card_id
        environment = child_environment(service.settings)
        command = [sys.executable, "-m", "cli.main", "example"]
        printed = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True).stdout
        script = b'curl() { for last; do :; done; printf %s "$last"; }\n' + printed
        sent = subprocess.run(["/bin/sh"], input=script, env=environment, capture_output=True, timeout=60, check=True)
        assert decode(sent.stdout.strip(), Transaction).card_id == strange.card_id
    finally:
        ExampleTransactionFile(service.settings.tables).write(PAID)
