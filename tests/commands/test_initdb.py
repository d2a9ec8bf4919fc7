"""`scrapy initdb --import-legacy`: the older crawler's table, taken over."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chancrawl.text import list_text
from chancrawl.x.legacy import COLUMNS, parse_list
from tests.support import ROOT
from tests.support.crawls import Run, environment
from tests.support.databases import Database

# As the older crawler's README has it.
OLDER_TABLE = """
CREATE TABLE public.tweet_articles_tweepy (
    id bigint NOT NULL, tweet_from text, created_at character varying, hashtags text, urls text, user_mentions_id text,
    media text, user_mentions_name text, origin_device text, favorite_count bigint, text text,
    in_reply_to_screen_name text, in_reply_to_user_id bigint, in_reply_to_status_id bigint, retweet_count bigint,
    retweeted_status_text text, retweeted_status_url character varying, retweeted_status_id bigint,
    retweeted_status_user_name text, retweeted_status_user_handle text, sentiment numeric
)
"""
INSERT = f"INSERT INTO tweet_articles_tweepy ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"


def initdb(database: Database, *options: str) -> Run:
    command = [sys.executable, "-m", "scrapy", "initdb", *options]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env=environment() | {"DATABASE_URL": database.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Run(run.returncode, run.stdout + run.stderr)


def older_row(number: int, **values: Any) -> list[Any]:
    row: dict[str, Any] = {
        "id": number, "tweet_from": "nasa", "created_at": "Wed Oct 10 20:19:24 +0000 2018", "urls": [],
        "hashtags": ["a", "b c", 'say "x"'], "user_mentions_id": [1, 2**40], "user_mentions_name": ["x", "y"],
        "favorite_count": 3,
        "text": "é, \\ {x}",
        "retweet_count": 0,
    } | values  # fmt: skip
    return [row.get(name) for name in COLUMNS]


def test_the_older_table_is_taken_over_and_kept(database: Database) -> None:
    database.rows(OLDER_TABLE)
    rows = [
        older_row(1049999999999999999),
        older_row(5, media=["https://m/1.jpg"], retweeted_status_url=["https://a", "https://b,c"],
                  retweeted_status_id=4,
                  retweeted_status_text="RT", retweeted_status_user_name="N", retweeted_status_user_handle="h",
                  sentiment=0.25),
        older_row(6, hashtags=None, urls=None, user_mentions_id=None, user_mentions_name=None, created_at=None),
        *(older_row(100 + number, text=f"post {number}") for number in range(6000)),
        older_row(6, text="the same id again"),
    ]  # fmt: skip
    connection = psycopg2.connect(database.url)
    with connection, connection.cursor() as cursor:
        cursor.executemany(INSERT, rows)
    connection.close()
    before = database.rows(f"SELECT {', '.join(COLUMNS)} FROM tweet_articles_tweepy ORDER BY id, text")
    # a crawl or a plain initdb does not touch it
    initdb(database).refused("holds the older crawler's table tweet_articles_tweepy", "--import-legacy")
    run = initdb(database, "--import-legacy").ok()
    assert "6,003 posts were taken over; 1 rows more" in run.output and "tweet_articles_tweepy_legacy" in run.output
    kept = database.rows(f"SELECT {', '.join(COLUMNS)} FROM tweet_articles_tweepy_legacy ORDER BY id, text")
    assert kept == before
    shown = database.rows(f"SELECT {', '.join(COLUMNS)} FROM tweet_articles_tweepy ORDER BY id, text")
    wanted = [row for row in before if row[COLUMNS.index("text")] != "the same id again"]
    # the view tells the time of a post without one by its id, where that has one
    assert [row for row in shown if row[0] != 6] == [row for row in wanted if row[0] != 6]
    assert [row for row in shown if row[0] == 6] == [row for row in wanted if row[0] == 6]
    initdb(database, "--import-legacy").refused("There is no table tweet_articles_tweepy")
    initdb(database).ok()


def test_the_view_has_the_older_columns_and_types(database: Database) -> None:
    initdb(database).ok()
    sql = (
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
    )
    view = database.rows(sql, "tweet_articles_tweepy")
    database.rows(OLDER_TABLE.replace("tweet_articles_tweepy", "older"))
    assert view == database.rows(sql, "older")


@pytest.fixture(scope="session")
def connection(postgres: str) -> Any:
    connection = psycopg2.connect(postgres)
    yield connection
    connection.close()


@settings(max_examples=100)
@given(st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=6), max_size=4))
def test_lists_print_as_postgresql_prints_them_and_read_back(connection: Any, values: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text[]::text", (values,))
        assert list_text(values) == cursor.fetchone()[0]
    assert parse_list(list_text(values)) == values
