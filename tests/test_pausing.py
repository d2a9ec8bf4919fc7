"""Not asking while nothing can be kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from scrapy import Request
from scrapy.exceptions import IgnoreRequest

from chancrawl.middlewares import PauseMiddleware
from tests.support.engines import crawl, in_loop, stop

REQUEST = Request("https://a.4cdn.org/po/threads.json")


@in_loop
async def test_requests_go_while_there_is_room(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        await asyncio.wait_for(PauseMiddleware.from_crawler(crawler).process_request(REQUEST), 500)


@in_loop
async def test_requests_wait_until_there_is_room_again(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        middleware = PauseMiddleware(crawler)
        middleware.session.is_full = True
        task = asyncio.ensure_future(middleware.process_request(REQUEST))
        await asyncio.sleep(1)
        assert not task.done()
        middleware.session.is_full = False
        await asyncio.wait_for(task, 500)


@in_loop
async def test_a_crawl_that_stops_waits_for_no_room(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        middleware = PauseMiddleware(crawler)
        middleware.session.is_full = True
        stop(crawler)
        with pytest.raises(IgnoreRequest):
            await middleware.process_request(REQUEST)
