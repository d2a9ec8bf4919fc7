"""The description of an exported folder, and its check."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from chancrawl.errors import UserError
from chancrawl.exports import columns, coverage, dialects, metadata, tables, writers
from chancrawl.exports.datasheet import MANIFEST, README, describe, described, verify
from chancrawl.exports.export import NAMES, Target, columns_of, export
from chancrawl.exports.tables import Filters
from chancrawl.items import Gap, Poll
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.crawls import Crawler
from tests.support.items import START, minute, post, thread
from tests.support.sandboxes import Sandbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open()
    store.prepare()
    store.take_in([
        *(post(no, "x") for no in range(10, 30, 2)), thread(3), Poll("po", post(9, "").posted_at, 9, 1, 1, None),
        Gap("timeline:5", 9, 8, START, minute(5), "reach", START),
    ])  # fmt: skip
    out = tmp_path / "out"
    with store.snapshot():
        filters = Filters(boards=("po",), since=None)
        names = ["posts", "coverage"]
        done = export(store, names, filters, Target.of(out, None, None, names))
        describe(store, out, names, filters, done)
    store.close()
    return out


def test_it_says_what_is_in_it_and_what_is_missing(folder: Path) -> None:
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert facts["tables"]["posts"]["rows"] == 10 and facts["asked_for"]["filters"] == {"board": ["po"]}
    board = facts["coverage"]["po"]
    assert (board["issued"], board["held"], board["missing"], board["deleted"]) == (19, 10, 9, 0)
    assert facts["not_read"] == []  # no table of X was asked for
    text = (folder / README).read_text(encoding="utf-8")
    assert "| posts | 10 |" in text and "| po |" in text and "| 19 | 10 | 0 | 9 | 0 |" in text
    assert "Only a part was exported: board: po." in text and "4chan-API" in text and "X API" not in text


def test_every_column_is_described(folder: Path) -> None:
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert (
        facts["tables"]["posts"]["columns"][1]["about"] == "Number of the post. Numbers run in one sequence per board."
    )
    for name in NAMES:
        assert [column["name"] for column in described(name, columns_of(name)) if not column["about"]] == [], name


def test_a_folder_is_verified(folder: Path) -> None:
    number, wrong = verify(folder)
    assert number == 5 and wrong == []
    file = folder / "coverage.csv"
    file.write_bytes(file.read_bytes() + b"x")
    (folder / "extra").touch()
    (folder / README).unlink()
    assert verify(folder)[1] == ["coverage.csv was changed", "README.md is missing", "extra does not belong to it"]
    (folder / MANIFEST).write_text("{")
    with pytest.raises(UserError, match="damaged"):
        verify(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(UserError, match="not complete"):
        verify(folder)


def test_the_parts_of_an_export() -> None:
    """Each table has typed columns, a unique order and filters."""
    assert set(NAMES) == {*tables.TABLES, "coverage"}
    for name in NAMES:
        assert all(isinstance(column.type, columns.Type) for column in columns_of(name))
    assert {"board", "since", "until"} == coverage.TAKES and set(writers.FORMATS) == {"csv", "jsonl", "parquet"}
    sql, parameters = tables.TABLES["posts"].query(Filters(match="50%"), dialects.PostgresDialect())
    assert "ILIKE ?" in sql and parameters == ["%50\\%%"]


# --- for programs


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_croissant_is_loaded_by_its_library(folder: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="left out: mlcroissant is not installed")
    dataset = mlcroissant.Dataset(str(folder / metadata.CROISSANT))
    records = list(dataset.records("posts/po/2023-11"))
    assert sorted(record["posts/po/2023-11/no"] for record in records) == list(range(10, 30, 2))
    text = json.loads((folder / metadata.CROISSANT).read_text(encoding="utf-8"))
    assert not text.get("isLiveDataset") and all(file["sha256"] for file in text["distribution"])
    assert "/po/: 9 of 19 posts are missing." in text["description"]


def test_the_crate_is_loaded_by_its_library(folder: Path) -> None:
    rocrate = pytest.importorskip("rocrate.rocrate", reason="left out: rocrate is not installed")
    crate = rocrate.ROCrate(str(folder))
    parts = {part.id: part for part in crate.root_dataset["hasPart"]}
    assert {"posts/po/2023-11.csv", "coverage.csv", "README.md"} <= parts.keys()
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert parts["coverage.csv"]["sha256"] == facts["files"]["coverage.csv"]["sha256"]


def test_without_the_libraries_they_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(folder: Path, facts: metadata.Facts) -> str:
        raise ImportError

    monkeypatch.setattr(metadata, "WRITERS", {"a.json": missing})
    assert metadata.write(tmp_path, {}) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.soak
def test_the_coverage_of_a_datasheet_is_the_truth(tmp_path: Path) -> None:
    """To the post: what the board numbered while it was followed, what is stored, and what is not."""
    sandbox = Sandbox("--speed", "60", "--start", "1795000000")
    try:
        crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.2)
        process = crawler.start("-aboard=pol", "-afollow=1")
        time.sleep(15)
        crawler.interrupted(process).ok()
        crawler.other("export", "posts", "coverage", "-o", str(tmp_path / "study"), "--board", "pol").ok()
        facts = json.loads((tmp_path / "study" / MANIFEST).read_text(encoding="utf-8"))["coverage"]["pol"]
        polls = crawler.embedded("SELECT newest_no FROM board_polls WHERE board = 'pol' ORDER BY polled_at")
        first, last = polls[0][0], max(no for (no,) in polls)
        held = {no for (no,) in crawler.embedded("SELECT no FROM posts WHERE board = 'pol'")}
        made = {
            each["no"] for each in sandbox.truth() if each["board"] == "pol" and first < each["no"] <= max(last, *held)
        }
        assert {name: facts[name] for name in ("issued", "held", "missing")} == {
            "issued": len(made), "held": len(made & held), "missing": len(made - held)}  # fmt: skip
        assert len(made) > 100
    finally:
        sandbox.stop()
