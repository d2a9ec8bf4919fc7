"""What trends at places, and the posts about it: `scrapy crawl trending -a woeid=1,23424977`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from scrapy import Request

from chancrawl.arguments import argument, duration, number, numbers, parsed, texts
from chancrawl.errors import UserError
from chancrawl.text import counted
from chancrawl.x.spider import XSpider
from chancrawl.x.trends import TrendingRound


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
        prices = self.access.budget.prices
        most = places * prices["trends"] + posts * prices["posts"]
        return f"{counted(places, 'place')} can cost up to ${most:,.2f} ({posts:,} posts)"

    async def round(self) -> AsyncIterator[Request]:
        await self.access.ensure_app_token()
        async for request in TrendingRound(self.reader, self.places, self.tweets, self.given.sample).requests():
            yield request
