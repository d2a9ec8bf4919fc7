"""CSV files beside the embedded database: written after each commit, and made anew where they are not as they were."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chancrawl.errors import UserError
from chancrawl.items import Board, Deletion, Poll, Post, Thread, Trend
from chancrawl.storage.csv.files import STATE_FILE
from chancrawl.storage.csv.lines import unguarded
from chancrawl.storage.csv.sink import CsvSink, is_on
from tests.support.engines import settings_of
from tests.support.folders import Folder, all_files, read
from tests.support.items import START, deletion, minute, post, thread
from tests.support.stores import posts_of

POSTS = "chan/po/posts-2026-11-21.csv"
BATCHES: list[list[Any]] = [
    [Board("po", seen_at=START), post(6, "a"), post(7, 'b, "c"\r\nd'), thread(1)],
    [post(6, "A", 2), deletion(7, 3), thread(2), Poll("po", START, 7, 1, 1, None)],
    [post(8, "=1+1"), Trend(1, START, 1, "#a", None), deletion(7, 3, 5), thread(3)],
]

Open = Callable[..., Folder]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    folders: list[Folder] = []

    def open_(**settings: Any) -> Folder:
        folders.append(Folder(tmp_path / "data", **settings))
        return folders[-1]

    yield open_
    for folder in folders:
        folder.close()


@pytest.fixture
def written(opened: Open) -> Path:
    """A folder with three batches, closed."""
    folder = opened()
    for batch in BATCHES:
        folder.put(*batch)
    folder.close()
    return folder.folder


def again(opened: Open, **settings: Any) -> dict[str, list[dict[Any, Any]]]:
    """The files after the folder was opened and closed once more."""
    folder = opened(**settings)
    folder.close()
    return all_files(folder.folder)


def last_rows(rows: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """The last row of each thread, post version or deletion: what is current."""
    return sorted(
        {(row.get("no"), row.get("revision"), row.get("rank")): row for row in rows}.values(), key=lambda row: str(row)
    )


# --- what is written


def test_each_row_is_in_its_file(written: Path) -> None:
    files = all_files(written)
    assert set(files) == {
        POSTS, "chan/po/posts-2026-11-21.csv", "chan/po/threads.csv", "chan/po/deletions.csv", "chan/boards.csv",
        "chan/po/polls.csv", "twitter/trends.csv",
    }  # fmt: skip
    assert [(row["no"], row["revision"], row["comment_text"]) for row in files[POSTS]] == [
        ("6", "1", "a"), ("7", "1", 'b, "c"\nd'), ("6", "2", "A"), ("8", "1", "=1+1")]  # fmt: skip
    assert [row["replies"] for row in files["chan/po/threads.csv"]] == ["1", "2", "3"]


def test_files_made_anew_are_as_they_were_appended(written: Path, opened: Open) -> None:
    before = all_files(written)
    (written / STATE_FILE).unlink()
    after = again(opened)
    assert after.keys() == before.keys()
    later = ("last_seen_at", "deleted_at", "deletion_confirmed_at")  # of the post that was deleted
    for path in before:
        theirs = [[{k: v for k, v in row.items() if k not in later or row.get("no") != "7"}
                   for row in last_rows(files[path])] for files in (before, after)]  # fmt: skip
        assert theirs[0] == theirs[1], path
    (row,) = [row for row in after[POSTS] if row["no"] == "7"]
    assert (row["deleted_at"], row["deletion_confirmed_at"]) == ("2026-11-21T00:03:00Z", "2026-11-21T00:05:00Z")


def test_a_second_start_changes_nothing(written: Path, opened: Open) -> None:
    before = {file: file.stat().st_mtime_ns for file in written.rglob("*.csv")}
    again(opened)
    assert {file: file.stat().st_mtime_ns for file in written.rglob("*.csv")} == before


def test_texts_are_guarded_and_can_be_had_back(opened: Open) -> None:
    folder = opened(CSV_SAFE=True)
    for batch in BATCHES:
        folder.put(*batch)
    texts = [row["comment_text"] for row in read(folder.folder / POSTS)]
    assert "'=1+1" in texts and [unguarded(text) for text in texts] == ["a", 'b, "c"\nd', "A", "=1+1"]
    folder.close()
    after = again(opened, CSV_SAFE=False)  # the other form: made anew
    assert "=1+1" in [row["comment_text"] for row in after[POSTS]]


@pytest.mark.parametrize("csv, url, expected", [
    ("auto", None, True), ("auto", "postgresql://h/db", False), ("0", None, False), ("1", "postgresql://h/db", True),
])  # fmt: skip
def test_when_files_are_written(tmp_path: Path, csv: str, url: str | None, expected: bool) -> None:
    assert is_on(settings_of(tmp_path, url, CSV=csv)) is expected


# --- what people and crashes do to files


def full(self: Any, *arguments: Any) -> Any:
    """Stands for a call that meets a full disk."""
    raise OSError(28, "No space left on device")


def edit(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"po", b"PO", 1))


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def add(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"a remark\r\n")


def save_as_a_spreadsheet_does(file: Path) -> None:
    file.write_text("\ufeff" + file.read_text(encoding="utf-8").replace('"', "").replace(",", ";"), encoding="utf-8")


@pytest.mark.parametrize("change", [edit, shorten, add, save_as_a_spreadsheet_does])
def test_a_file_that_a_person_changed_is_made_anew_and_kept_beside(
    written: Path, opened: Open, caplog: pytest.LogCaptureFixture, change: Callable[[Path], None]
) -> None:
    before = all_files(written)
    change(written / POSTS)
    theirs = (written / POSTS).read_bytes()
    after = again(opened)
    assert {row["raw"] for row in after[POSTS]} == {row["raw"] for row in before[POSTS]}
    assert (written / f"{POSTS}.edited").read_bytes() == theirs
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    caplog.clear()
    edit(written / POSTS)
    again(opened)
    assert (written / f"{POSTS}.2.edited").exists()


def test_a_file_that_is_gone_or_has_another_name_is_made_anew(written: Path, opened: Open) -> None:
    (written / POSTS).rename(written / "chan/po/mine.csv")
    (written / "chan/po/threads.csv").unlink()
    shutil.rmtree(written / "twitter")
    after = again(opened)
    assert len(after[POSTS]) == 4 and after["chan/po/threads.csv"] and after["twitter/trends.csv"]
    assert (written / "chan/po/mine.csv").exists()


def test_a_file_that_was_copied_without_its_times_is_as_it_was(
    written: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    for file in written.rglob("*.csv"):
        os.utime(file)
    again(opened)
    assert not list(written.rglob("*.edited")) and "made anew" not in caplog.text


@pytest.mark.parametrize("batches", [0, 1, 2])
@pytest.mark.parametrize("is_committed", [False, True])
def test_after_a_kill_no_row_is_missing(opened: Open, batches: int, is_committed: bool) -> None:
    """Killed after the files were announced, or after the commit, before the lines were appended."""
    folder = opened()
    for batch in BATCHES[:batches]:
        folder.put(*batch)
    folder.store.prepare()
    folder.sink.announce(BATCHES[batches])
    if is_committed:
        folder.commit(BATCHES[batches])
    folder.kill()
    after = again(opened)
    stored = sum(isinstance(item, Post) for batch in BATCHES[: batches + is_committed] for item in batch)
    assert len(after.get(POSTS, [])) == stored
    assert not list(folder.folder.rglob("*.edited")) and not list(folder.folder.rglob("*.new"))


def test_a_torn_line_is_no_edit(opened: Open) -> None:
    folder = opened()
    folder.put(*BATCHES[0])
    with (folder.folder / POSTS).open("ab") as stream:
        stream.write(b'"po",9')
    folder.kill()
    assert len(again(opened)[POSTS]) == 2
    assert not list(folder.folder.rglob("*.edited"))


def test_a_file_that_is_changed_while_the_crawl_runs_is_made_anew_at_once(opened: Open) -> None:
    folder = opened()
    folder.put(*BATCHES[0])
    edit(folder.folder / POSTS)
    folder.put(*BATCHES[1])
    assert len(read(folder.folder / POSTS)) == 3
    assert (folder.folder / f"{POSTS}.edited").exists()
    folder.put(*BATCHES[2])
    assert len(read(folder.folder / POSTS)) == 4


def test_a_file_that_cannot_be_written_to_is_written_later(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = opened()
    folder.put(*BATCHES[0])
    real = Path.open

    def held(self: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        if self.name.startswith("posts-") and "a" in mode:
            raise PermissionError(13, "The process cannot access the file", str(self))  # another program holds it
        return real(self, mode, *arguments, **more)

    monkeypatch.setattr(Path, "open", held)
    folder.put(*BATCHES[1])
    folder.put(*BATCHES[2])
    assert len(read(folder.folder / POSTS)) == 2 and len(read(folder.folder / "chan/po/threads.csv")) == 3
    assert caplog.text.count("CSV files of") == 1
    folder.close()
    assert len(read(folder.folder / POSTS)) == 4


def test_a_file_that_could_not_be_written_at_all_is_written_at_the_next_start(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = opened()
    folder.put(*BATCHES[0])

    with monkeypatch.context() as patch:
        patch.setattr("chancrawl.storage.csv.files.CsvFiles.append", full)
        patch.setattr("chancrawl.storage.csv.files.CsvFiles.replace", full)
        folder.put(*BATCHES[1])
        folder.close()
    assert "or `scrapy csv` writes them" in caplog.text
    assert len(again(opened)[POSTS]) == 3


def test_a_disk_that_is_full_from_the_start_costs_no_row(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened()
    folder.put(*BATCHES[0])
    folder.close()
    (folder.folder / STATE_FILE).unlink()  # everything is to be written anew
    with monkeypatch.context() as patch:
        for name in ("append", "replace", "mark"):
            patch.setattr(f"chancrawl.storage.csv.files.CsvFiles.{name}", full)
        folder = opened()
        folder.put(*BATCHES[1])
        folder.close()
    assert folder.store.connection is None
    assert len(again(opened)[POSTS]) == 3


def test_marks_of_quiet_files_are_taken_away(opened: Open) -> None:
    folder = opened()
    folder.put(*BATCHES[0])
    folder.sink.files.settle()
    folder.put(thread(9))
    folder.sink.files.settle()
    marked = [path for path, state in folder.sink.files.states.items() if state.is_marked]
    assert marked == ["chan/po/threads.csv"]


def test_a_state_file_that_is_damaged_costs_a_rebuild(written: Path, opened: Open) -> None:
    (written / STATE_FILE).write_bytes(b"no database" * 1000)
    assert len(again(opened)[POSTS]) == 4


def test_two_processes_do_not_write_the_same_files(opened: Open) -> None:
    folder = opened()
    folder.put(*BATCHES[0])
    other = CsvSink(folder.sink.settings)
    with pytest.raises(UserError, match="Another process writes the CSV files"):
        other.open()


def test_a_file_with_other_columns_than_now_is_made_anew(written: Path, opened: Open) -> None:
    folder = Folder(written)
    folder.sink.files.note_headers({"chan/*/threads.csv": "board,no"})
    folder.close()
    rows = again(opened)["chan/po/threads.csv"]
    assert [row["replies"] for row in rows] == ["3"]  # made anew: the state that is stored


# --- posts that move


SIX = post(6, "a")
THERE = replace(SIX, thread_no=4, last_seen_at=minute(2), digest=4)  # in its other thread
MISSED = Deletion("po", 5, 6, START, minute(1))


@pytest.mark.parametrize("items", [
    [SIX, MISSED, THERE],
    [SIX, THERE, MISSED],
    [SIX, replace(SIX, revision=2, digest=9), THERE],
])  # fmt: skip
@pytest.mark.parametrize("batches", [1, 3])
def test_a_moved_post_is_stored_in_one_thread(opened: Open, items: list[Any], batches: int) -> None:
    folder = opened()
    for start in range(0, 3, 3 // batches):
        folder.put(*items[start : start + 3 // batches])
    assert folder.rejected == []
    assert folder.store.rows("SELECT no, thread_no, deleted_at FROM posts") == [(6, 4, None)]
    ((key, held),) = posts_of(folder.folder).items()
    assert key == ("po", 6) and held["thread_no"] == 4
    assert held["revision"] == sum(isinstance(item, Post) for item in items)


def test_threads_of_a_toy_kind_have_their_row(opened: Open) -> None:
    folder = opened()
    folder.put(Thread("g", 1, first_seen_at=START, last_seen_at=START))
    assert [row["board"] for row in read(folder.folder / "chan/g/threads.csv")] == ["g"]
