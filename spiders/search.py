"""Posts of the last seven days that match a query: `scrapy crawl search -a queries=#science,from:nasa`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from scrapy import Request

from chancrawl.arguments import argument, duration, home, number, parsed, texts, words
from chancrawl.errors import UserError
from chancrawl.text import counted
from chancrawl.x.api import SEARCH, feed_of_query
from chancrawl.x.forgetting import subjects_of_query
from chancrawl.x.handles import is_file, refuse_credentials
from chancrawl.x.pagination import FeedPager, Wants
from chancrawl.x.reader import Visit
from chancrawl.x.spider import XSpider, first_time

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchArguments:
    queries: str = argument(
        words,
        "a file with one query a line (`# ` begins a comment), or queries separated by commas; put a query that "
        "contains a comma in a file; in [X's language](https://docs.x.com/x-api/posts/search/integrate/operators)",
        "–",
    )
    since: datetime | None = argument(first_time, "no posts older than this day", "all of the last seven days")
    limit: int | None = argument(number, "maximum number of posts a query, newest first", "no limit")
    follow: timedelta | None = argument(duration, "`15m`: repeat every 15 minutes until you stop the crawl", "once")
    sample: int | None = argument(number, "maximum number of queries, for a short first run", "all")


class SearchSpider(XSpider):
    """What matches queries: all of the last seven days at first, afterwards what is new."""

    name = "search"
    Arguments = SearchArguments
    EXAMPLES = (
        "scrapy crawl search -a queries=#science,from:nasa",
        "scrapy crawl search -a queries=queries.txt -a follow=15m",
    )

    def __init__(self, **given: str) -> None:
        super().__init__()
        self.arguments = texts(self.name, SearchArguments, given)
        self.given = parsed(SearchArguments, self.arguments)
        self.wants = Wants(self.given.since, self.given.limit)
        self.follow = self.given.follow
        if not self.given.queries:
            raise UserError("Which queries? Give -a queries=queries.txt (one a line) or -a queries=#science,from:nasa.")
        self.queries_value = home(self.given.queries)

    async def estimate(self) -> str:
        price = self.access.budget.prices["posts"]
        if self.wants.limit is None:
            return f"every 1,000 posts that match cost ${1000 * price:,.2f}"
        most = len(self.queries) * self.wants.limit
        return f"{counted(len(self.queries), 'query')} can cost up to ${most * price:,.2f} ({most:,} posts)"

    def check(self) -> None:
        longest = self.settings.getint("X_QUERY_LENGTH")
        self.queries = queries_of(self.queries_value)[: self.given.sample]
        for query in self.queries:
            if len(query) > longest:
                raise UserError(f"The query {query[:40]}… has {len(query)} characters; X allows {longest}.")

    async def round(self) -> AsyncIterator[Request]:
        names = {query: feed_of_query("search", query) for query in self._allowed()}
        feeds = await self.ledger.feeds(list(names.values()))
        for query, name in names.items():
            self.stats.inc_value("x/queries")
            self.reader.add(Visit(FeedPager(feeds[name], SEARCH, self.wants), query=query))
        async for request in self.reader.requests():
            yield request

    def _allowed(self) -> list[str]:
        """The queries without those that name an account that was removed."""
        has = self.session.forgotten.has
        left = [query for query in self.queries if not any(map(has, subjects_of_query(query)))]
        if removed := len(self.queries) - len(left):
            self.stats.inc_value("x/removed", removed)
            logger.warning("%s an account that was removed (scrapy forget); not read.",
                           "1 query names" if removed == 1 else f"{removed:,} queries name")  # fmt: skip
        return left


def queries_of(value: str) -> list[str]:
    """The queries of a file, one a line, or between commas; `# ` begins a comment in a file.

    >>> queries_of("#science, from:nasa,#science")
    ['#science', 'from:nasa']
    """
    lines = value.split(",")
    if is_file(value):
        refuse_credentials("queries", Path(value))
        try:
            lines = Path(value).read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise UserError(f"queries={value}: the file cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise UserError(f"queries={value}: the file is no text in UTF-8.") from None
        lines = [line for line in lines if not line.startswith("# ")]
    queries = [" ".join(line.split()) for line in lines]
    found = list(dict.fromkeys(query for query in queries if query))
    if not found:
        raise UserError(f"queries={value}: there is no query in it; write one a line.")
    return found
