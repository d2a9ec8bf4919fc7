"""Sources of a crawl: whose an item is, whose a spider is, and what the report says of each."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest
from scrapy import Spider

from chancrawl.extensions import Report, size
from chancrawl.imageboards.source import Imageboards
from chancrawl.items import Account, Thread, Trend
from chancrawl.sources import BaseSource, Sources
from chancrawl.x.source import X
from tests.support.engines import Chan, crawl, in_loop
from tests.support.items import START, post


class Stranger(Chan):
    name = "stranger"


class Search(Chan):
    name = "search"


@in_loop
async def test_each_item_and_each_spider_belongs_to_one_source(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        sources = Sources.of(crawler)
        assert isinstance(sources.of_item(post(6, "a")), Imageboards)
        assert isinstance(sources.of_item(Trend(1, START, 1, "#a", None)), X)
        assert isinstance(sources.of_item(Account(1, "a")), X)
        assert isinstance(sources.of_spider("chan"), Imageboards)
        for spider in ("timeline", "search", "trending"):
            assert isinstance(sources.of_spider(spider), X)


@in_loop
async def test_a_spider_that_reads_no_source_has_none(tmp_path: Path) -> None:
    async with crawl(tmp_path, spider=Stranger) as crawler:
        assert Sources.of(crawler).of_spider("stranger") is None
        with pytest.raises(KeyError):
            Sources.of(crawler).of_item(object())


@in_loop
async def test_a_rejected_item_holds_its_state_back_and_is_new_again(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        sources = Sources.of(crawler)
        await sources.session.call(sources.session.prepare)
        source = sources.of_item(post(6, "a"))
        await source.ledger.load("po", [5])  # type: ignore[attr-defined]
        assert source.accept(post(6, "a")) == "post" and source.accept(post(6, "a")) is None
        sources.reject(post(6, "a"))
        assert sources.session.held_back.waits(Thread("po", 5))
        await source.ledger.load("po", [5])  # type: ignore[attr-defined]
        assert source.accept(post(6, "a")) == "post"


def test_a_source_that_knows_nothing_takes_every_item_for_new() -> None:
    source = BaseSource()
    assert source.accept(post(6, "a")) == source.accept(post(6, "a")) == "post"
    source.reject(post(6, "a"))
    source.committed(post(6, "a"))
    source.describe(post(6, "a"))
    assert source.cost() == "" and source.counts("any") == {}


# --- the report


class Noisy(BaseSource):
    """A source of its own, with something that a person should look at."""

    spiders = ("stranger",)
    attention: ClassVar[dict[str, str]] = {"noisy/lost": "notes were lost"}

    def counts(self, spider: str) -> dict[str, str]:
        return {"items/note": "note", "items/query": "query"}

    def cost(self) -> str:
        return "$1.20"


async def report_of(folder: Path, spider: type[Spider], stats: dict[str, Any], **settings: Any) -> Report:
    async with crawl(folder, spider=spider, **settings) as crawler:
        for name, value in stats.items():
            crawler.stats.set_value(name, value)
        return Report.from_crawler(crawler)


STATS = {"items/post": 1200, "items/thread": 1, "downloader/request_count": 3, "downloader/response_bytes": 2_500_000,
         "downloader/response_status_count/304": 2, "item_scraped_count": 7}  # fmt: skip


@in_loop
async def test_the_report_counts_what_the_source_of_the_spider_counts(tmp_path: Path) -> None:
    report = await report_of(tmp_path, Chan, STATS)
    assert report.collected() == "0 boards, 1 thread, 1,200 posts, 0 revisions, 0 deletions"
    assert report.cost() == "3 requests (2 answered 304), 2.5 MB received"


@in_loop
async def test_the_report_does_not_take_an_unknown_spider_for_chan(tmp_path: Path) -> None:
    report = await report_of(tmp_path, Stranger, STATS)
    assert report.source is None and report.collected() == "7 rows"


@in_loop
async def test_the_report_of_x_speaks_of_its_own(tmp_path: Path) -> None:
    report = await report_of(tmp_path, Search, STATS)
    assert isinstance(report.source, X) and "thread" not in report.collected()


@in_loop
async def test_a_source_from_outside_is_reported_in_its_words(tmp_path: Path) -> None:
    stats = STATS | {"items/note": 1, "items/query": 2, "noisy/lost": 3}
    report = await report_of(tmp_path, Stranger, stats, SOURCES={"tests.test_sources.Noisy": 300})
    assert report.collected() == "1 note, 2 queries"
    assert report.cost() == "3 requests, 2.5 MB received, $1.20"
    assert "3 notes were lost" in report.attention()


@pytest.mark.parametrize("stats, reason, first, lines", [
    ({"store/rows": 5}, "finished", "Done.", []),
    ({"store/rows": 5}, "shutdown", "Stopped; what was fetched is stored.", []),
    ({"store/rows": 5, "spool/rows": 2}, "shutdown", "Stopped.", ["2 rows are waiting in CSV_FOLDER/spool"]),
    ({"store/rejected": 1}, "finished", "Incomplete.", ["1 row could not be stored"]),
    ({"store/rows": 5, "failure": "x"}, "refused", "Ended early (refused).", []),
    ({"backoff/refusals": 4, "backoff/refusal": "429"}, "finished", "Done.", [
        "4 refusals; the last one: 429"]),
    ({"chan/threads_vanished": 2}, "finished", "Done.", ["2 threads were gone before a first reading"]),
])  # fmt: skip
@in_loop
async def test_the_last_words_of_a_crawl(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stats: dict[str, Any], reason: str, first: str, lines: list[str]
) -> None:
    caplog.set_level(logging.INFO)
    report = await report_of(tmp_path, Chan, stats)
    report.spider_closed(reason)
    told = caplog.messages[-1]
    assert told.splitlines()[0] == first and f"stored in  the database {tmp_path}" in told
    assert all(line in told for line in lines), told
    assert told.count("attention") + told.count("incomplete ") == len(lines)


@in_loop
async def test_a_crawl_that_did_nothing_says_no_more_than_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    report = await report_of(tmp_path, Chan, {"failure": "The folder is in use."})
    before = len(caplog.messages)
    report.spider_closed("refused")
    assert len(caplog.messages) == before


@in_loop
async def test_progress_names_what_waits_on_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (await report_of(tmp_path, Chan, STATS | {"spool/rows": 1500})).progress()
    assert caplog.messages[-1].startswith("So far: 0 boards, 1 thread, 1,200 posts")
    assert caplog.messages[-1].endswith("; 1,500 rows wait on disk for the database.")


@pytest.mark.parametrize("number, words", [
    (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_999, "1,000.0 kB"), (2.5e9, "2.5 GB"),
    (5e12, "5,000.0 GB"),
])  # fmt: skip
def test_sizes(number: float, words: str) -> None:
    assert size(number) == words
