"""Dedupe asks the source of an item and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from scrapy.exceptions import DropItem

from chancrawl.items import Feed, Thread, Trend
from pipelines.dedupe import DedupePipeline
from tests.support.engines import crawl, in_loop
from tests.support.items import START, post, thread


@in_loop
async def test_state_that_waits_is_dropped_before_its_source_takes_note_of_it(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        pipeline = DedupePipeline.from_crawler(crawler)
        pipeline.held_back.missed(post(6, "a"))
        with pytest.raises(DropItem, match="a row that it describes is not stored"):
            pipeline.process_item(thread(1))
        assert "items/thread" not in crawler.stats.get_stats()
        pipeline.held_back.arrived([post(6, "a")])
        assert pipeline.process_item(thread(1)) == thread(1)
        assert crawler.stats.get_value("items/thread") == 1


@in_loop
async def test_items_of_every_source_pass(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        pipeline = DedupePipeline.from_crawler(crawler)
        for item in (Trend(1, START, 1, "#a", None), Feed("search:a"), Thread("po", 5)):
            assert pipeline.process_item(item) is item
        with pytest.raises(KeyError):
            pipeline.process_item({"no": 5})
