"""Reads, writes and compares untrusted JSON, and gets typed values from it. Sans I/O."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Sequence
from hashlib import blake2b
from math import isfinite
from typing import Any

import orjson

from chancrawl.items import Raw
from chancrawl.text import clean

_DIGITS = bytes(ord("0") if chr(byte).isdigit() else ord(" ") for byte in range(128)) + b" " * 128


class Malformed(ValueError):
    """A payload does not have the expected form. Parsers raise it; the text is the reason."""


def loads(body: bytes) -> Any:
    """Parse JSON. It keeps lone surrogates, which a strict parser refuses, and long numbers, which it would round.

    >>> loads(b'["\\\\ud83d"]')
    ['\\ud83d']
    """
    if b"0" * 20 not in body.translate(_DIGITS):  # no number above 2^64; faster than a regular expression
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(body)
    problems: list[str] = []
    try:
        value = _parsed(body, problems)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    if problems:
        raise Malformed(problems[0])
    return value


def mended(body: bytes) -> tuple[Any, list[str]]:
    """Parse JSON with small defects, so that one wrong byte does not make a whole thread unreadable.

    Returns the value and the defects. A byte that is not UTF-8 becomes U+FFFD, a raw control character in a text stays,
    and a number that is invalid or out of range becomes null. Malformed if it is not JSON even then.

    >>> mended(b'{"a": "x\\xff", "b": 1e999}')
    ({'a': 'x\ufffd', 'b': None}, ['bytes that are no UTF-8', '1e999 is no number'])
    """
    try:
        return loads(body), []
    except Malformed as error:
        text = body.decode("utf-8", "replace").removeprefix("\ufeff")
        is_torn = text.count("\ufffd") > body.count(b"\xef\xbf\xbd")
        problems = ["bytes that are no UTF-8"] if is_torn else []
        try:
            value = _parsed(text, problems)
        except (ValueError, RecursionError):
            raise error from None
        return value, problems or ["control characters in a text"]


def _parsed(text: str | bytes, problems: list[str]) -> Any:
    """Parse JSON that can have raw control characters in texts. Invalid numbers become null, and are named."""

    def no_number(digits: str) -> None:
        problems.append(f"{digits[:40]} is no number")

    def number(digits: str) -> float | None:
        value = float(digits)
        if isfinite(value):
            return value
        no_number(digits)
        return None

    strict = isinstance(text, bytes)
    return json.loads(text, parse_constant=no_number, parse_float=number, strict=strict)


def dumps(value: Any) -> str:
    """Compact JSON. `loads` returns the same value, also for lone surrogates, which are escaped."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"))


def fingerprint(value: Any) -> int:
    """A hash of a value. It differs between processes."""
    try:
        return hash(orjson.dumps(value))
    except TypeError:
        with contextlib.suppress(RecursionError):
            return hash(dumps(value))
    return 0


def digest(raw: Raw, without: frozenset[str] = frozenset()) -> int:
    """A 64-bit hash of a post without the keys `without`, so that it does not change if only the thread changes."""
    version = {key: value for key, value in raw.items() if key not in without}
    try:
        text = orjson.dumps(version, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        if _is_deep(version):
            raise Malformed("nested too deeply") from None
        text = json.dumps(version, sort_keys=True).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def _is_deep(value: Any, levels: int = 100) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and (levels == 0 or any(_is_deep(inner, levels - 1) for inner in value))


class Fields:
    """Gets typed values from an untrusted object. Keys with a value of another type are recorded in `problems`."""

    __slots__ = ("problems", "raw")

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.problems: Sequence[str] = ()

    def number(self, key: str, most: int = 2**31 - 1) -> int | None:
        value = self.raw.get(key)
        if value is None or (type(value) is int and 0 <= value <= most):
            return value
        self._odd(key)
        return None

    def time(self, key: str) -> int | None:
        """Seconds since 1970, up to the year 9999."""
        return self.number(key, most=253402300799)

    def flag(self, key: str) -> bool:
        value = self.raw.get(key)
        if value is None or type(value) in (int, bool):
            return bool(value)
        self._odd(key)
        return False

    def text(self, key: str) -> str | None:
        value = self.raw.get(key)
        if type(value) is str:
            return clean(value)
        if value is not None:
            self._odd(key)
        return None

    def md5(self, key: str) -> str | None:
        value = self.raw.get(key)
        packed = None if value is None else _hex_of(value)
        if value is not None and packed is None:
            self._odd(key)
        return packed

    def _odd(self, key: str) -> None:
        self.problems = (*self.problems, f"{key} is {clean(repr(self.raw[key]))[:80]}")


def _hex_of(packed: Any) -> str | None:
    """The 32 hexadecimal digits of an MD5 hash, which is sent as 16 bytes in base64; None if it is not one.

    >>> _hex_of("uZUeZeB14FVR+Mc2ScHvVA==")
    'b9951e65e075e05551f8c73649c1ef54'
    """
    try:
        digest_bytes = base64.b64decode(packed, validate=True)
    except (TypeError, ValueError, binascii.Error):
        return None
    return digest_bytes.hex() if len(digest_bytes) == 16 else None
