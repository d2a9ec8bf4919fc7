"""One pass over a board, step by step: what becomes of the answer of a thread. Without a network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.imageboards import fourchan
from chancrawl.imageboards.client import ChanClient, Reading
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.imageboards.one_pass import OnePass
from chancrawl.imageboards.pages import IndexEntry, utc
from chancrawl.items import Board, Post, Thread, Validator
from chancrawl.sandbox.world import World
from chancrawl.storage.session import Session
from tests.support.engines import crawl, in_loop
from tests.support.items import START as NOVEMBER
from tests.support.sites import START, answer_of

PO = Board("po", pages=10, per_page=15, has_archive=True)


@asynccontextmanager
async def pass_of(folder: Path, only_threads: list[int] | None = None) -> AsyncIterator[tuple[OnePass, World]]:
    async with crawl(folder, CLOCK_TOLERANCE=10**8, CHAN_THREAD_INTERVAL=0) as crawler:
        session = Session.of(crawler)
        await session.open()
        await session.call(session.prepare)
        yield OnePass(ChanClient(crawler, FOURCHAN), True, only_threads, None), World(1, START)


def entry_of(world: World, least: int = 3) -> IndexEntry:
    """A thread of the board with some replies, as the index has it."""
    response = answer_of(world, "/po/threads.json")
    found = fourchan.parse_index(json.loads(response.body))
    return next(entry for entry in found.values() if (entry.replies or 0) >= least)


async def items_of(one_pass: OnePass, response: Response, entry: IndexEntry) -> list[Any]:
    one_pass.outstanding += 1
    found = [item async for item in one_pass.parse_thread(response, "po", entry.no, entry)]
    assert one_pass.outstanding == 0 and entry.no in one_pass.read_at
    return [item for item in found if one_pass.ledger.accept(item) is not None]


def page(world: World, entry: IndexEntry, **more: Any) -> Response:
    return answer_of(world, fourchan.thread_path("po", entry.no), **more)


@in_loop
async def test_a_page_brings_its_posts_and_then_its_state_with_the_place_in_the_index(tmp_path: Path) -> None:
    async with pass_of(tmp_path) as (one_pass, world):
        entry = entry_of(world)
        *posts, state = await items_of(one_pass, page(world, entry), entry)
        assert len(posts) == (entry.replies or 0) + 1 and all(isinstance(post, Post) for post in posts)
        assert isinstance(state, Thread) and state.position == entry.position
        assert state.last_modified == utc(entry.last_modified)
        assert await items_of(one_pass, page(world, entry), entry) == []
        assert not one_pass.failed | one_pass.gone | one_pass.behind and not one_pass.unread


@in_loop
async def test_a_page_that_is_not_there_is_counted_by_whether_it_was_known(tmp_path: Path) -> None:
    async with pass_of(tmp_path) as (one_pass, world):
        entry = entry_of(world)
        assert await items_of(one_pass, page(world, entry, status=404), entry) == []
        assert one_pass.gone == {entry.no} and one_pass.stats.get_value("chan/threads_vanished") == 1
        await items_of(one_pass, page(world, entry), entry)
        await items_of(one_pass, page(world, entry, status=404), entry)
        assert one_pass.stats.get_value("chan/threads_gone") == 1


@in_loop
async def test_a_page_that_cannot_be_read_is_to_be_asked_once_more(tmp_path: Path) -> None:
    async with pass_of(tmp_path) as (one_pass, world):
        entry = entry_of(world)
        torn = page(world, entry).replace(body=page(world, entry).body[:50])
        assert await items_of(one_pass, torn, entry) == []
        assert one_pass.unread == {entry.no: entry} and not one_pass.failed


@in_loop
async def test_a_truncated_page_is_read_as_it_is_in_the_last_round_only(tmp_path: Path) -> None:
    async with pass_of(tmp_path) as (one_pass, world):
        entry = entry_of(world)
        response = page(world, entry)
        payload = json.loads(response.body)
        payload["posts"].pop()
        short = response.replace(body=json.dumps(payload).encode())
        assert await items_of(one_pass, short, entry) == [] and one_pass.unread == {entry.no: entry}
        one_pass.rounds_left = 0
        items = await items_of(one_pass, short, entry)
        assert sum(isinstance(item, Post) for item in items) == entry.replies


@in_loop
async def test_a_stub_is_a_page_that_is_gone(tmp_path: Path) -> None:
    async with pass_of(tmp_path) as (one_pass, world):
        entry = entry_of(world)
        stub = b'{"posts":[{"resto":0,"name":"Anonymous","replies":0,"images":0,"unique_ips":1,"semantic_url":null}]}'
        assert await items_of(one_pass, page(world, entry).replace(body=stub), entry) == []
        assert one_pass.gone == {entry.no}


@in_loop
async def test_an_unchanged_page_notes_the_time_of_the_index(tmp_path: Path) -> None:
    async with pass_of(tmp_path) as (one_pass, world):
        entry = entry_of(world)
        assert await items_of(one_pass, page(world, entry, status=304), entry) == []
        assert one_pass.unread == {entry.no: entry}, "nothing of it is held: a 304 says nothing"
        one_pass.unread.clear()
        await items_of(one_pass, page(world, entry), entry)
        later = replace(entry, last_modified=(entry.last_modified or 0) + 5, position=7)
        (state,) = await items_of(one_pass, page(world, entry, status=304), later)
        assert (state.last_modified, state.position) == (utc(later.last_modified), 7)
        assert await items_of(one_pass, page(world, entry, status=304), later) == []


@in_loop
async def test_a_page_older_than_its_index_keeps_the_index_from_being_taken_for_read(tmp_path: Path) -> None:
    async with pass_of(tmp_path) as (one_pass, world):
        entry = entry_of(world)
        newer = replace(entry, last_modified=int(START) + 600, replies=(entry.replies or 0) + 1)
        await items_of(one_pass, page(world, entry), newer)
        assert one_pass.behind == {entry.no}
        reading = Reading({entry.no: newer}, "Sat, 21 Nov 2026 00:00:00 GMT", NOVEMBER)
        assert await one_pass._validators("/po/threads.json", reading, [entry.no]) == []


@in_loop
async def test_an_index_counts_as_read_when_all_that_it_lists_is(tmp_path: Path) -> None:
    validator = "Sat, 21 Nov 2026 00:00:00 GMT"
    reading = Reading({5: None}, validator, datetime.now(UTC))
    path = "/po/threads.json"
    async with pass_of(tmp_path) as (one_pass, _):
        assert await one_pass._validators(path, reading, [5]) == [Validator(path, validator)]
        assert await one_pass._validators(path, replace(reading, problems=["thread 6"]), [5]) == []
        assert await one_pass._validators(path, replace(reading, validator=None), [5]) == []
        one_pass.gone.add(5)
        assert await one_pass._validators(path, reading, [5]) == []
        assert await one_pass._validators(path, reading, [6]) == [Validator(path, validator)]
        one_pass.failed.add(7)
        assert await one_pass._validators(path, reading, [6]) == []
        one_pass.failed.clear()
        one_pass.ledger.accept(Validator(path, validator))
        one_pass.ledger._validators = {path: validator}
        assert await one_pass._validators(path, reading, [6]) == []  # it is stored already


@in_loop
async def test_a_request_that_failed_is_counted_and_frees_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with pass_of(tmp_path) as (one_pass, _):
        one_pass.outstanding = 1
        failure = Failure(DownloadTimeoutError("too slow"))  # type: ignore[no-untyped-call]
        arguments = {"board": "po", "no": 5, "entry": None}
        failure.request = Request("https://a.4cdn.org/po/thread/5.json", cb_kwargs=arguments)  # type: ignore[attr-defined]
        one_pass.thread_failed(failure)
        assert one_pass.outstanding == 0 and one_pass.failed == {5}
        assert one_pass.stats.get_value("chan/threads_failed") == 1
    assert "/po/ thread 5 could not be fetched: too slow" in caplog.text


@in_loop
async def test_threads_of_the_archive_end_when_it_no_longer_lists_them(tmp_path: Path) -> None:
    async with pass_of(tmp_path) as (one_pass, _):
        archived = {no: Thread("po", no, fate="archived") for no in (1, 2)}
        held = archived | {3: Thread("po", 3), 4: Thread("po", 4)}
        archive = Reading([2, 3], None, NOVEMBER)
        found = list(one_pass._archive_fates(archive, held, suspects=[]))
        assert found == [replace(archived[1], fate="pruned", gone_at=NOVEMBER), Thread("po", 3, fate="archived")]
        assert list(one_pass._archive_fates(archive, held, suspects=[1])) == [Thread("po", 3, fate="archived")]
        one_pass.failed.add(3)
        assert list(one_pass._archive_fates(replace(archive, problems=["x"]), held, [])) == []


@in_loop
async def test_the_requests_of_a_pass_are_those_of_the_threads_with_what_is_held(tmp_path: Path) -> None:
    held = {5: Thread("po", 5, replies=3, http_last_modified="Sat, 21 Nov 2026 00:00:00 GMT")}
    async with pass_of(tmp_path, [5, 6]) as (one_pass, _):
        one_pass.most_outstanding = 10
        requests = [request async for request in one_pass._requests(PO, dict.fromkeys([5, 6]), held)]
        assert [request.url.rpartition("/")[2] for request in requests] == ["5.json", "6.json"]
        assert [request.headers.get("If-Modified-Since") for request in requests] == [
            b"Sat, 21 Nov 2026 00:00:00 GMT", None]  # fmt: skip
        assert (one_pass.outstanding, one_pass.stats.get_value("chan/threads_asked")) == (2, 2)
