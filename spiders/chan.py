"""4chan boards: `scrapy crawl chan -a board=po`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlsplit

import scrapy
from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    IgnoreRequest,
)
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl import agenda, fourchan
from chancrawl.arguments import number, numbers, reject_unknown, yes_or_no
from chancrawl.changes import Held, compare, deletions_of_thread, fate
from chancrawl.errors import UserError
from chancrawl.fourchan import IndexEntry, Malformed
from chancrawl.items import Board, Item, Thread, Validator
from chancrawl.ledger import Ledger
from chancrawl.quarantine import Quarantine

logger = logging.getLogger(__name__)

MALFORMED_RETRIES = 2
"""How often a payload that could not be read is asked for again."""


Parser = Callable[[Any], Any]


class Unavailable(Exception):
    """A file cannot be had. Raised by `_fetch` when all retries are used up."""


@dataclass(slots=True)
class Reading:
    """One reading of a board's index or archive. `content` is None if nothing has changed since `validator`."""

    content: Any
    validator: str | None
    at: datetime | None = None


class ChanSpider(scrapy.Spider):
    """One pass over boards: what their indexes show as new, the threads nearest to falling off first; then the archives.

    Arguments
        board     po, or pol,g, or all
        archive   0: leave the archives out
        threads   570368,570370: only these threads (of one board)
        sample    10: at most so many threads a board
    """

    name = "chan"
    custom_settings: dict[str, Any] = {}

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
        self.board_names = list(dict.fromkeys(name.strip().strip("/") for name in board.split(",") if name.strip()))
        self.with_archive = yes_or_no("archive", archive)
        self.only_threads = numbers("threads", threads)
        self.sample = number("sample", sample)
        if not self.board_names:
            raise UserError("Which board? Give one or more: -a board=po, -a board=pol,g, or -a board=all.")
        if self.only_threads and (len(self.board_names) > 1 or self.board_names == ["all"]):
            raise UserError("threads=… needs the one board that they are on: -a board=po -a threads=570368.")
        if yes_or_no("follow", follow):
            raise UserError("follow=1 is not there yet: repeat the crawl, every run asks only for what has changed.")
        self.outstanding = 0  # requests for threads that are not answered and parsed
        self._answered = asyncio.Event()

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.crawler = crawler
        return spider

    @property
    def source(self) -> str:
        """The address of the API, for the `runs` table."""
        return str(self.settings["CHAN_API_URL"]).rstrip("/")

    # --- one pass

    async def start(self) -> AsyncIterator[Any]:
        self.ledger = Ledger.of(self.crawler)
        self.quarantine = Quarantine.of(self.crawler)
        self.stats = self.crawler.stats
        try:
            await self._refuse_mixed_sources()
            boards, items = await self._read_boards()
        except UserError as error:
            raise error.tell(self.crawler) from None
        for item in items:
            yield item
        for board in boards:
            self.stats.inc_value("chan/boards")
            async for request_or_item in self._pass(board):
                yield request_or_item

    async def _pass(self, board: Board) -> AsyncIterator[Any]:
        """The requests for one board's threads; at the end, when all are answered, the state that this adds up to."""
        if self.only_threads:
            held = await self.ledger.threads(board.board)
            async for request in self._requests(board, [(no, None) for no in self.only_threads], held):
                yield request
            return
        held = await self.ledger.threads(board.board)
        index = await self._read_index(fourchan.index_path(board.board), fourchan.parse_index)
        if index.content is None:
            logger.info("/%s/: no live thread has changed.", board.board)
        else:
            due = agenda.live_threads_due(index.content, held)[: self.sample]
            logger.info("/%s/: %d live threads, %d of them new or changed.", board.board, len(index.content), len(due))
            async for request in self._requests(board, [(entry.no, entry) for entry in due], held):
                yield request
        archive = Reading(None, None)
        if board.has_archive and self.with_archive and self.sample is None:
            archive = await self._read_index(fourchan.archive_path(board.board), fourchan.parse_archive)
        if archive.content is not None:
            held = await self.ledger.threads(board.board)
            archived = agenda.archived_threads_due(archive.content, held)
            logger.info("/%s/: %d archived threads, %d of them to read.", board.board, len(archive.content), len(archived))
            async for request in self._requests(board, [(no, None) for no in archived], held):
                yield request
        await self._all_answered()
        if self.sample is None and self.crawler.crawling:
            for item in await self._close_pass(board, index, archive):
                yield item

    async def _requests(
        self, board: Board, due: list[tuple[int, IndexEntry | None]], held: dict[int, Thread]
    ) -> AsyncIterator[Request]:
        for no, entry in due:
            while self.crawler.engine.needs_backout():  # decide late: only when there is room
                await self.crawler.signals.wait_for(signals.scheduler_empty)
            self.outstanding += 1
            yield self._request(
                fourchan.thread_path(board.board, no),
                agenda.if_modified_since(held.get(no), entry),
                callback=self.parse_thread,
                errback=self.thread_failed,
                cb_kwargs={"board": board.board, "no": no, "entry": entry},
            )

    async def _all_answered(self) -> None:
        while self.outstanding:
            self._answered.clear()
            await self._answered.wait()

    def _request(self, path: str, validator: str | None, **kwargs: Any) -> Request:
        meta = {"handle_httpstatus_list": [304, 404], **kwargs.pop("meta", {})}
        headers = {"If-Modified-Since": validator} if validator else None
        return Request(self.source + path, headers=headers, meta=meta, dont_filter=True, **kwargs)

    # --- boards and indexes

    async def _refuse_mixed_sources(self) -> None:
        """Posts of a sandbox and of the real site do not belong in one store."""
        for source in await self.ledger.sources():
            if is_local(source) != is_local(self.source):
                raise UserError(
                    f"{self.ledger.store.place.capitalize()} holds posts from {source}, and this crawl reads "
                    f"{self.source}: name another CSV_FOLDER or DATABASE_URL, so that they are not mixed."
                )

    async def _read_boards(self) -> tuple[list[Board], list[Item]]:
        """The boards to pass over, and what is new about all boards."""
        held = await self.ledger.boards()
        try:
            reading = await self._read(fourchan.BOARDS, fourchan.parse_boards, first=True)
        except (Malformed, Unavailable) as error:
            raise UserError(
                f"{self.source}{fourchan.BOARDS} cannot be read ({error}): check the network and CHAN_API_URL, which "
                "has to be the address of a 4chan API, or try again later.",
                reason="unreachable",
            ) from None
        found, items = held, []
        if reading.content is not None:
            found = {board.board: replace(board, seen_at=reading.at) for board in reading.content}
            items = [board for board in found.values() if board.raw != getattr(held.get(board.board), "raw", None)]
            items += await self._validators(fourchan.BOARDS, reading)
        if self.board_names == ["all"]:
            return list(found.values()), items
        for name in self.board_names:
            if name not in found:
                raise UserError(f"There is no board /{name}/ on {self.source}; there are {board_list(found)}.")
        return [found[name] for name in self.board_names], items

    async def _read_index(self, path: str, parse: Parser) -> Reading:
        """An index or archive; without content if it has not changed, or cannot be had."""
        try:
            return await self._read(path, parse)
        except (Malformed, Unavailable) as error:
            logger.error("%s%s cannot be read: %s", self.source, path, error)
            self.stats.inc_value("chan/indexes_failed")
            return Reading(None, None)

    async def _read(self, path: str, parse: Parser, first: bool = False) -> Reading:
        """A file that the pass cannot do without. Unavailable if it cannot be had, Malformed if it cannot be read."""
        validator = await self.ledger.validator(path)
        for retries_left in reversed(range(1 + MALFORMED_RETRIES)):
            response = await (self._fetch_first if first else self._fetch)(self._request(path, validator))
            if response.status == 304:
                return Reading(None, validator, seen_at(response))
            try:
                return Reading(self._parse(response, parse), http_last_modified(response), seen_at(response))
            except Malformed:
                if not retries_left:
                    raise
        raise AssertionError("unreachable")

    async def _fetch(self, request: Request) -> Response:
        try:
            response = await self.crawler.engine.download_async(request)
        except Exception as error:  # whatever the network or a middleware came up with, when all retries are used up
            raise Unavailable(str(error) or type(error).__name__) from None
        if response.status not in (200, 304):
            raise Unavailable(f"answered {response.status}")
        return response

    async def _fetch_first(self, request: Request) -> Response:
        """The first file of a crawl. A source that does not even take a connection is not waited for.

        Somebody mistyped its address, or is not online. Whatever else goes wrong is retried as everywhere.
        """
        try:
            response = await self.crawler.engine.download_async(request.replace(meta={**request.meta, "dont_retry": True}))
            if response.status in (200, 304):
                return response
        except (CannotResolveHostError, DownloadConnectionRefusedError) as error:
            raise UserError(
                f"{self.source} cannot be reached ({error}): check the network and CHAN_API_URL.", reason="unreachable"
            ) from None
        except Exception as error:
            logger.info("The first request failed (%s); trying again.", error or type(error).__name__)
        return await self._fetch(request)

    def _parse(self, response: Response, parse: Parser) -> Any:
        """The content of an answer; Malformed, and the answer set aside, if it has none."""
        try:
            return parse(fourchan.loads(response.body))
        except Malformed as error:
            self.quarantine.set_aside(urlsplit(response.url).path, response.body, str(error))
            raise

    async def _validators(self, path: str, reading: Reading) -> list[Item]:
        """The state that says that what was read is stored in full."""
        if reading.validator is None or reading.validator == await self.ledger.validator(path):
            return []
        return [Validator(path, reading.validator)]

    async def _close_pass(self, board: Board, index: Reading, archive: Reading) -> list[Item]:
        """What became of the threads that are gone; and that the indexes are now stored in full, if they are."""
        items: list[Item] = []
        held = await self.ledger.threads(board.board)
        if index.content is not None and self._is_credible(index.content, held):
            items += await self._fates(board, index.content, archive.content, held)
            if not self.failed_on(board):
                items += await self._validators(fourchan.index_path(board.board), index)
        if archive.content is not None and not self.failed_on(board):
            items += await self._validators(fourchan.archive_path(board.board), archive)
        return items

    def failed_on(self, board: Board) -> bool:
        return bool(self.stats.get_value(f"chan/threads_failed/{board.board}", 0))

    def _is_credible(self, index: dict[int, IndexEntry], held: dict[int, Thread]) -> bool:
        """An empty or truncated index never means that everything was deleted."""
        live = [thread for thread in held.values() if thread.fate == "live"]
        if not live or 2 * len(index) >= len(live):
            return True
        logger.warning("/%s/: an index of %d threads where %d were held is not believed.",
                       live[0].board, len(index), len(live))  # fmt: skip
        self.stats.inc_value("chan/indexes_not_believed")
        return False

    async def _fates(
        self, board: Board, index: dict[int, IndexEntry], archive: list[int] | None, held: dict[int, Thread]
    ) -> list[Item]:
        """State for the threads that are no longer in the index, and deletions for the posts of deleted ones."""
        if archive is None and board.has_archive:
            return []  # without the archive nobody can tell
        items: list[Item] = []
        capacity = (board.pages or 10) * (board.per_page or 15)
        now = datetime.now(UTC)
        for thread in held.values():
            if thread.no in index or (thread.fate == "archived" and thread.no in (archive or ())):
                continue
            seen = thread.last_seen_at or now
            bumped = sum(1 for entry in index.values() if (entry.last_modified or 0) > seen.timestamp())
            became = fate(thread, archive or (), board.has_archive, bumped, capacity)
            if became == "archived":
                continue  # its last fetch has failed; the next run asks again
            if became == "deleted":
                held_posts = await self.ledger.thread(board.board, thread.no)
                items += deletions_of_thread(held_posts, now)
            items.append(replace(thread, fate=became, gone_at=now))
        return items

    # --- threads

    async def parse_thread(
        self, response: Response, board: str, no: int, entry: IndexEntry | None
    ) -> AsyncIterator[Item | Request]:
        retry = None
        try:
            held = await self.ledger.thread(board, no)
            if response.status == 404:
                self.stats.inc_value("chan/threads_vanished" if held.thread is None else "chan/threads_gone")
            elif response.status == 304:
                for item in self._unchanged(held, entry):
                    yield item
            else:
                for found in self._changes(response, board, no, entry, held):
                    yield found
        except Malformed as error:
            assert response.request is not None
            retry = get_retry_request(
                response.request, spider=self, reason="malformed", max_retry_times=MALFORMED_RETRIES
            )
            if retry is not None:
                yield retry
            else:
                self._fail(board, no, str(error))
        finally:
            if retry is None:
                self._done()

    def _changes(
        self, response: Response, board: str, no: int, entry: IndexEntry | None, held: Held
    ) -> Iterator[Item]:
        page = self._parse(response, lambda payload: fourchan.parse_thread(payload, board, no))
        if page.problems:
            self.quarantine.set_aside(urlsplit(response.url).path, response.body, "; ".join(page.problems[:10]))
        if entry is not None:
            page.thread.position = entry.position
            page.thread.last_modified = fourchan.utc(entry.last_modified)
        yield from compare(held, page, seen_at(response), http_last_modified(response))

    def _unchanged(self, held: Held, entry: IndexEntry | None) -> Iterator[Item]:
        """The index spoke of a change, and there is none: note the index's time, so that it is not asked again."""
        thread = held.thread
        if thread is not None and entry is not None and thread.last_modified != fourchan.utc(entry.last_modified):
            yield replace(thread, last_modified=fourchan.utc(entry.last_modified), position=entry.position)

    def thread_failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        board, no = request.cb_kwargs["board"], request.cb_kwargs["no"]
        if not failure.check(IgnoreRequest) or self.crawler.crawling:
            self._fail(board, no, failure.getErrorMessage())
        self._done()

    def _fail(self, board: str, no: int, reason: str) -> None:
        logger.error("/%s/ thread %d could not be fetched: %s", board, no, reason)
        self.stats.inc_value("chan/threads_failed")
        self.stats.inc_value(f"chan/threads_failed/{board}")

    def _done(self) -> None:
        self.outstanding -= 1
        self._answered.set()


def http_last_modified(response: Response) -> str | None:
    value = response.headers.get(b"Last-Modified")
    return value.decode("latin-1") if value else None


def seen_at(response: Response) -> datetime:
    """The server's time at an answer; its payload speaks of that clock. Ours if it does not tell."""
    date = response.headers.get(b"Date")
    return (agenda.http_time(date.decode("latin-1")) if date else None) or datetime.now(UTC)


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
