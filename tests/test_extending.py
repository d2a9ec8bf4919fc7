"""A source and a sink from outside the package: a kind of row, its table, a spider, and something that takes rows."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.crawls import Crawler
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox

OUTSIDE = '''
import json
from dataclasses import dataclass
from pathlib import Path

import scrapy

from chancrawl.sources import BaseSource
from chancrawl.storage.base import BaseSink
from chancrawl.storage.kinds import CsvFile, Kind


@dataclass(slots=True)
class Note:
    place: str
    no: int
    text: str | None = None
    tags: list[str] | None = None


class Notes(BaseSource):
    name = "notes"
    spiders = ("notes",)
    kinds = (
        Kind(
            Note, "notes", ("place", "no"), csv=CsvFile(lambda note: f"notes/{note.place}.csv"),
            schema="CREATE TABLE IF NOT EXISTS notes "
            "(place text, no bigint, text text, tags text[], PRIMARY KEY (place, no))",
        ),
    )


class NotesSpider(scrapy.Spider):
    name = "notes"
    source = "http://127.0.0.1/notes"

    async def start(self):
        for no in range(1, 2501):
            yield Note("here", no, f"note {no}, \\u2603", ["a", "b c"])


class Lines(BaseSink):
    """A sink: a line of JSON for each row."""

    def __init__(self, file):
        self.file = file

    @classmethod
    def from_crawler(cls, crawler):
        return cls(Path(crawler.settings["CSV_FOLDER"]).parent / "lines.jsonl")

    def write(self, items):
        with self.file.open("a") as stream:
            stream.writelines(json.dumps([type(item).__name__, item.no]) + "\\n" for item in items)

    def close(self):
        with self.file.open("a") as stream:
            stream.write("closed\\n")
'''

GIVEN = ("-s", 'SOURCES={"outside.Notes": 300}', "-s", 'ROW_SINKS={"outside.Lines": 1}',
         "-s", "SPIDER_MODULES=spiders,outside", "-s", "BATCH_SIZE=1000")  # fmt: skip


@pytest.fixture(params=["csv", "postgres"])
def crawler(request: pytest.FixtureRequest, tmp_path: Path) -> Crawler:
    (tmp_path / "outside.py").write_text(OUTSIDE)
    database_url = request.getfixturevalue("database").url if request.param == "postgres" else None
    return Crawler(tmp_path / "data", "http://127.0.0.1:9", database_url)


def notes(crawler: Crawler) -> list[tuple[str, int, str, list[str]]]:
    """The rows in the store."""
    if crawler.database_url:
        return Database(crawler.database_url).rows("SELECT place, no, text, tags FROM notes ORDER BY no")
    with (crawler.folder / "notes" / "here.csv").open(newline="", encoding="utf-8") as file:
        return [(row["place"], int(row["no"]), row["text"], json.loads(row["tags"])) for row in csv.DictReader(file)]


def test_rows_of_a_source_from_outside_are_stored_exactly_once(crawler: Crawler) -> None:
    run = crawler(*GIVEN, spider="notes", cwd=crawler.folder.parent).ok()
    assert "collected  2,500 notes" in run.output
    assert notes(crawler) == [("here", no, f"note {no}, ☃", ["a", "b c"]) for no in range(1, 2501)]
    lines = (crawler.folder.parent / "lines.jsonl").read_text().splitlines()
    assert lines == [*(json.dumps(["Note", no]) for no in range(1, 2501)), "closed"]
    if crawler.database_url:  # a second crawl of the same rows changes nothing
        crawler(*GIVEN, spider="notes", cwd=crawler.folder.parent).ok()
        assert len(notes(crawler)) == 2500


def test_a_sink_that_fails_costs_itself_alone(crawler: Crawler) -> None:
    (crawler.folder.parent / "lines.jsonl").mkdir()  # it cannot be written to
    run = crawler(*GIVEN, spider="notes", cwd=crawler.folder.parent)
    assert run.code == 1 and "The sink Lines is not written to any more" in run.output
    assert "1 sink failed" in run.output and "Traceback" not in run.output
    assert len(notes(crawler)) == 2500


def test_a_store_that_is_there_already_gets_the_new_table(crawler: Crawler, sandbox: Sandbox) -> None:
    replace(crawler, url=sandbox.url)("-aboard=wsr", "-asample=1").ok()
    crawler(*GIVEN, spider="notes", cwd=crawler.folder.parent).ok()
    assert len(notes(crawler)) == 2500


@pytest.mark.parametrize("setting", ["SOURCES", "ROW_SINKS"])
@pytest.mark.parametrize("value, sentence", [
    ("nonsense", 'write {"package.Class": 100}'),
    ('{"no.such.Thing": 1}', "names no.such.Thing, which cannot be loaded"),
    ('{"outside.Nothing": 1}', "names outside.Nothing, which cannot be loaded"),
])  # fmt: skip
def test_a_component_that_cannot_be_found_is_one_sentence(
    tmp_path: Path, setting: str, value: str, sentence: str
) -> None:
    (tmp_path / "outside.py").write_text(OUTSIDE)
    crawler = Crawler(tmp_path / "data", "http://127.0.0.1:9")
    crawler("-aboard=po", "-s", f"{setting}={value}", cwd=tmp_path).refused(setting, sentence)
    assert not crawler.folder.exists()
