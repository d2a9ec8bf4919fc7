"""Timelines of X accounts: `scrapy crawl timeline -a handles=handle.txt`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from scrapy import Request

from chancrawl.arguments import argument, duration, home, number, one_of, parsed, texts, words, yes_or_no
from chancrawl.configuration import tweet_ini
from chancrawl.engine import stopping
from chancrawl.errors import UserError
from chancrawl.text import counted
from chancrawl.x import api
from chancrawl.x.handles import Handles
from chancrawl.x.pagination import Wants
from chancrawl.x.spider import XSpider, first_time
from chancrawl.x.timelines import TimelineRound, write_next_level


@dataclass(frozen=True)
class TimelineArguments:
    handles: str = argument(
        words,
        "a file, or handles separated by commas; a CSV file needs a column of names (`username`, `handle`, "
        "`screen_name`) or of numbers (`id`, `user_id`, `author_id`)",
        "`handlesFile` of tweet.ini",
    )
    since: datetime | None = argument(
        first_time, "no posts older than this day; the earliest that X accepts is 2010-11-06", "as far back as X shows"
    )
    limit: int | None = argument(
        number, "maximum number of posts an account, newest first", "3,200, which is all that X shows"
    )
    follow: timedelta | None = argument(
        duration,
        "`15m`: keep running; revisit each account when a post is expected, at most every 15 minutes, at least daily",
        "once",
    )
    plan: str = argument(
        one_of("timeline", "search"),
        "`search`: read the new posts of several known accounts with one search",
        "`timeline`",
        "timeline",
    )
    snowball: bool = argument(
        yes_or_no,
        "`1`: write `handle.next.txt`, the retweeted accounts that are not collected yet, most retweeted first",
        "`0`",
        "0",
    )
    sample: int | None = argument(number, "maximum number of accounts, for a short first run", "all")


class TimelineSpider(XSpider):
    """The posts of accounts: all that can be reached at first, afterwards what is new.

    A name in the list stands for the account that had it when it was looked up first; see X_FOLLOW.
    """

    name = "timeline"
    Arguments = TimelineArguments
    EXAMPLES = (
        "scrapy crawl timeline -a handles=handle.txt",
        "scrapy crawl timeline -a handles=nasa,@esa -a since=2026-01-01",
        "scrapy crawl timeline -a handles=handle.txt -a follow=15m",
    )

    def __init__(self, **given: str) -> None:
        super().__init__()
        handles = given.get("handles", "").strip() or tweet_ini().get("handlesfile", "")
        self.arguments = texts(self.name, TimelineArguments, given | {"handles": handles})
        self.given = parsed(TimelineArguments, self.arguments)
        self.wants = Wants(self.given.since, self.given.limit)
        self.follow = self.given.follow
        if not handles:
            raise UserError("Whose timelines? Give -a handles=handle.txt (one a line) or -a handles=nasa,esa.")
        self.handles_value = home(handles)

    async def estimate(self) -> str:
        number = await asyncio.to_thread(self.handles.count)
        posts = min(self.wants.limit or api.REACHABLE, api.REACHABLE)
        prices = self.access.budget.prices
        each = posts * prices["posts"] + prices["users"]
        if number is None:
            return f"each account can cost up to ${each:,.2f} at its first visit ({posts:,} posts)"
        number = min(number, self.given.sample or number)
        return f"{counted(number, 'account')} can cost up to ${number * each:,.2f} ({posts:,} posts each)"

    def check(self) -> None:
        self.handles = Handles(self.handles_value, self.crawler.stats)

    def round(self) -> AsyncIterator[Request]:
        return TimelineRound(
            self.reader,
            self.handles,
            self.wants,
            sample=self.given.sample,
            follow=self.follow,
            by_search=self.given.plan == "search",
        ).requests()

    async def finish(self) -> None:
        if self.given.snowball and not stopping(self.crawler):
            self.session.before_closing.append(partial(write_next_level, self.crawler, self.handles_value))
