"""Files that only grow, and a ledger of what is acknowledged."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chancrawl.errors import UserError
from chancrawl.storage.csv.files import FILES_TABLE, Files, transaction

A = "chan/po/a.csv"


def header(path: str) -> bytes:
    return b"no,text\r\n"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    connection = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    connection.execute(FILES_TABLE)
    yield Files(tmp_path, connection)
    connection.close()


def append(files: Files, *lines: str, path: str = A) -> None:
    rows = {path: "".join(f"{line}\r\n" for line in lines).encode()}
    with files.appended(rows, header) as appended, transaction(files.connection):
        files.acknowledge(appended)


def text(files: Files) -> str:
    return (files.folder / A).read_bytes().decode()


def test_appended_rows_share_one_header(files: Files) -> None:
    append(files, "1,a")
    append(files, "2,b", "3,c")
    files.check()
    assert text(files) == "no,text\r\n1,a\r\n2,b\r\n3,c\r\n"


@pytest.mark.parametrize("written", [b"", b"2", b"2,bbb\r\n", b"\0\0\0"])
def test_an_unfinished_write_is_cut_off_at_the_next_start(files: Files, written: bytes) -> None:
    append(files, "1,a")
    process_is_killed_while_writing(files, written)
    assert text(files) == "no,text\r\n1,a\r\n" + written.decode()
    files.check()
    assert text(files) == "no,text\r\n1,a\r\n"
    append(files, "2,b")
    assert text(files) == "no,text\r\n1,a\r\n2,b\r\n"


def process_is_killed_while_writing(files: Files, written: bytes) -> None:
    """What is left of a crawl that had announced seven bytes."""
    (known,) = files.connection.execute("SELECT bytes FROM files").fetchone()
    files.connection.execute("UPDATE files SET announced = ?", (known + 7,))
    with (files.folder / A).open("ab") as stream:
        stream.write(written)


def test_an_unfinished_new_file_is_removed(files: Files) -> None:
    files.connection.execute("INSERT INTO files VALUES (?, 0, 0, NULL, 40)", (A,))
    (files.folder / A).parent.mkdir(parents=True)
    (files.folder / A).write_bytes(b"no,te")
    files.check()
    assert not (files.folder / A).exists()
    append(files, "1,a")
    assert text(files) == "no,text\r\n1,a\r\n"


def test_a_write_that_fails_is_undone(files: Files) -> None:
    append(files, "1,a")
    with suppress(KeyError), files.appended({A: b"2,b\r\n"}, header):
        raise KeyError("the ledger's disk is full")
    assert text(files) == "no,text\r\n1,a\r\n"
    append(files, "2,b")
    assert text(files) == "no,text\r\n1,a\r\n2,b\r\n"


def test_bytes_added_by_a_person_are_moved_to_another_file(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    append(files, "1,a")
    with (files.folder / A).open("ab") as stream:
        stream.write(b"2,mine\r\n")
    files.check()
    assert text(files) == "no,text\r\n1,a\r\n" and "Somebody has added 8 bytes" in caplog.text
    assert (files.folder / f"{A}.added").read_bytes() == b"2,mine\r\n"


@pytest.mark.parametrize(
    "edited, words",
    [
        (b"no,text\r\n1,b\r\n", "Somebody has edited"),
        (b"no,text\r\n", "somebody has shortened it"),
        (b"no,text\n1,a\nanother,line\n", "Somebody has edited"),
    ],
)
def test_an_edited_file_is_refused_and_left_as_it_is(files: Files, edited: bytes, words: str) -> None:
    append(files, "1,a")
    (files.folder / A).write_bytes(edited)
    for look in (files.check, lambda: append(files, "2,b")):
        with pytest.raises(UserError, match=words):
            look()
    assert (files.folder / A).read_bytes() == edited


def test_a_copy_with_another_time_is_the_same_file(files: Files) -> None:
    append(files, "1,a")
    os.utime(files.folder / A, (0, 0))
    files.check()
    append(files, "2,b")
    assert text(files).endswith("1,a\r\n2,b\r\n")


def test_a_missing_file_is_logged_once_and_started_again(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    append(files, "1,a")
    (files.folder / A).rename(files.folder / "kept")
    files.check()
    assert caplog.text.count("no longer in") == 1
    files.check()
    assert caplog.text.count("no longer in") == 1
    append(files, "2,b")
    assert text(files) == "no,text\r\n2,b\r\n"


def test_a_file_that_is_put_back_is_continued(files: Files) -> None:
    append(files, "1,a")
    (files.folder / A).rename(files.folder / "kept")
    files.check()
    (files.folder / "kept").rename(files.folder / A)
    files.check()
    append(files, "2,b")
    assert text(files) == "no,text\r\n1,a\r\n2,b\r\n"


def test_a_file_that_is_not_in_the_ledger_is_not_written_to(files: Files) -> None:
    (files.folder / A).parent.mkdir(parents=True)
    (files.folder / A).write_bytes(b"mine")
    with pytest.raises(UserError, match="in the way"):
        append(files, "1,a")
    assert (files.folder / A).read_bytes() == b"mine"
