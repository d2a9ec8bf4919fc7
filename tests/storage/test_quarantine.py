"""The folder of what could not be read or stored: a few examples of each kind, and every row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scrapy.utils.test import get_crawler

from chancrawl.items import Post
from chancrawl.settings import SOURCES_BASE
from chancrawl.storage.quarantine import (
    EXAMPLES,
    TAKING,
    Quarantine,
    begin_taking,
    end_taking,
    keep_row,
    kept_rows,
    kind_of,
)
from tests.support import KINDS
from tests.support.items import post


def opened(folder: Path, **settings: Any) -> Quarantine:
    values = {"CSV_FOLDER": str(folder), "QUARANTINE_MB": 100, "SOURCES": SOURCES_BASE} | settings
    return Quarantine.from_crawler(get_crawler(settings_dict=values))


def test_a_few_examples_of_each_kind_are_kept_a_day(tmp_path: Path) -> None:
    """An API that changes a field's type shows it in every post, and crawls are started every few minutes."""
    for _ in range(2):
        quarantine = opened(tmp_path)
        for number in range(300):
            quarantine.set_aside(f"/po/thread/{number}.json", b"{%d}" % number, f"post {number}: sub is [{number}]")
            quarantine.set_aside(f"/po/thread/{number}.json", b"{%d}" % number, f"not JSON: at {number}")
        quarantine.spider_closed()
        assert quarantine.stats.get_value("quarantine/payloads") == 600
    assert len(list((tmp_path / "quarantine").glob("*.body"))) == 2 * EXAMPLES


def test_the_folder_has_a_size_limit(tmp_path: Path) -> None:
    quarantine = opened(tmp_path, QUARANTINE_MB=0.001)
    for number in range(4):
        quarantine.set_aside(f"/{number}", b"x" * 400, f"{'abcd'[number]} is odd")
    quarantine.spider_closed()
    assert sum(file.stat().st_size for file in (tmp_path / "quarantine").glob("*.body")) == 800
    assert quarantine.stats.get_value("quarantine/not_kept") == 2


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("post 5: sub is [1]", "post 6: sub is {}; post 7: sub is 3", True),
        ("post 5: sub is [1]", "post 5: com is [1]", False),
        ("not JSON: line 1 column 1 (char 0)", "not JSON: line 9 column 2 (char 7)", True),
    ],
)  # fmt: skip
def test_kinds_of_problems(one: str, other: str, same: bool) -> None:
    assert (kind_of(one) == kind_of(other)) is same


def test_a_row_is_kept_once_however_often_it_is_rejected(tmp_path: Path) -> None:
    first, changed = post(6, "a"), post(6, "b")
    for _ in range(3):
        quarantine = opened(tmp_path)
        quarantine.keep_row(first, "no")
        quarantine.keep_row(replace(first, last_seen_at=None), "no")  # fetched again
        quarantine.spider_closed()
    quarantine = opened(tmp_path)
    assert quarantine.has_row(first) and not quarantine.has_row(changed)
    quarantine.keep_row(changed, "no")
    quarantine.spider_closed()
    ((file, rows),) = kept_rows(tmp_path / "quarantine", KINDS)
    assert [row.item for row in rows] == [first, changed]
    with file.open("ab") as stream:
        stream.write(b'{"torn\n[]\n{"what": "x", "reason": "y", "row": "z"}\n')
    ((_, again),) = kept_rows(tmp_path / "quarantine", KINDS)
    assert again == rows, "what is no row is left out"
    begin_taking(tmp_path / "quarantine")
    keep_row(tmp_path / "quarantine", KINDS[Post], post(7, "c"), "meanwhile")
    ((taken, _),) = kept_rows(tmp_path / "quarantine", KINDS, f"rows-*{TAKING}")
    end_taking(taken, rows[:1])
    assert [row.item for _, rows in kept_rows(tmp_path / "quarantine", KINDS) for row in rows] == [post(7, "c"), first]
    assert not taken.exists() and file.exists()


def test_a_row_that_cannot_be_set_aside_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    assert keep_row(tmp_path / "file", KINDS[Post], post(6, "a"), "bad\nline") is False
    assert "This is the row: [" in caplog.text and "bad\\nline" in caplog.text and json.dumps("a") in caplog.text
