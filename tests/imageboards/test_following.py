"""Following boards, step by step: which request is sent for a fetch, and what an answer changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.imageboards.client import ChanClient
from chancrawl.imageboards.follow import Follower
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.imageboards.frontier import Fetch
from chancrawl.items import Board, Poll, Post, Thread
from chancrawl.sandbox.world import World
from chancrawl.storage.session import Session
from tests.support.engines import crawl, in_loop
from tests.support.sites import START, answer_of

PO = Board("po", pages=10, per_page=15, has_archive=True)
CATALOG = Fetch("po", "catalog")


@asynccontextmanager
async def follower_of(folder: Path, **settings: Any) -> AsyncIterator[tuple[Follower, World]]:
    """Who follows /po/, and the board as it is."""
    async with crawl(folder, CLOCK_TOLERANCE=10**8, **settings) as crawler:
        session = Session.of(crawler)
        await session.open()
        await session.call(session.prepare)
        yield Follower(ChanClient(crawler, FOURCHAN), [PO], with_archive=True), World(1, START)


async def items_of(follower: Follower, response: Response, fetch: Fetch) -> list[Any]:
    """The items of an answer, on their way to the store."""
    follower.under_way += 1
    follower.frontier.next(0.0)
    found = [item async for item in follower.answered(response, fetch)]
    assert follower.under_way == 0 and follower.answer_came.is_set()
    return [item for item in found if follower.ledger.accept(item) is not None]


@pytest.mark.parametrize("fetch, path", [
    (Fetch("po", "thread", 5), "/po/thread/5.json"),
    (Fetch("po", "tail", 5), "/po/thread/5-tail.json"),
    (Fetch("po", "catalog"), "/po/catalog.json"),
    (Fetch("po", "archive"), "/po/archive.json"),
    (Fetch("po", "10"), "/po/10.json"),
])  # fmt: skip
def test_what_a_wish_of_the_agenda_is_at_the_site(fetch: Fetch, path: str) -> None:
    assert FOURCHAN.path(fetch.board, fetch.what, fetch.no) == path


@in_loop
async def test_a_catalog_brings_threads_and_posts_and_is_then_asked_for_conditionally(tmp_path: Path) -> None:
    async with follower_of(tmp_path) as (follower, world):
        response = answer_of(world, "/po/catalog.json", START + 60)
        items = await items_of(follower, response, CATALOG)
        kinds = {type(item) for item in items}
        assert kinds == {Post, Thread, Poll}
        board = world.board("po", START + 60)
        assert board is not None
        assert {item.no for item in items if isinstance(item, Thread)} == {thread.no for thread in board.live}
        request = await follower._request(CATALOG)
        assert request.headers["If-Modified-Since"] == response.headers["Last-Modified"]
        assert request.meta["dont_retry"] and request.cb_kwargs == {"fetch": CATALOG}
        again = await items_of(follower, response, CATALOG)
        assert [type(item) for item in again] in ([], [Poll])


@in_loop
async def test_a_thread_is_asked_for_with_the_validator_of_its_page(tmp_path: Path) -> None:
    async with follower_of(tmp_path) as (follower, world):
        await items_of(follower, answer_of(world, "/po/catalog.json"), CATALOG)
        no = max(follower.monitors["po"].state.threads, key=lambda no: len(follower.ledger.loaded("po", no).posts))
        fetch = Fetch("po", "thread", no)
        assert "If-Modified-Since" not in (await follower._request(fetch)).headers
        response = answer_of(world, FOURCHAN.path(fetch.board, fetch.what, fetch.no))
        await items_of(follower, response, fetch)
        request = await follower._request(fetch)
        assert request.headers["If-Modified-Since"] == response.headers["Last-Modified"]
        held = follower.ledger.loaded("po", no)
        assert held.thread is not None and len(held.posts) == (held.thread.replies or 0) + 1


@in_loop
async def test_a_thread_whose_page_is_gone_is_no_longer_followed(tmp_path: Path) -> None:
    async with follower_of(tmp_path) as (follower, world):
        await items_of(follower, answer_of(world, "/po/catalog.json"), CATALOG)
        no = max(follower.monitors["po"].state.threads)
        world.act(START + 1, "delete_thread", "po", no)
        fetch = Fetch("po", "thread", no)
        await items_of(follower, answer_of(world, "/po/catalog.json", START + 1), CATALOG)
        items = await items_of(
            follower, answer_of(world, FOURCHAN.path(fetch.board, fetch.what, fetch.no), START + 2), fetch
        )
        (state,) = [item for item in items if isinstance(item, Thread)]
        assert (state.no, state.fate) == (no, "deleted")
        assert no not in follower.monitors["po"].state.threads


@pytest.mark.parametrize("body", [b"", b"{", b'{"posts": 5}'])
@in_loop
async def test_what_cannot_be_read_brings_nothing_and_is_asked_for_again(tmp_path: Path, body: bytes) -> None:
    async with follower_of(tmp_path) as (follower, world):
        response = answer_of(world, "/po/catalog.json").replace(body=body)
        assert await items_of(follower, response, CATALOG) == []
        assert follower.stats.get_value("chan/malformed") == 1 and follower.validators == {}
        assert await items_of(follower, answer_of(world, "/po/catalog.json"), CATALOG)


@in_loop
async def test_an_index_file_that_fails_while_others_answer_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with follower_of(tmp_path) as (follower, world):
        missing = answer_of(world, "/po/threads.json", status=404)
        for _ in range(3):
            await items_of(follower, missing, Fetch("po", "threads"))
            await items_of(follower, answer_of(world, "/po/catalog.json"), CATALOG)
        said = [message for message in caplog.messages if "threads.json" in message]
        assert len(said) == 1 and "answered 404" in said[0]
        assert follower.stats.get_value("chan/indexes_failed") == 1
        await items_of(follower, answer_of(world, "/po/threads.json"), Fetch("po", "threads"))
        assert "https://a.4cdn.org/po/threads.json is back." in caplog.messages


@in_loop
async def test_a_page_that_a_small_board_does_not_have_is_no_failure(tmp_path: Path) -> None:
    async with follower_of(tmp_path) as (follower, world):
        for _ in range(3):
            await items_of(follower, answer_of(world, "/po/9.json", status=404), Fetch("po", "9"))
        assert follower._failing == {}


@in_loop
async def test_a_request_that_came_to_nothing_frees_its_place(tmp_path: Path) -> None:
    async with follower_of(tmp_path) as (follower, _):
        follower.under_way = 1
        failure = Failure(DownloadTimeoutError("too slow"))  # type: ignore[no-untyped-call]
        failure.request = Request("https://a.4cdn.org/po/catalog.json", cb_kwargs={"fetch": CATALOG})  # type: ignore[attr-defined]
        follower.failed(failure)
        assert follower.under_way == 0 and follower.answer_came.is_set()
        assert follower.stats.get_value("chan/refused") == 1
        assert list(follower._failing) == ["https://a.4cdn.org/po/catalog.json"]


@in_loop
async def test_the_delay_is_shared_among_the_addresses(tmp_path: Path) -> None:
    proxies = "http://a:1,http://b:1,http://c:1,http://d:1"
    async with follower_of(tmp_path, ROTATING_PROXY_LIST=proxies, DOWNLOAD_DELAY=2) as (follower, _):
        assert follower.delay == 0.5
    async with follower_of(tmp_path / "other", DOWNLOAD_DELAY=2) as (follower, _):
        assert follower.delay == 2
