"""One pass over boards: first the threads that are new or changed, the last ones of the board first; then archives."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from scrapy import Request, signals
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.engine import sleep, stopping
from chancrawl.errors import UserError
from chancrawl.http import reason_of
from chancrawl.imageboards import conditional, pass_plan
from chancrawl.imageboards.client import MALFORMED_RETRIES, ChanClient, Reading
from chancrawl.imageboards.diff import StoredThread, compare
from chancrawl.imageboards.indexes import Index, IndexReader
from chancrawl.imageboards.lifecycle import (
    bumped_since,
    ended,
    fate,
    left_archive,
    tells_what_is_gone,
)
from chancrawl.imageboards.pages import IndexEntry, Stub, utc
from chancrawl.items import Board, Item, Thread, Validator
from chancrawl.payload import Malformed

logger = logging.getLogger(__name__)


LOADED_AHEAD = 1000
"""The stored state of this many threads is loaded before they are requested, so that the crawl continues while the
store is out of reach."""


class OnePass:
    """Reads boards once. `only_threads` leaves out all others; `sample` is the largest number of threads of a board."""

    def __init__(
        self, client: ChanClient, with_archive: bool, only_threads: list[int] | None, sample: int | None
    ) -> None:
        self.client = client
        self.site = client.site
        self.crawler = client.crawler
        self.ledger = client.ledger
        self.indexes = IndexReader(client)
        self.source = client.source
        self.stats = client.crawler.stats
        self.settings = client.crawler.settings
        self.with_archive = with_archive
        self.only_threads = only_threads
        self.sample = sample
        self.outstanding = 0  # requests for threads whose posts are not yet in a batch
        self.most_outstanding = 2 * self.settings.getint("CONCURRENT_REQUESTS")
        self._answered = asyncio.Event()
        self._begin_pass()

    def _begin_pass(self) -> None:
        """Reset the state of the pass over one board. The keys are thread numbers."""
        self.read_at: dict[int, float] = {}  # when a thread was answered, in monotonic seconds
        self.unread: dict[int, IndexEntry | None] = {}  # the answer was unreadable; to be requested again
        self.failed: set[int] = set()  # could not be fetched or read
        self.gone: set[int] = set()  # answered 404
        self.gone_for_good: set[int] = set()  # and in no index
        self.behind: set[int] = set()  # answered with an older copy than the index
        self.rounds_left = MALFORMED_RETRIES

    async def over(self, board: Board) -> AsyncIterator[Any]:
        """The requests for one board's threads, and after all answers the items with the state of the board."""
        self._begin_pass()
        name = board.board
        stored = await self.ledger.threads(name)
        if self.only_threads:
            async for request in self._requests(board, dict.fromkeys(self.only_threads), stored):
                yield request
            async for request in self._once_more(board):
                yield request
            return

        index = await self.indexes.read_live(board, stored)
        if index is None:
            self.stats.inc_value("chan/indexes_unread")
        elif index.reading.content is None:
            logger.info("/%s/: no live thread has changed.", name)
        else:
            live = pass_plan.live_threads_due(index.entries, stored)
            if self.sample is not None:
                live = sorted(live, key=lambda entry: entry.no, reverse=True)[: self.sample]
            logger.info("/%s/: %d live threads, %d of them to read.", name, len(index.entries), len(live))
            async for request in self._requests(board, {entry.no: entry for entry in live}, stored):
                yield request

        archive = None
        if board.has_archive and self.with_archive and self.sample is None:
            archive = await self.indexes.read(self.site.path(name, "archive"), self.site.parse_archive)
            if archive is None:
                self.stats.inc_value("chan/indexes_unread")
        if archive is not None and archive.content is not None:
            stored = await self.ledger.threads(name)
            old = pass_plan.archived_threads_due(archive.content, stored)
            logger.info("/%s/: %d archived threads, %d of them to read.", name, len(archive.content), len(old))
            async for request in self._requests(board, dict.fromkeys(old), stored):
                yield request

        async for request in self._once_more(board):
            yield request
        if self.sample is None:
            async for request_or_item in self._close_pass(board, index, archive):
                yield request_or_item

    async def until_they_end(self, board: Board) -> AsyncIterator[Any]:
        """The requests for `only_threads`, repeated until each thread is archived or gone.

        A thread is requested every CHAN_THREAD_INTERVAL seconds, and less often while nothing is posted.
        """
        assert self.only_threads
        shortest = max(self.settings.getfloat("CHAN_THREAD_INTERVAL"), self.settings.getfloat("DOWNLOAD_DELAY"))
        left, pause = list(self.only_threads), shortest
        while left and not stopping(self.crawler):
            self._begin_pass()
            posts = self.stats.get_value("items/post", 0)
            async for request in self._requests(board, dict.fromkeys(left), await self.ledger.threads(board.board)):
                yield request
            await self._all_answered()
            for item in await self._gone_for_good(board) if self.gone else ():
                yield item
            stored = await self.ledger.threads(board.board)
            ended = {no for no in left if no in self.gone_for_good or (no in stored and stored[no].fate == "archived")}
            for no in sorted(ended):
                logger.info("/%s/ thread %d has ended.", board.board, no)
            left = [no for no in left if no not in ended]
            is_busy = self.stats.get_value("items/post", 0) > posts
            pause = shortest if is_busy else min(1.5 * pause, 12 * shortest)
            await sleep(self.crawler, pause if left else 0.0)

    async def _gone_for_good(self, board: Board) -> list[Item]:
        """State for threads whose pages are 404, if the index does not list them either."""
        stored = await self.ledger.threads(board.board)
        index = await self.indexes.read_live(board, stored, conditional=False)
        items: list[Item] = []
        for no in sorted(self.gone):
            if index is not None and index.is_complete and no not in index.entries:
                self.gone_for_good.add(no)
                if no in stored:
                    items += await self._fate(board, stored[no], index)
        return items

    async def _requests(
        self, board: Board, due: Mapping[int, IndexEntry | None], stored: Mapping[int, Thread]
    ) -> AsyncIterator[Request]:
        """A request for each of the threads `due`, sent when the engine has room for it."""
        interval = self.settings.getfloat("CHAN_THREAD_INTERVAL")
        numbers, loaded = list(due), 0
        self.stats.inc_value("chan/threads_due", len([no for no in due if no not in self.read_at]))
        for place, (no, entry) in enumerate(due.items()):
            if place == loaded or (place > loaded - LOADED_AHEAD // 2 and not self.client.session.is_away):
                await self.ledger.load(board.board, numbers[place : place + LOADED_AHEAD])
                loaded = place + LOADED_AHEAD
            if no in self.read_at:
                await asyncio.sleep(max(0.0, self.read_at[no] + interval - time.monotonic()))
            while self.crawler.engine.needs_backout():  # choose the next request only when there is room
                await self.crawler.signals.wait_for(signals.scheduler_empty)
            while self.outstanding >= self.most_outstanding:  # the store is slow: wait for it
                await self._wait_for_an_answer()
            self.outstanding += 1
            if no not in self.read_at:
                self.stats.inc_value("chan/threads_asked")
            yield self.client.request(
                self.site.thread_path(board.board, no),
                conditional.if_modified_since(stored.get(no), entry),
                callback=self.parse_thread,
                errback=self.thread_failed,
                cb_kwargs={"board": board.board, "no": no, "entry": entry},
            )

    async def _once_more(self, board: Board) -> AsyncIterator[Request]:
        """Requests for the threads whose pages could not be read, after all others. A truncated page is whole later."""
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
            await self._wait_for_an_answer()

    async def _wait_for_an_answer(self) -> None:
        self._answered.clear()
        await self._answered.wait()

    # --- indexes

    async def _validators(self, path: str, reading: Reading, listed: Collection[int]) -> list[Item]:
        """The validator of an index, if everything that it listed is stored; otherwise nothing.

        A listed thread whose page was 404 does not count as stored. The index is requested again, and then either it no
        longer lists the thread, or the page is back.
        """
        if (
            self.failed
            or self.behind
            or self.gone.intersection(listed)
            or reading.problems
            or reading.validator is None
            or reading.validator == await self.ledger.validator(path)
        ):
            return []
        return [Validator(path, reading.validator)]

    # --- the end of the pass

    async def _close_pass(self, board: Board, index: Index | None, archive: Reading | None) -> AsyncIterator[Any]:
        """The fates of the threads that are gone, and the validators of the indexes that are stored in full."""
        stored = await self.ledger.threads(board.board)
        old = {no: thread for no, thread in stored.items() if thread.fate == "archived"}
        path = self.site.path(board.board, "archive")
        listed: list[int] = []
        suspects: list[int] = []
        if archive is None or archive.content is None:
            pass
        elif not self.indexes.is_plausible(path, len(archive.content), len(old)):
            self.stats.inc_value("chan/indexes_unread")
        else:
            listed = archive.content
            if tells_what_is_gone(len(listed), len(archive.problems)):
                suspects = [no for no, thread in old.items() if left_archive(thread, listed, old) == "deleted"]
            for item in self._archive_fates(archive, stored, suspects):
                yield item
        is_board_known = index is not None and index.is_complete
        missing: list[int] = []
        if index is not None and is_board_known:
            missing = pass_plan.missing_threads(index.entries, listed, stored)
        self.rounds_left = MALFORMED_RETRIES
        async for request in self._requests(board, dict.fromkeys([*missing, *suspects]), stored):
            yield request
        async for request in self._once_more(board):
            yield request
        for no in self.gone.intersection(missing):
            assert index is not None
            for item in await self._fate(board, stored[no], index):
                yield item
        for no in self.gone.intersection(suspects):
            assert archive is not None
            for item in ended(await self.ledger.thread(board.board, no), "deleted", archive.at):
                yield item
        if archive is not None and listed:
            for item in await self._validators(path, archive, listed):
                yield item
        if index is not None and is_board_known:
            for item in await self._validators(index.path, index.reading, index.entries):
                yield item

    def _archive_fates(self, archive: Reading, stored: dict[int, Thread], suspects: Collection[int]) -> Iterator[Item]:
        """State for threads that have left the archive, and for those that are archived and otherwise unchanged."""
        listed = set(archive.content)
        for no, thread in stored.items():
            if thread.fate == "archived" and no not in listed and no not in suspects and not archive.problems:
                yield replace(thread, fate="pruned", gone_at=archive.at)
            elif thread.fate == "live" and no in listed and no not in self.failed | self.gone:
                yield replace(thread, fate="archived")

    async def _fate(self, board: Board, thread: Thread, index: Index) -> list[Item]:
        """The fate of a thread that is not in the index and whose own page is 404."""
        now = index.reading.at
        seen_at = thread.last_seen_at or now
        bumped = bumped_since((entry.last_modified for entry in index.entries.values()), seen_at.timestamp())
        became = fate(board, thread.position, bumped, len(index.entries), now - seen_at)
        return ended(await self.ledger.thread(thread.board, thread.no), became, now)

    # --- threads

    async def parse_thread(
        self, response: Response, board: str, no: int, entry: IndexEntry | None
    ) -> AsyncIterator[Item]:
        try:
            self.read_at[no] = time.monotonic()
            stored = await self.ledger.thread(board, no)
            if response.status == 404:
                self._gone(stored, no)
            elif response.status != 304:
                for found in self._changes(response, board, no, entry, stored):
                    yield found
            elif stored.thread is None:
                self.unread[no] = entry  # its state was held back after the request
            else:
                for item in self._unchanged(stored, entry):
                    yield item
                self._compare_with_index(stored.thread, entry)
        except Stub:
            self._gone(await self.ledger.thread(board, no), no)
        except Malformed:
            self.unread[no] = entry
        except UserError as error:
            self._fail(board, no, str(error))
        except Exception as error:  # an unforeseen payload must not count as stored
            self.client.set_aside(response, f"{type(error).__name__}: {error}")
            self._fail(board, no, f"{type(error).__name__} ({error})")
        finally:
            self._done()

    def _gone(self, stored: StoredThread, no: int) -> None:
        self.gone.add(no)
        was_never_stored = stored.thread is None or bool(self.only_threads)
        self.stats.inc_value("chan/threads_vanished" if was_never_stored else "chan/threads_gone")

    def _changes(
        self, response: Response, board: str, no: int, entry: IndexEntry | None, stored: StoredThread
    ) -> Iterator[Item]:
        page, _ = self.client.parse(response, lambda payload, _: self.site.parse_thread(payload, board, no))
        problems = page.problems if page.is_complete else [*page.problems, "fewer posts than the opening post says"]
        self.client.report(response, [*problems, *page.oddities])
        if problems and self.rounds_left:
            raise Malformed(problems[0])
        if entry is not None:
            page.thread.position = entry.position
            page.thread.last_modified = utc(entry.last_modified)
        seen_in = self.client.observation(response)
        yield from compare(stored, page, seen_in).items
        self._compare_with_index(replace(page.thread, http_last_modified=seen_in.validator), entry)

    def _compare_with_index(self, thread: Thread, entry: IndexEntry | None) -> None:
        if entry is not None and conditional.is_behind(thread, entry):
            logger.info("/%s/ thread %d was answered with a cached copy older than the index; the next run asks again.",
                        thread.board, thread.no)  # fmt: skip
            self.behind.add(thread.no)

    def _unchanged(self, stored: StoredThread, entry: IndexEntry | None) -> Iterator[Item]:
        """The index shows a change, but the page has none (304). Store the index's time, to not request it again."""
        thread = stored.thread
        if thread is not None and entry is not None and thread.last_modified != utc(entry.last_modified):
            yield replace(thread, last_modified=utc(entry.last_modified), position=entry.position)

    def thread_failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        board, no = request.cb_kwargs["board"], request.cb_kwargs["no"]
        if stopping(self.crawler):
            self.failed.add(no)
        else:
            self._fail(board, no, reason_of(failure))
        self._done()

    def _fail(self, board: str, no: int, reason: str) -> None:
        logger.error("/%s/ thread %d could not be fetched: %s", board, no, reason)
        self.stats.inc_value("chan/threads_failed")
        self.failed.add(no)

    def _done(self) -> None:
        self.outstanding -= 1
        self._answered.set()
