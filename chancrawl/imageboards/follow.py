"""Follows boards: sends the frontier's requests one by one until the crawl is stopped.

*Flow:* `requests` asks `Frontier.next` for a `Fetch`; `_request` adds the validator → `answered` gets the answer:

- an index file → `_index` → `Monitor.changed_threads` and `Monitor.index`, for archive.json `Monitor.archive`; 304 →
  `Monitor.unchanged`; 404 → `Frontier.failed`
- a thread → `_thread` → `Monitor.thread`; 304 → `Monitor.thread_unchanged`; 404 or `Stub` → `Monitor.thread_gone`

→ their items are yielded, data before state. `failed` gets requests without an answer → `Frontier.refused`. While the
store is out of reach: `Frontier.put_off`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.engine import ended, sleep, stopping, wait_for
from chancrawl.errors import StoreAway, UserError
from chancrawl.frames import BoardProgress
from chancrawl.http import reason_of
from chancrawl.imageboards import conditional
from chancrawl.imageboards.board_state import COMPLETE
from chancrawl.imageboards.client import ChanClient, plausible
from chancrawl.imageboards.coverage import UNWATCHED
from chancrawl.imageboards.diff import Observation
from chancrawl.imageboards.frontier import Fetch, Frontier
from chancrawl.imageboards.monitor import Found, Monitor
from chancrawl.imageboards.pages import IndexEntry, Stub
from chancrawl.imageboards.stored_coverage import EPOCH, RECENT, keep, out_of_date
from chancrawl.imageboards.thinning import thin
from chancrawl.items import Board, Item, Poll
from chancrawl.payload import Malformed

logger = logging.getLogger(__name__)


class Follower:
    """Requests files and passes the answers to the monitors.

    The frontier chooses each request only when it can be sent, so that the choice uses all answers so far.
    """

    def __init__(self, client: ChanClient, boards: list[Board], with_archive: bool) -> None:
        self.client = client
        self.site = client.site
        self.ledger = client.ledger
        self.crawler = client.crawler
        self.stats = client.crawler.stats
        settings = client.crawler.settings
        addresses = len(settings.getlist("ROTATING_PROXY_LIST")) or 1
        self.delay = settings.getfloat("DOWNLOAD_DELAY") / addresses
        self.most_under_way = settings.getint("CONCURRENT_REQUESTS")
        self.frontier = Frontier(
            settings.getfloat("CHAN_INDEX_INTERVAL"), settings.getfloat("CHAN_THREAD_INTERVAL"), max(self.delay, 0.01)
        )
        self.monitors = {}
        for board in boards:
            board = board if with_archive else replace(board, has_archive=False)
            self.monitors[board.board] = Monitor(self.site, board, self.frontier, self._stored_of(board.board))
        self.validators: dict[str, str] = {}  # of the files whose content is in memory
        self.under_way = 0
        self.answer_came = asyncio.Event()  # set at each answer: something can be due now
        self._failing: dict[str, tuple[int, float]] = {}  # index files: failures in a row, and since when
        self._logged: set[str] = set()  # failing index files that were logged
        self.began = time.monotonic()
        self._answered_at = 0.0  # the last usable answer of any file
        self._reading = asyncio.Lock()  # two answers about one thread must not be compared with the same state

    def _stored_of(self, board: str) -> Any:
        return lambda no: self.ledger.loaded(board, no)

    async def requests(self) -> AsyncIterator[Request]:
        for name, monitor in self.monitors.items():
            monitor.resume((await self.ledger.threads(name)).values())
        self.ledger.follow()
        self.ledger.progress = self.progress
        housekeeping = asyncio.ensure_future(self._keep_house())
        self.client.session.before_closing.append(functools.partial(ended, housekeeping))
        logger.info("Following %s; Ctrl-C ends it.", ", ".join(f"/{name}/" for name in list(self.monitors)[:12]))
        next_departure = 0.0
        while not stopping(self.crawler):
            now = time.monotonic()
            if self.under_way >= self.most_under_way:
                await self._wait(60.0)
            elif now < next_departure:
                await asyncio.sleep(next_departure - now)
            elif isinstance(fetch := self.frontier.next(now), Fetch):
                self.under_way += 1
                next_departure = max(next_departure, now - 0.1 * self.delay) + self.delay
                try:
                    yield await self._request(fetch)
                except StoreAway:
                    self._put_off(fetch)
            else:
                await self._wait(fetch.until - now)

    def progress(self) -> Iterator[BoardProgress]:
        """Each board with the time since one of its index files was read."""
        now = time.monotonic()
        for name, monitor in self.monitors.items():
            read = max(file.asked_now for file in monitor.state.files.values() if file.what != "archive")
            lag = now - max(read, self.began)
            yield BoardProgress(f"/{name}/", lag, len(monitor.state.pending))

    async def _keep_house(self) -> None:
        """Thin old polls once a day, and keep the coverage of past hours once an hour."""
        hour = 0
        while not stopping(self.crawler):
            for board in self.monitors:
                if stopping(self.crawler):
                    return
                try:
                    await self._keep_house_of(board, hour)
                except StoreAway:
                    continue
                except UserError as error:  # the crawl does not depend on it; it is tried again after an hour
                    logger.warning("Old rows of board_polls and board_coverage could not be written. %s", error)
                    break
            hour += 1
            await sleep(self.crawler, 3600)

    async def _keep_house_of(self, board: str, hour: int) -> None:
        session = self.client.session
        if hour % 24 == 0:
            await session.call(thin, session.store, board)
        since = datetime.now(UTC) - RECENT if hour else EPOCH
        for start, end in await session.call(out_of_date, session.store, board, since):
            await session.call(keep, session.store, board, start, end)

    async def _wait(self, seconds: float) -> None:
        """Wait for an answer, but at most `seconds`."""
        self.answer_came.clear()
        await wait_for(self.crawler, self.answer_came, max(seconds, 0.001))

    async def _request(self, fetch: Fetch) -> Request:
        path = self.site.path(fetch.board, fetch.what, fetch.no)
        if fetch.what == "thread":
            stored = await self.ledger.thread(fetch.board, fetch.no)
            thread = self.monitors[fetch.board].state.threads.get(fetch.no)
            entry = None
            if thread is not None:
                entry = IndexEntry(fetch.no, int(thread.modified), thread.replies, thread.position)
            validator = conditional.if_modified_since(stored.thread, entry)
        else:
            validator = self.validators.get(path)
        # No retries by Scrapy: after a failure the frontier decides what to request next.
        return self.client.request(
            path,
            validator,
            callback=self.answered,
            errback=self.failed,
            cb_kwargs={"fetch": fetch},
            meta={"dont_retry": True},
        )

    # --- answers

    async def answered(self, response: Response, fetch: Fetch) -> AsyncIterator[Item]:
        now = time.monotonic()
        try:
            async with self._reading:
                if fetch.is_thread:
                    await self.ledger.load(fetch.board, [fetch.no])
                    items = self._thread(response, fetch, now)
                elif response.status == 404:
                    self.frontier.failed(fetch, now)
                    if not fetch.may_be_missing:
                        self._index_failed(response.url, "answered 404", now)
                    items = []
                elif response.status == 304:
                    items = self.monitors[fetch.board].unchanged(fetch, self.client.observation(response, False), now)
                    self._index_is_back(response.url)
                else:
                    items = await self._index(response, fetch, now)
                    self._index_is_back(response.url)
                for item in items:
                    if isinstance(item, Poll) and (item.longest_gap or 0.0) > UNWATCHED.total_seconds():
                        self.stats.inc_value("chan/unwatched")
                    yield item
            self._answered_at = now
        except Malformed as error:
            self.stats.inc_value("chan/malformed")
            if not self.frontier.failed(fetch, now):
                self._give_up(fetch, str(error))
            if not fetch.is_thread:
                self._index_failed(response.url, str(error), now)
        except StoreAway:
            self.frontier.put_off(fetch, now)
        except UserError as error:
            logger.error("%s was not read: %s", response.url, error)
            self.frontier.failed(fetch, now)
        except Exception as error:  # an unforeseen payload must not count as stored
            self.client.set_aside(response, f"{type(error).__name__}: {error}")
            self.frontier.failed(fetch, now)
        finally:
            self._done()

    def failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        fetch: Fetch = request.cb_kwargs["fetch"]
        if not stopping(self.crawler):
            logger.debug("%s has failed: %s", request.url, reason_of(failure))
            self.stats.inc_value("chan/refused")
        self.frontier.refused(fetch, time.monotonic())
        if not fetch.is_thread:
            self._index_failed(request.url, reason_of(failure), time.monotonic())
        self._done()

    def _put_off(self, fetch: Fetch) -> None:
        self.frontier.put_off(fetch, time.monotonic())
        self._done()

    def _give_up(self, fetch: Fetch, why: str) -> None:
        """Stop trying to read a thread of the archive. The next archive list makes the crawl request it again."""
        logger.warning("/%s/ thread %d of the archive could not be read: %s", fetch.board, fetch.no, why)
        self.stats.inc_value("chan/threads_failed")

    def _index_failed(self, url: str, why: str, now: float) -> None:
        """Log that a file cannot be read, unless the whole site is not answering."""
        times, since = self._failing.get(url, (0, now))
        self._failing[url] = times + 1, since
        if times and self._answered_at > since and url not in self._logged and not stopping(self.crawler):
            self._logged.add(url)
            self.stats.inc_value("chan/indexes_failed")
            logger.warning("%s cannot be read (%s); other index files are used until it is back.", url, why)

    def _index_is_back(self, url: str) -> None:
        if self._failing.pop(url, None) is not None and url in self._logged:
            self._logged.discard(url)
            logger.info("%s is back.", url)

    def _done(self) -> None:
        self.under_way -= 1
        self.answer_came.set()

    async def _index(self, response: Response, fetch: Fetch, now: float) -> list[Item]:
        monitor = self.monitors[fetch.board]
        size = int(response.headers.get("Content-Length") or len(response.body))
        seen_in = self.client.observation(response, False)
        if fetch.what == "archive":
            listed, problems = self.client.parse(response, self.site.parse_archive)
            self.client.report(response, problems)
            stored = await self.ledger.threads(fetch.board)
            found = monitor.archive(fetch, listed, stored, seen_in, now, size, problems)
            self._accept_index(response, found, len(listed))
            return found.items
        if fetch.what in COMPLETE:
            entries, problems = self.client.parse(response, self.site.parse_index)
        else:
            first = (int(fetch.what) - 1) * monitor.state.per_page
            parse = functools.partial(self.site.parse_board_page, first=first)
            entries, problems = self.client.parse(response, parse)
        entries = plausible(entries, seen_in.at)
        changed = monitor.changed_threads(fetch, entries)
        await self.ledger.load(fetch.board, changed)
        found = monitor.index(fetch, entries, set(changed), seen_in, now, size, problems)
        self.client.report(response, found.problems)
        self._accept_index(response, found, len(entries))
        return found.items

    def _accept_index(self, response: Response, found: Found, listed: int) -> None:
        """Remember the validator of a plausible index. An implausible one is read again in full."""
        if found.is_plausible:
            self._remember_validator(response)
        else:
            logger.warning("%s lists only %d threads: ignored as implausible.", response.url, listed)
            self.stats.inc_value("chan/indexes_not_believed")

    def _thread(self, response: Response, fetch: Fetch, now: float) -> list[Item]:
        monitor = self.monitors[fetch.board]
        seen_in = self.client.observation(response, fetch.what == "thread")
        if response.status == 404:
            return self._gone(fetch, seen_in, now)
        if response.status == 304:
            return monitor.thread_unchanged(fetch, seen_in, now)
        parse = self.site.parse_tail if fetch.what == "tail" else self.site.parse_thread
        try:
            page, _ = self.client.parse(response, lambda payload, _: parse(payload, fetch.board, fetch.no))
        except Stub:
            return self._gone(fetch, seen_in, now)
        if (page.problems or not page.is_complete) and monitor.is_worth_another_try(fetch):
            self.client.set_aside(response, "; ".join(page.problems[:10]) or "fewer posts than the opening post says")
            monitor.read_in_part(fetch)
            raise Malformed("read in part")
        found = monitor.thread(fetch, page, seen_in, now)
        self.client.report(response, [*found.problems, *page.oddities])
        if fetch.what == "tail":
            self._remember_validator(response)
        elif fetch.no not in monitor.state.threads:  # it has gone to the archive
            self._forget_tail(fetch)
        return found.items

    def _gone(self, fetch: Fetch, seen_in: Observation, now: float) -> list[Item]:
        self._forget_tail(fetch)
        return self.monitors[fetch.board].thread_gone(fetch, seen_in, now)

    def _forget_tail(self, fetch: Fetch) -> None:
        if self.site.tail_path is not None:
            self.validators.pop(self.site.tail_path(fetch.board, fetch.no), None)

    def _remember_validator(self, response: Response) -> None:
        validator = self.client.index_validator(response)
        if validator:
            self.validators[response.url.removeprefix(self.client.source)] = validator
