"""Files of handles, one a line, read as a stream: they may have millions of lines."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import logging
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

from scrapy.statscollectors import StatsCollector

from chancrawl.errors import UserError
from chancrawl.x.api import HANDLE
from chancrawl.x.fields import id_of

logger = logging.getLogger(__name__)

CHUNK = 500

NUMBER_COLUMNS = ("author_id", "user_id", "account_id", "id")
NAME_COLUMNS = ("username", "handle", "screen_name")


def is_file(value: str) -> bool:
    """Whether `handles=` or `queries=` names a file: it is there, or looks like one.

    >>> is_file("nasa,@esa"), is_file("handle.txt")
    (False, True)
    """
    if value.lower().endswith((".txt", ".csv", ".lst")):
        return True
    try:
        return "," not in value and len(value) < 250 and Path(value).is_file()
    except (OSError, ValueError):
        return False


def next_of(file: Path) -> Path:
    """The file beside a list of handles for the accounts that were retweeted and are not in it."""
    return file.with_name(f"{file.stem}.next{file.suffix or '.txt'}")


def refuse_credentials(name: str, file: Path) -> None:
    """UserError for a list that is a file of credentials: its lines would come into the log, or be sent to X."""
    with contextlib.suppress(OSError), file.open("rb") as stream:
        head = stream.read(4096).lower()
        if any(column.encode() in head for column in SECRET_COLUMNS):
            raise UserError(f"{name}={file}: that is a file of credentials; name the one that you mean for {name}.")


SECRET_COLUMNS = ("consumer_secret", "access_token_secret", "bearer_token")


_SITES = re.compile(r"(?:https?://)?(?:www\.|mobile\.|m\.)?(?:x|twitter)\.com/", re.IGNORECASE)
_PAGES = {"i", "home", "search", "hashtag", "explore", "intent", "settings", "notifications", "messages", "share"}


def handles_of(line: str) -> tuple[list[str], list[str]]:
    """The handles of a line, without @, and the words that are not handles. `#` begins a comment.

    Numbers are written id:783214. Digits alone may be a number or a name: they are neither.

    >>> handles_of("@NASA, esa  # space"), handles_of("https://x.com/nasa/status/1?s=20 id:783214")
    ((['NASA', 'esa'], []), (['nasa', 'id:783214'], []))
    >>> handles_of("783214 @783214 no-handle")
    (['783214'], ['783214', 'no-handle'])
    """
    plain = line.strip().removeprefix("@")
    if HANDLE.fullmatch(plain) and not plain.isdigit():
        return [plain], []  # as most lines are
    found, odd = [], []
    for word in re.split(r"[\s,;]+", re.split(r"(?:^|\s)#", line, maxsplit=1)[0]):
        name = word.strip("\"'")
        is_address = bool(_SITES.match(name))
        if is_address:
            parts = re.split(r"[/?#]", _SITES.sub("", name, count=1))
            name = f"id:{parts[2]}" if parts[:2] == ["i", "user"] and len(parts) > 2 else parts[0].removeprefix("@")
        if not name:
            continue
        number = id_of(name[3:]) if name.lower().startswith("id:") else None
        if number is not None:
            found.append(f"id:{number}")
            continue
        plain = name.removeprefix("@")
        is_name = bool(HANDLE.fullmatch(plain)) and not (is_address and plain.lower() in _PAGES)
        if is_name and (is_address or name.startswith("@") or not plain.isdigit()):
            found.append(plain)
        else:
            odd.append(word)
    return found, odd


class Handles:
    """The handles of a file, or of a list between commas, in chunks without repetitions.

    A file has some on each line; a CSV file with a column for numbers (id, author_id, user_id) or names (username,
    handle, screen_name) is understood too.
    """

    def __init__(self, value: str, stats: StatsCollector) -> None:
        self.value = value
        self.stats = stats
        self.is_file = is_file(value)
        if self.is_file and not Path(value).is_file():
            raise UserError(f"handles={value}: there is no such file; it holds one handle a line.")
        if self.is_file:
            refuse_credentials("handles", Path(value))

    def _lines(self) -> Iterator[tuple[int, str]]:
        if not self.is_file:
            yield from enumerate(self.value.split(","), 1)
            return
        try:
            with Path(self.value).open(encoding="utf-8-sig", newline="") as file:
                first = file.readline()
                file.seek(0)
                column = _column(first)
                if column is None:
                    yield from enumerate(file, 1)
                else:
                    place, is_number = column
                    for number, row in enumerate(csv.reader(file), 1):
                        cell = row[place].strip() if number > 1 and len(row) > place else ""
                        yield number, f"{'id:' if is_number else '@'}{cell.removeprefix('@')}" if cell else ""
        except OSError as error:
            raise UserError(f"handles={self.value}: the file cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise UserError(f"handles={self.value}: the file is no text in UTF-8.") from None
        except csv.Error as error:
            raise UserError(f"handles={self.value}: the file is no CSV file ({error}).") from None

    def _valid(self) -> Iterator[str]:
        found = False
        for number, line in self._lines():
            handles, odd = handles_of(line)
            for word in odd:
                self.stats.inc_value("x/handles_invalid")
                hint = f"write id:{word} for the account with this number, or @{word} for the one with this name" if (
                    word.isdigit()) else "letters, digits and _, at most 15"  # fmt: skip
                # A word of a file that is not a handle may be a secret: the log does not show it.
                shown = f"{word[:40]!r} is" if word.isdigit() or not self.is_file else "there is a word that is"
                logger.warning(
                    "handles=%s, line %d: %s no handle (%s); passed over.", self.value[:200], number, shown, hint
                )
            found = found or bool(handles)
            yield from handles
        if not found:
            raise UserError(f"handles={self.value[:200]}: there is no handle in it; write one a line.")

    def count(self) -> int | None:
        """How many handles there are; None for a file that is too long to be read only for that."""
        if self.is_file and Path(self.value).stat().st_size > 1_000_000:
            return None
        return len({handle.lower() for _, line in self._lines() for handle in handles_of(line)[0]})

    async def chunks(self) -> AsyncIterator[dict[str, str]]:
        """Handles by their lower case, some hundred at a time."""
        handles = self._valid()
        while chunk := await asyncio.to_thread(lambda: list(islice(handles, CHUNK))):
            yield {handle.lower(): handle for handle in chunk}


def _column(first: str) -> tuple[int, bool] | None:
    """Where a CSV file has the accounts, and whether by number; None if the first line is no header."""
    names = [name.strip().lower() for name in next(csv.reader([first]), [])]
    for wanted, is_number in ((NUMBER_COLUMNS, True), (NAME_COLUMNS, False)):
        for name in wanted:
            if name in names and (len(names) > 1 or name != "id"):
                return names.index(name), is_number
    return None
