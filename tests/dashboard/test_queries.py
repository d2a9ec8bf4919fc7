"""Queries of pages: bounded, shared, ended, and no transaction is left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chancrawl.dashboard.queries import AT_ONCE, LATE, Desk, Late, Queries
from chancrawl.errors import UserError
from chancrawl.storage.base import Store
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.connection import checkpoint
from tests.support import KINDS
from tests.support.databases import Database
from tests.support.engines import in_loop, settings_of
from tests.support.items import post, thread

SLOW = {
    True: "SELECT 1, pg_sleep(20)",
    False: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*), 1 FROM n",
}
"""A query that takes long, for PostgreSQL and SQLite."""


@pytest.fixture
def queries(either: Store, tmp_path: Path) -> Iterator[Queries]:
    either.take_in([post(5, "a"), thread(0)])
    url = either.url if isinstance(either, PostgresStore) else None
    found = Queries(settings_of(tmp_path / "data", url))
    yield found
    found.close()


def slow(desk: Desk) -> list[object]:
    return desk.store.rows(SLOW[isinstance(desk.store, PostgresStore)])


def number(desk: Desk) -> int:
    return len(desk.store.rows("SELECT no FROM posts"))


@in_loop
async def test_a_query_that_takes_too_long_ends(queries: Queries) -> None:
    began = time.monotonic()
    with pytest.raises(Late):
        await queries.run("slow", slow, seconds=0.3)
    assert time.monotonic() - began < 3
    assert await queries.run("quick", number) == 1


@in_loop
async def test_a_part_that_does_not_fit_leaves_the_others(queries: Queries) -> None:
    def page(desk: Desk) -> list[object]:
        first = desk.part(lambda: number(desk))
        return [first, desk.part(lambda: slow(desk)), desk.part(lambda: number(desk))]

    assert await queries.run("page", page, seconds=0.5) == [1, LATE, LATE]
    assert await queries.run("quick", number) == 1


@in_loop
async def test_many_quick_statements_have_one_limit(queries: Queries) -> None:
    def many(desk: Desk) -> None:
        while True:
            number(desk)

    began = time.monotonic()
    with pytest.raises(Late):
        await queries.run("many", many, seconds=0.5)
    assert time.monotonic() - began < 3


@in_loop
async def test_a_newer_query_with_the_same_key_is_its_own(queries: Queries) -> None:
    first = asyncio.ensure_future(queries.run("same", slow, seconds=30))
    await asyncio.to_thread(time.sleep, 0.3)
    first.cancel()
    second = asyncio.ensure_future(queries.run("same", slow, seconds=30))
    await asyncio.to_thread(time.sleep, 0.5)
    assert len(queries._free) == AT_ONCE - 1 and len(queries._shared) == 1  # the first one has ended
    second.cancel()
    began = time.monotonic()
    while len(queries._free) < AT_ONCE:
        assert time.monotonic() - began < 5
        await asyncio.to_thread(time.sleep, 0.02)


@in_loop
async def test_equal_queries_are_one(queries: Queries) -> None:
    runs = 0

    def counted(desk: Desk) -> int:
        nonlocal runs
        runs += 1
        time.sleep(0.2)
        return number(desk)

    assert await asyncio.gather(*(queries.run("same", counted) for _ in range(10))) == [1] * 10
    assert runs == 1
    assert await queries.run("same", counted) == 1 and runs == 2  # not a cache


@in_loop
async def test_four_at_a_time(queries: Queries) -> None:
    lock = threading.Lock()
    now = most = 0

    def busy(desk: Desk) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1

    await asyncio.gather(*(queries.run(number, busy) for number in range(20)))
    assert most == AT_ONCE


@in_loop
async def test_a_reader_who_leaves_ends_the_query(queries: Queries) -> None:
    first, second = (asyncio.ensure_future(queries.run("slow", slow, seconds=30)) for _ in range(2))
    await asyncio.to_thread(time.sleep, 0.5)
    first.cancel()
    await asyncio.to_thread(time.sleep, 0.3)
    assert queries._shared  # somebody else waits for it
    second.cancel()
    began = time.monotonic()
    while len(queries._free) < AT_ONCE:
        assert time.monotonic() - began < 5, "the query goes on"
        await asyncio.to_thread(time.sleep, 0.02)
    assert await queries.run("quick", number) == 1


@in_loop
async def test_a_reader_who_leaves_before_the_turn(queries: Queries) -> None:
    def wait(desk: Desk) -> None:
        time.sleep(0.3)

    busy = [asyncio.ensure_future(queries.run(number, wait)) for number in range(AT_ONCE)]
    await asyncio.to_thread(time.sleep, 0.05)
    late = asyncio.ensure_future(queries.run("late", number))
    await asyncio.to_thread(time.sleep, 0.05)
    late.cancel()
    await asyncio.gather(*busy)
    assert not queries._shared and len(queries._free) == AT_ONCE


@in_loop
async def test_errors_are_those_of_the_store(queries: Queries) -> None:
    def wrong(desk: Desk) -> None:
        desk.store.rows("SELECT x FROM nowhere")

    with pytest.raises(Exception, match="nowhere"):
        await queries.run("wrong", wrong)
    assert await queries.run("quick", number) == 1


@in_loop
async def test_nothing_can_be_written(queries: Queries) -> None:
    def write(desk: Desk) -> None:
        desk.store.rows("DELETE FROM posts")

    with pytest.raises(Exception, match=r"read-?only"):
        await queries.run("write", write)
    assert await queries.run("quick", number) == 1


@in_loop
async def test_no_transaction_is_left(queries: Queries, either: Store) -> None:
    def half(desk: Desk) -> object:
        return next(desk.store.stream("SELECT no FROM posts"))

    await asyncio.gather(*(queries.run(number, half) for number in range(8)))
    if isinstance(either, PostgresStore):
        sql = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND starts_with(state, 'idle in') AND pid <> pg_backend_pid()"""
        assert either.rows(sql) == [(0,)]
    else:
        either.take_in([post(6, "b")])
        assert checkpoint(either.connection)  # type: ignore[attr-defined]


@in_loop
async def test_a_store_that_comes_back(database: Database, tmp_path: Path) -> None:
    queries = Queries(settings_of(tmp_path, database.url))
    with pytest.raises(UserError, match="no tables"):
        await queries.run("quick", number)
    store = PostgresStore(database.url, KINDS)
    store.open()
    store.prepare()
    assert await queries.run("quick", number) == 0
    database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                  "WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip
    outcomes = []
    for _ in range(AT_ONCE + 1):
        try:
            outcomes.append(await queries.run("quick", number))
        except store.errors:
            outcomes.append(-1)
    assert outcomes[-1] == 0
    queries.close()
