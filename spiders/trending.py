"""What trends at places, and the posts about it: `scrapy crawl trending -a woeid=1,23424977`."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.arguments import argument, duration, number, numbers, parsed, texts
from chancrawl.engine import stopping
from chancrawl.errors import UserError
from chancrawl.http import reason_of
from chancrawl.items import Item, Trend
from chancrawl.text import counted
from chancrawl.x import api
from chancrawl.x.access import Bill
from chancrawl.x.api import SEARCH, TRENDS, feed_of_query
from chancrawl.x.client import BadRequest, payload_of
from chancrawl.x.pagination import TRIES, Walk, Wants, is_under_way
from chancrawl.x.reader import Visit, pause_before, wrong_parameters
from chancrawl.x.spider import XSpider

logger = logging.getLogger(__name__)


def posts_a_trend(name: str, value: str) -> int:
    """A number of posts from 0 to 3200."""
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit() and int(digits[:9]) <= 3200):
        raise UserError(f"{name}={value}: give a number from 0 to 3200.")
    return int(digits)


@dataclass(frozen=True)
class TrendingArguments:
    woeid: list[int] = argument(numbers, "Where On Earth IDs of places; 1 is the world", "–")
    tweets: int = argument(
        posts_a_trend, "number of posts to read about each trend, by recent search; `0`: only the trends", "100", "100"
    )
    follow: timedelta | None = argument(duration, "`15m`: repeat every 15 minutes until you stop the crawl", "once")
    sample: int | None = argument(number, "maximum number of trends a place, for a short first run", "all")


class TrendingSpider(XSpider):
    """Trends, and posts about each by recent search."""

    name = "trending"
    Arguments = TrendingArguments
    EXAMPLES = (
        "scrapy crawl trending -a woeid=1,23424977",
        "scrapy crawl trending -a woeid=1 -a tweets=0",
    )

    def __init__(self, **given: str) -> None:
        super().__init__()
        self.arguments = texts(self.name, TrendingArguments, given)
        self.given = parsed(TrendingArguments, self.arguments)
        self.places, self.tweets, self.follow = self.given.woeid, self.given.tweets, self.given.follow
        if not self.places:
            raise UserError("Where? Give Where On Earth IDs: -a woeid=1 (the world), -a woeid=1,23424977.")
        if max(self.places) > 2**31 - 1:
            raise UserError(f"woeid={self.arguments['woeid']}: that is no Where On Earth ID; 1 is the world.")

    async def estimate(self) -> str:
        places, trends = len(self.places), min(self.given.sample or 50, 50)
        posts = places * trends * self.tweets
        most = places * self.access.price["trends"] + posts * self.access.price["posts"]
        return f"{counted(places, 'place')} can cost up to ${most:,.2f} ({posts:,} posts)"

    async def round(self) -> AsyncIterator[Request]:
        await self.access.ensure_app_token()
        window = timedelta(seconds=self.crawler.settings.getfloat("X_TREND_WINDOW"))
        self.fresh = datetime.now(UTC) - window
        self.seen: set[str] = set()  # names of this round
        self.waiting = []
        self.tries: dict[int, int] = {}
        self.later: dict[int, float] = {}  # places that are asked for again, and when
        for place in self.places:
            held = await self.ledger.trends(place, self.fresh)
            if held:
                logger.info("The trends of %d were read less than %s ago.", place, window)
                await self._search_for(held)
            else:
                self.waiting.append(place)
        self.under_way = 0
        while not stopping(self.crawler):
            for place in [place for place, due in self.later.items() if due <= time.monotonic()]:
                del self.later[place]
                self.waiting.append(place)
            if self.waiting and self.walker.has_room():
                yield self._ask(self.waiting.pop(0))
            elif (request := self.walker.next_request()) is not None:
                yield request
            elif not self.waiting and not self.later and not self.under_way and self.walker.is_idle:
                return
            else:
                await self.walker.wait()

    def _ask(self, place: int) -> Request:
        self.under_way += 1
        self.walker.begun()
        return self.walker.client.request(
            TRENDS, {"max_trends": "50"}, self.answered, self.failed, ("trends", 1), argument=str(place), place=place
        )

    async def answered(self, response: Response, place: int) -> AsyncIterator[Item]:
        trends: list[Trend] = []
        try:
            trends = api.parse_trends(
                payload_of(response, self.walker.quarantine), place, self.walker.client.dates.now(response)
            )
        except BadRequest as error:
            if error.is_ours:
                self.access.end(wrong_parameters(error))
            self._again(place, str(error), is_final=True)
        except Exception as error:  # Malformed, or something that nobody has thought of
            self.walker.quarantine.set_aside(response.url, response.body, f"{type(error).__name__}: {error}")
            self._again(place, str(error))
        try:
            await self.access.settle(response.request, Bill(trends=1 if trends else 0))
            if not trends:
                return
            self.stats.inc_value("x/places")
            for trend in trends:
                yield trend
            await self._search_for(trends)
        except UserError as error:
            self.access.end(error)
        finally:
            self._done()

    async def _search_for(self, trends: list[Trend]) -> None:
        """Posts about trends that were not searched for within the window, for this place or another."""
        if not self.tweets:
            return
        names = [trend.name for trend in trends if trend.name.lower() not in self.seen][: self.given.sample]
        self.seen |= {name.lower() for name in names}
        queries = {feed_of_query("trend", query_of(name)): query_of(name) for name in names}
        feeds = await self.ledger.feeds(list(queries))
        for name, query in queries.items():
            feed = feeds[name]
            if feed.visited_at is not None and feed.visited_at > self.fresh and not is_under_way(feed):
                self.stats.inc_value("x/trends_held")
                continue
            wants = Wants(limit=self.tweets, each_visit=True)
            self.walker.add(Visit(Walk(feed, SEARCH, wants), query=query))

    async def failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        await self.access.settle(request)
        if not stopping(self.crawler):
            self._again(request.cb_kwargs["place"], reason_of(failure))
        self._done()

    def _again(self, place: int, why: str, is_final: bool = False) -> None:
        self.tries[place] = TRIES if is_final else self.tries.get(place, 0) + 1
        if self.tries[place] < TRIES:
            self.later[place] = time.monotonic() + pause_before(self.tries[place])
        else:
            self.stats.inc_value("x/places_failed")
            logger.warning("The trends of %d could not be read: %s.", place, why)

    def _done(self) -> None:
        self.under_way -= 1
        self.walker.ended()


def query_of(name: str) -> str:
    """The search for a trend: a hashtag as it is, anything else as a phrase.

    >>> query_of("#science"), query_of('Moon "base"')
    ('#science', '"Moon base"')
    """
    if name.startswith(("#", "$")) and not any(sign.isspace() for sign in name):
        return name
    return '"' + " ".join(name.replace('"', " ").split()) + '"'
