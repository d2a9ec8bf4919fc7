"""`scrapy report` and `scrapy rollup`."""

from __future__ import annotations

from pathlib import Path

import lxml.html
import pytest
from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.commands import dashboard, report, rollup, watchdog
from chancrawl.storage.base import Store
from chancrawl.storage.postgres.connection import PostgresStore
from tests.dashboard.test_hostile import INVISIBLE
from tests.dashboard.test_pages import items, words
from tests.support.commands import command_of, options_of
from tests.support.crawls import Crawler
from tests.support.hostile import TAG, hostile_items


@pytest.fixture
def crawler(either: Store, tmp_path: Path) -> Crawler:
    return Crawler(tmp_path / "data", "", either.url if isinstance(either, PostgresStore) else None)


def test_a_report_is_one_file_without_script(crawler: Crawler, either: Store, tmp_path: Path) -> None:
    either.take_in([*items(), *hostile_items()])
    file = tmp_path / "report.html"
    for _ in range(2):  # an older report is replaced
        assert "1 boards" in crawler.other("report", "--html", str(file)).ok().output
    page = lxml.html.document_fromstring(file.read_bytes())
    assert not page.cssselect(f"script, link, img, iframe, {TAG}, [style], [onclick]")
    assert "/po/" in words(page) and not INVISIBLE.search(file.read_text())
    policy = page.cssselect("meta[http-equiv]")[0].get("content", "")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert crawler.other("report").code == 2
    crawler.other("report", "--html", str(tmp_path / "none" / "x.html")).refused("a folder that exists")
    Crawler(tmp_path / "other", "").other("report", "--html", str(file)).refused("nothing was collected yet")


@pytest.mark.parametrize("command", [report.Command, rollup.Command, dashboard.Command, watchdog.Command])
def test_words_without_a_meaning(command: type[StoreCommand], tmp_path: Path) -> None:
    made = command_of(command, tmp_path)
    with pytest.raises(UsageError):
        made.work(["x"], options_of(made))
    assert made.short_desc() and len(made.short_desc()) < 80


def test_sums_are_compared_and_counted_anew(crawler: Crawler, either: Store) -> None:
    either.take_in(items())
    assert "are those of the rows" in crawler.other("rollup", "--check").ok().output
    either.rows("UPDATE board_hours SET posts = posts + 1")
    either.rows("DELETE FROM account_hours")
    found = crawler.other("rollup", "--check").refused("differ from the rows", "scrapy rollup --rebuild")
    assert "board_hours: po" in found.output and "account_hours: 5" in found.output
    crawler.other("rollup", "--rebuild").ok()
    crawler.other("rollup", "--check").ok()
    assert crawler.other("rollup").code == 2
