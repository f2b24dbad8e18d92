"""Addresses with a login: how they are read, and that no text shows the login."""

from __future__ import annotations

import logging
import pickle
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from adapters.feature_store.redis import RedisStore
from adapters.runtime.addresses import (
    HttpUrl,
    SecretUrl,
    SplitAddress,
    SqlUrl,
    StoreUrl,
    plain,
    split_userinfo,
    without_userinfo,
)
from adapters.runtime.health import Health
from adapters.runtime.logs import set_up_logging
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import Misconfigured

PASSWORDS = [
    "Tr0ub4dor&3", "p@s/s#w%rd?:1", "p[ss", "p]ss", "p%2Fss", "p%ss", "pa ss", " spaces ", "quo'te", 'quo"te',
    "back\\slash", "do$$ar$HOME", "pässwörd", "密码", "a+b", "a=b&c;d", "://@", "`~!*()|<>{}^,",
]  # fmt: skip


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_of_its_own_is_taken_as_it_is_in_every_address(password: str) -> None:
    settings = read_settings(
        {
            "CARDWATCH_INDEX_URL": "postgresql://cardwatch@host:5432/archive",
            "CARDWATCH_DATABASE_URL": "postgresql://cardwatch@host:5432/mlflow",
            "CARDWATCH_POSTGRES_PASSWORD": password,
            "CARDWATCH_STORE_URL": "valkey://host:6379/0",
            "CARDWATCH_STORE_PASSWORD": password,
        }
    )
    assert split_userinfo(settings.index_url) == ("postgresql://host:5432/archive", "cardwatch", password)
    assert split_userinfo(settings.database_url) == ("postgresql://host:5432/mlflow", "cardwatch", password)
    assert split_userinfo(settings.store_url) == ("valkey://host:6379/0", "", password)
    assert make_url(plain(settings.index_url)).password == password  # SQLAlchemy reads the same
    assert read_settings(settings.to_environment()) == settings


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_every_password_survives_an_address_and_is_never_shown(password: str) -> None:
    url = SqlUrl.parse("postgresql://me@host/db").with_password("begin" + password + "end")
    assert split_userinfo(url) == SplitAddress("postgresql://host/db", "me", "begin" + password + "end")
    assert SqlUrl.parse(plain(url)) == url
    assert str(url) == f"{url}" == "postgresql://host/db"
    assert repr(url) == "SqlUrl('postgresql://host/db')"


@pytest.mark.parametrize(
    "password", ["p@ss", "p/ss", "p#ss", "p?ss", "p[ss", "p%ss", "pa ss", "12/34", 'p"ss', "p\\ss"]
)
@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("CARDWATCH_INDEX_URL", "postgresql://hunter2:{}@host:5432/archive"),
        ("CARDWATCH_DATABASE_URL", "postgresql://hunter2:{}@host/mlflow"),
        ("CARDWATCH_STORE_URL", "redis://hunter2:{}@host:6379/0"),
        ("CARDWATCH_MLFLOW_URL", "http://hunter2:{}@host:5000"),
        ("CARDWATCH_PREFECT_URL", "https://hunter2:{}@host/api"),
    ],
)
def test_a_password_that_programs_read_differently_is_refused_without_showing_it(
    key: str, address: str, password: str
) -> None:
    with pytest.raises(Misconfigured, match=f"^{key}=") as refusal:
        read_settings({key: address.format(password + "hunter2")})
    assert "hunter2" not in str(refusal.value)
    # The same password, percent-encoded, is read as it is.
    read = read_settings({key: address.format(quote(password + "hunter2", safe=""))})
    assert split_userinfo(getattr(read, key.removeprefix("CARDWATCH_").lower())).password == password + "hunter2"


@pytest.mark.parametrize("text", ["hunter2:hunter2@host", "hunter2@postgres", "ftp://hunter2:hunter2@host"])
def test_an_address_of_another_scheme_is_refused_without_a_login_in_it(text: str) -> None:
    with pytest.raises(Misconfigured, match="begins with none of http://, https://") as refusal:
        read_settings({"CARDWATCH_MLFLOW_URL": text})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("CARDWATCH_INDEX_URL", "postgresql://me@host/archive?password=hunter2"),
        ("CARDWATCH_DATABASE_URL", "postgresql://host/mlflow?user=me&sslpassword=hunter2"),
        ("CARDWATCH_STORE_URL", "redis://host:6379/0?PASSWORD=hunter2"),
        ("CARDWATCH_MLFLOW_URL", "https://host/?access_token=hunter2"),
        ("CARDWATCH_TRACES_URL", "https://host/v1/traces?api-key=hunter2"),
        ("CARDWATCH_TRACES_URL", "https://host/v1/traces?a=1&key=hunter2"),
        ("CARDWATCH_PREFECT_URL", "https://host/api?apikey=hunter2"),
        ("CARDWATCH_MLFLOW_URL", "https://host/?sig=hunter2"),
    ],
)
def test_a_password_behind_the_path_of_an_address_is_refused_without_showing_it(key: str, address: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{key}=.* has a password or key after the ") as refused:
        read_settings({key: address})
    assert "hunter2" not in str(refused.value)
    for plain_option in ("redis://host/0?ssl_keyfile=key.pem", "redis://host/0?ssl_cert_reqs=none"):
        assert plain(read_settings({"CARDWATCH_STORE_URL": plain_option}).store_url) == plain_option
    table = "dynamodb://TABLE?region=eu-central-1&endpoint=http://localhost:5000"
    assert plain(read_settings({"CARDWATCH_STORE_URL": table}).store_url) == table


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("redis://127.0.0.1:9/0?foo=bar", "has an option that cannot be used: .*'foo'"),
        ("redis://127.0.0.1:9/0?socket_timeout=soon", "has an option that cannot be used: .*'socket_timeout'"),
        ("rediss://127.0.0.1:9/0?ssl_cert_reqs=perhaps", "has an option that cannot be used: .*perhaps"),
        ("valkey://127.0.0.1:9/cards", "'/cards' is not the number of a database, like /0"),
    ],
)
def test_an_option_that_the_client_of_a_store_does_not_know_is_refused(address: str, message: str) -> None:
    with pytest.raises(Misconfigured, match=f"^CARDWATCH_STORE_URL:? {message}"):
        RedisStore(StoreUrl.parse(address))


