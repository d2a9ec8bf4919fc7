"""How the CSV files of a folder were left, and the names of files that belong to somebody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chancrawl.errors import UserError
from chancrawl.storage.csv.files import CsvFiles, Names
from chancrawl.storage.csv.rebuild import AT_ONCE, rebuild
from tests.support import KINDS
from tests.support.folders import Folder, read
from tests.support.items import post


@pytest.fixture
def files(tmp_path: Path) -> Iterator[CsvFiles]:
    files = CsvFiles(tmp_path)
    files.open()
    yield files
    files.close()


def test_a_file_is_as_left_until_somebody_else_writes_to_it(files: CsvFiles, tmp_path: Path) -> None:
    assert files.is_new and files.is_as_left("a.csv")
    files.mark(["a.csv"])
    assert files.is_as_left("a.csv")
    files.append("a.csv", b"no\r\n", b"1\r\n")
    files.append("a.csv", b"no\r\n", b"2\r\n")
    assert files.is_as_left("a.csv") and (tmp_path / "a.csv").read_bytes() == b"no\r\n1\r\n2\r\n"
    files.close()
    files.open()
    assert files.differing({}) == [] and not files.states["a.csv"].is_marked
    (tmp_path / "a.csv").write_bytes(b"no\r\n1\r\n3\r\n")
    assert files.differing({}) == ["a.csv"] and (tmp_path / "a.csv.edited").exists()


def test_a_file_that_is_behind_keeps_its_mark(files: CsvFiles) -> None:
    files.mark(["a.csv", "b.csv"])
    for path in ("a.csv", "b.csv"):
        files.append(path, b"", b"1\r\n")
    files.close(behind=["b.csv"])
    files.open()
    assert {path: state.is_marked for path, state in files.states.items()} == {"a.csv": False, "b.csv": True}


def test_a_stranger_with_the_name_of_a_file_is_kept(files: CsvFiles, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    files.mark(["a.csv"])
    assert not files.is_as_left("a.csv")
    files.temporary("a.csv").write_text("theirs")
    files.replace("a.csv")
    assert (tmp_path / "a.csv").read_text() == "theirs" and (tmp_path / "a.csv.edited").read_text() == "mine"


def test_files_of_another_database_are_refused(files: CsvFiles) -> None:
    files.belong_to("one")
    files.belong_to("one")
    with pytest.raises(UserError, match="written from another database"):
        files.belong_to("two")


def test_names_of_owners_stay_and_differ() -> None:
    names = Names({1: "NASA"})
    assert [names.of(1, "Later"), names.of(2, "nasa"), names.of(3, "esa")] == ["NASA", "nasa.2", "esa"]
    assert names.new == {2: "nasa.2", 3: "esa"}


def test_any_number_of_rows_is_rebuilt_and_other_files_stay(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    try:
        folder.put(*[post(no, "a") for no in range(1, AT_ONCE + 3)])
        path = "chan/po/posts-2026-11-21.csv"
        assert rebuild(folder.store, folder.sink.files, [path], is_safe=False) == {path: AT_ONCE + 2}
        assert len(read(tmp_path / "data" / path)) == AT_ONCE + 2
        folder.sink.files.mark(["gone.csv"])
        assert rebuild(folder.store, folder.sink.files, None, is_safe=False) == {path: AT_ONCE + 2}
        assert "gone.csv" not in folder.sink.files.states and list(KINDS)
    finally:
        folder.close()
