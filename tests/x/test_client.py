"""Requests to X: what their callers are told, and that each is settled once, whatever becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse
from twisted.python.failure import Failure

from chancrawl.errors import UserError
from chancrawl.items import Item
from chancrawl.payload import Malformed
from chancrawl.x.access import Access
from chancrawl.x.api import SEARCH, TRENDS, USERS
from chancrawl.x.budget import Bill
from chancrawl.x.client import Answer, BadRequest, Problem, Unanswered, XClient
from tests.x.stubs import Ledger, answer, closed_with, stub_crawler

PRICE = 0.005

BODIES = {
    "good": (200, b'{"data": 3}'),
    "odd": (200, b'{"data": 3, "odd": true}'),
    "malformed": (200, b'{"errors": []}'),
    "no json": (200, b"<html>"),
    "unforeseen": (200, b'{"data": null}'),
    "not found": (404, b"{}"),
    "wrong": (400, b'{"errors": [{"parameters": {"query": ["x"]}, "message": "wrong"}]}'),
    "ours": (400, b'{"errors": [{"parameters": {"user.fields": ["x"]}, "message": "wrong"}]}'),
}
HANDLERS = ("settles", "forgets", "refuses first", "breaks first", "refuses after", "breaks after", "settles twice")


@dataclass
class Content:
    posts: int
    problems: list[str] = field(default_factory=list)


def parse(payload: Any, seen_at: Any) -> Content:
    if "data" not in payload:
        raise Malformed("no data")
    return Content(payload["data"] + 0, ["odd"] if "odd" in payload else [])


@dataclass
class Caller:
    """Somebody who asks, and does as `handler` says with an answer."""

    handler: str = "settles"
    told: list[Problem | Answer[Content]] = field(default_factory=list)

    async def on_answer(self, answer: Answer[Content]) -> AsyncGenerator[Item, None]:
        self.told.append(answer)
        self._trouble("first")
        if self.handler != "forgets":
            await answer.settle(Bill(posts=answer.content.posts))
        if self.handler == "settles twice":
            await answer.settle(Bill(posts=100))
        for number in range(3):
            yield number
        self._trouble("after")

    def _trouble(self, when: str) -> None:
        if self.handler == f"refuses {when}":
            raise UserError("no more")
        if self.handler == f"breaks {when}":
            raise KeyError("not foreseen")

    def on_problem(self, problem: Problem) -> None:
        self.told.append(problem)
        self._trouble("first")


class Requests:
    """A client, and the bill of its requests."""

    def __init__(self, folder: Path) -> None:
        self.crawler = stub_crawler(folder, X_PRICE_POST=PRICE)
        self.budget = Access.of(self.crawler).budget
        self.budget.spending = self.ledger = Ledger()
        self.client = XClient(self.crawler)
        self.set_aside: list[str] = []
        self.client.quarantine.set_aside = lambda url, body, reason: self.set_aside.append(reason)  # type: ignore[method-assign]

    async def request(self, caller: Caller, by_content: bool = False) -> Request:
        """A request that is under way, on the bill at its highest price."""
        bill = (lambda content: Bill(posts=content.posts)) if by_content else None
        request = self.client.request(
            SEARCH, {"query": "a"}, parse, caller.on_answer, caller.on_problem, reads=100, bill=bill
        )
        request.meta["x"].reservation, _ = await self.budget.reserve("posts", 100, 10)
        return request

    async def end(self, request: Request, body: str, items: int | None = None) -> None:
        """Give an answer to its callback, whose items are taken; after so many of them the generator is closed."""
        status, content = BODIES[body]
        generator: Any = self.client.answered(TextResponse(request.url, status, body=content, request=request))
        taken = 0
        try:
            while items is None or taken < items:
                await anext(generator)
                taken += 1
        except StopAsyncIteration:
            pass
        finally:
            await generator.aclose()


def failure_of(request: Request) -> Failure:
    failure: Any = Failure(OSError("connection reset"))  # type: ignore[no-untyped-call]
    failure.request = request
    return failure  # type: ignore[no-any-return]


@given(
    body=st.sampled_from([*BODIES, "failure", "failure while stopping", "dropped"]),
    handler=st.sampled_from(HANDLERS),
    by_content=st.booleans(),
    items=st.none() | st.integers(1, 3),
)
def test_a_reservation_is_settled_once_however_its_request_ends(
    body: str, handler: str, by_content: bool, items: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def run() -> None:
        requests = Requests(tmp_path_factory.getbasetemp())
        request = await requests.request(Caller(handler), by_content)
        entries = requests.ledger.entries
        assert entries == [100 * PRICE]
        requests.crawler.crawling = body != "failure while stopping"
        try:
            if body.startswith("failure"):
                await requests.client.failed(failure_of(request))
            elif body != "dropped":
                await requests.end(request, body, items)
        except (KeyError, UserError):
            pass
        if body != "dropped":
            assert len(entries) == 2 and requests.client.under_way == 0
        await requests.budget.settle_open()
        assert len(entries) == 2
        is_billed = by_content or handler not in ("forgets", "refuses first", "breaks first")
        posts = 3 if body in ("good", "odd") and is_billed else 0
        assert sum(entries) == pytest.approx(posts * PRICE)
        assert requests.crawler.stats.get_value("x/billed/posts") == posts

    asyncio.run(run())


@pytest.mark.parametrize(
    "body,kind,words,set_aside",
    [
        ("good", Answer, "", []),
        ("odd", Answer, "", ["odd"]),
        ("malformed", Malformed, "no data", ["no data"]),
        ("no json", Malformed, "", None),
        ("unforeseen", Malformed, "TypeError: ", None),
        ("not found", Malformed, "no data", ["no data"]),
        ("wrong", BadRequest, "wrong", []),
        ("ours", BadRequest, "wrong", []),
    ],
)
def test_the_caller_is_told_what_became_of_a_request(
    tmp_path: Path, body: str, kind: type[Any], words: str, set_aside: list[str] | None
) -> None:
    async def run() -> None:
        requests, caller = Requests(tmp_path), Caller()
        await requests.end(await requests.request(caller), body)
        (told,) = caller.told
        assert isinstance(told, kind) and words in str(told)
        assert len(requests.set_aside) == 1 if set_aside is None else requests.set_aside == set_aside
        await asyncio.sleep(0)
        assert closed_with(requests.crawler) == (["refused"] if body == "ours" else [])

    asyncio.run(run())


def test_a_request_that_comes_to_nothing_is_told_with_its_reason(tmp_path: Path) -> None:
    async def run() -> None:
        requests, caller = Requests(tmp_path), Caller()
        request = await requests.request(caller)
        await requests.client.failed(failure_of(request))
        assert caller.told == [Unanswered("connection reset")]

    asyncio.run(run())


def test_the_error_of_a_caller_ends_the_crawl_with_its_sentence(tmp_path: Path) -> None:
    async def run() -> None:
        requests = Requests(tmp_path)
        await requests.end(await requests.request(Caller("refuses first")), "good")
        await asyncio.sleep(0)
        assert requests.crawler.stats.get_value("failure") == "no more"
        assert closed_with(requests.crawler) == ["refused"]

    asyncio.run(run())


def test_a_request_carries_what_its_endpoint_says(tmp_path: Path) -> None:
    client, caller = Requests(tmp_path).client, Caller()
    search = client.request(SEARCH, {"query": "a b"}, parse, caller.on_answer, caller.on_problem, reads=100)
    assert search.url.startswith("http://x.example/2/tweets/search/recent?query=a+b&tweet.fields=")
    assert search.meta["handle_httpstatus_list"] == [400, 404] and 429 in search.meta["own_statuses"]
    trends = client.request(TRENDS, {}, parse, caller.on_answer, caller.on_problem, reads=1, argument="1")
    assert trends.url == "http://x.example/2/trends/by/woeid/1?max_trends=50"
    users = client.request(USERS, {"usernames": "a,b"}, parse, caller.on_answer, caller.on_problem, reads=2)
    # less than all names cannot be asked for; of a search, less than a page can
    assert [request.meta["x"].least for request in (search, trends, users)] == [10, 1, 2]
    assert client.under_way == 3


def test_an_answer_names_the_credential_that_was_shown_it(tmp_path: Path) -> None:
    async def run() -> None:
        requests, caller = Requests(tmp_path), Caller()
        request = await requests.request(caller)
        request.meta["x"].credential = "user:1"
        async for _ in requests.client.answered(answer(request, 200, {"data": 1})):
            pass
        (told,) = caller.told
        assert isinstance(told, Answer) and told.credential == "user:1" and told.content.posts == 1

    asyncio.run(run())
