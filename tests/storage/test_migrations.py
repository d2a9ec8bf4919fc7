"""Databases of earlier and later versions."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from chancrawl.storage.postgres import migrations
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.schema import SCHEMA, VERSION
from tests.support import KINDS, ROOT
from tests.support.crawls import Crawler, environment
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox

COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY 1, 2
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
COMMENTS = """
SELECT c.relname, a.attname, d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'post_revisions' ORDER BY 1, 2
"""
"""Those of post_revisions are copies of those of posts, made with the table; the dump was made without comments."""


@pytest.fixture
def older(database: Database) -> Database:
    """A database of version 1, with posts of both sites in it."""
    database.rows((ROOT / "tests" / "data" / "version_1.sql").read_text())
    return database


def opened(url: str) -> int | None:
    store = PostgresStore(url, KINDS)
    store.open()
    store.close()
    return store.version


class Meanwhile:
    """A cursor; another process creates the tables after the given number of its statements."""

    def __init__(self, cursor: Any, database: Database, number: int) -> None:
        self.cursor, self.database, self.number = cursor, database, number

    def execute(self, *arguments: Any) -> None:
        self.cursor.execute(*arguments)
        self.number -= 1
        if self.number == 0:
            self.database.rows(SCHEMA)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_tables_that_are_created_at_this_moment_are_not_foreign(database: Database, number: int) -> None:
    connection = psycopg2.connect(database.url)
    with connection, connection.cursor() as cursor:
        assert migrations.version_of(Meanwhile(cursor, database, number)) in (None, VERSION)
    connection.close()


def test_version_1_is_migrated_to_the_tables_of_a_new_database(older: Database, postgres: str) -> None:
    posts, tweets = (older.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("posts", "tweets"))
    assert len(posts) == 2 and len(tweets) == 10
    assert opened(older.url) == VERSION
    assert older.rows("SELECT * FROM posts ORDER BY 1, 2") == posts
    assert [row[:29] for row in older.rows("SELECT * FROM tweets ORDER BY 1, 2")] == [row[:29] for row in tweets]
    found_in = older.rows("SELECT id, found_in FROM tweets")
    assert all(isinstance(feeds, list) and len(feeds) == 1 for _, feeds in found_in)
    admin = psycopg2.connect(postgres)
    admin.autocommit = True
    admin.cursor().execute("CREATE DATABASE fresh TEMPLATE template0 ENCODING 'UTF8'")
    fresh = Database(postgres.replace("/postgres?", "/fresh?"))
    store = PostgresStore(fresh.url, KINDS)
    store.open()
    store.prepare()
    store.close()
    for what in (COLUMNS, INDEXES, COMMENTS):
        assert older.rows(what) == fresh.rows(what)
    admin.cursor().execute("DROP DATABASE fresh")
    admin.close()


def test_several_crawls_that_start_at_once_migrate_once(older: Database) -> None:
    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(opened, [older.url] * 6))
    assert versions == [VERSION] * 6
    assert older.rows("SELECT version FROM schema_version") == [(VERSION,)]


def test_sums_that_somebody_has_dropped_are_counted_anew(older: Database) -> None:
    opened(older.url)
    before = older.rows("SELECT * FROM board_hours ORDER BY 1, 2")
    assert before
    older.rows("DROP TABLE board_hours, account_hours CASCADE")
    command = [sys.executable, "-m", "scrapy", "initdb", "-s", f"DATABASE_URL={older.url}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert older.rows("SELECT * FROM board_hours ORDER BY 1, 2") == before
    assert older.one("SELECT sum(posts) FROM account_hours") == older.one(
        "SELECT count(*) FROM tweets WHERE author_id IS NOT NULL AND posted_at IS NOT NULL"
    )


def test_a_failed_migration_changes_nothing(older: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(migrations.MIGRATIONS, 2, "ALTER TABLE runs ADD COLUMN half text; SELECT 1 / 0")
    with pytest.raises(Exception, match=f"could not be brought to version {VERSION}: division by zero"):
        opened(older.url)
    assert older.one("SELECT to_regclass('schema_version')") is None
    assert not older.rows("SELECT FROM information_schema.columns WHERE column_name = 'half'")


def test_a_crawl_brings_it_up_to_date_and_a_newer_one_is_refused(
    older: Database, sandbox: Sandbox, tmp_path: Path
) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, older.url)
    run = crawler("-aboard=wsr", "-athreads=1").ok()
    assert f"are of version 1; they are brought to version {VERSION}" in run.output
    older.rows("UPDATE schema_version SET version = 99")
    run = crawler("-aboard=wsr")
    assert run.code == 1 and "are of version 99" in run.output and "update it" in run.output
    assert "Traceback" not in run.output and not [r for r in sandbox.requests(3) if "wsr" in r["path"]]
    command = [sys.executable, "-m", "scrapy", "initdb", "-s", f"DATABASE_URL={older.url}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "are of version 99" in done.stderr and "Traceback" not in done.stderr
