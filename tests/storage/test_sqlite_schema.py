"""The tables and views of the embedded database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.items import Tweet, columns
from chancrawl.payload import dumps, loads
from chancrawl.storage.schema import COLUMNS, SCHEMA
from chancrawl.storage.sqlite.schema import NOW, TIME_WIDTH, indexes_of, statements_of, tables_of, views_of
from chancrawl.storage.sqlite.values import rows_of
from chancrawl.storage.sqlite.views import VIEWS, safe_json
from chancrawl.x.legacy import COLUMNS as OLDER
from chancrawl.x.legacy import row_of
from tests.support import KINDS


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in [*statements_of(SCHEMA), *views_of(SCHEMA)]:
            connection.execute(statement)
        yield connection


def test_the_tables_and_columns_are_those_of_schema_sql(connection: sqlite3.Connection) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == COLUMNS.keys()
    for table, names in COLUMNS.items():
        assert {row[1] for row in connection.execute(f"PRAGMA table_info({table})")} == names, table
    for kind in KINDS:
        if kind.table in tables:
            assert [row[1] for row in connection.execute(f"PRAGMA table_info({kind.table})")] == kind.columns


def test_every_column_has_one_of_three_types_and_a_check(connection: sqlite3.Connection) -> None:
    for table, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
        for _, name, kind, *_, key in connection.execute(f"PRAGMA table_info({table})"):
            assert kind in ("INTEGER", "REAL", "TEXT")
            is_rowid = key and kind == "INTEGER" and f"{name} INTEGER PRIMARY KEY" in sql
            assert is_rowid or f"typeof({name})" in sql or f"{name} IN (0, 1)" in sql, (table, name)


def test_the_comments_stand_in_the_schema(connection: sqlite3.Connection) -> None:
    sql = tables_of(SCHEMA)["posts"]
    assert "-- Every post seen, in its latest version." in sql
    assert "digest INTEGER NOT NULL CHECK (typeof(digest) IN ('integer', 'null')),  -- 64-bit hash of a version" in sql
    assert "-- The comment as it was sent, HTML" in tables_of(SCHEMA)["post_revisions"]
    ((stored,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'runs'")
    assert "-- Every crawl that wrote to this database." in stored


def test_indexes_that_sqlite_cannot_have_are_left_out() -> None:
    indexes = indexes_of(SCHEMA)
    assert any("posts_thread" in index for index in indexes) and not any("gin" in index for index in indexes)


@pytest.mark.parametrize("table, column, value", [
    ("feeds", "posts", "many"), ("feeds", "posts", 1.5), ("feeds", "visited_at", "2026-11-21T00:00:00Z"),
    ("feeds", "visited_at", 5), ("feeds", "next_token", b"x"), ("feeds", "posts_per_day", "x"),
])  # fmt: skip
def test_a_value_of_another_type_is_refused(
    connection: sqlite3.Connection, table: str, column: str, value: Any
) -> None:
    values = {"feed": "a", "posts": 1, "pages": 1, "walk_posts": 0} | {column: value}
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", list(values.values())
        )


def test_the_time_now_has_the_width_of_all_times(connection: sqlite3.Connection) -> None:
    ((now,),) = connection.execute(f"SELECT {NOW}")
    assert len(now) == TIME_WIDTH
    assert abs((datetime.fromisoformat(now) - datetime.now(UTC)).total_seconds()) < 5


def test_a_table_of_another_source_is_translated_too() -> None:
    sql = "CREATE TABLE IF NOT EXISTS notes (place text, no bigint, tags text[], PRIMARY KEY (place, no))"
    (statement,) = statements_of(sql)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(statement)
        found = [row[1:3] for row in connection.execute("PRAGMA table_info(notes)")]
    assert found == [("place", "TEXT"), ("no", "INTEGER"), ("tags", "TEXT")]


# --- views

odd = st.text(st.characters(exclude_categories=[]) | st.sampled_from('\0\ud800\udc00\ud83d\\u"/'), max_size=12)


@given(odd, odd)
def test_json_is_safe_for_any_text(first: str, second: str) -> None:
    raw = dumps({"com": first, "sub": [second]})
    with closing(sqlite3.connect(":memory:")) as connection:
        ((safe, com),) = connection.execute(
            f"SELECT {safe_json('raw')}, json_extract({safe_json('raw')}, '$.com') FROM (SELECT ? AS raw)", (raw,)
        )
    cleaned = "".join("\ufffd" if sign == "\0" or "\ud800" <= sign <= "\udfff" else sign for sign in first)
    assert json.loads(safe)["com"] == com == cleaned
    if safe == raw:
        assert loads(raw.encode()) == {"com": first, "sub": [second]}


lists = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5), max_size=4)


@given(
    lists, st.none() | lists, st.integers(0, 2_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
)
def test_the_view_of_the_older_table_is_as_the_older_crawler_wrote_it(
    tags: list[str], media: list[str] | None, time: datetime
) -> None:
    tweet = Tweet(7, 8, "nasa", time, text="t", hashtags=tags, media_urls=media, mention_ids=[1, None],
                  urls=["NULL", ""], metrics={"like_count": 3}, first_metrics={"like_count": 3})  # fmt: skip
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(tables_of(SCHEMA)["tweets"])
        connection.execute(f"CREATE VIEW older AS {VIEWS['tweet_articles_tweepy']}")
        marks = ", ".join("?" * len(columns(Tweet)))
        connection.execute(f"INSERT INTO tweets VALUES ({marks})", rows_of([tweet])[0])
        ((*row,),) = connection.execute(f"SELECT {', '.join(OLDER)} FROM older")
    assert row == row_of(tweet)


def test_the_views_answer(connection: sqlite3.Connection) -> None:
    for view in VIEWS:
        assert connection.execute(f"SELECT * FROM {view}").fetchall() == []
