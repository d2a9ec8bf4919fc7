"""The documentation says what the code does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from chancrawl.items import Deletion, Post, Thread, columns
from spiders.chan import ChanSpider
from tests.conftest import ROOT

COLLECTING = (ROOT / "docs" / "collecting.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_setting_of_ours_is_described() -> None:
    settings = re.findall(r'configured\(\s*"(\w+)"', (ROOT / "chancrawl" / "settings.py").read_text(encoding="utf-8"))
    assert len(settings) > 10
    assert [name for name in settings if f"`{name}`" not in COLLECTING] == []


def test_every_argument_is_described() -> None:
    arguments = [name for name in inspect.signature(ChanSpider).parameters if name != "unknown"]
    for name in arguments:
        assert f"`{name}`" in COLLECTING
        assert name in (ChanSpider.__doc__ or "")


def test_the_readme_counts_the_columns() -> None:
    found = re.search(r"with (\d+) columns", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None and int(found[1]) == len(columns(Post)) - 1  # the digest is the ledger's


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def test_csv_columns_are_columns_of_the_schema() -> None:
    schema = (ROOT / "schema.sql").read_text(encoding="utf-8")
    for table, item_class in (("posts", Post), ("threads", Thread)):
        for name in columns(item_class):
            assert f"COMMENT ON COLUMN {table}.{name} IS" in schema
    assert set(columns(Deletion)) <= set(columns(Post))
