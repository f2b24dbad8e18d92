"""Addresses that may hold a user and a password: how they are read, split and shown.

`without_userinfo` is the only function that masks. Log lines, health checks and error messages pass through it, and the
adapters of HTTP servers keep the login apart from the address, so that no library can show it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import ClassVar, Final, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from cardwatch.errors import Misconfigured

# The last @ of a word ends the userinfo, because an unquoted password may itself contain @, / and #.
_USERINFO: Final = re.compile(r'(?<=://)[^\s"<>]*@')
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SECRET_NAME: Final = re.compile(
    "passw|passphrase|pwd|secret|token|credential|signature|(api|access|account|auth|license|subscription)[_-]?key"
    "|^(x-)?(pass|auth|authorization|key|sig)$",
    re.IGNORECASE,
)
_FORBIDDEN: Final = re.compile(r'[\s\x00-\x1f\x7f"<>\\^`{|}]')


class Secret(str):
    """A string that is masked in logs and tracebacks."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return a mask that does not depend on the value."""
        return "Secret('***')"


class SecretUrl(Secret):
    """An address that may hold a user and a password. It is shown without them; `plain` returns the whole address."""

    __slots__ = ()
    schemes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, raw: str) -> Self:
        """Return the address, with every special character of user and password percent-encoded.

        Raises `ValueError`, whose text holds neither of them, for another scheme and for an address that two programs
        could read differently, because its password holds a character that must be percent-encoded.
        """
        scheme, separator, rest = raw.partition("://")
        if scheme not in cls.schemes or not rest:
            known = f"{scheme}://..." if separator and _SCHEME.fullmatch(scheme) else "..."
            shown = known if separator or "@" in raw else repr(raw)
            raise ValueError(f"{shown} begins with none of {', '.join(f'{scheme}://' for scheme in cls.schemes)}")
        return cls(_normalised(raw))

    def with_password(self, password: str) -> Self:
        """Return the address with this password, which is taken as it is. Raises `ValueError` if it has another one."""
        url, user, given = split_userinfo(self)
        if given and given != password:
            raise ValueError("it holds a password already")
        scheme, _, rest = url.partition("://")
        return type(self)(f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}")

    def __repr__(self) -> str:
        """Return the type and the address without userinfo."""
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        """Return the address without userinfo."""
        return without_userinfo(plain(self))

    def __format__(self, specification: str) -> str:
        """Return the address without userinfo, so that no message shows it."""
        return format(str(self), specification)


class HttpUrl(SecretUrl):
    """Address of an HTTP server."""

    __slots__ = ()
    schemes = ("http", "https")


class StoreUrl(SecretUrl):
    """Address of a feature store."""

    __slots__ = ()
    schemes = ("redis", "rediss", "valkey", "dynamodb")


class SqlUrl(SecretUrl):
    """Address of an SQL database."""

    __slots__ = ()
    schemes = ("postgresql",)

    @classmethod
    def parse(cls, raw: str) -> Self:
        """See `SecretUrl.parse`. The database must be named."""
        url = super().parse(raw)
        if not urlsplit(plain(url)).path.strip("/"):
            raise ValueError("postgresql://... names no database, like postgresql://user@host:5432/database")
        return url


class SplitAddress(NamedTuple):
    """An address without userinfo, and its user and password, percent-decoded; empty if it has none."""

    url: str
    username: str
    password: str


def without_userinfo(text: str) -> str:
    """Return an address, or a message that holds addresses, without the user and password of each."""
    return _USERINFO.sub("", text)


def split_userinfo(address: str) -> SplitAddress:
    """Return an address in its parts."""
    scheme, separator, rest = plain(address).partition("://")
    authority, path = _split_authority(rest)
    userinfo, _, host = authority.rpartition("@")
    username, _, password = userinfo.partition(":")
    return SplitAddress(f"{scheme}{separator}{host}{path}", unquote(username), unquote(password))


def is_unicode(value: str) -> bool:
    """Return whether a variable or argument was UTF-8. Python keeps other bytes as halves of surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def plain(value: str) -> str:
    """Return a secret or any other string as it is."""
    return str.__str__(value)


def basic_authorization(login: str) -> str:
    """Return the value of the header `Authorization` for a login like `user:password`."""
    return "Basic " + b64encode(login.encode()).decode()


def bearer_authorization(token: str, *, variable: str) -> str:
    """Return the value of the header `Authorization` for a token, which is that of `variable`.

    Raises `Misconfigured`, without the token, for one that no header can carry: a library would quote it in its error.
    """
    if not (token.isascii() and (not token or token.isprintable())):
        raise Misconfigured(
            f"{variable} cannot be sent in a header: it has a line end, another control character, or one that is not "
            "ASCII. A file or a secret often ends with a line end"
        )
    return f"Bearer {token}"


def _split_authority(rest: str) -> tuple[str, str]:
    end = min((at for sign in "/?#" if (at := rest.find(sign)) >= 0), default=len(rest))
    return rest[:end], rest[end:]


def _normalised(raw: str) -> str:
    scheme, _, rest = raw.partition("://")
    authority, path = _split_authority(rest)
    userinfo, _, host = authority.rpartition("@")
    unclear = f"{scheme}://... has a character in its user or password that must be percent-encoded, as %40 for @"
    if "@" in userinfo + path or _BROKEN_ESCAPE.search(userinfo) or _FORBIDDEN.search(userinfo):
        raise ValueError(unclear)
    username, colon, password = userinfo.partition(":")
    try:
        parts = [quote(unquote(part, errors="strict"), safe="") for part in (username, password)]
        is_readable = not _FORBIDDEN.search(host + path) and not set("[]") & set(userinfo)
        urlsplit(f"{scheme}://{host}{path}").port  # noqa: B018 (it raises ValueError for what is no port)
    except ValueError:
        is_readable = False
    if not is_readable:
        # Part of an unquoted password may have been taken for the host, so none of it is shown.
        raise ValueError(f"{scheme}://... has a host or port that cannot be read; in a password, @ is written as %40")
    if any(map(_SECRET_NAME.search, parse_qs(path.partition("?")[2], keep_blank_values=True))):
        raise ValueError(
            f"{scheme}://... has a password or key after the ?, where it would be shown; give it before the host"
        )
    login = f"{parts[0]}{colon}{parts[1]}@" if userinfo else ""
    return f"{scheme}://{login}{host}{path}"
