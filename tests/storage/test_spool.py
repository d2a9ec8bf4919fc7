"""Batches that wait on disk for a database."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chancrawl.items import Item, Post
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.spool import Spool, SpoolFull, apply_oldest, spools
from chancrawl.storage.postgres.upsert import BatchWriter
from chancrawl.storage.quarantine import kept_rows
from tests.support import KINDS, ROOT
from tests.support.crawls import environment
from tests.support.databases import Database
from tests.support.items import deletion, post, thread


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.new(tmp_path / "spool", KINDS, 1_000_000)


def put(spool: Spool, *items: Item) -> None:
    spool.append(items, "id", "the database x")


def test_batches_come_out_in_order_and_the_folder_goes_with_the_last(spool: Spool, tmp_path: Path) -> None:
    assert not (tmp_path / "spool").exists()
    for no in range(1, 13):
        put(spool, post(no, "a"), post(no + 100, "b"))
    assert (len(spool.numbers), spool.rows) == (12, 24) and spool.bytes > 0
    seen = []
    while spool.numbers:
        number = spool.numbers[0]
        items = spool.read(number)
        seen += [item.no for item in items if isinstance(item, Post)]
        spool.remove(number, len(items))
    assert seen[::2] == list(range(1, 13)) and (spool.rows, spool.bytes) == (0, 0)
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []
    put(spool, post(1, "a"))
    assert spool.numbers == [13]  # numbers are not used again: the database knows those of before


def test_the_size_limit_holds(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path / "spool", KINDS, 1000)
    put(spool, post(1, "a"))
    with pytest.raises(SpoolFull):
        put(spool, *(post(no, f"{no**9:x}") for no in range(2, 100)))
    assert spool.bytes <= 1000 and sum(f.stat().st_size for f in spool.folder.glob("*.gz")) == spool.bytes


def test_a_spool_belongs_to_one_process(spool: Spool, tmp_path: Path) -> None:
    put(spool, post(1, "a"))
    (other,) = spools(tmp_path / "spool", KINDS, 1000)
    assert other.is_in_use() and not other.adopt("id")
    spool.unlock()
    assert not other.adopt("another id") and other.adopt("id")
    assert (other.numbers, other.rows) == ([1], 1)


# --- into a database


def never(item: Item, reason: str) -> None:
    raise AssertionError(reason)


def test_a_batch_whose_file_was_not_removed_any_more_is_not_written_again(
    spool: Spool, store: PostgresStore, database: Database
) -> None:
    put(spool, post(1, "first"))
    put(spool, post(2, "a"))
    kept = (spool._file(1)).read_bytes()
    apply_oldest(spool, store.connection, BatchWriter(KINDS), never)
    spool._file(1).write_bytes(kept)  # the crawl was killed between the commit and the removal
    database.rows("DELETE FROM posts")  # and to show that it is not written again
    spool.unlock()
    again = Spool(spool.folder, KINDS, 1000)
    assert again.lock() and again.numbers == [1, 2]
    while again.numbers:
        apply_oldest(again, store.connection, BatchWriter(KINDS), never)
    assert database.rows("SELECT no FROM posts") == [(2,)]
    assert database.rows("SELECT applied FROM spools") == [(2,)]


def test_two_processes_that_drain_one_spool_write_a_batch_once(
    spool: Spool, store: PostgresStore, database: Database
) -> None:
    put(spool, post(1, "a"))
    other = Spool(spool.folder, KINDS, 1000)
    apply_oldest(spool, store.connection, BatchWriter(KINDS), never)
    database.rows("DELETE FROM posts")
    assert BatchWriter(KINDS).write(store.connection, [post(1, "a")], never, mark=(other.name, 1)) == []
    assert database.rows("SELECT no FROM posts") == []


def test_a_batch_whose_commit_was_not_confirmed_changes_nothing_the_second_time(
    store: PostgresStore, database: Database
) -> None:
    twice: list[Item] = [post(1, "a"), post(1, "b"), replace(post(1, "c"), no=2), deletion(2, 1), thread(3)]
    state = "SELECT no, comment_html, revision, deleted_at::text, xmin::text FROM posts"
    both = f"{state} UNION ALL {state.replace('posts', 'post_revisions')} ORDER BY 1, 3"
    BatchWriter(KINDS).write(store.connection, twice, never)
    before = database.rows(both)
    assert [row[:3] for row in before] == [(1, "a", 1), (1, "b", 2), (2, "c", 1)]
    BatchWriter(KINDS).write(store.connection, twice, never)
    assert database.rows(both) == before


def test_a_folder_with_a_damaged_batch_is_used_again(spool: Spool) -> None:
    put(spool, post(1, "a"))
    spool.put_away(1)
    spool.close()
    assert spool.folder.is_dir()  # the damaged one is kept
    put(spool, post(2, "a"))
    (other,) = spools(spool.folder.parent, KINDS, 1000)
    assert other.is_in_use() and [item.no for item in spool.read(2) if isinstance(item, Post)] == [2]


def test_a_folder_that_could_not_be_created_is_created_later(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="No space"):
            put(spool, post(1, "a"))
    put(spool, post(1, "a"))
    (other,) = spools(spool.folder.parent, KINDS, 1000)
    assert other.is_in_use() and spool.numbers == [1]


def test_a_spool_that_is_removed_while_it_is_listed(spool: Spool) -> None:
    put(spool, post(1, "a"))
    (other,) = spools(spool.folder.parent, KINDS, 1000)
    spool.remove(1, 1)
    assert list(other.heads()) == []
    spool.close()
    assert not other.adopt("id")


def test_a_folder_is_locked_before_it_has_its_name(spool: Spool, tmp_path: Path) -> None:
    put(spool, post(1, "a"))
    (other,) = spools(tmp_path / "spool", KINDS, 1000)
    assert not other.adopt("id")
    assert spool._file(1).exists()
    spool.close()
    assert spool._file(1).exists()  # only an empty one goes


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-8] + bytes([b[-8] ^ 1]) + b[-7:]]
)
def test_a_damaged_batch_is_kept_and_does_not_block_the_others(
    spool: Spool, store: PostgresStore, database: Database, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    put(spool, post(1, "a"))
    put(spool, post(2, "a"))
    file = spool._file(1)
    file.write_bytes(damage(file.read_bytes()))
    while spool.numbers:
        apply_oldest(spool, store.connection, BatchWriter(KINDS), never)
    assert database.rows("SELECT no FROM posts") == [(2,)]
    assert "is damaged" in caplog.text and spool.damaged == 1
    spool.close()
    assert [file.name for file in spool.folder.glob("*.damaged")] == ["0000000001.jsonl.damaged"]


# --- the command


def scrapy_spool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scrapy", "spool", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)


@pytest.mark.soak
def test_the_command_shows_and_drains(tmp_path: Path, store: PostgresStore, database: Database) -> None:
    folder = ("-s", f"CSV_FOLDER={tmp_path}")
    assert "Nothing waits" in scrapy_spool(*folder).stdout
    assert store.database_id is not None
    for name in (store.database_id, "another"):
        spool = Spool.new(tmp_path / "spool", KINDS, 10_000_000)
        spool.append([post(1, "a"), replace(post(2, "b"), since4pass=2**40)], name, f"the database {name}")
        spool.unlock()
    shown = scrapy_spool(*folder)
    assert shown.stdout.count("2 rows in 1 batch,") == 2 and "for the database another" in shown.stdout
    assert "which database?" in scrapy_spool("drain", *folder).stderr
    refused = scrapy_spool("drain", *folder, "-s", "DATABASE_URL=postgresql://x@127.0.0.1:1/x")
    assert refused.returncode == 1 and "cannot be used" in refused.stderr and "Traceback" not in refused.stderr
    drained = scrapy_spool("drain", *folder, "-s", f"DATABASE_URL={database.url}")
    assert drained.returncode == 1, drained.stderr  # a row was rejected
    assert "Rows written to" in drained.stdout and drained.stdout.count(": 1.") == 2
    assert "for another database (the database another)" in drained.stderr
    assert database.rows("SELECT no FROM posts") == [(1,)]
    ((_, rows),) = kept_rows(tmp_path / "quarantine", KINDS)
    assert [row.what for row in rows] == ["post po/2"]
    assert scrapy_spool("empty", *folder).returncode == 2
