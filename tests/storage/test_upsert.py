"""The statements and tables of the SQLite ledger, carried out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from chancrawl.items import Deletion, Feed, Post, Validator
from chancrawl.storage.csv.rows import line_of
from chancrawl.storage.kinds import Kind
from chancrawl.storage.sqlite.upsert import schema_of, statement_of, upsert
from tests.support import KINDS
from tests.support.items import deletion, post


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema_of(KINDS))
        yield connection


def put(connection: sqlite3.Connection, *items: object) -> None:
    for item in items:
        statement, names = statement_of(KINDS.of(item))
        connection.execute(statement, line_of(KINDS.of(item), item, names).row)


def test_every_kind_has_a_table_and_a_statement_for_it(connection: sqlite3.Connection) -> None:
    connection.executescript(schema_of(KINDS))  # a second time changes nothing
    for kind in KINDS:
        statement, names = statement_of(kind)
        connection.execute(f"EXPLAIN {statement}", [None] * len(names))


def test_a_row_replaces_the_one_with_its_key(connection: sqlite3.Connection) -> None:
    put(connection, Validator("/a", "x"), Validator("/b", "x"), Validator("/a", "y"))
    assert connection.execute("SELECT * FROM validators ORDER BY path").fetchall() == [("/a", "y"), ("/b", "x")]


def test_a_row_is_replaced_only_by_a_later_one(connection: sqlite3.Connection) -> None:
    put(connection, Feed("a", pages=2, posts=20), Feed("a", pages=1, posts=10))
    assert connection.execute("SELECT posts FROM feeds").fetchall() == [(20,)]
    put(connection, Feed("a", pages=3, posts=30))
    assert connection.execute("SELECT posts FROM feeds").fetchall() == [(30,)]


def test_a_deletion_is_a_mark_on_its_post(connection: sqlite3.Connection) -> None:
    put(connection, deletion(7, 1), post(6, "a"), deletion(6, 3))
    assert connection.execute("SELECT no, deleted_at FROM posts").fetchall() == [(6, "2026-11-21T00:03:00Z")]
    put(connection, deletion(6, None))
    assert connection.execute("SELECT deleted_at FROM posts").fetchall() == [(None,)]
    assert statement_of(KINDS[Deletion])[0].startswith("UPDATE posts")


def test_a_key_that_is_a_number_stays_one_and_a_name_stays_a_name() -> None:
    schema = schema_of([Kind(Post, "p", ("board", "no"))])
    assert schema.startswith("CREATE TABLE IF NOT EXISTS p (board TEXT, no INTEGER, thread_no, ")
    assert schema.endswith("PRIMARY KEY (board, no)) WITHOUT ROWID;\n")


def test_a_row_that_is_all_key_is_kept_as_it_is(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE k (a, b, PRIMARY KEY (a, b))")
    for _ in range(2):
        connection.execute(upsert("k", ["a", "b"], ["a", "b"]), (1, 2))
    assert connection.execute("SELECT * FROM k").fetchall() == [(1, 2)]
