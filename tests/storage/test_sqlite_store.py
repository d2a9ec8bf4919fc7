"""The ledger beside the CSV files: versions, files with an older header, one crawl at a time."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chancrawl.errors import UserError
from chancrawl.items import Board, Thread
from chancrawl.storage.sqlite.store import LEDGER_COLUMNS, LEDGER_VERSION, CsvStore
from tests.support import KINDS
from tests.support.items import START, post, thread

THREADS = Path("chan/po/threads.csv")

ROWS_OF_VERSION_2 = """
INSERT INTO posts (board, thread_no, no, digest, revision) VALUES ('po', 5, 6, 1, 1);
INSERT INTO runs (spider, source) VALUES ('chan', 'https://a.4cdn.org');
INSERT INTO accounts (id, username, former_usernames) VALUES (1, 'Later', '["Earlier"]'), (2, 'nobody', '[]');
INSERT INTO feeds (feed, complete_since, visited_at, oldest_id, posts) VALUES
    ('timeline:1', '1970-01-01T00:00:00Z', '2026-11-20T00:00:00Z', 29700859247, 100),
    ('search:a', '2026-11-01T00:00:00Z', '2026-11-21T00:00:00Z', 5, 7);
DROP TABLE account_files;
PRAGMA user_version = 2;
"""


def ledger_of_version_2(folder: Path) -> None:
    """A ledger without what later versions have added."""
    now = CsvStore(folder, KINDS)
    now.open()
    now.prepare()
    now.close()
    with closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as connection:
        for table, column in LEDGER_COLUMNS:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
        connection.executescript(ROWS_OF_VERSION_2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CsvStore]:
    store = CsvStore(tmp_path, KINDS)
    yield store
    store.close()


def read(file: Path) -> list[dict[Any, Any]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# --- versions


def test_a_ledger_of_an_earlier_version_is_brought_up_to_date_with_its_rows(store: CsvStore, tmp_path: Path) -> None:
    ledger_of_version_2(tmp_path)
    twitter = tmp_path / "twitter"
    twitter.mkdir()
    (twitter / "Earlier.csv").write_text("id\r\n")
    store.open()
    assert store.rows("PRAGMA user_version") == [(LEDGER_VERSION,)]
    assert store.rows("SELECT no, posted_at FROM posts") == [(6, None)]
    assert store.rows("SELECT source, dollars, alive_at FROM runs") == [("https://a.4cdn.org", None, None)]
    assert store.rows("SELECT * FROM account_files") == [(1, "Earlier")]
    feeds = store.rows("SELECT feed, timeline_at, bottom_at, complete_since FROM feeds ORDER BY feed DESC")
    assert feeds == [
        ("timeline:1", "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("search:a", None, None, "2026-11-01T00:00:00Z"),
    ]
    store.append(store.prepared([post(7, "a"), thread(2), Board("po", seen_at=START)]).lines)
    assert store.rows("SELECT no FROM posts ORDER BY no") == [(6,), (7,)]


def test_a_ledger_of_a_later_version_is_refused_and_left_as_it_is(store: CsvStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version = {LEDGER_VERSION + 1}")
    with pytest.raises(UserError, match=f"of version {LEDGER_VERSION + 1}.*update it"):
        store.open()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_reader_does_not_change_a_ledger_of_an_earlier_version(store: CsvStore, tmp_path: Path) -> None:
    ledger_of_version_2(tmp_path)
    with pytest.raises(UserError, match="of version 2, and this chancrawl reads version"):
        store.open_to_read()


def test_what_is_no_ledger_is_refused_in_a_sentence(store: CsvStore, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"cannot be used \(file is not a database\)"):
        store.open()


# --- CSV files with an older header


def older_file(store: CsvStore, columns: list[str]) -> None:
    """The file of threads as a version began it that had these columns."""
    store.open()
    store.prepare()
    first = store.prepared([thread(1)]).lines
    for line in first:
        line.columns = columns
        line.values = {name: line.values.get(name, "") for name in columns}
    store.append(first)


def test_rows_follow_the_header_of_a_file_that_lacks_a_new_column(store: CsvStore, tmp_path: Path) -> None:
    columns = [name for name in KINDS[Thread].columns if name not in ("unique_ips", "gone_at")]
    older_file(store, columns)
    store.append(store.prepared([thread(2)]).lines)
    with (tmp_path / THREADS).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == columns and {len(row) for row in rows} == {len(columns)}
    assert [row["replies"] for row in read(tmp_path / THREADS)] == ["1", "2"]
    assert read(tmp_path / THREADS)[1]["last_seen_at"] == "2026-11-21T00:00:00Z"


def test_a_column_that_is_no_more_stays_empty_and_moves_no_other(store: CsvStore, tmp_path: Path) -> None:
    columns = ["no", "former", *(name for name in KINDS[Thread].columns if name != "no")]
    older_file(store, columns)
    store.append(store.prepared([thread(2)]).lines)
    last = read(tmp_path / THREADS)[-1]
    assert (last["no"], last["former"], last["board"], last["replies"]) == ("5", "", "po", "2")


def test_of_the_states_of_a_thread_in_a_batch_the_last_one_is_written(store: CsvStore, tmp_path: Path) -> None:
    store.open()
    store.prepare()
    store.append(store.prepared([thread(1), post(6, "a"), thread(2), thread(3)]).lines)
    assert [row["replies"] for row in read(tmp_path / THREADS)] == ["3"]
    store.append(store.prepared([thread(4)]).lines)
    assert [row["replies"] for row in read(tmp_path / THREADS)] == ["3", "4"]
    assert store.rows("SELECT replies FROM threads") == [(4,)]


def test_files_and_ledger_are_written_together_or_not_at_all(store: CsvStore, tmp_path: Path) -> None:
    store.open()
    store.prepare()
    store.append(store.prepared([thread(1)]).lines)
    lines = store.prepared([thread(2), post(6, "a")]).lines
    lines[1].row = (*lines[1].row, "one too many")
    with pytest.raises(sqlite3.Error):
        store.append(lines)
    assert [row["replies"] for row in read(tmp_path / THREADS)] == ["1"]
    assert not list(tmp_path.glob("chan/po/posts-*.csv"))
    assert store.rows("SELECT replies FROM threads") == [(1,)]
    store.append(store.prepared([thread(2), post(6, "a")]).lines)
    assert len(list(tmp_path.glob("chan/po/posts-*.csv"))) == 1


def test_a_row_of_which_a_later_version_is_stored_is_not_taken_in(store: CsvStore, tmp_path: Path) -> None:
    store.open()
    store.prepare()
    store.take_in([post(6, "second", 2)])
    assert store.take_in([post(6, "first", 1), post(7, "b")]) == []
    rows = [row for file in tmp_path.glob("chan/po/posts-*.csv") for row in read(file)]
    assert [(row["no"], row["revision"]) for row in rows] == [("6", "2"), ("7", "1")]
    assert [json.loads(row["raw"])["com"] for row in rows] == ["second", "b"]


# --- one crawl at a time


def test_a_folder_without_its_ledger_is_refused(store: CsvStore, tmp_path: Path) -> None:
    (tmp_path / "chan" / "po").mkdir(parents=True)
    (tmp_path / "chan" / "po" / "threads.csv").write_text("no\r\n")
    with pytest.raises(UserError, match="holds CSV files but not the ledger"):
        store.open()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = CsvStore(tmp_path / "file" / "data", KINDS)
    with pytest.raises(UserError, match="is a file; name a folder"):
        store.open()
    store.close()


@pytest.mark.parametrize("is_created", [False, True])
def test_a_second_crawl_into_the_folder_is_refused_until_the_first_ends(
    store: CsvStore, tmp_path: Path, is_created: bool
) -> None:
    store.open()
    if is_created:
        store.prepare()
    other = CsvStore(tmp_path, KINDS)
    with pytest.raises(UserError, match="Another crawl is writing to"):
        other.open()
    store.close()
    other.open()
    other.close()


def test_the_answer_for_many_keys_comes_in_parts_and_is_whole(store: CsvStore) -> None:
    store.open()
    store.prepare()
    store.append(store.prepared([post(no, "a") for no in range(1, 1203)]).lines)
    found = store.rows_in("SELECT no FROM posts WHERE board = ? AND no IN ({})", range(1, 1300), "po")
    assert sorted(no for (no,) in found) == list(range(1, 1203))
    assert list(store.rows_in("SELECT no FROM posts WHERE no IN ({})", [])) == []


def test_a_ledger_gets_the_columns_of_new_fields_by_itself(tmp_path: Path) -> None:
    store = CsvStore(tmp_path, KINDS)
    store.open()
    store.prepare()
    store.connection.execute("ALTER TABLE threads DROP COLUMN semantic_url")
    store.close()
    store = CsvStore(tmp_path, KINDS)
    store.open()
    try:
        store.append(store.prepared([thread(3)]).lines)
        assert store.rows("SELECT no, semantic_url FROM threads") == [(thread(3).no, thread(3).semantic_url)]
    finally:
        store.close()
