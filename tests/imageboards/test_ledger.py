"""What is already stored of boards and threads, items on their way to the store included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chancrawl.errors import StoreAway
from chancrawl.imageboards import ledger as ledger_module
from chancrawl.imageboards.ledger import BoardLedger
from chancrawl.items import Board, Poll, Thread, Validator
from chancrawl.storage.session import Session
from tests.support import KINDS
from tests.support.away import UnsteadyStore
from tests.support.engines import crawl, in_loop
from tests.support.items import START, deletion, minute, post, thread

STORED: list[Any] = [Board("po"), post(6, "a"), post(7, "b"), thread(2), Validator("/po/threads.json", "x")]


@pytest.fixture(params=["csv", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database").url if request.param == "postgres" else None


@asynccontextmanager
async def ledger_of(folder: Path, database_url: str | None = None, *stored: Any) -> AsyncIterator[BoardLedger]:
    """The ledger of a crawl into a store that holds some rows."""
    async with crawl(folder, database_url) as crawler:
        session = Session.of(crawler)
        await session.open()
        await session.call(session.prepare)
        assert await session.call(session.store.take_in, stored) == []
        yield BoardLedger.of(crawler)


@asynccontextmanager
async def unsteady(folder: Path, *stored: Any) -> AsyncIterator[tuple[BoardLedger, UnsteadyStore]]:
    """The same, of a store that can go away."""
    async with crawl(folder) as crawler:
        session = Session.of(crawler)
        session.store = store = UnsteadyStore(folder, KINDS)
        await session.open()
        await session.call(session.prepare)
        await session.call(store.take_in, stored)
        yield BoardLedger.of(crawler), store


# --- what is held


@in_loop
async def test_what_is_stored_is_loaded(tmp_path: Path, database_url: str | None) -> None:
    async with ledger_of(tmp_path, database_url, *STORED, deletion(7, 3)) as ledger:
        held = await ledger.thread("po", 5)
        assert held.thread == thread(2) and sorted(held.posts) == [6, 7]
        assert held.posts[6].digest == post(6, "a").digest and held.posts[6].revision == 1
        assert (held.posts[6].first_seen_at, held.posts[7].deleted_at) == (START, minute(3))
        assert await ledger.boards() == {"po": Board("po")}
        assert await ledger.threads("po") == {5: thread(2)} and await ledger.threads("g") == {}
        assert await ledger.validator("/po/threads.json") == "x" and await ledger.validator("/g/threads.json") is None


@in_loop
async def test_of_a_thread_that_nobody_has_stored_nothing_is_held(tmp_path: Path, database_url: str | None) -> None:
    async with ledger_of(tmp_path, database_url) as ledger:
        held = await ledger.thread("po", 5)
        assert held.thread is None and held.posts == {} and held.as_of is None
        assert await ledger.thread("po", 5) is held is ledger.loaded("po", 5)


@in_loop
async def test_a_thousand_threads_are_loaded_at_once(tmp_path: Path) -> None:
    stored = [replace(post(no, "a"), thread_no=no) for no in range(1, 1202)]
    async with ledger_of(tmp_path, None, *stored) as ledger:
        await ledger.load("po", range(1, 1300))
        assert all((no in ledger.loaded("po", no).posts) == (no < 1202) for no in range(1, 1300))


@in_loop
async def test_threads_that_can_change_no_more_are_not_listed(tmp_path: Path, database_url: str | None) -> None:
    fates = {1: "live", 2: "archived", 3: "pruned", 4: "deleted"}
    stored = [replace(thread(0), no=no, fate=fate) for no, fate in fates.items()]
    async with ledger_of(tmp_path, database_url, *stored) as ledger:
        assert sorted(await ledger.threads("po")) == [1, 2]
        await ledger.thread("po", 1)
        ledger.accept(replace(stored[0], fate="pruned"))
        assert sorted(await ledger.threads("po")) == [2]


@in_loop
async def test_times_that_lie_years_ahead_are_not_believed(tmp_path: Path) -> None:
    wrong = replace(thread(0), last_modified=datetime(2200, 1, 1, tzinfo=UTC),
                    http_last_modified="Wed, 01 Jan 2200 00:00:00 GMT")  # fmt: skip
    right = replace(thread(0), no=6, last_modified=START, http_last_modified="Sat, 21 Nov 2026 00:00:09 GMT")
    async with ledger_of(tmp_path, None, wrong, right, post(6, "a")) as ledger:
        await ledger.load("po", [5, 6])
        held = ledger.loaded("po", 5)
        assert held.validator is None and held.as_of is None
        ledger._stored.clear()
        ledger._newest["po"] = 6  # a thread without posts is not looked for
        held = await ledger.thread("po", 6)
        assert held.validator == right.http_last_modified and held.as_of == START + timedelta(seconds=9)


# --- items on their way


@in_loop
async def test_an_item_that_says_nothing_new_is_not_accepted(tmp_path: Path) -> None:
    async with ledger_of(tmp_path, None, *STORED) as ledger:
        await ledger.load("po", [5])
        assert ledger.accept(post(6, "a")) is None
        assert ledger.accept(thread(2)) is None
        assert ledger.accept(deletion(6, None)) is None
        assert ledger.accept(deletion(99, 1)) is None  # of a post that is not held
        assert ledger.accept(post(6, "other", 2)) == "revision"
        assert ledger.accept(post(6, "other", 2)) is None
        assert ledger.accept(post(8, "new")) == "post"
        assert ledger.accept(deletion(6, 1)) == "deletion"
        assert ledger.accept(deletion(6, 1)) is None
        assert ledger.accept(thread(3)) == "thread"
        assert ledger.accept(replace(thread(4), last_seen_at=minute(1))) == "thread/changed"
        assert ledger.accept(Board("g")) == "board"
        assert ledger.accept(Poll("po", START, None, 1, 1, None)) == "poll"


NEWS = {
    "a new post": post(8, "c"),
    "a revision": post(6, "b", 2),
    "a deletion": deletion(6, 1),
    "a state": replace(thread(3), http_last_modified="Sat, 21 Nov 2026 01:00:00 GMT"),
}
"""What a page of thread 5 says that is not stored."""


@pytest.mark.parametrize("what", NEWS)
@in_loop
async def test_what_was_accepted_and_rejected_is_asked_for_and_accepted_again(tmp_path: Path, what: str) -> None:
    known = replace(thread(2), http_last_modified="Sat, 21 Nov 2026 00:00:00 GMT")
    async with ledger_of(tmp_path, None, *STORED, known) as ledger:
        ledger.follow()  # live threads stay in memory
        held = await ledger.thread("po", 5)
        assert held.validator == known.http_last_modified
        for _ in range(3):
            assert ledger.accept(NEWS[what]) is not None
            assert ledger.accept(NEWS[what]) is None
            ledger.reject(NEWS[what])
            assert await ledger.thread("po", 5) is held
            assert held.validator is None, "its page is asked for whole, and not answered 304"
            assert ledger._posts_in_memory == len(held.posts)


@pytest.mark.parametrize("what", NEWS)
@in_loop
async def test_after_a_rejection_a_pass_knows_a_thread_as_it_is_stored(tmp_path: Path, what: str) -> None:
    async with ledger_of(tmp_path, None, *STORED) as ledger:
        before = await ledger.thread("po", 5)
        ledger.accept(NEWS[what])
        ledger.reject(NEWS[what])
        held = await ledger.thread("po", 5)
        assert held is not before and held.thread == thread(2) and sorted(held.posts) == [6, 7]
        assert ledger.accept(NEWS[what]) is not None


@in_loop
async def test_a_rejected_item_takes_no_other_of_its_thread_along(tmp_path: Path) -> None:
    async with ledger_of(tmp_path, None, *STORED) as ledger:
        await ledger.load("po", [5])
        for item in (post(8, "c"), post(9, "d")):
            ledger.accept(item)
        ledger.reject(post(8, "c"))
        assert sorted(ledger.loaded("po", 5).posts) == [6, 7, 9]
        assert ledger.accept(post(9, "d")) is None


@in_loop
async def test_a_rejected_validator_is_not_sent(tmp_path: Path) -> None:
    async with ledger_of(tmp_path, None, *STORED) as ledger:
        assert await ledger.validator("/po/threads.json") == "x"
        assert ledger.accept(Validator("/po/threads.json", "y")) == "validator"
        assert await ledger.validator("/po/threads.json") == "y"
        ledger.reject(Validator("/po/threads.json", "y"))
        assert await ledger.validator("/po/threads.json") is None
        ledger.reject(Board("po"))  # nothing to forget


@in_loop
async def test_state_that_is_not_committed_yet_counts(tmp_path: Path) -> None:
    async with ledger_of(tmp_path, None, *STORED) as ledger:
        await ledger.load("po", [5, 9])
        ledger.accept(thread(7))
        ledger.accept(replace(thread(0), no=9))
        threads = await ledger.threads("po")
        assert sorted(threads) == [5, 9] and threads[5].replies == 7


# --- memory


@in_loop
async def test_a_thread_leaves_the_memory_when_all_of_it_is_committed(tmp_path: Path) -> None:
    async with ledger_of(tmp_path, None, *STORED) as ledger:
        held = await ledger.thread("po", 5)
        items: list[Any] = [post(8, "c"), thread(3)]
        for item in items:
            ledger.accept(item)
        ledger.committed(items[0])
        assert await ledger.thread("po", 5) is held
        ledger.committed(items[1])
        assert await ledger.thread("po", 5) is not held
        assert sorted((await ledger.thread("po", 5)).posts) == [6, 7]  # as the store has it
        ledger.committed(items[1])  # nobody waits for it: nothing happens
        assert ledger._posts_in_memory == 2


@in_loop
async def test_a_crawl_that_follows_keeps_live_threads_in_memory(tmp_path: Path) -> None:
    async with ledger_of(tmp_path, None, *STORED) as ledger:
        ledger.follow()
        assert not ledger.session.waits
        held = await ledger.thread("po", 5)
        ledger.accept(thread(3))
        ledger.committed(thread(3))
        assert await ledger.thread("po", 5) is held
        ended = replace(thread(3), fate="archived")
        ledger.accept(ended)
        ledger.committed(ended)
        assert await ledger.thread("po", 5) is not held


@in_loop
async def test_memory_has_a_bound_and_nothing_on_its_way_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "POSTS_IN_MEMORY", 150)
    stored = [replace(post(no, "a"), thread_no=no) for no in range(1, 401)]
    async with ledger_of(tmp_path, None, *stored) as ledger:
        await ledger.load("po", [1])
        ledger.accept(replace(thread(3), no=1))
        for no in range(2, 401):
            await ledger.load("po", [no])
        assert len(ledger._stored) <= 151 and ledger._posts_in_memory <= 151
        assert (await ledger.thread("po", 1)).thread == replace(thread(3), no=1)
        assert sorted((await ledger.thread("po", 2)).posts) == [2]  # read again from the store
        ledger.committed(replace(thread(3), no=1))


# --- a store that is away


@in_loop
async def test_a_crawl_that_follows_puts_off_what_needs_the_store(tmp_path: Path) -> None:
    async with unsteady(tmp_path, *STORED) as (ledger, store):
        await ledger.threads("po")
        ledger.follow()
        await ledger.load("po", [5])
        store.leave(refusals=1000)
        with pytest.raises(StoreAway):
            await ledger.boards()
        assert sorted((await ledger.thread("po", 5)).posts) == [6, 7]  # what is in memory is there
        assert await ledger.threads("po") == {5: thread(2)}
        assert (await ledger.thread("po", 4)).posts == {}  # no thread of this number was listed
        with pytest.raises(StoreAway):
            await ledger.thread("g", 5)
        await ledger.session.stop_returning()
        store.leave()
        store.connect()
        ledger.session.came_back()


def test_a_thread_is_of_its_board() -> None:
    assert ledger_module._thread_of(thread(1)) == ("po", 5) == ledger_module._thread_of(post(6, "a"))
    assert ledger_module._thread_of(Thread("g", 5)) == ("g", 5)
