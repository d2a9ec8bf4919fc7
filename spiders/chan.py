"""4chan boards: `scrapy crawl chan -a board=po`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy import Request, signals
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl import agenda, fourchan
from chancrawl.arguments import number, numbers, reject_unknown, yes_or_no
from chancrawl.changes import Held, compare, deletions_of_thread, fate
from chancrawl.client import (
    MALFORMED_RETRIES,
    ChanClient,
    Parser,
    Reading,
    Unavailable,
    http_last_modified,
    seen_at,
    source_of,
)
from chancrawl.errors import UserError
from chancrawl.fourchan import IndexEntry, Malformed
from chancrawl.items import Board, Item, Thread, Validator
from chancrawl.ledger import Ledger
from chancrawl.middlewares import stopping

logger = logging.getLogger(__name__)


class ChanSpider(scrapy.Spider):
    """One pass over boards: what is new in their indexes, what is nearest to falling off first; then the archives.

    Arguments
        board     po, or pol,g, or all
        archive   0: leave the archives out
        threads   570368,570370: only these threads (of one board)
        sample    10: at most so many threads a board
    """

    name = "chan"

    def __init__(
        self,
        board: str = "",
        archive: str = "1",
        threads: str = "",
        sample: str = "",
        follow: str = "0",
        **unknown: str,
    ) -> None:
        super().__init__()
        reject_unknown(self.name, unknown, known=("board", "archive", "threads", "sample"))
        self.arguments = {"board": board, "archive": archive, "threads": threads, "sample": sample}
        self.board_names = list(
            dict.fromkeys(name.strip().strip("/").lower() for name in board.split(",") if name.strip())
        )
        self.with_archive = yes_or_no("archive", archive)
        self.only_threads = numbers("threads", threads)
        self.sample = number("sample", sample)
        if not self.board_names:
            raise UserError("Which board? Give one or more: -a board=po, -a board=pol,g, or -a board=all.")
        if self.only_threads and (len(self.board_names) > 1 or self.board_names == ["all"]):
            raise UserError("threads=… needs the one board that they are on: -a board=po -a threads=570368.")
        if yes_or_no("follow", follow):
            raise UserError("follow=1 is not there yet: repeat the crawl, every run asks only for what has changed.")
        self.outstanding = 0  # requests for threads that are not yet answered and parsed
        self._answered = asyncio.Event()
        self._begin_pass()

    def _begin_pass(self) -> None:
        """What is known of the threads of the board at hand, by number."""
        self.read_at: dict[int, float] = {}  # when a thread was answered, in monotonic seconds
        self.unread: dict[int, IndexEntry | None] = {}  # answered with what could not be read, to be asked once more
        self.failed: set[int] = set()  # could not be fetched or read
        self.gone: set[int] = set()  # answered 404
        self.behind: set[int] = set()  # answered with less than the index had shown: an older copy
        self.rounds_left = MALFORMED_RETRIES

    @property
    def source(self) -> str:
        """The address of the API, for the `runs` table."""
        return source_of(self.crawler)

    # --- the pass

    async def start(self) -> AsyncIterator[Any]:
        self.ledger = Ledger.of(self.crawler)
        self.client = ChanClient(self.crawler)
        self.stats = self.crawler.stats
        try:
            await self._refuse_mixed_sources()
            boards, items = await self._read_boards()
            for item in items:
                yield item
            for board in boards:
                self.stats.inc_value("chan/boards")
                async for request_or_item in self._pass(board):
                    yield request_or_item
        except UserError as error:
            raise error.tell(self.crawler) from None

    async def _pass(self, board: Board) -> AsyncIterator[Any]:
        """The requests for one board's threads; at the end, when all are answered, the state that this adds up to."""
        self._begin_pass()
        name = board.board
        held = await self.ledger.threads(name)
        if self.only_threads:
            async for request in self._requests(board, dict.fromkeys(self.only_threads), held):
                yield request
            async for request in self._once_more(board):
                yield request
            return

        index = await self._read_index(fourchan.index_path(name), fourchan.parse_index)
        if index is not None and index.content is None:
            logger.info("/%s/: no live thread has changed.", name)
        elif index is not None:
            live = agenda.live_threads_due(index.content, held)[: self.sample]
            logger.info("/%s/: %d live threads, %d of them to read.", name, len(index.content), len(live))
            async for request in self._requests(board, {entry.no: entry for entry in live}, held):
                yield request

        archive = None
        if board.has_archive and self.with_archive and self.sample is None:
            archive = await self._read_index(fourchan.archive_path(name), fourchan.parse_archive)
        if archive is not None and archive.content is not None:
            held = await self.ledger.threads(name)
            old = agenda.archived_threads_due(archive.content, held)
            logger.info("/%s/: %d archived threads, %d of them to read.", name, len(archive.content), len(old))
            async for request in self._requests(board, dict.fromkeys(old), held):
                yield request

        async for request in self._once_more(board):
            yield request
        if self.sample is None:
            async for request_or_item in self._close_pass(board, index, archive):
                yield request_or_item

    async def _requests(
        self, board: Board, due: Mapping[int, IndexEntry | None], held: Mapping[int, Thread]
    ) -> AsyncIterator[Request]:
        """A request for each of the threads `due`, given to the engine when it has room for one."""
        interval = self.settings.getfloat("CHAN_THREAD_INTERVAL")
        for no, entry in due.items():
            if no in self.read_at:
                await asyncio.sleep(max(0.0, self.read_at[no] + interval - time.monotonic()))
            while self.crawler.engine.needs_backout():  # decide late: only when there is room
                await self.crawler.signals.wait_for(signals.scheduler_empty)
            self.outstanding += 1
            yield self.client.request(
                fourchan.thread_path(board.board, no),
                agenda.if_modified_since(held.get(no), entry),
                callback=self.parse_thread,
                errback=self.thread_failed,
                cb_kwargs={"board": board.board, "no": no, "entry": entry},
            )

    async def _once_more(self, board: Board) -> AsyncIterator[Request]:
        """Requests, behind all others, for the threads whose pages could not be read. A torn page is whole later."""
        await self._all_answered()
        while self.unread and self.rounds_left:
            self.rounds_left -= 1
            again, self.unread = self.unread, {}
            async for request in self._requests(board, again, await self.ledger.threads(board.board)):
                yield request
            await self._all_answered()
        for no in self.unread:
            self._fail(board.board, no, "its page cannot be read")
        self.unread.clear()

    async def _all_answered(self) -> None:
        while self.outstanding:
            self._answered.clear()
            await self._answered.wait()

    # --- boards and indexes

    async def _refuse_mixed_sources(self) -> None:
        """Posts of a sandbox and of the real site do not belong in one store."""
        for source in await self.ledger.sources():
            if is_local(source) != is_local(self.source):
                place = self.ledger.store.place
                raise UserError(
                    f"{place[0].upper() + place[1:]} holds posts from {source}, and this crawl reads {self.source}: "
                    "name another CSV_FOLDER or DATABASE_URL, so that they are not mixed."
                )

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
            items += await self._validators(fourchan.BOARDS, reading)
        if self.board_names == ["all"]:
            return list(found.values()), items
        for name in self.board_names:
            if name not in found:
                raise UserError(f"There is no board /{name}/ on {self.source}; there are {board_list(found)}.")
        return [found[name] for name in self.board_names], items

    async def _read_index(self, path: str, parse: Parser) -> Reading | None:
        """An index or archive; None if it cannot be had or read."""
        try:
            return await self.client.read(path, parse)
        except (Malformed, Unavailable) as error:
            logger.error("%s%s cannot be read: %s", self.source, path, error)
            self.stats.inc_value("chan/indexes_failed")
            return None

    async def _validators(self, path: str, reading: Reading) -> list[Item]:
        """The state that says that what was read is stored in full; none if it is not."""
        if (
            self.failed
            or self.behind
            or reading.validator is None
            or reading.validator == await self.ledger.validator(path)
        ):
            return []
        return [Validator(path, reading.validator)]

    # --- the end of the pass

    async def _close_pass(self, board: Board, index: Reading | None, archive: Reading | None) -> AsyncIterator[Any]:
        """What became of the threads that are gone; and that the indexes are now stored in full, if they are."""
        capacity = (board.pages or 10) * (board.per_page or 15)
        held = await self.ledger.threads(board.board)
        old = sum(thread.fate == "archived" for thread in held.values())
        listed = archive.content if archive is not None and archive.content is not None else []
        path = fourchan.archive_path(board.board)
        if archive is not None and archive.content is not None and self._is_believed(path, len(listed), old):
            for item in self._archive_fates(archive, held):
                yield item
            for item in await self._validators(path, archive) if listed else ():
                yield item

        path = fourchan.index_path(board.board)
        live = max(1, min(len(held) - old, capacity))
        if index is None or index.content is None or not self._is_believed(path, len(index.content), live):
            return
        missing = agenda.missing_threads(index.content, listed, held)
        self.rounds_left = MALFORMED_RETRIES
        async for request in self._requests(board, dict.fromkeys(missing), held):
            yield request
        async for request in self._once_more(board):
            yield request
        for no in self.gone.intersection(missing):
            for item in await self._fate(held[no], index, capacity):
                yield item
        for item in await self._validators(path, index):
            yield item

    def _is_believed(self, path: str, listed: int, held: int) -> bool:
        """An empty or truncated index never means that everything is gone."""
        if 2 * listed >= held:
            return True
        logger.warning("%s%s lists %d threads where %d were held: not believed.", self.source, path, listed, held)
        self.stats.inc_value("chan/indexes_not_believed")
        return False

    def _archive_fates(self, archive: Reading, held: dict[int, Thread]) -> Iterator[Item]:
        """Threads whose time in the archive is over; and those that are in it just as they were on the board (304)."""
        listed = set(archive.content)
        for no, thread in held.items():
            if thread.fate == "archived" and no not in listed:
                yield replace(thread, fate="pruned", gone_at=archive.at)
            elif thread.fate == "live" and no in listed and no not in self.failed | self.gone:
                yield replace(thread, fate="archived")

    async def _fate(self, thread: Thread, index: Reading, capacity: int) -> list[Item]:
        """State for a thread that neither its index nor its own page shows any more; deleted, its posts are too."""
        now = index.at or datetime.now(UTC)
        seen = (thread.last_seen_at or now).timestamp()
        bumped = sum(1 for entry in index.content.values() if (entry.last_modified or 0) > seen)
        became = fate(thread, bumped, min(capacity, len(index.content)))
        items: list[Item] = []
        if became == "deleted":
            items += deletions_of_thread(await self.ledger.thread(thread.board, thread.no), now)
        return [*items, replace(thread, fate=became, gone_at=now)]

    # --- threads

    async def parse_thread(
        self, response: Response, board: str, no: int, entry: IndexEntry | None
    ) -> AsyncIterator[Item]:
        try:
            self.read_at[no] = time.monotonic()
            held = await self.ledger.thread(board, no)
            if response.status == 404:
                self.gone.add(no)
                self.stats.inc_value("chan/threads_vanished" if held.thread is None else "chan/threads_gone")
            elif response.status == 304:
                for item in self._unchanged(held, entry):
                    yield item
                if held.thread is not None:
                    self._compare_with_index(held.thread, entry)
            else:
                for found in self._changes(response, board, no, entry, held):
                    yield found
        except Malformed:
            self.unread[no] = entry
        except UserError as error:
            self._fail(board, no, str(error))
        except Exception as error:  # a payload that nobody has thought of must not pass for one that was stored
            self.client.set_aside(response, f"{type(error).__name__}: {error}")
            self._fail(board, no, f"{type(error).__name__} ({error})")
        finally:
            self._done()

    def _changes(self, response: Response, board: str, no: int, entry: IndexEntry | None, held: Held) -> Iterator[Item]:
        page = self.client.parse(response, lambda payload: fourchan.parse_thread(payload, board, no))
        problems = page.problems if page.is_whole else [*page.problems, "fewer posts than the opening post says"]
        if problems:
            self.client.set_aside(response, "; ".join(problems[:10]))
            if self.rounds_left:
                raise Malformed(problems[0])
        if entry is not None:
            page.thread.position = entry.position
            page.thread.last_modified = fourchan.utc(entry.last_modified)
        yield from compare(held, page, seen_at(response), http_last_modified(response))
        self._compare_with_index(replace(page.thread, http_last_modified=http_last_modified(response)), entry)

    def _compare_with_index(self, thread: Thread, entry: IndexEntry | None) -> None:
        if entry is not None and agenda.is_behind(thread, entry):
            logger.info("/%s/ thread %d was read in an older copy than its index; the next run asks again.",
                        thread.board, thread.no)  # fmt: skip
            self.behind.add(thread.no)

    def _unchanged(self, held: Held, entry: IndexEntry | None) -> Iterator[Item]:
        """The index spoke of a change, and there is none: note the index's time, so that it is not asked again."""
        thread = held.thread
        if thread is not None and entry is not None and thread.last_modified != fourchan.utc(entry.last_modified):
            yield replace(thread, last_modified=fourchan.utc(entry.last_modified), position=entry.position)

    def thread_failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        board, no = request.cb_kwargs["board"], request.cb_kwargs["no"]
        if stopping(self.crawler):
            self.failed.add(no)
        else:
            self._fail(board, no, failure.getErrorMessage())
        self._done()

    def _fail(self, board: str, no: int, reason: str) -> None:
        logger.error("/%s/ thread %d could not be fetched: %s", board, no, reason)
        self.stats.inc_value("chan/threads_failed")
        self.failed.add(no)

    def _done(self) -> None:
        self.outstanding -= 1
        self._answered.set()


def board_list(boards: Iterable[str], most: int = 12) -> str:
    """A few names of boards, for a message.

    >>> board_list(["po", "g"])
    '/g/, /po/'
    """
    names = sorted(boards)
    return ", ".join(f"/{name}/" for name in names[:most]) + (", …" if len(names) > most else "")


def is_local(url: str) -> bool:
    """
    >>> is_local("http://127.0.0.1:8080"), is_local("https://a.4cdn.org")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
