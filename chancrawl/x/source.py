"""X as a source: see `sources.Source`."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from scrapy.crawler import Crawler

from chancrawl.errors import UserError
from chancrawl.frames import BoardProgress
from chancrawl.items import Tweet
from chancrawl.payload import dumps
from chancrawl.storage.quarantine import Quarantine
from chancrawl.text import counted
from chancrawl.x import tweet_columns
from chancrawl.x.access import Access
from chancrawl.x.api import source_of
from chancrawl.x.kinds import KINDS
from chancrawl.x.ledger import XLedger

COUNTS = {
    "timeline": {"x/timelines": "account", "items/tweet": "post"},
    "search": {"x/queries": "query", "items/tweet": "post"},
    "trending": {"x/places": "place", "items/trend": "trend", "items/tweet": "post"},
}


class X:
    """X (Twitter)."""

    name = "x"
    spiders = ("timeline", "search", "trending")
    kinds = KINDS
    attention: ClassVar[Mapping[str, str]] = {
        "x/handles_invalid": "entries in the list of handles are not valid",
        "x/handles_failed": "names could not be looked up; the next run tries again",
        "x/accounts/suspended": "accounts suspended",
        "x/accounts/protected": "accounts protected",
        "x/accounts/missing": "accounts missing",
        "x/accounts/blocked": "accounts whose owner has blocked all credentials",
        "x/names_taken": "names of the list passed to somebody else, or to nobody; see the log",
        "x/gaps": "intervals of timelines or searches cannot be read any more; see scrapy coverage",
        "x/walks_failed": "timelines were not read to the end; the next run goes on",
        "x/timelines_empty": "timelines were empty, although the account has posts",
        "x/queries_failed": "searches were not read to the end; the next run goes on",
        "x/places_failed": "lists of trends could not be read",
        "x/credentials_retired": "credentials were refused and are not used any more",
    }

    def __init__(self, crawler: Crawler) -> None:
        self.ledger = XLedger.of(crawler)
        self.accept, self.committed, self.reject = self.ledger.accept, self.ledger.committed, self.ledger.reject
        self.quarantine = Quarantine.of(crawler)
        self.url = source_of(crawler)
        self.stats = crawler.stats
        self.access = Access.of(crawler)
        self.polarity = _polarity() if crawler.settings.getbool("SENTIMENT") else None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def describe(self, item: Any) -> None:
        """Make text, hashtags, links and the rest of a post out of its `raw`; what is odd goes to the quarantine."""
        if not isinstance(item, Tweet):
            return
        if odd := tweet_columns.describe(item):
            self.quarantine.set_aside(f"{self.url}/2/tweets/{item.id}", dumps(item.raw).encode(), "; ".join(odd))
        if self.polarity is not None and item.lang == "en" and item.text:
            item.sentiment = round(self.polarity(html.unescape(item.text)), 4)

    def counts(self, spider: str) -> Mapping[str, str]:
        return COUNTS[spider]

    def cost(self) -> str:
        reads = [counted(self.stats.get_value(f"x/billed/{kind}s", 0), kind) for kind in ("post", "user")]
        return f"${self.stats.get_value('x/dollars', 0.0):,.2f} ({', '.join(reads)})"

    def numbers(self) -> Sequence[str]:
        return self.access.numbers()

    def boards(self) -> Iterable[BoardProgress]:
        return ()


def _polarity() -> Callable[[str], float]:
    """From -1 (bad) to 1 (good), for English text."""
    try:
        from textblob.en.sentiments import PatternAnalyzer  # takes a while to load, and only SENTIMENT=1 wants it
    except ImportError:
        raise UserError("SENTIMENT=1 needs the package textblob: pip install -r requirements.txt.") from None
    analyzer = PatternAnalyzer()
    return lambda text: float(analyzer.analyze(text).polarity)
