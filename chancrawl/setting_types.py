"""The kinds of settings: each reads a value, says in one sentence what is wrong with it, and describes what it accepts.

setting_rows.py gives each setting its kind.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

from chancrawl.arguments import home
from chancrawl.errors import UserError

LIMIT = 10**9
"""Numbers are smaller than this."""


class ValueType(Protocol):
    """A kind of setting."""

    @property
    def words(self) -> str:
        """What it accepts, for the tables of settings."""

    def read(self, name: str, value: Any) -> Any:
        """The value as a crawl uses it. UserError for one that is not accepted."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number, `lowest` or more; with `is_above` more than `lowest`; with `is_optional` nothing is accepted too."""

    lowest: float
    unit: str = ""
    is_whole: bool = False
    is_above: bool = False
    is_optional: bool = False

    @property
    def words(self) -> str:
        what = " of ".join(filter(None, ["whole number", self.unit])) if self.is_whole else self.unit or "number"
        return f"{what}, {self._bounds}"

    @property
    def _bounds(self) -> str:
        return f"above {self.lowest:g}" if self.is_above else f"{self.lowest:g} or more"

    def read(self, name: str, value: Any) -> Any:
        if self.is_optional and value in (None, ""):
            return value
        bounds = self._bounds
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            number = int(value) if self.is_whole else float(value)
            if self.lowest <= number < LIMIT and not (self.is_above and number == self.lowest):
                return value
            if number >= LIMIT:
                bounds = f"less than {LIMIT:,}"
        what = " of ".join(filter(None, ["a whole number" if self.is_whole else "a number", self.unit]))
        raise UserError(f"{name} is {value!r}; it has to be {what}, {bounds}.")


@dataclass(frozen=True, slots=True)
class Flag:
    """1 or 0, read as True or False."""

    words: str = "`1` or `0`"

    def read(self, name: str, value: Any) -> bool:
        text = str(value).lower()
        if text not in ("0", "1", "true", "false", "none", ""):
            raise UserError(f"{name} is {value!r}; it has to be 1 or 0.")
        return text in ("1", "true")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words; with `is_upper` in upper or lower case, read as upper case."""

    values: tuple[str, ...]
    is_upper: bool = False

    @property
    def words(self) -> str:
        return _listed([f"`{value}`" for value in self.values])

    def read(self, name: str, value: Any) -> str:
        text = str(value).upper() if self.is_upper else str(value)
        if text not in self.values:
            raise UserError(f"{name} is {value!r}; it has to be {_listed(self.values)}.")
        return text


def _listed(values: Any) -> str:
    """
    >>> _listed(["a", "b", "c"])
    'a, b or c'
    """
    *others, last = values
    return f"{', '.join(others)} or {last}"


@dataclass(frozen=True, slots=True)
class Text:
    """A text on one line, not empty."""

    words: str = "text"

    def read(self, name: str, value: Any) -> Any:
        if not value:
            raise UserError(f"{name} is empty; leave it out for its default.")
        if re.search(r"[\x00-\x1f\x7f]", str(value)):
            raise UserError(f"{name} has a control character in it, for example a line break; leave that out.")
        return value


@dataclass(frozen=True, slots=True)
class AnyText:
    """A text on one line, or nothing; with `has_lines` on several."""

    words: str = "text"
    has_lines: bool = False

    def read(self, name: str, value: Any) -> str:
        text = str(value or "")
        if re.search(r"[\x00-\x1f\x7f]", text.replace("\n", "") if self.has_lines else text):
            raise UserError(f"{name} has a control character in it, for example a line break; leave that out.")
        return text


@dataclass(frozen=True, slots=True)
class PathName:
    """A path; `~` at its beginning is read as the home folder. `is_new`: a file that will be written."""

    words: str = "path"
    is_needed: bool = False
    is_new: bool = False

    def read(self, name: str, value: Any) -> Any:
        if not value:
            if self.is_needed:
                raise UserError(f"{name} is empty; leave it out for its default.")
            return value
        if "\x00" in str(value):
            raise UserError(f"{name} has a NUL character in it; write the path without it.")
        path = home(value) if isinstance(value, str) and value.startswith("~") else value
        if self.is_new and not Path(str(path)).absolute().parent.is_dir():
            raise UserError(f"{name} is {path}, but there is no folder {Path(str(path)).absolute().parent}.")
        return path


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """The http or https address of an API, without user and password."""

    example: str
    words: str = "http or https address"

    def read(self, name: str, value: Any) -> Any:
        try:
            address = urlsplit(str(value or ""))
            is_good = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
            is_good = is_good and not address.username
        except ValueError:
            is_good = False
        if not is_good:
            raise UserError(f"{name} has to be an address such as {self.example}, without user and password.")
        return value


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """An address that libpq takes, or nothing.

    That includes several hosts, parameters, and `host=… dbname=…`.
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
    """

    words: str = "PostgreSQL address"

    def read(self, name: str, value: Any) -> Any:
        """UserError never shows the address: it can hold a password."""
        if not value or _is_database(str(value)):
            return value
        raise UserError(
            f"{name} is no PostgreSQL address; write postgresql://user:password@host:5432/name, with signs such as "
            "@, / and % in the password as %40, %2F and %25."
        )


def _is_database(url: str) -> bool:
    try:
        parts = parse_dsn(url)
    except (ValueError, psycopg2.Error):
        return False
    if not url.startswith(("postgresql://", "postgres://")):
        return "://" not in url
    # A sign that has a meaning in addresses, unescaped in a password, would make a host, a port or a name of its rest.
    ports = str(parts.get("port") or "5432").split(",")
    is_whole = "@" not in f"{parts.get('host', '')}{parts.get('dbname', '')}"
    return is_whole and all(not port or (port.isdigit() and int(port) > 0) for port in ports)


@dataclass(frozen=True, slots=True)
class ProxyAddresses:
    """Addresses of proxies between commas, or nothing. chancrawl.proxies checks them when they are used."""

    words: str = "addresses, separated by commas"

    def read(self, name: str, value: Any) -> Any:
        return value


@dataclass(frozen=True, slots=True)
class Umask:
    """Three octal digits, or nothing."""

    words: str = "three octal digits"

    def read(self, name: str, value: Any) -> str:
        digits = str(value or "")
        if digits and not re.fullmatch("0?[0-7]{3}", digits):
            raise UserError(f"{name} is {digits}; it has to be three octal digits, for example 027.")
        return digits
