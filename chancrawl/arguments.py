"""Spider arguments (`-a name=value`) read, with one sentence for what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable

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


def reject_unknown(spider: str, unknown: Iterable[str], known: Iterable[str]) -> None:
    """UserError for an argument that the spider does not have: a typing error would silently change what is crawled.

    Names that begin with `_` are Scrapyd's (`_job`).
    """
    for name in unknown:
        if name.startswith("_"):
            continue
        raise UserError(f"The {spider} spider has no argument {name}; it has {', '.join(known)}.")
