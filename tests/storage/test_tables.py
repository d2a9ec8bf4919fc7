"""Kinds of rows merged into their PostgreSQL tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chancrawl.items import Deletion, Feed, Post, Thread, Tweet, Validator
from chancrawl.storage.kinds import Kind
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.copy import rows_of
from chancrawl.storage.postgres.tables import NotStored, Table
from chancrawl.storage.postgres.versioned import Deletions, Posts, table_of
from tests.support import KINDS
from tests.support.databases import Database
from tests.support.items import deletion, minute, post, thread


def write(store: PostgresStore, items: Sequence[Any]) -> None:
    table = table_of(KINDS.of(items[0]))
    with store.transaction() as cursor:
        for some in table.rounds(items):
            table.write(cursor, rows_of(some))


def test_of_several_rows_with_one_key_the_last_one_is_written() -> None:
    table = Table(KINDS[Validator])
    (rows,) = table.rounds([Validator("/a", "1"), Validator("/b", "1"), Validator("/a", "2")])
    assert list(rows) == [Validator("/a", "2"), Validator("/b", "1")]


def test_rows_are_sorted_by_the_column_that_their_kind_names() -> None:
    kind = Kind(Feed, "feeds", ("feed",), order="pages")
    (rows,) = Table(kind).rounds([Feed("a", pages=3), Feed("a", pages=1)])
    assert list(rows) == [Feed("a", pages=3)]


def test_each_version_of_a_post_is_in_a_round_of_its_own() -> None:
    rounds = Posts(KINDS[Post]).rounds([post(6, "a"), post(7, "a"), post(6, "b", 2), post(6, "c", 3)])
    assert [sorted((item.no, item.revision) for item in some) for some in rounds] == [
        [(6, 1), (7, 1)],
        [(6, 2)],
        [(6, 3)],
    ]


def test_posts_deletions_and_tweets_have_tables_of_their_own() -> None:
    assert type(table_of(KINDS[Post])) is Posts and type(table_of(KINDS[Deletion])) is Deletions
    assert type(table_of(KINDS[Thread])) is Table and type(table_of(KINDS[Tweet])) is not Table
    assert table_of(KINDS[Post]) is table_of(KINDS[Post])


def test_a_state_that_is_older_than_the_stored_one_changes_nothing(store: PostgresStore, database: Database) -> None:
    write(store, [replace(thread(3), last_seen_at=minute(3))])
    write(store, [replace(thread(1), last_seen_at=minute(1))])
    assert database.rows("SELECT replies FROM threads") == [(3,)]
    write(store, [replace(thread(5), first_seen_at=minute(-5), last_seen_at=minute(4))])
    assert database.rows("SELECT replies, first_seen_at FROM threads") == [(5, minute(-5))]


def test_a_row_that_a_trigger_drops_is_not_taken_for_stored(store: PostgresStore, database: Database) -> None:
    database.rows("CREATE FUNCTION dropped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
                  "CREATE TRIGGER dropping BEFORE INSERT ON validators FOR EACH ROW WHEN (NEW.path = '/a') "
                  "EXECUTE FUNCTION dropped()")  # fmt: skip
    write(store, [Validator("/b", "x")])
    with pytest.raises(NotStored, match="1 rows are not in validators"):
        write(store, [Validator("/a", "x"), Validator("/c", "x")])
    assert database.rows("SELECT path FROM validators") == [("/b",)]


def test_the_version_that_is_replaced_is_kept_and_a_late_one_goes_beside_it(
    store: PostgresStore, database: Database
) -> None:
    write(store, [post(6, "first", 1), post(6, "third", 3)])
    assert database.rows("SELECT comment_html, revision FROM posts") == [("third", 3)]
    assert database.rows("SELECT comment_html, revision FROM post_revisions") == [("first", 1)]
    write(store, [post(6, "second", 2)])
    assert database.rows("SELECT comment_html FROM posts") == [("third",)]
    kept = database.rows("SELECT comment_html, replaced_at FROM post_revisions ORDER BY last_seen_at")
    assert [com for com, _ in kept] == ["first", "second"]
    assert kept[1][1] == minute(2)  # by the third version


def test_a_deletion_of_a_post_that_is_not_there_says_nothing(store: PostgresStore, database: Database) -> None:
    write(store, [post(6, "a")])
    write(store, [deletion(6, 3), deletion(7, 3)])
    assert database.rows("SELECT no, deleted_at FROM posts") == [(6, minute(3))]
    write(store, [deletion(6, None)])
    assert database.rows("SELECT deleted_at FROM posts") == [(None,)]


def test_what_an_owner_has_added_to_a_table_is_left_alone(store: PostgresStore, database: Database) -> None:
    database.rows("ALTER TABLE validators ADD COLUMN note text DEFAULT 'mine'")
    write(store, [Validator("/a", "x")])
    database.rows("UPDATE validators SET note = 'yours'")
    write(store, [Validator("/a", "y")])
    assert database.rows("SELECT last_modified, note FROM validators") == [("y", "yours")]
