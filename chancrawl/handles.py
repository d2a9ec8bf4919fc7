"""Files of handles, one a line, read as a stream: they may have millions of lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

from scrapy.statscollectors import StatsCollector

from chancrawl.errors import UserError
from chancrawl.twitter import HANDLE

logger = logging.getLogger(__name__)

CHUNK = 500


def is_file(value: str) -> bool:
    """Whether `handles=` or `queries=` names a file: it is there, or looks like one.

    >>> is_file("nasa,@esa"), is_file("handle.txt")
    (False, True)
    """
    if value.lower().endswith((".txt", ".csv", ".lst")):
        return True
    return "," not in value and len(value) < 250 and Path(value).is_file()


def handle_of(line: str) -> str | None:
    """The handle of a line, without @; None for an empty line or a comment. ValueError if it is none.

    >>> handle_of("@NASA  # space"), handle_of("# nobody"), handle_of("https://x.com/esa")
    ('NASA', None, 'esa')
    """
    words = line.split("#", 1)[0].split()
    if not words:
        return None
    name = words[0].strip("\"',").removeprefix("@")
    for site in ("https://x.com/", "https://twitter.com/"):
        name = name.removeprefix(site).rstrip("/")
    if not HANDLE.fullmatch(name):
        raise ValueError(name)
    return name


class Handles:
    """The handles of a file, or of a list between commas, in chunks without repetitions."""

    def __init__(self, value: str, stats: StatsCollector) -> None:
        self.value = value
        self.stats = stats
        if is_file(value) and not Path(value).is_file():
            raise UserError(f"handles={value}: there is no such file; it holds one handle a line.")

    def _lines(self) -> Iterator[tuple[int, str]]:
        if not is_file(self.value):
            yield from enumerate(self.value.split(","), 1)
            return
        try:
            with Path(self.value).open(encoding="utf-8-sig") as file:
                yield from enumerate(file, 1)
        except OSError as error:
            raise UserError(f"handles={self.value}: the file cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise UserError(f"handles={self.value}: the file is no text in UTF-8.") from None

    def _valid(self) -> Iterator[str]:
        found = False
        for number, line in self._lines():
            try:
                handle = handle_of(line)
            except ValueError as error:
                self.stats.inc_value("x/handles_invalid")
                logger.warning(
                    "handles=%s, line %d: %r is no handle (letters, digits and _, at most 15); passed over.",
                    self.value, number, str(error)[:40],
                )  # fmt: skip
                continue
            if handle is not None:
                found = True
                yield handle
        if not found:
            raise UserError(f"handles={self.value}: there is no handle in it; write one a line.")

    async def chunks(self) -> AsyncIterator[dict[str, str]]:
        """Handles by their lower case, some hundred at a time."""
        handles = self._valid()
        while chunk := await asyncio.to_thread(lambda: list(islice(handles, CHUNK))):
            yield {handle.lower(): handle for handle in chunk}
