"""New posts of many known accounts with few calls: recent search over `from:a OR from:b …`."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from scrapy import Request

from chancrawl.engine import stopping
from chancrawl.items import Account, Feed, Item
from chancrawl.x import api
from chancrawl.x.accounts import merge
from chancrawl.x.api import SEARCH
from chancrawl.x.client import Answer, BadRequest, Problem
from chancrawl.x.pagination import Again, Done, FeedPager, GiveUp, GoOn, Wants, pause_before
from chancrawl.x.payloads import Page, parse_page
from chancrawl.x.query_batches import QueryBatch, note_found
from chancrawl.x.reader import Reader

logger = logging.getLogger(__name__)

SILENT = 5.0
"""An account from which so many posts were to be expected, and none was found, is asked for by its timeline."""


@dataclass(slots=True)
class BatchedSearch:
    """A search that is being read. What it says of its feeds is noted when its last page is stored."""

    batch: QueryBatch
    pager: FeedPager
    not_before: float = 0.0

    @classmethod
    def of(cls, batch: QueryBatch) -> BatchedSearch:
        return cls(batch, FeedPager(Feed(f"search:{batch.query}", newest_id=batch.since_id), SEARCH, Wants()))


class BatchReader:
    """Reads batches, and knows afterwards which accounts it has not seen whole."""

    def __init__(self, reader: Reader, accounts: dict[int, Account]) -> None:
        self.reader = reader
        self.accounts = accounts
        self.stats = reader.stats
        self.waiting: list[BatchedSearch] = []
        self.found: Counter[int] = Counter()
        self.newest: dict[int, int] = {}
        self.authors: dict[int, Account] = {}
        self.whole: list[Feed] = []
        self.not_read: list[Feed] = []

    def add(self, batch: QueryBatch) -> None:
        """Have a batch searched for."""
        self.waiting.append(BatchedSearch.of(batch))

    async def requests(self) -> AsyncIterator[Request]:
        """Requests for pages of all batches, and of the feeds that the reader has besides."""
        while not stopping(self.reader.crawler):
            ready = [search for search in self.waiting if search.not_before <= time.monotonic()]
            if ready and self.reader.has_room():
                self.waiting.remove(ready[-1])
                yield self._page_of(ready[-1])
            elif (request := self.reader.next_request()) is not None:
                yield request
            elif not self.waiting and self.reader.is_idle:
                return
            else:
                await self.reader.wait()

    def incomplete(self) -> list[Feed]:
        """Feeds whose account's count of posts has grown by more than was found, or that were silent for too long."""
        feeds = list(self.not_read)
        for feed in self.whole:
            number = api.account_of_feed(feed)
            held, shown = self.accounts[number], self.authors.get(number)
            if shown is not None:
                grown = shown.metrics.get("tweet_count", 0) - held.metrics.get("tweet_count", 0)
                if grown > self.found[number]:
                    feeds.append(feed)
            elif self._expected(feed) >= SILENT:
                feeds.append(feed)
        return feeds

    def _expected(self, feed: Feed) -> float:
        """How many posts were to be expected since a feed was last seen."""
        last = api.time_of(feed.seen_id or feed.newest_id or 0)
        return (feed.posts_per_day or 0.0) * ((self.reader.server_now() - last) / timedelta(days=1)) if last else 0.0

    def _page_of(self, search: BatchedSearch) -> Request:
        self.reader.set_seen_id(search.pager)
        asked = search.pager.ask(self.reader.server_now()) | {"query": search.batch.query}
        return self.reader.client.request(
            SEARCH,
            asked,
            lambda payload, seen_at: parse_page(payload, search.pager.feed.feed, seen_at),
            lambda answer: self._answered(search, answer),
            lambda problem: self._failed(search, problem),
            reads=int(asked["max_results"]),
        )

    async def _answered(self, search: BatchedSearch, answer: Answer[Page]) -> AsyncGenerator[Item, None]:
        page = answer.content
        returned = [tweet.id for tweet in page.tweets]
        for tweet in page.tweets:
            if tweet.author_id is not None:
                account = self.accounts.get(tweet.author_id)
                tweet.found_in = [api.feed_of(tweet.author_id)]
                tweet.username = tweet.username or (account.username if account else None)
        step = search.pager.take(page, answer.seen_at)
        new, changed = await self.reader.sift(answer, returned)
        self._note(page, {tweet.id for tweet in new})
        for tweet in [*new, *changed]:
            yield tweet
        match step:
            case GoOn():
                self.waiting.append(search)
            case Again() | GiveUp():
                self._again(search, step)
            case Done(gaps) if gaps:  # its accounts were last seen before what a search shows
                self._read_alone(search, "it does not reach back far enough")
            case Done():
                for item in self._finished(search, answer.seen_at):
                    yield item

    def _note(self, page: Page, new: set[int]) -> None:
        for tweet in page.tweets:
            if tweet.author_id is not None:
                self.found[tweet.author_id] += tweet.id in new
                self.newest[tweet.author_id] = max(self.newest.get(tweet.author_id, 0), tweet.id)
        for number, shown in page.authors.items():
            self.authors.setdefault(number, shown)
        if page.newest_id is not None:
            self.reader.note_highest(page.newest_id)

    def _finished(self, search: BatchedSearch, seen_at: datetime) -> list[Item]:
        """All that was new, and that a search shows, is stored: the next search goes on from here."""
        items: list[Item] = []
        for feed in search.batch.feeds:
            number = api.account_of_feed(feed)
            shown = self.authors.get(number)
            merged = merge(self.accounts[number], shown) if shown is not None else None
            if merged is not None:
                items.append(merged)
            self.whole.append(replace(feed))  # as it was, for `incomplete`
            note_found(feed, self.newest.get(number), seen_at, search.pager.seen_id)
            feed.visited_at = datetime.now(UTC)
            items.append(replace(feed))
        self.stats.inc_value("x/searches")
        return items

    def _failed(self, search: BatchedSearch, problem: Problem) -> None:
        if isinstance(problem, BadRequest):
            self._read_alone(search, str(problem))
        else:
            self._again(search, search.pager.again(str(problem)))

    def _again(self, search: BatchedSearch, step: Again | GiveUp) -> None:
        """Ask for the same page once more, later; or read the timelines instead."""
        if isinstance(step, Again):
            search.not_before = time.monotonic() + pause_before(search.pager.tries)
            self.waiting.append(search)
        else:
            self._read_alone(search, step.why)

    def _read_alone(self, search: BatchedSearch, why: str) -> None:
        """Have each timeline of a search read that failed."""
        logger.warning("A batched search failed (%s); reading its %d timelines instead.", why, len(search.batch.feeds))
        self.not_read += search.batch.feeds
