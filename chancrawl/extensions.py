"""What a person is told while a crawl runs and when it ends."""

from __future__ import annotations

import logging
from typing import Any, Self

from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.extensions import corestats
from scrapy.http import Response
from scrapy.logformatter import LogFormatter, LogFormatterResult
from scrapy.utils.asyncio import AsyncioLoopingCall, create_looping_call
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from chancrawl.outcome import incomplete
from chancrawl.storage.session import Ledger
from chancrawl.text import counted

logger = logging.getLogger(__name__)


CHAN_COUNTS = {
    "chan/boards": "board",
    "items/thread": "thread",
    "items/post": "post",
    "items/revision": "revision",
    "items/deletion": "deletion",
}
X_COUNTS = {
    "timeline": {"x/timelines": "account", "items/tweet": "post"},
    "search": {"x/queries": "query", "items/tweet": "post"},
    "trending": {"x/places": "place", "items/trend": "trend", "items/tweet": "post"},
}


class QuietItems(LogFormatter):
    """A line for every item only where somebody reads it: to make them takes as long as to store the items."""

    def scraped(  # type: ignore[override]  # Scrapy takes None from it too
        self, item: Any, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult | None:
        return super().scraped(item, response, spider) if _is_debugging(spider) else None

    def dropped(  # type: ignore[override]
        self, item: Any, exception: BaseException, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult | None:
        return super().dropped(item, exception, response, spider) if _is_debugging(spider) else None


def _is_debugging(spider: Spider) -> bool:
    return bool(spider.settings.get("LOG_LEVEL") in ("DEBUG", "NOTSET"))


class CoreStats(corestats.CoreStats):
    """Scrapy's own, without a signal handler for every item: to call it takes longer than to write the item.

    `item_scraped_count` is kept by the pipelines that store.
    """

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        stats = super().from_crawler(crawler)
        crawler.signals.disconnect(stats.item_scraped, signals.item_scraped)
        return stats


class Report:
    """A line of progress every LOGSTATS_INTERVAL seconds; at the end, in plain words, what was collected and where."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.stats = crawler.stats
        self.interval = crawler.settings.getfloat("LOGSTATS_INTERVAL")
        self.task: AsyncioLoopingCall | LoopingCall | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        report = cls(crawler)
        crawler.signals.connect(report.spider_opened, signals.spider_opened)
        crawler.signals.connect(report.spider_closed, signals.spider_closed)
        return report

    def spider_opened(self) -> None:
        if self.interval:
            self.task = create_looping_call(self.progress)
            self.task.start(self.interval, now=False)

    def progress(self) -> None:
        waiting = self.number("spool/rows")
        logger.info("So far: %s; %s%s.", self.collected(), self.cost(),
                    f"; {waiting:,} rows wait on disk for the database" if waiting else "")  # fmt: skip

    def spider_closed(self, reason: str) -> None:
        if self.task and self.task.running:
            self.task.stop()
        kept = ("store/rows", "store/not_written", "spool/rows")
        if "failure" in self.stats.get_stats() and not any(map(self.number, kept)):
            return  # nothing was done, and why has been said
        is_stored = not self.number("store/not_written") and not self.number("spool/rows")
        stopped = "Stopped; what was fetched is stored" if is_stored else "Stopped"
        missing = incomplete(self.stats.get_stats(), reason == "finished")
        ends = {"finished": "Incomplete" if missing else "Done", "shutdown": stopped}
        place = Ledger.of(self.crawler).store.place
        lines = [
            f"{ends.get(reason, f'Ended early ({reason})')}.",
            f"  collected  {self.collected()}",
            f"  stored in  {place}",
            f"  cost       {self.cost()}",
        ]
        lines += [f"  incomplete {line}" for line in missing]
        lines += [f"  attention  {line}" for line in self.attention()]
        logger.info("\n".join(lines))

    def collected(self) -> str:
        """`1 board, 150 threads, 4,312 posts, 3 revisions, 2 deletions`: what was new or changed."""
        spider = self.crawler.spider
        counts = X_COUNTS.get(spider.name if spider else "", CHAN_COUNTS)
        return ", ".join(counted(self.number(stat), noun) for stat, noun in counts.items())

    def cost(self) -> str:
        requests = self.number("downloader/request_count")
        received = self.number("downloader/response_bytes")
        if self.crawler.spider is None or self.crawler.spider.name in X_COUNTS:
            reads = [counted(self.number(f"x/billed/{kind}s"), kind) for kind in ("post", "user")]
            dollars = self.stats.get_value("x/dollars", 0.0)
            return f"{counted(requests, 'request')}, {size(received)} received, ${dollars:,.2f} ({', '.join(reads)})"
        unchanged = self.number("downloader/response_status_count/304")
        return f"{counted(requests, 'request')} ({unchanged:,} answered 304), {size(received)} received"

    def attention(self) -> list[str]:
        """What a person should look at; nothing is lost silently."""
        notes = {
            "backoff/refusals": f"answers were refusals; the last one: {self.stats.get_value('backoff/refusal')}",
            "clock/not_believed": "answers with a time that cannot be right",
            "quarantine/payloads": "payloads with something unreadable; examples are in CSV_FOLDER/quarantine",
            "quarantine/not_kept": "of them, or rows, could not be kept there",
            "proxies/refused": "proxies refused us and are not used any more",
            "chan/indexes_failed": "indexes could not be fetched or read",
            "chan/unwatched": "times nobody looked at a board for more than ten minutes; see scrapy coverage",
            "chan/indexes_not_believed": "indexes not believed, with far fewer threads than before",
            "chan/threads_failed": "threads could not be fetched; the next run asks for them again",
            "chan/threads_vanished": "threads were not there, or no more",
            "x/handles_invalid": "words of the handles are none",
            "x/handles_failed": "names could not be looked up; the next run asks for them again",
            "x/accounts/suspended": "suspended",
            "x/accounts/protected": "protected",
            "x/accounts/missing": "missing",
            "x/accounts/blocked": "not protected, and closed to all credentials",
            "x/names_taken": "names of the list have passed to somebody else, or to nobody; see the log",
            "x/gaps": "intervals of timelines or searches cannot be read any more; see scrapy coverage",
            "x/walks_failed": "timelines were not read to their end; the next run goes on with them",
            "x/timelines_empty": "timelines were empty, although their accounts have posts",
            "x/queries_failed": "searches were not read to their end; the next run goes on with them",
            "x/places_failed": "lists of trends could not be read",
            "x/credentials_retired": "credentials were refused and are not used any more",
            "store/held_back": "states wait for rows that are not stored: the next run reads them again",
            "spool/damaged": "batches of the spool were damaged, and are kept there",
        }
        return [f"{self.number(stat):,} {note}" for stat, note in notes.items() if self.number(stat)]

    def number(self, stat: str) -> int:
        value: int = self.stats.get_value(stat, 0)
        return value


def size(number: float) -> str:
    """
    >>> size(999), size(1234567)
    ('999 bytes', '1.2 MB')
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
