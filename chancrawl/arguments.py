"""Spider arguments (`-a name=value`) read, with one sentence for what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from chancrawl.errors import UserError
from chancrawl.markup import LARGEST_NO


def number(name: str, value: str) -> int | None:
    """A positive number; None for nothing.

    >>> number("sample", "10")
    10
    """
    if not value:
        return None
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:20]) <= LARGEST_NO):
        raise UserError(f"{name}={value}: a whole number above 0 is wanted, for example -a {name}=10.")
    return int(digits)


def numbers(name: str, value: str) -> list[int]:
    """Numbers between commas, without repetitions.

    >>> numbers("threads", "570368, 570370,570368")
    [570368, 570370]
    """
    found = (number(name, part) for part in value.split(",") if part.strip())
    return list(dict.fromkeys(no for no in found if no is not None))


def yes_or_no(name: str, value: str) -> bool:
    """
    >>> yes_or_no("archive", "0")
    False
    """
    if value.lower() in ("1", "true", "yes"):
        return True
    if value.lower() in ("0", "false", "no", ""):
        return False
    raise UserError(f"{name}={value}: 1 or 0 is wanted.")


def moment(name: str, value: str) -> datetime | None:
    """A day or a time, in UTC unless it says otherwise.

    >>> moment("since", "2026-01-01").isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    if not value:
        return None
    try:
        time = datetime.fromisoformat(value.strip())
    except ValueError:
        raise UserError(f"{name}={value}: a day is wanted, for example -a {name}=2026-01-01.") from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if not FIRST_POST <= time <= datetime.now(UTC):
        raise UserError(f"{name}={value}: a day between {FIRST_POST:%Y-%m-%d} and today is wanted.")
    return time


FIRST_POST = datetime(2006, 3, 21, tzinfo=UTC)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(name: str, value: str) -> timedelta | None:
    """
    >>> duration("follow", "15m")
    datetime.timedelta(seconds=900)
    """
    if value.strip() in ("", "0"):
        return None
    digits, unit = value.strip()[:-1], value.strip()[-1:]
    if not (digits.isascii() and digits.isdigit() and int(digits[:9]) > 0 and unit in _UNITS):
        raise UserError(f"{name}={value}: a time such as 30s, 15m, 6h or 1d is wanted.")
    return timedelta(seconds=int(digits[:9]) * _UNITS[unit])


def reject_unknown(spider: str, unknown: Iterable[str], known: Iterable[str]) -> None:
    """UserError for an argument that the spider does not have: a typing error would silently change what is crawled.

    Names that begin with `_` are Scrapyd's (`_job`).
    """
    for name in unknown:
        if name.startswith("_"):
            continue
        raise UserError(f"The {spider} spider has no argument {name}; it has {', '.join(known)}.")
