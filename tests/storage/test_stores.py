"""What every state store promises (storage/base.py): one suite for the database and for the folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chancrawl.errors import UserError
from chancrawl.items import Feed, Poll, Thread, Trend, Validator
from chancrawl.storage.base import Store, moment
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.items import START, deletion, minute, post, thread

INSERT = "INSERT INTO validators (path, last_modified) VALUES (?, ?)"
PATHS = "SELECT path FROM validators ORDER BY path"

Make = Callable[[], Store]


@pytest.fixture(params=["csv", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes stores of one folder, or of one database."""
    if request.param == "csv":
        return lambda: SqliteStore(tmp_path / "data", KINDS)
    url: str = request.getfixturevalue("database").url
    return lambda: PostgresStore(url, KINDS)


@pytest.fixture
def either(make: Make) -> Iterator[Store]:
    """An open store in which nothing is created."""
    store = make()
    store.open()
    yield store
    store.close()


@pytest.fixture
def created(either: Store) -> Store:
    either.prepare()
    return either


# --- before there is anything


def test_before_the_first_row_nothing_is_created_and_nothing_is_found(either: Store, tmp_path: Path) -> None:
    assert not either.is_created
    assert either.rows(PATHS) == [] and either.rows("SELECT max(no) FROM posts WHERE board = ?", "po") == []
    assert not (tmp_path / "data").exists()
    either.prepare()
    assert either.is_created and either.rows(PATHS) == []
    either.prepare()  # once more changes nothing
    assert either.is_created


def test_a_store_without_tables_cannot_be_read_from(make: Make) -> None:
    store = make()
    with pytest.raises(UserError, match="nothing was collected yet"):
        store.open_to_read(["posts"])
    store.close()


def test_a_store_is_found_again(created: Store, make: Make) -> None:
    created.take_in([Validator("/po/threads.json", "x")])
    created.close()
    again = make()
    again.open()
    assert again.is_created and again.rows(PATHS) == [("/po/threads.json",)]
    again.close()


def test_a_store_can_be_read_while_a_crawl_writes(created: Store, make: Make) -> None:
    created.take_in([Validator("/po/threads.json", "x")])
    reader = make()
    reader.open_to_read(["validators"])
    assert reader.rows(PATHS) == [("/po/threads.json",)]
    assert list(reader.stream(PATHS)) == [("/po/threads.json",)]
    reader.close()


def test_a_second_connection_sees_what_is_committed(created: Store) -> None:
    created.take_in([Validator("/po/threads.json", "x")])
    other = created.another()
    if other is None:
        assert created.is_exclusive
        return
    other.open()
    assert other.rows(PATHS) == [("/po/threads.json",)]
    other.close()


# --- queries


def test_rows_takes_parameters_and_statements_that_answer_nothing(created: Store) -> None:
    assert created.rows(INSERT, "/a", "%s ? 100%") == []
    assert created.rows("SELECT last_modified FROM validators WHERE path = ?", "/a") == [("%s ? 100%",)]


def test_a_long_answer_is_streamed_in_its_order(created: Store) -> None:
    created.write((INSERT, (f"/{number:05}", "x")) for number in range(12_000))
    found = created.stream("SELECT path FROM validators WHERE path < ? ORDER BY path", "/11500")
    assert next(found) == ("/00000",)
    assert [path for (path,) in found] == [f"/{number:05}" for number in range(1, 11_500)]


def test_of_statements_all_are_carried_out_or_none(created: Store) -> None:
    created.write([(INSERT, ("/a", "x")), ("UPDATE validators SET last_modified = ? WHERE path = ?", ("y", "/a"))])
    with pytest.raises(created.errors):
        created.write([(INSERT, ("/b", "x")), (INSERT, ("/a", "x"))])
    with pytest.raises(created.errors):
        created.write([(INSERT, ("/b", "x")), ("INSERT INTO nowhere VALUES (?)", (1,))])
    assert created.rows("SELECT path, last_modified FROM validators") == [("/a", "y")]


