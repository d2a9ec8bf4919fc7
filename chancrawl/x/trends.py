"""A round over places: what trends there, and posts about each trend by recent search."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from scrapy import Request

from chancrawl.engine import stopping
from chancrawl.items import Item, Trend
from chancrawl.x.api import SEARCH, TRENDS, feed_of_query
from chancrawl.x.budget import Bill
from chancrawl.x.client import Answer, BadRequest, Problem
from chancrawl.x.pagination import TRIES, FeedPager, Wants, is_under_way, pause_before
from chancrawl.x.payloads import parse_trends
from chancrawl.x.reader import Reader, Visit

logger = logging.getLogger(__name__)


class TrendingRound:
    """Reads the trends of places, and up to `posts` posts about each of at most `sample` trends a place, once."""

    def __init__(self, reader: Reader, places: Sequence[int], posts: int, sample: int | None = None) -> None:
        self.reader = reader
        self.stats = reader.stats
        self.places = places
        self.posts = posts
        self.sample = sample
        self.window = timedelta(seconds=reader.crawler.settings.getfloat("X_TREND_WINDOW"))
        self.fresh = datetime.now(UTC) - self.window  # what was read since then is not read again
        self.seen: set[str] = set()  # names of this round
        self.waiting: list[int] = []
        self.later: dict[int, float] = {}  # places that are asked for again, and when
        self.tries: dict[int, int] = {}

    async def requests(self) -> AsyncIterator[Request]:
        """Requests until all places are read, and the posts about what trends there."""
        for place in self.places:
            held = await self.reader.ledger.trends(place, self.fresh)
            if held:
                logger.info("The trends of %d were read less than %s ago.", place, self.window)
                await self._search_for(held)
            else:
                self.waiting.append(place)
        while not stopping(self.reader.crawler):
            for place in [place for place, due in self.later.items() if due <= time.monotonic()]:
                del self.later[place]
                self.waiting.append(place)
            if self.waiting and self.reader.has_room():
                yield self._trends_of(self.waiting.pop(0))
            elif (request := self.reader.next_request()) is not None:
                yield request
            elif not self.waiting and not self.later and self.reader.is_idle:
                return
            else:
                await self.reader.wait()

    def _trends_of(self, place: int) -> Request:
        return self.reader.client.request(
            TRENDS,
            {},
            lambda payload, seen_at: parse_trends(payload, place, seen_at),
            self._answered,
            lambda problem: self._failed(place, problem),
            reads=1,
            bill=lambda trends: Bill(trends=1),
            argument=str(place),
        )

    async def _answered(self, answer: Answer[list[Trend]]) -> AsyncGenerator[Item, None]:
        self.stats.inc_value("x/places")
        for trend in answer.content:
            yield trend
        await self._search_for(answer.content)

    async def _search_for(self, trends: list[Trend]) -> None:
        """Search for posts about trends that were not searched for within the window, for this place or another."""
        if not self.posts:
            return
        by_lower = {trend.name.lower(): trend.name for trend in reversed(trends)}  # case makes no other search
        new = [trend.name for trend in trends if by_lower[trend.name.lower()] == trend.name]
        names = [name for name in dict.fromkeys(new) if name.lower() not in self.seen][: self.sample]
        self.seen |= {name.lower() for name in names}
        queries = {feed_of_query("trend", query_of(name)): query_of(name) for name in names}
        feeds = await self.reader.ledger.feeds(list(queries))
        for name, query in queries.items():
            feed = feeds[name]
            if feed.visited_at is not None and feed.visited_at > self.fresh and not is_under_way(feed):
                self.stats.inc_value("x/trends_held")
                continue
            wants = Wants(limit=self.posts, each_visit=True)
            self.reader.add(Visit(FeedPager(feed, SEARCH, wants), query=query))

    def _failed(self, place: int, problem: Problem) -> None:
        """Ask again, unless X says that the place is wrong."""
        self.tries[place] = TRIES if isinstance(problem, BadRequest) else self.tries.get(place, 0) + 1
        if self.tries[place] < TRIES:
            self.later[place] = time.monotonic() + pause_before(self.tries[place])
        else:
            self.stats.inc_value("x/places_failed")
            logger.warning("The trends of %d could not be read: %s.", place, problem)


def query_of(name: str) -> str:
    """The search for a trend: a hashtag as it is, anything else as a phrase.

    >>> query_of("#science"), query_of('Moon "base"')
    ('#science', '"Moon base"')
    """
    if name.startswith(("#", "$")) and not any(sign.isspace() for sign in name):
        return name
    return '"' + " ".join(name.replace('"', " ").split()) + '"'
