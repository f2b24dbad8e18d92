"""The token of the console: given, or unknown to everybody."""

from __future__ import annotations

import pytest

from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured
from services.console.__main__ import token_of


def test_without_a_given_token_the_console_has_one_that_nobody_knows() -> None:
    tokens = {token_of(read_settings({})) for _ in range(2)}
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 32


def test_a_given_token_is_taken_and_a_short_one_refused() -> None:
    assert token_of(read_settings({"CARDWATCH_CONSOLE_TOKEN": "sixteen-letters-"})) == "sixteen-letters-"
    with pytest.raises(Misconfigured, match="at least 16 characters"):
        token_of(read_settings({"CARDWATCH_CONSOLE_TOKEN": "short"}))
