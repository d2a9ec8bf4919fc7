"""Lines for items only where somebody reads them, and stats without a handler for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from scrapy import signals
from scrapy.exceptions import DropItem
from scrapy.http import Response

from chancrawl.extensions import CoreStats, QuietItems
from tests.support.engines import crawl, in_loop
from tests.support.items import post

ANSWER = Response("https://a.4cdn.org/po/thread/5.json")


@pytest.mark.parametrize("level, is_said", [("INFO", False), ("DEBUG", True)])
@in_loop
async def test_items_have_lines_of_their_own_only_while_debugging(tmp_path: Path, level: str, is_said: bool) -> None:
    async with crawl(tmp_path, LOG_LEVEL=level) as crawler:
        assert crawler.spider is not None
        formatter = QuietItems.from_crawler(crawler)
        assert (formatter.scraped(post(6, "a"), ANSWER, crawler.spider) is not None) == is_said
        dropped = formatter.dropped(post(6, "a"), DropItem("unchanged"), ANSWER, crawler.spider)
        assert (dropped is not None) == is_said


@in_loop
async def test_stats_have_no_handler_for_items_and_keep_their_other_ones(tmp_path: Path) -> None:
    async with crawl(tmp_path, EXTENSIONS={"chancrawl.extensions.CoreStats": 0}) as crawler:
        (stats,) = [each for each in crawler.extensions.middlewares if isinstance(each, CoreStats)]
        assert stats.stats is crawler.stats
        crawler.signals.send_catch_log(signals.item_scraped, item=post(6, "a"), response=ANSWER, spider=crawler.spider)
        assert "item_scraped_count" not in crawler.stats.get_stats()
        assert "start_time" in crawler.stats.get_stats()
    assert crawler.stats.get_value("finish_reason") == "finished"
