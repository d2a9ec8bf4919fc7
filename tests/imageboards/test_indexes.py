"""The live threads of a board, by whichever index file can be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chancrawl.errors import UserError
from chancrawl.imageboards import fourchan
from chancrawl.imageboards.client import ChanClient, Unavailable
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.imageboards.indexes import IndexReader
from chancrawl.items import Board, Thread
from chancrawl.payload import Malformed
from chancrawl.sandbox.server import Server
from chancrawl.storage.session import Session
from tests.support.engines import crawl, in_loop
from tests.support.sites import OVER_SOCKETS, START, fail, site

PO = Board("po", pages=10, per_page=15)


@asynccontextmanager
async def reader_of(folder: Path) -> AsyncIterator[tuple[IndexReader, Server]]:
    async with site() as (url, server), crawl(folder, CHAN_API_URL=url, **OVER_SOCKETS) as crawler:
        await Session.of(crawler).open()
        yield IndexReader(ChanClient(crawler, FOURCHAN)), server


def live(server: Server) -> list[int]:
    board = server.world.board("po", START)  # type: ignore[union-attr]
    assert board is not None
    return [thread.no for thread in board.live]


@pytest.mark.parametrize("broken, used", [
    ([], "/po/threads.json"),
    (["threads.json"], "/po/catalog.json"),
    (["threads.json", "catalog.json"], "/po/1.json"),
])  # fmt: skip
@in_loop
async def test_other_files_stand_in_for_one_that_cannot_be_had(tmp_path: Path, broken: list[str], used: str) -> None:
    async with reader_of(tmp_path) as (reader, server):
        for path in broken:
            fail(server, "503", path)
        index = await reader.read_live(PO, {})
        assert index is not None and index.path == used
        assert sorted(index.entries) == sorted(live(server))
        assert index.is_complete == (used != "/po/1.json"), "pages are never read in one instant"
        positions = sorted(index.entries.values(), key=lambda entry: entry.position)
        assert [entry.no for entry in positions] == live(server)
        assert reader.stats.get_value("chan/indexes_failed", 0) == len(broken)


@in_loop
async def test_a_list_of_far_too_few_threads_is_not_believed(tmp_path: Path) -> None:
    async with reader_of(tmp_path) as (reader, server):
        fail(server, "empty", "threads.json")
        held = {no: Thread("po", no) for no in live(server)}
        index = await reader.read_live(PO, held)
        assert index is not None and index.path == "/po/catalog.json" and len(index.entries) == len(held)
        assert reader.stats.get_value("chan/indexes_not_believed") == 1


@in_loop
async def test_without_any_index_file_nothing_is_known(tmp_path: Path) -> None:
    async with reader_of(tmp_path) as (reader, server):
        fail(server, "503", "/po/")
        assert await reader.read_live(PO, {}) is None
        assert [request["path"] for request in server.requests] == [
            "/po/threads.json",
            "/po/catalog.json",
            "/po/1.json",
        ]


@in_loop
async def test_a_page_in_the_middle_that_fails_leaves_its_threads_out(tmp_path: Path) -> None:
    async with reader_of(tmp_path) as (reader, server):
        for path in ("threads.json", "catalog.json", "/po/2.json"):
            fail(server, "503", path)
        index = await reader.read_live(PO, {})
        assert index is not None and not index.is_complete
        assert sorted(index.entries) == sorted([*live(server)[:15], *live(server)[30:]])
        assert reader.stats.get_value("chan/indexes_unread") == 1


@in_loop
async def test_an_unchanged_index_is_answered_with_nothing_to_read(tmp_path: Path) -> None:
    async with reader_of(tmp_path) as (reader, server):
        await reader.client.read("/po/threads.json", fourchan.parse_index)
        server.clock.start += 60  # not in the second of its last change
        first = await reader.client.read("/po/threads.json", fourchan.parse_index)
        assert first.validator is not None and first.content
        reader.client.ledger._validators = {"/po/threads.json": first.validator}
        index = await reader.read_live(PO, {})
        assert index is not None and index.reading.content is None and not index.entries and not index.is_complete
        again = await reader.read_live(PO, {}, conditional=False)
        assert again is not None and len(again.entries) == len(first.content)


@in_loop
async def test_a_torn_payload_is_asked_for_twice_more(tmp_path: Path) -> None:
    async with reader_of(tmp_path) as (reader, server):
        fail(server, "malformed", "threads.json", times=2)
        assert (await reader.client.read("/po/threads.json", fourchan.parse_index)).content
        assert len(server.requests) == 3
        fail(server, "malformed", "threads.json")
        with pytest.raises(Malformed):
            await reader.client.read("/po/threads.json", fourchan.parse_index)
        assert len(server.requests) == 6
        assert await reader.read("/po/threads.json", fourchan.parse_index) is None


@in_loop
async def test_a_refusal_is_no_answer(tmp_path: Path) -> None:
    async with reader_of(tmp_path) as (reader, server):
        fail(server, "html200", "/po/threads.json")
        with pytest.raises(Unavailable) as raised:
            await reader.client.read("/po/threads.json", fourchan.parse_index)
        assert raised.value.status == 200 and "an HTML page in place of JSON" in (raised.value.refusal or "")
        with pytest.raises(Unavailable) as raised:
            await reader.client.read("/none/threads.json", fourchan.parse_index)
        assert raised.value.status == 404 and raised.value.refusal is None


@in_loop
async def test_a_source_that_takes_no_connection_is_not_waited_for_at_the_start(tmp_path: Path) -> None:
    async with crawl(tmp_path, CHAN_API_URL="http://127.0.0.1:9", **OVER_SOCKETS) as crawler:
        await Session.of(crawler).open()
        client = ChanClient(crawler, FOURCHAN)
        with pytest.raises(UserError, match=r"cannot be reached.*CHAN_API_URL"):
            await client.read("/boards.json", fourchan.parse_boards, first=True)
        with pytest.raises(Unavailable):
            await client.read("/boards.json", fourchan.parse_boards)


@in_loop
async def test_the_first_file_of_a_crawl_is_asked_for_again_after_another_failure(tmp_path: Path) -> None:
    async with reader_of(tmp_path) as (reader, server):
        fail(server, "reset", "boards.json", times=1)
        reading = await reader.client.read("/boards.json", fourchan.parse_boards, first=True)
        assert "po" in [board.board for board in reading.content] and len(server.requests) == 2
