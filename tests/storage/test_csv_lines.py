"""Rows as lines of CSV files."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.items import Validator
from chancrawl.storage.csv.lines import cell, encoded, line_of, lines_of, unguarded

EAST = timezone(timedelta(hours=5, minutes=45))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.mark.parametrize("value, text", [
    (None, ""),
    ("", '""'),
    (False, "false"),
    (0, "0"),
    (0.25, "0.25"),
    ([], '"[]"'),
    ({"a": "é"}, '"{""a"":""é""}"'),
    ("007", '"007"'),  # a tripcode that looks like a number
    (datetime(2026, 11, 21, 5, 45, tzinfo=EAST), "2026-11-21T00:00:00Z"),
    (datetime(2026, 11, 21, 0, 0, 0, 5, tzinfo=UTC), "2026-11-21T00:00:00.000005Z"),
])  # fmt: skip
def test_how_a_value_stands_in_a_file(value: Any, text: str) -> None:
    assert cell(value) == text


@given(st.lists(texts, min_size=2, max_size=5))
def test_any_texts_come_back_from_a_line(values: list[str]) -> None:
    names = [str(place) for place in range(len(values))]
    line = line_of(dict(zip(names, values, strict=True)), names, is_safe=False)
    assert line.endswith("\r\n")
    assert next(csv.reader(io.StringIO(line, newline=""))) == values


@given(texts | st.sampled_from(["=1", "'a", "''", "'=1", "\t", "+", "-1", "@x", "\r\n"]))
def test_the_guard_against_formulas_can_be_taken_away_exactly(text: str) -> None:
    (found,) = next(csv.reader(io.StringIO(cell(text, is_safe=True), newline="")))
    assert unguarded(found) == text
    assert not found.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_numbers_times_and_json_have_no_guard() -> None:
    assert [cell(value, is_safe=True) for value in (-1, ["=1"], {"a": 1})] == ["-1", '"[""=1""]"', '"{""a"":1}"']


def test_items_and_rows_have_the_same_lines() -> None:
    items = [Validator("/a", 'x"y'), Validator("/b", "1,2")]
    by_row = [line_of({"path": item.path, "last_modified": item.last_modified}, ["path", "last_modified"], False)
              for item in items]  # fmt: skip
    assert lines_of(items, ["path", "last_modified"], is_safe=False) == by_row
    assert lines_of(items, ["path"], is_safe=False) == ['"/a"\r\n', '"/b"\r\n']
    assert line_of({}, ["path", "gone"], is_safe=False) == ",\r\n"


def test_a_lone_surrogate_becomes_u_fffd_in_a_file() -> None:
    assert encoded("a\ud83d") == "a\ufffd".encode()
