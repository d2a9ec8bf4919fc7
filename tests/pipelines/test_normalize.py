"""What is new goes on, what cannot be described is set aside, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from chancrawl.imageboards.ledger import BoardLedger
from chancrawl.items import Post, Thread, Validator
from chancrawl.storage.quarantine import Quarantine, kept_rows
from chancrawl.storage.session import Session
from pipelines.dedupe import DedupePipeline
from pipelines.normalize import NormalizePipeline
from tests.support import KINDS
from tests.support.engines import crawl, in_loop
from tests.support.items import post, thread


def fresh(no: int, com: str = "a") -> Post:
    """A post as a spider yields it."""
    return replace(post(no, com), comment_html=None, comment_text=None)


def broken(no: int) -> Post:
    """A post that nobody can describe: its `raw` is no object."""
    return replace(fresh(no), raw=[])  # type: ignore[arg-type]


@asynccontextmanager
async def pipeline_of(folder: Path) -> AsyncIterator[tuple[DedupePipeline, NormalizePipeline, Crawler]]:
    async with crawl(folder) as crawler:
        session = Session.of(crawler)
        await session.open()
        await session.call(session.prepare)
        await session.call(session.store.take_in, [thread(1), post(6, "a")])
        await BoardLedger.of(crawler).load("po", [5])
        yield DedupePipeline.from_crawler(crawler), NormalizePipeline.from_crawler(crawler), crawler


def dropped(pipeline: Any, item: Any) -> bool:
    try:
        assert pipeline.process_item(item) is item
    except DropItem:
        return True
    return False


@in_loop
async def test_what_is_stored_is_dropped_and_what_is_new_is_counted_by_its_kind(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path) as (dedupe, _, crawler):
        assert dropped(dedupe, fresh(6)) and dropped(dedupe, thread(1))
        for item in (fresh(7), fresh(6, "b"), thread(2)):
            assert not dropped(dedupe, item)
            assert dropped(dedupe, item), "the second time it is on its way"
        dedupe.process_item(Validator("/po/threads.json", "x"))
        stats = crawler.stats.get_stats()
        counted = {name: stats[name] for name in sorted(stats) if name.startswith("items/")}
        assert counted == {"items/post": 2, "items/post/unchanged": 3, "items/thread": 1, "items/thread/unchanged": 2,
                           "items/validator": 1}  # fmt: skip


@in_loop
async def test_a_post_is_described_from_what_was_sent(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path) as (_, normalize, _crawler):
        item = fresh(7)
        item.raw["com"] = "a<br>b"
        assert not dropped(normalize, item)
        assert (item.comment_html, item.comment_text) == ("a<br>b", "a\nb")


@in_loop
async def test_an_item_that_cannot_be_described_is_kept_and_its_threads_state_waits(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path) as (dedupe, normalize, crawler):
        assert not dropped(dedupe, broken(7)) and dropped(normalize, broken(7))
        assert dropped(dedupe, thread(2)) and dropped(dedupe, Validator("/po/threads.json", "x"))
        assert not dropped(dedupe, Thread("po", 9)), "another thread does not wait"
        assert crawler.stats.get_value("store/held_back") == 2 and crawler.stats.get_value("store/rejected") == 1
    ((_, rows),) = kept_rows(tmp_path / "quarantine", KINDS)
    assert [row.what for row in rows] == ["post po/7"] and rows[0].reason.startswith(("AttributeError", "TypeError"))


@in_loop
async def test_a_post_that_was_rejected_is_new_when_it_is_read_again(tmp_path: Path) -> None:
    """Else a later 304 would hide that it is missing."""
    async with pipeline_of(tmp_path) as (dedupe, normalize, crawler):
        dedupe.process_item(broken(7))
        assert dropped(normalize, broken(7))
        ledger = BoardLedger.of(crawler)
        await ledger.load("po", [5])
        assert 7 not in ledger.loaded("po", 5).posts
        assert not dropped(dedupe, fresh(7)) and not dropped(normalize, fresh(7))
        Session.of(crawler).held_back.arrived([fresh(7)])
        assert not dropped(dedupe, thread(2))


@pytest.mark.parametrize("others", [0, 3])
@in_loop
async def test_it_costs_no_other_item(tmp_path: Path, others: int) -> None:
    async with pipeline_of(tmp_path) as (dedupe, normalize, crawler):
        for item in (broken(7), *(fresh(no) for no in range(8, 8 + others))):
            dedupe.process_item(item)
            assert dropped(normalize, item) == (item.no == 7)
        assert Quarantine.of(crawler).has_row(broken(7)) and not Quarantine.of(crawler).has_row(fresh(8))
