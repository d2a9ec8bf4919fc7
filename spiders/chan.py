"""4chan boards: `scrapy crawl chan -a board=po`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any

import scrapy

from chancrawl.arguments import argument, board_names, number, parsed, texts, thread_numbers, yes_or_no
from chancrawl.engine import sleep, stopping
from chancrawl.errors import UserError
from chancrawl.imageboards.client import ChanClient, Reading, Unavailable, source_of
from chancrawl.imageboards.follow import Follower
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.imageboards.ledger import BoardLedger
from chancrawl.imageboards.lifecycle import is_plausible
from chancrawl.imageboards.one_pass import OnePass
from chancrawl.imageboards.source import Imageboards
from chancrawl.items import Board, Item, Validator
from chancrawl.payload import Malformed
from chancrawl.storage.session import Session
from chancrawl.text import capitalized

logger = logging.getLogger(__name__)


STAND_BY = 10.0
"""Seconds between two checks whether another crawl still follows a board."""


@dataclass(frozen=True)
class ChanArguments:
    board: list[str] = argument(
        board_names, "one board, several separated by commas, or `all`; the address of a board also works", "–"
    )
    exclude: list[str] = argument(board_names, "boards to leave out of `board=all`", "none")
    follow: bool = argument(yes_or_no, "`1`: follow the boards until you stop the crawl", "`0`", "0")
    archive: bool = argument(yes_or_no, "`0`: do not read the archive", "`1`", "1")
    threads: tuple[list[int], list[str]] = argument(
        thread_numbers,
        "read only these threads of one board (numbers or addresses); with `follow=1`, until each is archived or gone",
        "all",
    )
    sample: int | None = argument(
        number, "maximum number of threads a board (newest first, no archive), for a short first run", "no limit"
    )


class ChanSpider(scrapy.Spider):
    """One pass over boards, or a crawl that follows them until it is stopped."""

    name = "chan"
    Arguments = ChanArguments
    EXAMPLES = (
        "scrapy crawl chan -a board=po",
        "scrapy crawl chan -a board=po -a sample=10",
        "scrapy crawl chan -a board=pol,b,g -a follow=1",
        "scrapy crawl chan -a threads=https://boards.4chan.org/po/thread/570368",
    )

    def __init__(self, **given: str) -> None:
        super().__init__()
        self.arguments = texts(self.name, ChanArguments, given)
        self.given = parsed(ChanArguments, self.arguments)
        self.follow = self.given.follow
        self.only_threads, boards_of_threads = self.given.threads
        self.board_names = self.given.board or (boards_of_threads if self.only_threads else [])
        if not self.board_names:
            raise UserError("Which board? Give one or more: -a board=po, -a board=pol,g, or -a board=all.")
        is_one_board = len(self.board_names) == 1 and self.board_names != ["all"]
        if self.only_threads and (not is_one_board or set(boards_of_threads) - set(self.board_names)):
            raise UserError("threads=… needs the one board that they are on: -a board=po -a threads=570368.")
        if self.given.exclude and self.board_names != ["all"]:
            raise UserError("exclude=… leaves boards out of -a board=all; here, leave them out of board=….")
        if self.follow and self.given.sample is not None:
            raise UserError("follow=1 stays with whole boards or with threads=…: leave out sample=….")

    @property
    def source(self) -> str:
        """The address of the API, for the `runs` table."""
        return source_of(self.crawler, FOURCHAN)

    async def start(self) -> AsyncIterator[Any]:
        self.session = Session.of(self.crawler)
        self.ledger = BoardLedger.of(self.crawler)
        self.client = ChanClient(self.crawler, FOURCHAN)
        stats = self.crawler.stats
        try:
            await self.session.refuse_mixed_sources(self.source, Imageboards.spiders)
            stored = await self.ledger.boards()
            reading = await self._read_boards()
            if not stored:
                self._chosen(stored, reading)  # before the first row, so that a wrong argument writes nothing
            async for item in self._board_changes(stored, reading):
                yield item
            boards = self._chosen(stored, reading)
            one_pass = OnePass(self.client, self.given.archive, self.only_threads, self.given.sample)
            if self.follow and not self.only_threads:
                stats.inc_value("chan/boards", len(boards))
                await self._stand_by([board.board for board in boards])
                async for request in Follower(self.client, boards, self.given.archive).requests():
                    yield request
                return
            for board in boards:
                stats.inc_value("chan/boards")
                work = one_pass.until_they_end(board) if self.follow else one_pass.over(board)
                async for request_or_item in work:
                    yield request_or_item
        except UserError as error:
            raise error.tell(self.crawler) from None

    async def _stand_by(self, boards: list[str]) -> None:
        """Wait while another crawl follows one of the boards into this store. Then claim the boards for this crawl."""
        is_logged = False
        while (others := await self.session.follow(boards)) and not stopping(self.crawler):
            if not is_logged:
                is_logged = True
                both = ", ".join(f"/{board}/" for board in boards if board in others[0].boards)
                logger.warning(
                    "%s already follows %s into this store. This crawl stands by: it waits until that one ends, then "
                    "takes over. Ctrl-C ends it.",
                    capitalized(str(others[0])), both,
                )  # fmt: skip
            await sleep(self.crawler, STAND_BY)

    async def _read_boards(self) -> Reading:
        try:
            return await self.client.read(FOURCHAN.boards_path, FOURCHAN.parse_boards, first=True)
        except Unavailable as error:
            if error.refusal is not None:
                raise UserError(
                    f"{self.source} refuses this address ({error.refusal}): wait, or send from another address "
                    "(ROTATING_PROXY_LIST).",
                    reason="refused",
                ) from None
            raise self._unreachable(error) from None
        except Malformed as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> UserError:
        return UserError(
            f"{self.source}{FOURCHAN.boards_path} cannot be read ({error}): check the network and CHAN_API_URL, which "
            "has to be the address of a 4chan API, or try again later.",
            reason="unreachable",
        )

    async def _board_changes(self, stored: dict[str, Board], reading: Reading) -> AsyncIterator[Item]:
        """Items for new, changed and gone boards. A board without entry and index is gone together with its threads."""
        if reading.content is None:
            return
        found = {board.board: replace(board, seen_at=reading.at) for board in reading.content}
        for board in found.values():
            before = stored.get(board.board)
            if before is None or before.raw != board.raw or before.gone_at is not None:
                yield board
        missing = [board for board in stored.values() if board.board not in found and board.gone_at is None]
        is_sure = not reading.problems and is_plausible(len(found), len(stored))
        for board in missing if is_sure else ():
            try:
                await self.client.read(FOURCHAN.index_path(board.board, "threads"), FOURCHAN.parse_index, tries=1)
            except Unavailable as error:
                if error.status != 404:
                    is_sure = False
                    continue
            except Malformed:
                is_sure = False
                continue
            else:
                continue  # not listed, but it still exists
            logger.info("/%s/ is gone: boards.json does not list it any more.", board.board)
            for thread in (await self.ledger.threads(board.board)).values():
                yield replace(thread, fate="pruned", gone_at=reading.at)
            yield replace(board, gone_at=reading.at)
        if is_sure and reading.validator not in (None, await self.ledger.validator(FOURCHAN.boards_path)):
            assert reading.validator is not None
            yield Validator(FOURCHAN.boards_path, reading.validator)

    def _chosen(self, stored: dict[str, Board], reading: Reading) -> list[Board]:
        """The boards to read. UserError for a board that does not exist."""
        there = {name: board for name, board in stored.items() if board.gone_at is None}
        if reading.content is not None:
            there = {board.board: replace(board, seen_at=reading.at) for board in reading.content}
        for name in self.given.exclude:
            if name not in there:
                raise UserError(f"exclude={name}: there is no board /{name}/ on {self.source}; leave it out.")
        if self.board_names == ["all"]:
            return [board for name, board in there.items() if name not in self.given.exclude]
        for name in self.board_names:
            if name not in there:
                gone = stored[name].gone_at if name in stored else None
                when = f" any more (since {gone:%Y-%m-%d})" if gone else ""
                raise UserError(f"There is no board /{name}/ on {self.source}{when}; there are {board_list(there)}.")
        return [there[name] for name in self.board_names]


def board_list(boards: Iterable[str], most: int = 12) -> str:
    """The names of at most `most` boards, for a message.

    >>> board_list(["po", "g"])
    '/g/, /po/'
    """
    names = sorted(boards)
    return ", ".join(f"/{name}/" for name in names[:most]) + (", …" if len(names) > most else "")
