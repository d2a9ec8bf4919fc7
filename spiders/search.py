"""Posts of the last seven days that match a query: `scrapy crawl search -a queries=#science,from:nasa`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from scrapy import Request

from chancrawl.arguments import Argument, duration, home, named, number
from chancrawl.errors import UserError
from chancrawl.text import counted
from chancrawl.x.api import SEARCH, feed_of_query
from chancrawl.x.handles import is_file, refuse_credentials
from chancrawl.x.pagination import Walk, Wants
from chancrawl.x.reader import Visit
from chancrawl.x.spider import XSpider, first_time


class SearchSpider(XSpider):
    """What matches queries: all of the last seven days at first, afterwards what is new."""

    name = "search"
    ARGUMENTS = (
        Argument(
            "queries",
            "a file with one a line (`# ` begins a comment), or queries between commas (one that has a comma"
            " must be in a file), in [X's "
            "language](https://docs.x.com/x-api/posts/search/integrate/operators)",
            "–",
        ),
        Argument("since", "no posts older than this day", "all of the last seven days"),
        Argument("limit", "at most so many posts a query, the newest", "no bound"),
        Argument("follow", "`15m`: ask again at this interval, until it is stopped", "once"),
        Argument("sample", "at most so many queries", "all"),
    )
    EXAMPLES = (
        "scrapy crawl search -a queries=#science,from:nasa",
        "scrapy crawl search -a queries=queries.txt -a follow=15m",
    )

    def __init__(
        self, queries: str = "", since: str = "", limit: str = "", follow: str = "", sample: str = "", **unknown: str
    ) -> None:
        super().__init__()
        self.arguments = named(self.name, self.ARGUMENTS, (queries, since, limit, follow, sample), unknown)
        self.wants = Wants(first_time(since), number("limit", limit))
        self.follow = duration("follow", follow)
        self.sample = number("sample", sample)
        if not queries.strip():
            raise UserError("Which queries? Give -a queries=queries.txt (one a line) or -a queries=#science,from:nasa.")
        self.queries_value = home(queries)

    async def estimate(self) -> str:
        price = self.access.price["posts"]
        if self.wants.limit is None:
            return f"every 1,000 posts that match cost ${1000 * price:,.2f}"
        most = len(self.queries) * self.wants.limit
        return f"{counted(len(self.queries), 'query')} can cost up to ${most * price:,.2f} ({most:,} posts)"

    def check(self) -> None:
        longest = self.settings.getint("X_QUERY_LENGTH")
        self.queries = queries_of(self.queries_value)[: self.sample]
        for query in self.queries:
            if len(query) > longest:
                raise UserError(f"The query {query[:40]}… has {len(query)} characters; X allows {longest}.")

    async def round(self) -> AsyncIterator[Request]:
        names = {query: feed_of_query("search", query) for query in self.queries}
        feeds = await self.ledger.feeds(list(names.values()))
        for query, name in names.items():
            self.stats.inc_value("x/queries")
            self.walker.add(Visit(Walk(feeds[name], SEARCH, self.wants), query=query))
        async for request in self.walker.requests():
            yield request


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
