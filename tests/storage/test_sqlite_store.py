"""The embedded database: where it may be, its versions, one crawl at a time, and others beside it."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chancrawl.errors import UserError
from chancrawl.items import Thread, Validator
from chancrawl.storage import disk
from chancrawl.storage.schema import VERSION
from chancrawl.storage.sqlite import connection as connections
from chancrawl.storage.sqlite import store as stores
from chancrawl.storage.sqlite.connection import connected, has_wal_reset_bug, is_rejection, readers_of, transaction
from chancrawl.storage.sqlite.store import FILE, SqliteStore
from chancrawl.storage.sqlite.tables import BESIDE, KEEP_LATE, REPLACE, SEEN_EARLIER, in_sqlite, table_of
from tests.support import KINDS, ROOT
from tests.support.items import START, post, thread


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "data", KINDS)
    yield store
    store.close()


@pytest.fixture
def created(store: SqliteStore) -> SqliteStore:
    store.open()
    store.prepare()
    return store


# --- where it is, and what it is


def test_it_is_made_with_its_pragmas(created: SqliteStore) -> None:
    found = {name: created.rows(f"PRAGMA {name}")[0][0] for name in (
        "journal_mode", "synchronous", "secure_delete", "wal_autocheckpoint", "mmap_size", "user_version")}  # fmt: skip
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "wal_autocheckpoint": 4000,
                     "mmap_size": 0, "user_version": VERSION}  # fmt: skip
    with closing(connected(created.file, checkpoints=False)) as beside:
        assert beside.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_the_version_of_sqlite_is_said_and_its_fault_named(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    store.open()
    assert f"SQLite {sqlite3.sqlite_version}" in caplog.text
    assert ("only one process may write the log back" in caplog.text) == has_wal_reset_bug()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(UserError, match=r"is too old: use a Python with SQLite 3\.35\.0"):
        store.open()


@pytest.mark.parametrize("version, has", [
    ((3, 7, 0), True), ((3, 44, 5), True), ((3, 44, 6), False), ((3, 45, 0), True), ((3, 50, 6), True),
    ((3, 50, 7), False), ((3, 51, 2), True), ((3, 51, 3), False), ((3, 52, 0), False),
])  # fmt: skip
def test_which_versions_have_the_fault(version: tuple[int, int, int], has: bool) -> None:
    assert has_wal_reset_bug(version) is has


def test_network_folders_are_refused_by_name(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    blank = str(tmp_path / "a b").replace(" ", r"\040")
    mounts.write_text(
        f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path}/data nfs4 rw 0 0\nnone {blank} fuse.sshfs rw 0 0\n"
    )
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "a b").mkdir()
    assert disk.file_system(tmp_path / "data" / "deep" / "new", mounts) == "nfs4"
    assert disk.file_system(tmp_path / "a b", mounts) == "fuse.sshfs"
    assert disk.file_system(tmp_path / "data2", mounts) == "ext4"
    assert disk.file_system(tmp_path, tmp_path / "none") == ""
    monkeypatch.setattr(stores, "file_system", lambda folder: "nfs4")
    with pytest.raises(UserError, match=r"on a network file system \(nfs4\), where SQLite can lose data"):
        store.open()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SqliteStore(tmp_path / "file" / "data", KINDS)
    with pytest.raises(UserError, match="is a file; name a folder"):
        store.open()
    store.close()


def test_a_database_of_a_later_version_is_refused_and_left_as_it_is(store: SqliteStore) -> None:
    store.folder.mkdir()
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    for open_ in (store.open, store.open_to_read):
        with pytest.raises(UserError, match=f"of version {VERSION + 1}.*update it"):
            open_()
    with closing(sqlite3.connect(store.file)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_reader_does_not_change_a_database_of_an_earlier_version(created: SqliteStore) -> None:
    created.connection.execute("PRAGMA user_version = 1")
    created.close()
    with pytest.raises(UserError, match="of version 1, and this chancrawl reads version"):
        created.open_to_read()


def test_a_database_of_an_earlier_version_gets_the_new_columns_with_its_rows(created: SqliteStore) -> None:
    created.take_in([thread(2)])
    created.connection.execute("ALTER TABLE threads DROP COLUMN semantic_url")
    created.connection.execute("DROP VIEW post_links")
    created.connection.execute("DROP TABLE gaps")
    created.connection.execute("PRAGMA user_version = 1")
    created.close()
    created.open()
    assert created.rows("PRAGMA user_version") == [(VERSION,)]
    assert created.rows("SELECT replies, semantic_url FROM threads") == [(2, None)]
    assert created.rows("SELECT * FROM gaps") == created.rows("SELECT * FROM post_links") == []
    assert created.take_in([thread(3)]) == []


def test_what_is_no_database_is_refused_in_a_sentence(store: SqliteStore) -> None:
    store.folder.mkdir()
    store.file.write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"cannot be used \(file is not a database\); put back a backup"):
        store.open()


# --- one crawl at a time, and others beside it


@pytest.mark.parametrize("is_created", [False, True])
def test_a_second_crawl_into_the_folder_is_refused_until_the_first_ends(store: SqliteStore, is_created: bool) -> None:
    store.open()
    if is_created:
        store.prepare()
    other = SqliteStore(store.folder, KINDS)
    with pytest.raises(UserError, match="Another crawl is writing to"):
        other.open()
    store.close()
    other.open()
    other.close()


def test_a_command_writes_beside_a_crawl_and_waits_for_its_batch(created: SqliteStore) -> None:
    beside = SqliteStore(created.folder, KINDS)
    beside.open_beside()
    took: list[float] = []

    def write() -> None:
        began = time.monotonic()
        with closing(connected(created.file, checkpoints=False)) as connection, transaction(connection):
            connection.execute("INSERT INTO validators VALUES ('/b', 'x')")
        took.append(time.monotonic() - began)

    with transaction(created.connection):
        created.connection.execute("INSERT INTO validators VALUES ('/a', 'x')")
        thread_ = threading.Thread(target=write)
        thread_.start()
        time.sleep(0.3)
    thread_.join()
    assert took[0] >= 0.25
    assert beside.rows("SELECT path FROM validators ORDER BY path") == [("/a",), ("/b",)]
    beside.take_in([Validator("/c", "x")])
    beside.close()
    assert created.rows("SELECT count(*) FROM validators") == [(3,)]


def test_the_log_is_empty_after_a_crawl_and_a_reader_that_keeps_it_is_named(
    created: SqliteStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "WAL_LIMIT", 100_000)
    created.take_in([post(no, "a" * 1000) for no in range(1, 200)])
    created.check_log()
    created.check_log()
    assert caplog.text.count("has the database open and reads on") == 1
    log = created.file.with_name(f"{FILE}-wal")
    connections.checkpoint(created.connection)
    assert log.stat().st_size == 0
    created.check_log()
    created.close()
    assert not log.exists()


def test_other_processes_that_have_a_file_open_are_found(tmp_path: Path) -> None:
    assert readers_of(tmp_path / "none") == ""


# --- how rows are written


def test_posts_are_looked_up_by_their_key_and_not_searched(created: SqliteStore) -> None:
    """Without statistics SQLite could read all posts for a handful of new versions."""
    created.take_in([post(6, "a")])
    created.take_in([post(6, "b", 2)])  # makes the temporary table
    for sql in (f"SELECT 1 {BESIDE}", KEEP_LATE, REPLACE, SEEN_EARLIER):
        plan = [row[3] for row in created.rows(f"EXPLAIN QUERY PLAN {sql}")]
        assert not any(line.startswith(("SCAN held", "SCAN posts")) for line in plan), plan


def test_unchanged_rows_write_nothing(created: SqliteStore) -> None:
    batch: list[Any] = [post(6, "a"), post(7, "b"), thread(2), Validator("/a", "x")]
    created.take_in(batch)
    before = created.connection.total_changes
    created.take_in(batch)
    changes = created.connection.total_changes - before
    assert changes == 2  # into the temporary table, because the posts are there
    assert created.rows("SELECT count(*) FROM post_revisions") == [(0,)]


def test_a_row_that_breaks_a_rule_is_rejected_alone(created: SqliteStore) -> None:
    bad = Thread("po", 9, fate="unknown", first_seen_at=START, last_seen_at=START)
    ((item, reason),) = created.take_in([thread(1), bad, post(6, "a")])
    assert item is bad and "CHECK constraint failed: fate" in reason
    assert created.rows("SELECT no FROM threads") == [(5,)] and created.rows("SELECT no FROM posts") == [(6,)]


def test_what_a_rejection_is() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a NOT NULL)")
        with pytest.raises(sqlite3.Error) as missing:
            connection.execute("INSERT INTO t VALUES (NULL)")
        with pytest.raises(sqlite3.Error) as syntax:
            connection.execute("INSERT INTO nowhere VALUES (1)")
    assert is_rejection(missing.value) and not is_rejection(syntax.value)


def test_conditions_of_kinds_are_the_same_in_both_dialects() -> None:
    assert in_sqlite("least(new.a, held.a)", "t") == "coalesce(min(excluded.a, t.a), excluded.a, t.a)"
    assert all(table_of(kind) is table_of(kind) for kind in KINDS)


def killed(folder: Path) -> Path:
    """The database of a crawl that was killed while it wrote: its log is still there."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from chancrawl.storage.sqlite.store import SqliteStore\nfrom tests.support import KINDS\n"
        "from tests.support.items import post\n"
        f"store = SqliteStore(Path({str(folder)!r}), KINDS); store.open(); store.prepare()\n"
        "store.take_in([post(number, 'a' * 500) for number in range(6, 400)]); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    return folder / FILE


def test_after_a_kill_the_database_is_checked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    file = killed(tmp_path / "data")
    assert file.with_name(f"{FILE}-wal").stat().st_size > 0
    monkeypatch.setattr(stores, "CHECKED", 10)
    store = SqliteStore(file.parent, KINDS)
    store.open()
    assert "was killed" in caplog.text and "scrapy backup" in caplog.text
    assert store.rows("SELECT count(*) FROM posts") == [(394,)]
    store.close()
    caplog.clear()
    store = SqliteStore(file.parent, KINDS)
    store.open()
    assert "was killed" not in caplog.text
    store.close()


def test_a_damage_is_found_after_a_kill(tmp_path: Path) -> None:
    file = killed(tmp_path / "data")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'posts_time'")
        connection.execute("INSERT INTO validators VALUES ('x', 'x')")
        connection.commit()
        log = file.with_name(f"{FILE}-wal")
        kept = log.read_bytes()
    with file.open("r+b") as stream:
        stream.seek((page - 1) * 4096)
        stream.write(b"\0" * 4096)
    log.write_bytes(kept)
    store = SqliteStore(file.parent, KINDS)
    with pytest.raises(UserError, match=r"cannot be used .*put back a backup"):
        store.open()
    store.close()
