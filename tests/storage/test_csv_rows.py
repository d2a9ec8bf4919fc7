"""Items as rows of CSV files."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.items import Post, Thread, Trend
from chancrawl.storage.csv.rows import csv_text, line_of, prepared, text_of
from chancrawl.storage.sqlite.upsert import statement_of
from tests.support import KINDS
from tests.support.items import START, post, thread

STATEMENTS = {kind.item: statement_of(kind) for kind in KINDS}
EAST = timezone(timedelta(hours=5, minutes=45))


@pytest.mark.parametrize("value, text", [
    (None, ""),
    ("", ""),
    (False, "false"),
    (0, "0"),
    (0.25, "0.25"),
    ([], "[]"),
    ({"a": "é"}, '{"a":"é"}'),
    (datetime(2026, 11, 21, 5, 45, tzinfo=EAST), "2026-11-21T00:00:00Z"),
    (datetime(2026, 11, 21, 0, 0, 0, 5, tzinfo=UTC), "2026-11-21T00:00:00.000005Z"),
])  # fmt: skip
def test_how_a_value_stands_in_a_file(value: Any, text: str) -> None:
    assert text_of(value) == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=5))
def test_any_texts_come_back_from_a_line(texts: list[str]) -> None:
    line = csv_text(texts)
    assert line.endswith("\r\n")
    assert next(csv.reader(io.StringIO(line, newline=""))) == texts


def test_a_line_has_the_columns_of_its_file_and_the_row_those_of_the_ledger() -> None:
    line = line_of(KINDS[Post], post(6, "a"), STATEMENTS[Post][1])
    assert line.path == "chan/po/posts-2026-11-21.csv" and "digest" not in line.columns
    assert line.values["no"] == "6" and line.values["file_deleted"] == "false" and line.values["name"] == ""
    assert dict(zip(STATEMENTS[Post][1], line.row, strict=True)) == {
        "board": "po", "thread_no": 5, "no": 6, "digest": post(6, "a").digest, "revision": 1,
        "posted_at": "2023-11-14T22:13:26Z", "first_seen_at": text_of(START), "deleted_at": None,
        "deletion_confirmed_at": None,
    }  # fmt: skip


def test_a_line_follows_the_header_of_its_file_whatever_that_has() -> None:
    line = line_of(KINDS[Thread], thread(3), STATEMENTS[Thread][1])
    assert line.text(["no", "a column that is gone", "board"]) == "5,,po\r\n"


@pytest.mark.parametrize("bad, reason", [
    (Trend(2**63, START, 1, "#a", None), "ValueError: 9223372036854775808 is out of range"),
    (Trend(1, START, 1, "half \ud83d", None), "UnicodeEncodeError: "),
    (replace(post(6, "a"), last_seen_at=None), "AssertionError: "),
])  # fmt: skip
def test_an_item_that_cannot_be_written_is_rejected_alone(bad: Any, reason: str) -> None:
    result = prepared(KINDS, [thread(1), bad, post(7, "b")], STATEMENTS)
    assert [type(line.item) for line in result.lines] == [Thread, Post]
    ((item, why),) = result.rejected
    assert item is bad and why.startswith(reason)
