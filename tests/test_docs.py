"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from chancrawl.arguments import arguments_of
from chancrawl.commands import options, spiders
from chancrawl.items import Account, Deletion, Feed, Gap, Handle, Post, Thread, Trend, Tweet, columns
from chancrawl.setting_rows import ROWS, SETTINGS
from spiders.chan import ChanSpider
from spiders.search import SearchSpider
from spiders.timeline import TimelineSpider
from spiders.trending import TrendingSpider
from tests.support import ROOT

COLLECTING = (ROOT / "docs" / "collecting.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_table_of_settings_is_that_of_scrapy_options() -> None:
    """`scrapy options --format markdown` prints it anew."""
    assert "\n".join(options.markdown(ROWS)) in COLLECTING
    shown = "\n".join(options.text(ROWS))
    assert all(f"\n{name}: " in f"\n{shown}" for name in SETTINGS) and "`" not in shown


@pytest.mark.parametrize("spider", [ChanSpider, TimelineSpider, SearchSpider, TrendingSpider])
def test_the_tables_of_arguments_are_those_of_scrapy_spiders(spider: Any) -> None:
    arguments = arguments_of(spider.Arguments)
    assert "\n".join(spiders.markdown([spider])) in COLLECTING
    shown = "\n".join(spiders.text([spider]))
    assert all(f"  {name} " in shown for name in arguments) and spider.EXAMPLES[0] in shown
    for example in spider.EXAMPLES:
        assert example.startswith(f"scrapy crawl {spider.name} -a ")
        given = dict(word.split("=", 1) for word in example.split()[3:] if "=" in word)
        assert given.keys() <= set(arguments)
        spider(**given)


def test_the_readme_counts_the_columns() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    posts, tweets = re.search(r"with\s+(\d+)\s+columns", readme), re.search(r"`tweets` has\s+(\d+)\s+columns", readme)
    assert posts is not None and int(posts[1]) == len(columns(Post)) - 1  # the digest is the ledger's
    assert tweets is not None and int(tweets[1]) == len(columns(Tweet))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def test_csv_columns_are_columns_of_the_schema() -> None:
    schema = (ROOT / "schema.sql").read_text(encoding="utf-8")
    tables = {"posts": Post, "threads": Thread, "tweets": Tweet, "accounts": Account, "handles": Handle}
    for table, item_class in (tables | {"feeds": Feed, "trends": Trend, "gaps": Gap}).items():
        for name in columns(item_class):
            assert f"COMMENT ON COLUMN {table}.{name} IS" in schema
    assert set(columns(Deletion)) <= set(columns(Post))
