"""Requests on their way to X: reserved, signed, and asked again with another credential."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import CannotResolveHostError, IgnoreRequest

from chancrawl.items import Item
from chancrawl.x.access import Access
from chancrawl.x.api import SEARCH, USERS, Endpoint
from chancrawl.x.budget import Bill
from chancrawl.x.client import Answer, Exchange, XClient
from chancrawl.x.middleware import RotatingCredentials
from chancrawl.x.rate_limits import Pool, ServerClock
from tests.x.stubs import Ledger, NothingShared, answer, closed_with, credential, stub_crawler


async def nothing(answer: Answer[Any]) -> AsyncGenerator[Item, None]:
    return
    yield


class Way:
    """The middleware of a crawl with two credentials."""

    def __init__(self, folder: Path, is_clock_known: bool = True, **settings: Any) -> None:
        self.crawler = stub_crawler(folder, X_PRICE_POST=0.005, X_PRICE_USER=0.01, **settings)
        self.access = Access.of(self.crawler)
        self.access.budget.spending = self.ledger = Ledger()
        clock = ServerClock(time.time(), time.monotonic())
        clock.is_known = is_clock_known
        self.access.pool = Pool([credential(0), credential(1)], clock)
        self.access.shared = NothingShared(self.access.pool)  # type: ignore[assignment]
        self.client = XClient(self.crawler)
        self.middleware = RotatingCredentials.from_crawler(self.crawler)

    def request(self, endpoint: Endpoint = SEARCH, reads: int = 100) -> Request:
        parameters = {"max_results": str(reads)} if endpoint.page_size_parameter else {"usernames": "a"}
        return self.client.request(endpoint, parameters, parse, nothing, lambda problem: None, reads=reads)


def signed_by(request: Request) -> str:
    """The token that a request is signed with."""
    found = re.search(r'oauth_token="([^"]+)"', (request.headers["Authorization"] or b"").decode())
    assert found is not None
    return found[1]


def parse(payload: Any, seen_at: Any) -> Any:
    return payload


def test_a_request_is_put_on_the_bill_and_signed(tmp_path: Path) -> None:
    async def run() -> None:
        way = Way(tmp_path)
        request = way.request()
        assert await way.middleware.process_request(request) is None
        assert signed_by(request) == "0-t"
        assert way.ledger.entries == [0.5] and way.access.pool.in_flight == 1

    asyncio.run(run())


def test_requests_of_others_pass_untouched(tmp_path: Path) -> None:
    async def run() -> None:
        middleware = Way(tmp_path).middleware
        request = Request("http://a.example/po/threads.json")
        response = answer(request, 401, {})
        assert await middleware.process_request(request) is None
        assert await middleware.process_response(request, response) is response
        await middleware.process_exception(request, OSError())
        assert "Authorization" not in request.headers

    asyncio.run(run())


def test_where_the_budget_ends_a_smaller_page_is_asked_for(tmp_path: Path) -> None:
    async def run() -> None:
        way = Way(tmp_path, X_DAILY_BUDGET="0.2")
        smaller = await way.middleware.process_request(way.request())
        assert smaller is not None and "max_results=40" in smaller.url
        assert await way.middleware.process_request(smaller) is None  # and it is not paid for again
        assert way.ledger.entries == [pytest.approx(0.2)]

    asyncio.run(run())


def test_where_the_budget_ends_a_look_up_is_not_cut(tmp_path: Path) -> None:
    async def run() -> None:
        way = Way(tmp_path, X_DAILY_BUDGET="0.2")
        with pytest.raises(IgnoreRequest, match="budget"):
            await way.middleware.process_request(way.request(USERS, 21))
        await asyncio.sleep(0)
        assert closed_with(way.crawler) == ["budget_spent"] and way.ledger.entries == []

    asyncio.run(run())


def test_a_refused_credential_is_followed_by_another_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    async def run() -> None:
        way = Way(tmp_path)
        request = way.request()
        await way.middleware.process_request(request)
        again = await way.middleware.process_response(request, answer(request, 401, {"title": "Unauthorized"}))
        assert isinstance(again, Request) and again.priority == 1 and "Authorization" not in again.headers
        await way.middleware.process_request(again)
        assert signed_by(again) == "1-t" and way.ledger.entries == [0.5]
        response = answer(again, 200, {"data": []})
        assert await way.middleware.process_response(again, response) is response
        assert again.meta["x"].credential == "user:1" and way.access.pool.in_flight == 0
        assert "Authorization" not in again.headers  # nothing that is logged or stored later has it

    asyncio.run(run())


def test_a_credential_to_which_the_target_is_closed_is_avoided(tmp_path: Path) -> None:
    async def run() -> None:
        way = Way(tmp_path)
        request = way.client.request(
            SEARCH, {}, parse, nothing, lambda problem: None, reads=1, bill=lambda payload: Bill(), avoid={"user:0"}
        )
        await way.middleware.process_request(request)
        assert signed_by(request) == "1-t"

    asyncio.run(run())


def test_a_call_without_an_answer_is_no_longer_under_way(tmp_path: Path) -> None:
    async def run() -> None:
        way = Way(tmp_path)
        request = way.request()
        await way.middleware.process_request(request)
        await way.middleware.process_exception(request, OSError("reset"))
        exchange: Exchange = request.meta["x"]
        assert way.access.pool.in_flight == 0 and exchange.call is None and "Authorization" not in request.headers
        assert exchange.reservation is not None, "it is retried, and is still on the bill"
        assert closed_with(way.crawler) == []

    asyncio.run(run())


def test_an_address_that_never_answered_ends_the_crawl(tmp_path: Path) -> None:
    async def run() -> None:
        way = Way(tmp_path, is_clock_known=False)
        request = way.request()
        await way.middleware.process_request(request)
        await way.middleware.process_exception(request, CannotResolveHostError("x.example"))
        await asyncio.sleep(0)
        assert closed_with(way.crawler) == ["unreachable"]
        assert "http://x.example cannot be reached" in way.crawler.stats.get_value("failure")

    asyncio.run(run())
