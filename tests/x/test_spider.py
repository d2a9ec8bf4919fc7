"""What the spiders of X have in common."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chancrawl.errors import UserError
from chancrawl.x.spider import first_time
from spiders.search import SearchSpider
from tests.x.stubs import open_session, stub_crawler


def test_an_earlier_start_than_x_accepts_is_replaced_and_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert first_time("since", "2009-01-01") == datetime(2010, 11, 6, tzinfo=UTC)
    assert "X accepts no start before 2010-11-06" in caplog.text
    assert first_time("since", "2026-01-01") == datetime(2026, 1, 1, tzinfo=UTC)
    assert first_time("since", "") is None


@pytest.mark.parametrize("queries, sentence", [
    ("from:nasa", "Which credentials?"),
    ("a" * 600, "X allows 512"),
])  # fmt: skip
def test_a_mistake_ends_a_crawl_before_the_first_request(tmp_path: Path, queries: str, sentence: str) -> None:
    async def run() -> None:
        crawler = stub_crawler(tmp_path, X_CREDENTIALS=None)
        async with open_session(crawler):
            spider = SearchSpider(queries=queries)
            spider.crawler, spider.settings = crawler, crawler.settings
            with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
                [request async for request in spider.start()]
            assert sentence in crawler.stats.get_value("failure")

    asyncio.run(run())
