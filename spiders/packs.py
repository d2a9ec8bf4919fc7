"""New posts of many known accounts with few calls: recent search over `from:a OR from:b …`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl import twitter, walking
from chancrawl.client import reason_of, seen_at
from chancrawl.items import Account, Feed, Item
from chancrawl.middlewares import stopping
from chancrawl.twitter import PAGE, SEARCH, SMALLEST_PAGE, Page
from chancrawl.walking import Pack
from chancrawl.xclient import payload_of
from spiders.walker import TRIES, Walker, merge

logger = logging.getLogger(__name__)

SILENT = 5.0
"""An account from which so many posts were to be expected, and none was found, is asked for by its timeline."""


@dataclass(slots=True)
class Search:
    """A pack's search under way. What it says of its feeds is noted when its last page is stored."""

    pack: Pack
    seen_id: int | None = None
    next_token: str | None = None
    tries: int = 0


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
        self.waiting.append(Search(pack))

    async def requests(self) -> AsyncIterator[Request]:
        """Pages of all packs, and of the walks that the walker has besides."""
        while not stopping(self.walker.crawler):
            if self.waiting and self.walker.has_room():
                yield self._page_of(self.waiting.pop())
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
            number = twitter.account_of_feed(feed)
            held, shown = self.accounts[number], self.authors.get(number)
            if shown is not None:
                grown = shown.metrics.get("tweet_count", 0) - held.metrics.get("tweet_count", 0)
                if grown > self.found[number]:
                    feeds.append(feed)
            elif self._expected(feed) >= SILENT:
                feeds.append(feed)
        return feeds

    def _expected(self, feed: Feed) -> float:
        last = twitter.time_of(feed.newest_id or 0)
        return (feed.posts_per_day or 0.0) * ((self.walker.server_now() - last) / timedelta(days=1)) if last else 0.0

    def _page_of(self, search: Search) -> Request:
        if search.next_token is None and self.walker.highest_id is not None:
            search.seen_id = walking.settled_id(self.walker.highest_id)
        asked = {"query": search.pack.query, "since_id": str(search.pack.since_id), "max_results": str(PAGE)}
        asked |= twitter.POST_PARAMETERS
        if search.next_token is not None:
            asked["next_token"] = search.next_token
        self.searches += 1
        self.walker.begun()
        return self.walker.client.request(
            SEARCH,
            asked,
            self.answered,
            self.failed,
            bills=("posts", PAGE),
            least=SMALLEST_PAGE["search"],
            search=search,
        )

    async def answered(self, response: Response, search: Search) -> AsyncIterator[Item]:
        try:
            page = twitter.parse_page(payload_of(response), f"search:{search.pack.query}", seen_at(response))
        except Exception as error:  # Malformed, or something that nobody has thought of
            await self.walker.access.settle(response.request, 0)
            self.walker.quarantine.set_aside(response.url, response.body, f"{type(error).__name__}: {error}")
            self._again(search, str(error))
        else:
            async for item in self._read(response, search, page):
                yield item
        finally:
            self.searches -= 1
            self.walker.ended()

    async def _read(self, response: Response, search: Search, page: Page) -> AsyncIterator[Item]:
        for tweet in page.tweets:
            tweet.found_in = twitter.feed_of(tweet.author_id) if tweet.author_id else tweet.found_in
        new, changed, read_today = await self.walker.ledger.x.sift(page.tweets)
        await self.walker.access.settle(response.request, len(page.tweets) - len(read_today))
        search.tries = 0
        self._note(page, {tweet.id for tweet in new})
        for tweet in [*new, *changed]:
            yield tweet
        if page.next_token is not None:
            search.next_token = page.next_token
            self.waiting.append(search)
            return
        for item in self._finished(search, seen_at(response)):
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
        """All that was new is stored: the feeds go on from here."""
        items: list[Item] = []
        for feed in search.pack.feeds:
            number = twitter.account_of_feed(feed)
            shown = self.authors.get(number)
            merged = merge(self.accounts[number], shown) if shown is not None else None
            if merged is not None:
                items.append(merged)
            self.whole.append(replace(feed))  # as it was: what is missing lies above it
            walking.found(feed, self.found[number], self.newest.get(number), seen, search.seen_id)
            feed.visited_at = datetime.now(UTC)
            items.append(replace(feed))
        self.stats.inc_value("x/searches")
        return items

    def _again(self, search: Search, why: str) -> None:
        search.tries += 1
        if search.tries < TRIES:
            self.waiting.append(search)
        else:  # each on its own
            logger.warning("A search came to nothing (%s); its %d timelines are read.", why, len(search.pack.feeds))
            self.not_read += search.pack.feeds

    async def failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        await self.walker.access.settle(request, 0)
        if not stopping(self.walker.crawler):
            self._again(request.cb_kwargs["search"], reason_of(failure))
        self.searches -= 1
        self.walker.ended()