def test_two_passwords_for_one_address_are_refused_and_the_same_one_twice_is_not() -> None:
    given = {"CARDWATCH_INDEX_URL": "postgresql://me:hunter2@host/db", "CARDWATCH_POSTGRES_PASSWORD": "hunter3"}
    with pytest.raises(Misconfigured, match="another one is in CARDWATCH_POSTGRES_PASSWORD") as refusal:
        read_settings(given)
    assert "hunter" not in str(refusal.value)
    read_settings({**given, "CARDWATCH_POSTGRES_PASSWORD": "hunter2"})


def test_a_password_without_a_user_is_refused() -> None:
    with pytest.raises(Misconfigured, match="CARDWATCH_INDEX_URL names no user"):
        read_settings({"CARDWATCH_INDEX_URL": "postgresql://host/db", "CARDWATCH_POSTGRES_PASSWORD": "x"})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://alice:hunter2@host:5000/x", "http://host:5000/x"),
        ("no answer at http://alice:hunter2@host: refused", "no answer at http://host: refused"),
        ("http://alice:hun@ter2@host", "http://host"),
        ("postgresql+psycopg://me:hun/ter2#?@host/db", "postgresql+psycopg://host/db"),
        ("redis://:hunter2@a and http://hunter2@b", "redis://a and http://b"),
        ('{"url": "http://a:hunter2@b/", "mail": "me@x"}', '{"url": "http://b/", "mail": "me@x"}'),
        ("nothing to hide, me@example.org, http://host/path", "nothing to hide, me@example.org, http://host/path"),
    ],
)
def test_a_text_is_shown_without_the_logins_of_its_addresses(text: str, shown: str) -> None:
    assert without_userinfo(text) == shown


@pytest.mark.parametrize("kind", [HttpUrl, StoreUrl, SqlUrl])
def test_an_address_shows_no_login_however_it_is_printed(kind: type[SecretUrl]) -> None:
    url = kind(f"{kind.schemes[0]}://alice:hunter2@host/db")
    shown = [str(url), repr(url), f"{url}", f"{url!s} {url!r}", "%s %r" % (url, url), "{}".format(url)]  # noqa: UP031, UP032
    assert not [text for text in shown if "alice" in text or "hunter2" in text]
    assert pickle.loads(pickle.dumps(url)) == url == plain(url)  # noqa: S301


def test_settings_show_no_login_even_of_plain_strings() -> None:
    settings = Settings(
        mlflow_url="http://alice:hunter2@h",  # type: ignore[arg-type]
        prefect_url="http://alice:hunter2@h",  # type: ignore[arg-type]
        scoring_url="http://alice:hunter2@h",  # type: ignore[arg-type]
        store_url="redis://alice:hunter2@h",  # type: ignore[arg-type]
        index_url="postgresql://alice:hunter2@h/d",  # type: ignore[arg-type]
        database_url="postgresql://alice:hunter2@h/d",  # type: ignore[arg-type]
    )
    assert "hunter2" not in repr(settings) + str(settings)
    assert "alice" not in repr(settings)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_log_line_shows_no_login_even_in_a_traceback(
    log_format: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up_logging(Settings(home=tmp_path, log_format=log_format), "test")
        try:
            raise ValueError("http://alice:hunter2@host is down")
        except ValueError:
            logging.getLogger("cardwatch").exception("no answer from %s", "http://alice:hunter2@host/path")
        root.handlers[0].flush()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    written = capsys.readouterr().err
    assert "http://host/path" in written
    assert "http://host is down" in written
    assert "hunter2" not in written
    assert sys.exc_info() == (None, None, None)


def test_a_health_check_shows_no_login() -> None:
    health = Health()
    health.waiting("nothing answers at http://alice:hunter2@host")
    assert health.why_not_ready == "nothing answers at http://host"
