"""4chan boards: `scrapy crawl chan -a board=po`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import scrapy

from chancrawl import fourchan
from chancrawl.arguments import number, numbers, reject_unknown, yes_or_no
from chancrawl.client import ChanClient, Unavailable, refuse_mixed_sources, source_of
from chancrawl.errors import UserError
from chancrawl.items import Board, Item, Validator
from chancrawl.ledger import Ledger
from chancrawl.payload import Malformed
from spiders.following import Following
from spiders.one_pass import OnePass


class ChanSpider(scrapy.Spider):
    """One pass over boards, or a crawl that stays with them until it is stopped.

    Arguments
        board     po, or pol,g, or all
        follow    1: stay
        archive   0: leave the archives out
        threads   570368,570370: only these threads (of one board)
        sample    10: at most so many threads a board
    """

    name = "chan"

    def __init__(
        self,
        board: str = "",
        follow: str = "0",
        archive: str = "1",
        threads: str = "",
        sample: str = "",
        **unknown: str,
    ) -> None:
        super().__init__()
        reject_unknown(self.name, unknown, known=("board", "follow", "archive", "threads", "sample"))
        self.arguments = {"board": board, "follow": follow, "archive": archive, "threads": threads, "sample": sample}
        self.board_names = list(
            dict.fromkeys(name.strip().strip("/").lower() for name in board.split(",") if name.strip())
        )
        self.follow = yes_or_no("follow", follow)
        self.with_archive = yes_or_no("archive", archive)
        self.only_threads = numbers("threads", threads)
        self.sample = number("sample", sample)
        if not self.board_names:
            raise UserError("Which board? Give one or more: -a board=po, -a board=pol,g, or -a board=all.")
        if self.only_threads and (len(self.board_names) > 1 or self.board_names == ["all"]):
            raise UserError("threads=… needs the one board that they are on: -a board=po -a threads=570368.")
        if self.follow and (self.only_threads or self.sample is not None):
            raise UserError("follow=1 stays with whole boards: leave out threads=… and sample=….")

    @property
    def source(self) -> str:
        """The address of the API, for the `runs` table."""
        return source_of(self.crawler)

    async def start(self) -> AsyncIterator[Any]:
        self.ledger = Ledger.of(self.crawler)
        self.client = ChanClient(self.crawler)
        stats = self.crawler.stats
        try:
            await refuse_mixed_sources(self.ledger, self.source)
            boards, items = await self._read_boards()
            for item in items:
                yield item
            if self.follow:
                stats.inc_value("chan/boards", len(boards))
                async for request in Following(self.client, boards, self.with_archive).requests():
                    yield request
                return
            one_pass = OnePass(self.client, self.with_archive, self.only_threads, self.sample)
            for board in boards:
                stats.inc_value("chan/boards")
                async for request_or_item in one_pass.over(board):
                    yield request_or_item
        except UserError as error:
            raise error.tell(self.crawler) from None

    async def _read_boards(self) -> tuple[list[Board], list[Item]]:
        """The boards to pass over, and what is new about all boards."""
        held = await self.ledger.boards()
        try:
            reading = await self.client.read(fourchan.BOARDS, fourchan.parse_boards, first=True)
        except (Malformed, Unavailable) as error:
            raise UserError(
                f"{self.source}{fourchan.BOARDS} cannot be read ({error}): check the network and CHAN_API_URL, which "
                "has to be the address of a 4chan API, or try again later.",
                reason="unreachable",
            ) from None
        found = held
        items: list[Item] = []
        if reading.content is not None:
            found = {board.board: replace(board, seen_at=reading.at) for board in reading.content}
            items += [board for board in found.values() if board.raw != getattr(held.get(board.board), "raw", None)]
            if reading.validator not in (None, await self.ledger.validator(fourchan.BOARDS)):
                items.append(Validator(fourchan.BOARDS, reading.validator))
        if self.board_names == ["all"]:
            return list(found.values()), items
        for name in self.board_names:
            if name not in found:
                raise UserError(f"There is no board /{name}/ on {self.source}; there are {board_list(found)}.")
        return [found[name] for name in self.board_names], items


def board_list(boards: Iterable[str], most: int = 12) -> str:
    """A few names of boards, for a message.

    >>> board_list(["po", "g"])
    '/g/, /po/'
    """
    names = sorted(boards)
    return ", ".join(f"/{name}/" for name in names[:most]) + (", …" if len(names) > most else "")
