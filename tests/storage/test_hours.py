"""The sums of hours follow every change of the posts, in both stores, and can be counted anew."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from chancrawl.items import Tweet
from chancrawl.storage.base import Store, moment
from chancrawl.storage.hours import recount
from chancrawl.storage.sqlite.hours import TRIGGERS
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.items import START, deletion, post

HOURS = "SELECT hour, posts, deleted, delay_seconds, no_sum FROM board_hours WHERE board = 'po' ORDER BY hour"


def sums(store: Store) -> list[Any]:
    return [tuple(numbers) for _, *numbers in store.rows(HOURS) if numbers[0]]


def test_a_post_counts_once_for_its_hour(either: Store) -> None:
    first = post(6, "a")
    either.take_in([first, post(7, "b"), post(6, "changed", 2)])
    either.take_in([first])
    ((hour, posts, deleted, delay, numbers),) = either.rows(HOURS)
    assert moment(hour) == first.posted_at.replace(minute=0, second=0)
    assert (posts, deleted, numbers) == (2, 0, 13)
    assert delay == sum((START - each.posted_at).total_seconds() for each in (first, post(7, "b")))


def test_deletions_are_counted_and_taken_back(either: Store) -> None:
    either.take_in([post(6, "a"), post(7, "b"), deletion(6, 3)])
    assert [row[:2] for row in sums(either)] == [(2, 1)]
    either.take_in([deletion(6, None)])
    assert [row[:2] for row in sums(either)] == [(2, 0)]


def test_changes_by_hand_count_too(either: Store) -> None:
    either.take_in([post(6, "a"), post(7, "b"), deletion(6, 3)])
    either.write([("UPDATE posts SET posted_at = ? WHERE no = 7", (START,))])
    assert [row[0] for row in sums(either)] == [1, 1]
    either.write([("DELETE FROM posts WHERE no = 6", ())])
    assert [(row[0], row[1], row[3]) for row in sums(either)] == [(1, 0, 7)]


def test_posts_of_accounts(either: Store) -> None:
    def tweet(number: int, author: int | None, minutes: int, likes: int = 1) -> Tweet:
        return Tweet(number, author, "nasa", START + timedelta(minutes=minutes), metrics={"like_count": likes},
                     first_metrics={}, first_seen_at=START, last_seen_at=START)  # fmt: skip

    either.take_in([tweet(1, 5, 0), tweet(2, 5, 59), tweet(3, 5, 60), tweet(4, None, 0), tweet(1, 5, 0)])
    rows = [(account, moment(hour), n) for account, hour, n in either.rows("SELECT * FROM account_hours ORDER BY 1, 2")]
    assert rows == [(5, START, 2), (5, START + timedelta(hours=1), 1)]
    either.take_in([tweet(4, 6, 0, likes=2)])
    either.write([("DELETE FROM tweets WHERE id = 1", ())])
    rows = either.rows("SELECT account_id, posts FROM account_hours ORDER BY account_id, hour")
    assert [tuple(row) for row in rows] == [(5, 1), (5, 1), (6, 1)]


def test_sums_that_are_wrong_are_counted_anew(either: Store) -> None:
    either.take_in([post(6, "a"), post(7, "b")])
    right = either.rows(HOURS)
    either.write([("UPDATE board_hours SET posts = 99", ()), ("INSERT INTO account_hours VALUES (9, ?, 9)", (START,))])
    either.write((statement, ()) for statement in recount(either.sql_hour, either.sql_seconds))
    assert either.rows(HOURS) == right and either.rows("SELECT * FROM account_hours") == []


def test_a_rejected_row_is_not_counted(either: Store) -> None:
    bad = post(8, "c")
    bad.revision = 2**70
    assert len(either.take_in([post(6, "a"), bad])) == 1
    assert [row[0] for row in sums(either)] == [1]


def test_both_stores_have_triggers_for_every_change() -> None:
    assert {event.split()[0] for event, _ in TRIGGERS.values()} == {"INSERT", "DELETE", "UPDATE"}


def test_a_database_of_the_version_before_gets_its_sums(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, KINDS)
    store.open()
    store.prepare()
    store.take_in([post(6, "a"), post(7, "b")])
    right = store.rows(HOURS)
    store.write(
        (statement, ()) for statement in (*(f"DROP TRIGGER {name}" for name in TRIGGERS), "DROP TABLE board_hours")
    )
    store.connection.execute("PRAGMA user_version = 4")
    store.close()
    store = SqliteStore(tmp_path, KINDS)
    store.open()
    assert store.rows(HOURS) == right
    store.take_in([post(9, "d")])
    assert [row[0] for row in sums(store)] == [3]
    store.close()
