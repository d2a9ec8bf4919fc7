"""The messages of a crawl: progress, and the summary at the end."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any, Self

from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.extensions import corestats
from scrapy.http import Response
from scrapy.logformatter import LogFormatter, LogFormatterResult
from scrapy.utils.asyncio import AsyncioLoopingCall, create_looping_call
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from chancrawl.frames import Rate
from chancrawl.outcome import incomplete
from chancrawl.sources import Source, Sources
from chancrawl.storage.disk import space
from chancrawl.text import capitalized, counted, noted

logger = logging.getLogger(__name__)


class QuietItems(LogFormatter):
    """Logs a line for each item only at level DEBUG, because these lines take as long as storing the items."""

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
    """Scrapy's extension without its signal handler for each item, because that takes longer than writing the item.

    The store pipelines count `item_scraped_count`.
    """

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        stats = super().from_crawler(crawler)
        crawler.signals.disconnect(stats.item_scraped, signals.item_scraped)
        return stats


class Report:
    """Logs a line of progress every LOGSTATS_INTERVAL seconds, and at the end a summary of what was collected."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.stats = crawler.stats
        self.sources = Sources.of(crawler)
        self.interval = crawler.settings.getfloat("LOGSTATS_INTERVAL")
        self.task: AsyncioLoopingCall | LoopingCall | None = None
        self.rates = {"posts": Rate(), "requests": Rate()}

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
        self._note()
        logger.info("So far: %s.", "; ".join(self.numbers()))

    def _note(self) -> None:
        """Note in the stats what the dashboard and the alarms show of this crawl and its machine."""
        boards = self.source.boards() if self.source else ()
        self.stats.set_value("report/backlog", sum(board.backlog for board in boards))
        with contextlib.suppress(OSError):
            size, free = space(Path(self.crawler.settings["CSV_FOLDER"]))
            self.stats.set_value("disk/size_mb", size // 1_000_000)
            self.stats.set_value("disk/free_mb", free // 1_000_000)

    def numbers(self) -> list[str]:
        """The numbers of a running crawl, one text for each kind."""
        now = time.monotonic()
        posts = sum(map(self.number, ("items/post", "items/tweet")))
        requests = self.number("downloader/request_count")
        found = [
            self.collected(),
            f"{self.rates['posts'].at(now, posts):,.0f} posts and {self.rates['requests'].at(now, requests):,.0f} "
            f"requests a minute; {self.cost()}",
        ]
        if self.source:
            found += self.source.numbers()
        session = self.sources.session
        if session.is_away:
            found.append(f"{capitalized(session.store.place)} is out of reach")
        if waiting := self.number("spool/rows"):
            found.append(f"{waiting:,} rows wait on disk for the database")
        if session.is_full:
            found.append("The disk is full: the crawl waits for space")
        return found

    def spider_closed(self, reason: str) -> None:
        if self.task and self.task.running:
            self.task.stop()
        kept = ("store/rows", "store/not_written", "spool/rows")
        if "failure" in self.stats.get_stats() and not any(map(self.number, kept)):
            return  # nothing was done, and the reason was logged
        is_stored = not self.number("store/not_written") and not self.number("spool/rows")
        stopped = "Stopped; what was fetched is stored" if is_stored else "Stopped"
        missing = incomplete(self.stats.get_stats(), reason == "finished")
        ends = {"finished": "Incomplete" if missing else "Done", "shutdown": stopped}
        place = self.sources.session.store.place
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
        """What was new or changed: `1 board, 150 threads, 4,312 posts, 3 revisions, 2 deletions`."""
        counts = self.source.counts(self.spider) if self.source else {"item_scraped_count": "row"}
        return ", ".join(counted(self.number(stat), noun) for stat, noun in counts.items())

    def cost(self) -> str:
        requests = counted(self.number("downloader/request_count"), "request")
        received = size(self.number("downloader/response_bytes"))
        if self.source and (cost := self.source.cost()):
            return f"{requests}, {received} received, {cost}"
        return f"{requests} ({self.number('downloader/response_status_count/304'):,} answered 304), {received} received"

    def attention(self) -> list[str]:
        """Lines about everything that was not read or needs a person."""
        notes = {
            "backoff/refusals": f"refusals; the last one: {self.stats.get_value('backoff/refusal')}",
            "clock/not_believed": "answers with an implausible time",
            "quarantine/payloads": "payloads with something unreadable; examples are in CSV_FOLDER/quarantine",
            "quarantine/not_kept": "payloads or rows could not be written to the quarantine",
            "proxies/refused": "proxies that refused us are not used any more",
            **{stat: note for source in self.sources.all for stat, note in source.attention.items()},
            "store/removed": "rows were not stored, because what they are about was removed (scrapy forget)",
            "items/too_old": "posts were not stored, because they are older than KEEP_DAYS",
            "store/held_back": "lists of posts will be read again, because some rows could not be stored",
            "csv/files_behind": "CSV files could not be written; `scrapy csv` or the next crawl writes the rest",
            "spool/damaged": "batches of the spool are damaged; nothing was deleted",
        }
        return [noted(self.number(stat), note) for stat, note in notes.items() if self.number(stat)]

    @property
    def spider(self) -> str:
        return self.crawler.spider.name if self.crawler.spider else ""

    @property
    def source(self) -> Source | None:
        return self.sources.of_spider(self.spider)

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
