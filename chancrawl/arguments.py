"""Spider arguments (`-a name=value`) read, with one sentence for what is wrong. Sans I/O.

A spider has a dataclass of its arguments; what they accept, what the log and `scrapy spiders` say and the tables of the
documentation follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from chancrawl.errors import UserError
from chancrawl.text import LARGEST_NO

T = TypeVar("T")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a spider: how its value is read, and what `scrapy spiders` and the documentation say of it.

    `given` is the value where none is given; `default` what stands for it in the documentation.
    """

    parse: Callable[[str, str], Any]
    meaning: str
    default: str
    given: str


def argument(parse: Callable[[str, str], T], meaning: str, default: str, given: str = "") -> T:
    """A field of a dataclass of arguments; `parse` is called with the argument's name and value.

    class Arguments:
        board: list[str] = argument(board_names, "one board, or several separated by commas", "–")
    """
    found: T = field(metadata={"argument": Argument(parse, meaning, default, given)})
    return found


def arguments_of(arguments: type[Any]) -> dict[str, Argument]:
    """The arguments of a dataclass by name, in order."""
    return {each.name: each.metadata["argument"] for each in fields(arguments)}


def texts(spider: str, arguments: type[Any], given: Mapping[str, str]) -> dict[str, str]:
    """The values of all arguments as texts. UserError for an argument that the spider does not have."""
    known = arguments_of(arguments)
    reject_unknown(spider, [name for name in given if name not in known], known)
    return {name: given.get(name, each.given) for name, each in known.items()}


def parsed(arguments: type[A], values: Mapping[str, str]) -> A:
    """The arguments read from the texts of `texts`. UserError, in one sentence, for the first bad value."""
    return arguments(**{name: each.parse(name, values[name]) for name, each in arguments_of(arguments).items()})


def well_formed(name: str, value: str) -> str:
    """The value. UserError for bytes that are not UTF-8, which a shell can give."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"{name} has bytes that are not UTF-8.") from None
    return value


def words(name: str, value: str) -> str:
    return value.strip()


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


_SITE = re.compile(r"(?:https?:)?(?://)?(?:www\.|boards\.)?4chan(?:nel)?\.org", re.IGNORECASE)


def board_names(name: str, value: str) -> list[str]:
    """Names of boards between commas, as people write them, without repetitions.

    >>> board_names("board", "po, /g/,https://boards.4chan.org/pol/catalog")
    ['po', 'g', 'pol']
    """
    found = []
    for part in value.split(","):
        board = _SITE.sub("", part.strip(), count=1).strip("/").partition("/")[0].lower()
        if board and not (board.isascii() and board.isalnum()):
            raise UserError(f"{name}={part.strip()}: the name of a board is wanted, for example -a {name}=po.")
        if board:
            found.append(board)
    return list(dict.fromkeys(found))


def thread_numbers(name: str, value: str) -> tuple[list[int], list[str]]:
    """Threads between commas, by number or by address: their numbers, and the boards that the addresses name.

    >>> thread_numbers("threads", "570368, https://boards.4chan.org/po/thread/570370/crane#p570371,/po/thread/5")
    ([570368, 570370, 5], ['po'])
    """
    numbers, boards = [], []
    for part in filter(str.strip, value.split(",")):
        place = _SITE.sub("", part.strip(), count=1).strip("/")
        match place.partition("#")[0].split("/"):
            case [board, "thread" | "res", no, *_]:
                boards += board_names(name, board)
            case [no]:
                pass
            case _:
                raise UserError(f"{name}={part.strip()}: the number or the address of a thread is wanted.")
        found = number(name, no.removesuffix(".json"))
        if found is not None:
            numbers.append(found)
    return list(dict.fromkeys(numbers)), list(dict.fromkeys(boards))


def home(value: str) -> str:
    """A path with ~ at its beginning, as the shell would give it."""
    if not value.strip().startswith("~"):
        return value
    try:
        return str(Path(value.strip()).expanduser())
    except RuntimeError:
        raise UserError(f"{value}: there is no home folder for it; write the whole path.") from None


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


def one_of(*values: str) -> Callable[[str, str], str]:
    """Reads one of some words."""

    def parse(name: str, value: str) -> str:
        if value not in values:
            raise UserError(f"{name}={value}: use {' or '.join(values)}.")
        return value

    return parse


def moment_of(name: str, value: str) -> datetime | None:
    """A day or a time, in UTC unless it says otherwise.

    >>> moment_of("since", "2026-01-01").isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    if not value:
        return None
    try:
        time = datetime.fromisoformat(value.strip())
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        if not 1970 <= time.year < 3000:
            raise ValueError
        return time
    except (ValueError, OverflowError):
        raise UserError(f"{name}={value}: a day is wanted, for example -a {name}=2026-01-01.") from None


def moment(name: str, value: str) -> datetime | None:
    """A day or a time of the past at which there was an X; see `moment_of`."""
    time = moment_of(name, value)
    if time is None:
        return None
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