def test_a_locked_transaction_is_all_or_none_too(created: Store) -> None:
    with created.locked("one") as rows:
        assert rows(PATHS) == []
        rows(INSERT, "/a", "x")
        assert rows(PATHS) == [("/a",)]
    with pytest.raises(created.errors), created.locked("one") as rows:
        rows(INSERT + ", (?, ?)", "/b", "x", "/a", "x")  # the first row is new
    assert created.rows(PATHS) == [("/a",)]


def test_the_clock_and_times_of_a_store(created: Store) -> None:
    created.take_in([Poll("po", START, None, 1, 1, None)])
    now = f"SELECT {created.sql_now}, {created.sql_age.format(created.sql_now)}"
    ((time, age),) = created.rows(f"{now} FROM board_polls")
    at = moment(time)
    assert at is not None and abs(at - datetime.now(UTC)) < timedelta(seconds=5) and abs(age) < 5
    sql = f"SELECT {created.sql_seconds.format('polled_at')}, {created.sql_age.format('polled_at')} FROM board_polls"
    ((seconds, age),) = created.rows(sql)
    assert seconds == START.timestamp()
    assert float(age) == pytest.approx((datetime.now(UTC) - START).total_seconds(), abs=5)


def test_an_error_of_a_statement_is_no_outage(created: Store) -> None:
    with pytest.raises(created.errors) as raised:
        created.rows("SELECT nothing FROM nowhere")
    assert not created.is_outage(raised.value) and not created.is_collision(raised.value)
    assert created.cause_of(raised.value) is raised.value


# --- rows that were set aside


def test_rows_of_each_kind_are_taken_in_and_the_same_again_changes_nothing(created: Store) -> None:
    batch: list[Any] = [thread(2), post(6, "a"), post(7, "b"), deletion(7, 3), Validator("/po/threads.json", "x"),
                        Trend(1, START, 1, "#a", None), Feed("search:a", pages=2)]  # fmt: skip
    for _ in range(2):
        assert created.take_in(batch) == []
        assert created.rows("SELECT board, no, thread_no, revision FROM posts ORDER BY no") == [
            ("po", 6, 5, 1), ("po", 7, 5, 1)]  # fmt: skip
        ((missed,),) = created.rows("SELECT deleted_at FROM posts WHERE deleted_at IS NOT NULL")
        assert moment(missed) == minute(3)
        assert created.rows("SELECT replies FROM threads") == [(2,)] and created.rows(PATHS) == [("/po/threads.json",)]


def test_a_row_that_is_rejected_costs_no_other_and_is_given_back_with_the_reason(created: Store) -> None:
    bad = Trend(2**80, START, 1, "#a", None)
    good = Trend(2, START, 2, "#b", None)
    ((item, reason),) = created.take_in([bad, good])
    assert item is bad and ("out of range" in reason or "too large" in reason)
    assert created.rows("SELECT woeid FROM trends") == [(2,)]


def test_a_version_that_comes_late_does_not_replace_the_later_one(created: Store) -> None:
    assert created.take_in([post(6, "third", 3)]) == []
    assert created.take_in([post(6, "second", 2)]) == []
    ((digest, revision),) = created.rows("SELECT digest, revision FROM posts")
    assert digest == post(6, "third").digest and revision >= 3
    assert created.take_in([post(6, "fourth", 4)]) == []
    assert created.rows("SELECT digest FROM posts") == [(post(6, "fourth").digest,)]


def test_a_feed_that_was_read_less_far_does_not_replace_the_later_state(created: Store) -> None:
    created.take_in([Feed("search:a", pages=5, posts=50)])
    created.take_in([Feed("search:a", pages=3, posts=30)])
    assert created.rows("SELECT posts FROM feeds") == [(50,)]


def test_no_row_is_no_transaction(created: Store) -> None:
    assert created.take_in([]) == []
    created.write([])
    assert created.rows("SELECT count(*) FROM threads WHERE fate = ?", "live") == [(0,)]
    assert created.rows("SELECT count(*) FROM threads WHERE board = ?", Thread("po", 5).board) == [(0,)]


@pytest.mark.parametrize("value", [None, START, "2026-11-21T00:00:00Z", "2026-11-21T01:00:00+01:00"])
def test_a_time_is_the_same_from_either_store(value: Any) -> None:
    assert moment(value) == (None if value is None else START)
