"""New posts of many known accounts with few calls: recent search over `from:a OR from:b …`."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.engine import stopping
from chancrawl.errors import UserError
from chancrawl.http import reason_of
from chancrawl.items import Account, Feed, Item
from chancrawl.payload import Malformed
from chancrawl.x import api, pagination
from chancrawl.x.api import PAGE, SEARCH, Page
from chancrawl.x.client import BadRequest
from chancrawl.x.pagination import Again, Done, GiveUp, GoOn, Pack, Walk, Wants
from chancrawl.x.reader import Walker, merge, pause_before, wrong_parameters

logger = logging.getLogger(__name__)

SILENT = 5.0
"""An account from which so many posts were to be expected, and none was found, is asked for by its timeline."""


@dataclass(slots=True)
class Search:
    """A pack's search under way. What it says of its feeds is noted when its last page is stored."""

    pack: Pack
    walk: Walk
    not_before: float = 0.0

    @classmethod
    def of(cls, pack: Pack) -> Search:
        return cls(pack, Walk(Feed(f"search:{pack.query}", newest_id=pack.since_id), SEARCH, Wants()))


class PackReader:
    """Reads packs, and knows afterwards which accounts it has not seen whole."""

    def __init__(self, walker: Walker, accounts: dict[int, Account]) -> None:
        self.walker = walker
        self.accounts = accounts
        self.stats = walker.stats
        self.waiting: list[Search] = []
        self.searches = 0  # under way
        self.found: Counter[int] = Counter()
        self.newest: dict[int, int] = {}
        self.authors: dict[int, Account] = {}
        self.whole: list[Feed] = []
        self.not_read: list[Feed] = []

    def add(self, pack: Pack) -> None:
        self.waiting.append(Search.of(pack))

    async def requests(self) -> AsyncIterator[Request]:
        """Pages of all packs, and of the walks that the walker has besides."""
        while not stopping(self.walker.crawler):
            ready = [search for search in self.waiting if search.not_before <= time.monotonic()]
            if ready and self.walker.has_room():
                self.waiting.remove(ready[-1])
                yield self._page_of(ready[-1])
            elif (request := self.walker.next_request()) is not None:
                yield request
            elif not self.waiting and not self.searches and self.walker.is_idle:
                return
            else:
                await self.walker.wait()

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
        last = api.time_of(feed.seen_id or feed.newest_id or 0)
        return (feed.posts_per_day or 0.0) * ((self.walker.server_now() - last) / timedelta(days=1)) if last else 0.0

    def _page_of(self, search: Search) -> Request:
        walk = search.walk
        if not walk.is_under_way and self.walker.highest_id is not None:
            walk.seen_id = pagination.settled_id(self.walker.highest_id)
        asked = walk.ask(self.walker.server_now()) | {"query": search.pack.query} | api.POST_PARAMETERS
        self.searches += 1
        self.walker.begun()
        return self.walker.client.request(
            SEARCH,
            asked,
            self.answered,
            self.failed,
            bills=("posts", PAGE),
            least=SEARCH.smallest,
            search=search,
        )

    async def answered(self, response: Response, search: Search) -> AsyncIterator[Item]:
        try:
            page = await self.walker.read(response, search.walk.feed.feed)
        except BadRequest as error:
            if error.is_ours:
                self.walker.access.end(wrong_parameters(error))
            self._alone(search, str(error))
        except Malformed as error:
            self._again(search, search.walk.again(str(error)))
        else:
            try:
                async for item in self._read(response, search, page):
                    yield item
            except UserError as error:
                self.walker.access.end(error)
        finally:
            await self.walker.access.settle(response.request)
            self.searches -= 1
            self.walker.ended()

    async def _read(self, response: Response, search: Search, page: Page) -> AsyncIterator[Item]:
        returned = [tweet.id for tweet in page.tweets]
        for tweet in page.tweets:
            if tweet.author_id is not None:
                account = self.accounts.get(tweet.author_id)
                tweet.found_in = [api.feed_of(tweet.author_id)]
                tweet.username = tweet.username or (account.username if account else None)
        seen_at = self.walker.client.dates.now(response)
        step = search.walk.take(page, seen_at)
        new, changed = await self.walker.sift(response, page, returned)
        self._note(page, {tweet.id for tweet in new})
        for tweet in [*new, *changed]:
            yield tweet
        match step:
            case GoOn():
                self.waiting.append(search)
            case Again() | GiveUp():
                self._again(search, step)
            case Done(gaps) if gaps:  # its accounts were last seen before what a search shows
                self._alone(search, "it does not reach back far enough")
            case Done():
                for item in self._finished(search, seen_at):
                    yield item

    def _note(self, page: Page, new: set[int]) -> None:
        for tweet in page.tweets:
            if tweet.author_id is not None:
                self.found[tweet.author_id] += tweet.id in new
                self.newest[tweet.author_id] = max(self.newest.get(tweet.author_id, 0), tweet.id)
        for number, shown in page.authors.items():
            self.authors.setdefault(number, shown)
        if page.newest_id is not None:
            self.walker.note_highest(page.newest_id)

    def _finished(self, search: Search, seen: datetime) -> list[Item]:
        """All that was new, and that a search shows, is stored: the next search goes on from here."""
        items: list[Item] = []
        for feed in search.pack.feeds:
            number = api.account_of_feed(feed)
            shown = self.authors.get(number)
            merged = merge(self.accounts[number], shown) if shown is not None else None
            if merged is not None:
                items.append(merged)
            self.whole.append(replace(feed))  # as it was, for `incomplete`
            pagination.found(feed, self.newest.get(number), seen, search.walk.seen_id)
            feed.visited_at = datetime.now(UTC)
            items.append(replace(feed))
        self.stats.inc_value("x/searches")
        return items

    def _again(self, search: Search, step: Again | GiveUp) -> None:
        if isinstance(step, Again):
            search.not_before = time.monotonic() + pause_before(search.walk.tries)
            self.waiting.append(search)
        else:
            self._alone(search, step.why)

    def _alone(self, search: Search, why: str) -> None:
        """A search that comes to nothing: each of its timelines is read."""
        logger.warning("A search came to nothing (%s); its %d timelines are read.", why, len(search.pack.feeds))
        self.not_read += search.pack.feeds

    async def failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        await self.walker.access.settle(request)
        search: Search = request.cb_kwargs["search"]
        if not stopping(self.walker.crawler):
            self._again(search, search.walk.again(reason_of(failure)))
        self.searches -= 1
        self.walker.ended()
