"""A crawl's session with its store: outages, its row in `runs`, and sources that must not be mixed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scrapy import Spider
from scrapy.crawler import Crawler

from chancrawl.errors import StoreAway, UserError
from chancrawl.items import Account, Board, Feed, Thread, Validator
from chancrawl.storage import runs
from chancrawl.storage.base import restored
from chancrawl.storage.session import Session
from tests.support import KINDS
from tests.support.away import UnsteadyStore
from tests.support.engines import Chan, crawl, in_loop, stop
from tests.support.items import START

COUNT = "SELECT count(*) FROM runs"


class Follower(Chan):
    follow = True


class WithArguments(Chan):
    arguments = {"board": "po", "follow": ""}  # noqa: RUF012


@asynccontextmanager
async def session_of(
    folder: Path, spider: type[Spider] = Chan, **settings: Any
) -> AsyncIterator[tuple[Session, UnsteadyStore]]:
    """The open session of a crawl whose store can go away."""
    async with crawl(folder, spider=spider, **settings) as crawler:
        session = Session.of(crawler)
        store = UnsteadyStore(folder, KINDS)
        session.store = store
        await session.open()
        await session.call(session.prepare)
        yield session, store


# --- a store that is out of reach


@in_loop
async def test_a_call_waits_until_the_store_is_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with session_of(tmp_path) as (session, store):
        store.leave(refusals=2)
        assert await session.call(store.rows, COUNT) == [(1,)]
        assert not session.is_away and store.refusals == 0
        assert session.crawler.stats.get_value("store/outages") == 1
    assert "The database test is out of reach (server closed the connection)" in caplog.text
    assert caplog.text.count("The database test is back.") == 1


@in_loop
async def test_without_waiting_a_call_says_at_once_that_the_store_is_away(tmp_path: Path) -> None:
    async with session_of(tmp_path) as (session, store):
        session.waits = False
        store.leave()
        for _ in range(2):
            with pytest.raises(StoreAway):
                await session.call(store.rows, COUNT)
        assert session.is_away
        session.waits = True
        assert await session.call(store.rows, COUNT) == [(1,)]


@in_loop
async def test_an_attempt_is_made_once_and_the_calls_behind_it_wait(tmp_path: Path) -> None:
    async with session_of(tmp_path) as (session, store):
        store.leave()
        with pytest.raises(StoreAway, match=r"^server closed the connection$"):
            await session.attempt(store.rows, COUNT)
        assert session.is_away
        assert await session.call(store.rows, COUNT) == [(1,)]


@in_loop
async def test_what_waited_is_written_before_the_calls_go_on(tmp_path: Path) -> None:
    written: list[str] = []

    async def write() -> None:
        written.append("waited")
        if len(written) == 1:
            store.leave()
            await session.attempt(store.rows, COUNT)  # it goes again meanwhile
        session.came_back()

    async with session_of(tmp_path) as (session, store):
        session.on_return = write
        store.leave()
        await session.call(store.rows, COUNT)
        assert written == ["waited", "waited"]


@in_loop
async def test_calls_that_others_got_in_the_way_of_are_tried_three_times(tmp_path: Path) -> None:
    async with session_of(tmp_path) as (session, store):
        store.collisions = 2
        assert await session.call(store.rows, COUNT) == [(1,)]
        store.collisions = 3
        with pytest.raises(UserError, match=r"the database test cannot be used \(deadlock detected\)"):
            await session.call(store.rows, COUNT)


@in_loop
async def test_an_error_of_the_driver_is_one_sentence_and_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    async with session_of(tmp_path) as (session, store):
        with pytest.raises(UserError, match=r"the database test cannot be used \(no such table: nowhere\)") as raised:
            await session.call(store.rows, "SELECT 1 FROM nowhere")
        assert raised.value.reason == "store_failed"
        with pytest.raises(ZeroDivisionError):
            await session.call(lambda: 1 // 0)
        assert await session.call(store.rows, COUNT) == [(1,)]  # and the session goes on


@in_loop
async def test_a_store_that_comes_back_broken_ends_the_crawl(tmp_path: Path) -> None:
    async def fail() -> None:
        raise UserError("The tables are of another version.", "store_unavailable")

    async with session_of(tmp_path) as (session, store):
        session.on_return = fail
        store.leave()
        with pytest.raises(UserError, match="another version"):
            await session.call(store.rows, COUNT)
        await asyncio.sleep(1)
        stats = session.crawler.stats
        assert stats.get_value("failure") == "The tables are of another version."
        assert stats.get_value("closed") == "store_unavailable"


@pytest.mark.parametrize("spider, waits", [(Chan, False), (Follower, True)])
@in_loop
async def test_only_a_crawl_that_follows_waits_longer_than_its_patience(
    tmp_path: Path, spider: type[Spider], waits: bool
) -> None:
    async with session_of(tmp_path, spider, STORE_PATIENCE=0) as (session, store):
        store.leave(refusals=1)
        if waits:
            assert await session.call(store.rows, COUNT) == [(1,)]
        else:
            with pytest.raises(UserError, match=r"out of reach for 0 minutes \(STORE_PATIENCE\)"):
                await session.call(store.rows, COUNT)


@in_loop
async def test_a_crawl_that_is_stopped_waits_for_no_store(tmp_path: Path) -> None:
    async with session_of(tmp_path) as (session, store):
        store.leave(refusals=100)
        asyncio.get_running_loop().call_later(1, stop, session.crawler)
        with pytest.raises(UserError, match=r"ends because the database test was out of reach\.$"):
            await session.call(store.rows, COUNT)
        await session.stop_returning()
        assert store.refusals > 90 and session.is_away


# --- its row in `runs`


@pytest.fixture(params=["csv", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database").url if request.param == "postgres" else None


async def opened(crawler: Crawler) -> Session:
    session = Session.of(crawler)
    await session.open()
    return session


@in_loop
async def test_a_run_is_noted_with_its_first_row_and_with_its_end(tmp_path: Path, database_url: str | None) -> None:
    sql = "SELECT spider, CAST(arguments AS text), source, folder, finish_reason, finished_at IS NULL FROM runs"
    async with crawl(tmp_path, database_url, spider=WithArguments) as crawler:
        session = await opened(crawler)
        assert await session.call(session.store.rows, sql) == [] and not session.store.is_created
        await session.call(session.prepare)
        await session.call(session.prepare)
        ((name, arguments, source, folder, reason, is_open),) = await session.call(session.store.rows, sql)
        assert (name, source, folder) == ("chan", "https://a.4cdn.org", str(tmp_path))
        assert json.loads(arguments) == WithArguments.arguments
        assert (reason, bool(is_open)) == (None, True)
        crawler.stats.set_value("x/dollars", 1.5)
        crawler.stats.set_value("store/rejected", 1)
    async with crawl(tmp_path, database_url) as crawler:
        session = await opened(crawler)
        sql = "SELECT finish_reason, dollars, CAST(stats AS text) FROM runs WHERE finished_at IS NOT NULL"
        ((reason, dollars, stats),) = await session.call(session.store.rows, sql)
        assert (reason, float(dollars)) == ("incomplete", 1.5)
        assert json.loads(stats)["store/rejected"] == 1


@in_loop
async def test_a_crawl_that_writes_nothing_leaves_no_trace(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with crawl(folder) as crawler:
        await opened(crawler)
    assert not folder.exists()


@in_loop
async def test_what_others_still_have_to_write_comes_before_the_end(tmp_path: Path, database_url: str | None) -> None:
    async with crawl(tmp_path, database_url) as crawler:
        session = await opened(crawler)
        await session.call(session.prepare)

        async def write() -> None:
            crawler.stats.set_value("written", 1)

        session.before_closing.append(write)
    async with crawl(tmp_path, database_url) as crawler:
        session = await opened(crawler)
        ((stats,),) = await session.call(session.store.rows, "SELECT CAST(stats AS text) FROM runs")
        assert json.loads(stats)["written"] == 1


@in_loop
async def test_a_heartbeat_notes_the_stats_and_the_time(tmp_path: Path, database_url: str | None) -> None:
    async with crawl(tmp_path, database_url) as crawler:
        session = await opened(crawler)
        await session.call(session.prepare)
        await session.call(session.store.write, [("UPDATE runs SET alive_at = ?", (datetime(2026, 1, 1, tzinfo=UTC),))])
        assert await session.call(runs.alive, session.store) == []
        crawler.stats.set_value("items/post", 7)
        await session._beat()
        (run,) = await session.call(runs.alive, session.store)
        assert (run.run_id, run.stats["items/post"]) == (session.run_id, 7) and run.age < 5


@asynccontextmanager
async def two_followers(folder: Path, url: str) -> AsyncIterator[tuple[Session, Session]]:
    """The open sessions of two crawls into one database."""
    async with (
        crawl(folder, url, spider=Follower) as one,
        crawl(folder, url, spider=Follower) as two,
    ):
        yield await opened(one), await opened(two)


@in_loop
async def test_two_crawls_do_not_follow_one_board(tmp_path: Path, postgres_url: str) -> None:
    async with two_followers(tmp_path, postgres_url) as (first, second):
        assert await first.follow(["po", "g"]) == []
        (other,) = await second.follow(["g"])
        assert other.run_id == first.run_id and other.boards == ["po", "g"]
        assert await second.follow(["wsr"]) == []


@in_loop
async def test_of_two_crawls_that_follow_one_board_the_later_one_ends(tmp_path: Path, postgres_url: str) -> None:
    async with two_followers(tmp_path, postgres_url) as (first, second):
        await first.follow(["po"])
        await first.call(first.store.write, [("UPDATE runs SET alive_at = now() - interval '1 hour'", ())])
        assert await second.follow(["po"]) == []
        await second._beat()
        stats, stats_of_second = first.crawler.stats, second.crawler.stats
        assert "failure" not in stats_of_second.get_stats()  # the first one gives no sign of life
        await first._beat()
        await second._beat()
        await asyncio.sleep(1)
        assert "failure" not in stats.get_stats()
        assert "was there before: this crawl ends" in stats_of_second.get_value("failure")
        assert stats_of_second.get_value("closed") == "doubled"


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("database").url
    return url


# --- sources that must not be mixed

REAL, SANDBOX, OTHER, X = "https://a.4cdn.org", "http://127.0.0.1:8044", "https://8kun.top", "https://api.x.com"
CHAN = ("chan",)


@pytest.mark.parametrize("spider, earlier, address, is_refused", [
    ("chan", REAL, REAL, False),
    ("chan", "http://a.4cdn.org/", REAL, False),  # another scheme and a slash
    ("chan", "https://A.4CDN.org", REAL, False),
    ("chan", OTHER, REAL, True),  # two real sites
    ("chan", "https://mirror.org/4chan", "https://mirror.org/8kun", True),
    ("chan", SANDBOX, REAL, True),
    ("chan", REAL, SANDBOX, True),
    ("chan", "http://localhost:1", SANDBOX, False),  # another port of this machine
    ("timeline", X, REAL, False),  # boards beside X
    ("timeline", SANDBOX, REAL, True),  # a sandbox of X beside the real boards
])  # fmt: skip
@in_loop
async def test_stores_of_other_sites_are_refused(
    tmp_path: Path, spider: str, earlier: str, address: str, is_refused: bool
) -> None:
    async with session_of(tmp_path) as (session, store):
        await session.call(store.write, [("UPDATE runs SET spider = ?, source = ?", (spider, earlier))])
        if is_refused:
            with pytest.raises(UserError, match="so that they are not mixed") as raised:
                await session.refuse_mixed_sources(address, CHAN)
            assert earlier in str(raised.value) and address in str(raised.value)
        else:
            await session.refuse_mixed_sources(address, CHAN)


@in_loop
async def test_a_store_without_runs_takes_every_site(tmp_path: Path, database_url: str | None) -> None:
    async with crawl(tmp_path, database_url) as crawler:
        session = await opened(crawler)
        await session.refuse_mixed_sources(REAL, CHAN)


# --- items from the store

ITEMS = [
    Board("po", "Papercraft", True, True, 10, 15, 310, 150, START, None, {"board": "po", "x": [1, None, "é"]}),
    Thread("po", 5, subject="a\tb", sticky=True, position=0, first_seen_at=START, last_seen_at=START),
    Validator("/po/threads.json", "Sat, 21 Nov 2026 00:00:00 GMT"),
    Account(2**62, "nasa", metrics={"tweet_count": 3}, former_usernames=["a", "b c"], verified=False,
            created_at=START, first_seen_at=START, last_seen_at=START, raw={"id": "1"}),
    Feed("timeline:1", posts_per_day=0.25, complete_since=START - timedelta(days=1), pages=3),
]  # fmt: skip


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
@in_loop
async def test_state_comes_back_from_the_store_as_it_was(tmp_path: Path, database_url: str | None, item: Any) -> None:
    async with crawl(tmp_path, database_url) as crawler:
        session = await opened(crawler)
        assert await session.select(type(item)) == []
        await session.call(session.prepare)
        assert await session.call(session.store.take_in, [item]) == []
        assert await session.select(type(item)) == [item]
        key = session.kinds.of(item).key[0]
        assert await session.select(type(item), f"WHERE {key} = ?", getattr(item, key)) == [item]
        nothing = "x" if isinstance(getattr(item, key), str) else 1
        assert await session.select(type(item), f"WHERE {key} = ?", nothing) == []


def test_a_row_is_restored_from_the_texts_and_numbers_of_sqlite() -> None:
    row = ("po", None, 1, 0, None, None, None, None, "2026-11-21T00:00:00Z", None, '{"a": [1]}')
    board = restored(Board, row)
    assert board == Board("po", worksafe=True, has_archive=False, seen_at=START, raw={"a": [1]})
    assert board.worksafe is True and board.has_archive is False
