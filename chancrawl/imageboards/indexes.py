"""Reads the live threads of a board from the first index file that can be read."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from chancrawl.engine import stopping
from chancrawl.imageboards.client import ChanClient, Parser, Reading, Unavailable, plausible
from chancrawl.imageboards.lifecycle import capacity, is_plausible, tells_what_is_gone
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.items import Board, Thread
from chancrawl.payload import Malformed

logger = logging.getLogger(__name__)

STAND_IN_TRIES = 3
"""Retries of an index file that another one can replace."""


@dataclass(slots=True)
class Index:
    """The live threads of a board, from threads.json, catalog.json, or the pages.

    `is_complete`: a thread that is not in `entries` is not on the board. Never True for pages, because threads move
    between pages while they are read.
    """

    path: str
    reading: Reading
    entries: dict[int, IndexEntry]
    is_complete: bool


class IndexReader:
    """Reads threads.json, or what is used instead: catalog.json, then the pages."""

    def __init__(self, client: ChanClient) -> None:
        self.client = client
        self.site = client.site
        self.source = client.source
        self.crawler = client.crawler
        self.stats = client.crawler.stats

    async def read_live(self, board: Board, stored: Mapping[int, Thread], conditional: bool = True) -> Index | None:
        """The index of a board from threads.json or its replacements; None if none is readable and plausible."""
        name = board.board
        live = sum(thread.fate == "live" for thread in stored.values())
        expected = max(1, min(live, capacity(board)))
        for file in ("threads", "catalog"):
            path = self.site.index_path(name, file)
            reading = await self.read(path, self.site.parse_index, STAND_IN_TRIES, conditional)
            if reading is not None and reading.content is None:
                return Index(path, reading, {}, False)
            if reading is not None and self.is_plausible(path, len(reading.content), expected):
                entries = plausible(reading.content, reading.at)
                return Index(path, reading, entries, tells_what_is_gone(len(entries), len(reading.problems)))
            logger.warning("/%s/: %s.json cannot be read; other index files are used instead.", name, file)
        pages = await self._read_pages(board)
        if pages is None or not self.is_plausible(pages.path, len(pages.entries), expected):
            return None
        return pages

    async def _read_pages(self, board: Board) -> Index | None:
        """The index of a board from its pages, first to last. None if the first page cannot be read."""
        size = board.per_page or 15
        most = (board.pages or 10) + 1  # one page more, because stickies do not count for the capacity
        entries: dict[int, IndexEntry] = {}
        first: Reading | None = None
        for number in range(1, most + 1):
            parse = functools.partial(self.site.parse_board_page, first=(number - 1) * size)
            path = self.site.index_path(board.board, str(number))
            try:
                reading = await self.client.read(path, parse, tries=STAND_IN_TRIES, conditional=False)
            except (Malformed, Unavailable) as error:
                if first is not None and isinstance(error, Unavailable) and error.status == 404:
                    break
                self._index_failed(path, error)
                if first is None:
                    return None
                self.stats.inc_value("chan/indexes_unread")
                continue
            first = first or reading
            entries |= {no: entry for no, entry in reading.content.items() if no not in entries}
            if len(reading.content) < size:
                break
        return None if first is None else Index(f"/{board.board}/1.json", first, entries, False)

    async def read(
        self, path: str, parse: Parser, tries: int | None = None, conditional: bool = True
    ) -> Reading | None:
        """The reading of an index or archive file; None if it cannot be read."""
        try:
            return await self.client.read(path, parse, tries=tries, conditional=conditional)
        except (Malformed, Unavailable) as error:
            self._index_failed(path, error)
            return None

    def _index_failed(self, path: str, error: Malformed | Unavailable) -> None:
        if not stopping(self.crawler):
            logger.error("%s%s cannot be read: %s", self.source, path, error)
            self.stats.inc_value("chan/indexes_failed")

    def is_plausible(self, path: str, listed: int, stored: int) -> bool:
        """Whether an index can be whole; an implausible one is logged. An empty or truncated one proves nothing."""
        if is_plausible(listed, stored):
            return True
        logger.warning(
            "%s%s lists only %d threads, %d are stored: ignored as implausible.", self.source, path, listed, stored
        )
        self.stats.inc_value("chan/indexes_not_believed")
        return False
