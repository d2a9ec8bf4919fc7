"""Spider arguments: what they accept, and one sentence for what they do not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chancrawl.arguments import (
    argument,
    arguments_of,
    board_names,
    duration,
    moment,
    moment_of,
    number,
    numbers,
    one_of,
    parsed,
    reject_unknown,
    texts,
    thread_numbers,
    words,
    yes_or_no,
)
from chancrawl.errors import UserError


@dataclass
class Arguments:
    board: list[str] = argument(board_names, "boards", "–")
    sample: int | None = argument(number, "how many", "all", given="7")


def test_a_dataclass_says_what_a_spider_takes() -> None:
    assert list(arguments_of(Arguments)) == ["board", "sample"]
    assert arguments_of(Arguments)["sample"].default == "all"
    given = texts("chan", Arguments, {"board": "po", "_job": "1"})
    assert given == {"board": "po", "sample": "7"}
    assert parsed(Arguments, given) == Arguments(["po"], 7)
    with pytest.raises(UserError, match="The chan spider has no argument bord; it has board, sample"):
        texts("chan", Arguments, {"bord": "po"})
    with pytest.raises(UserError, match="sample=x: a whole number"):
        parsed(Arguments, {"board": "po", "sample": "x"})
    reject_unknown("chan", ["_job"], [])  # of Scrapyd


NAME = "name"


@pytest.mark.parametrize("parse, value, found", [
    (number, "", None), (number, " 10 ", 10), (number, str(2**63 - 1), 2**63 - 1),
    (numbers, "5,,5, 6", [5, 6]), (numbers, "", []),
    (board_names, "", []), (board_names, "/PO/, https://boards.4channel.org/g/thread/5,po", ["po", "g"]),
    (thread_numbers, "https://boards.4chan.org/po/thread/5/title#p6", ([5], ["po"])),
    (thread_numbers, "po/res/7.json, 8", ([7, 8], ["po"])), (thread_numbers, "", ([], [])),
    (yes_or_no, "YES", True), (yes_or_no, "", False), (yes_or_no, "false", False),
    (words, "  a b ", "a b"), (one_of("a", "b"), "b", "b"),
    (moment_of, "2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)), (moment_of, "", None),
    (moment_of, "2026-01-01T01:00+01:00", datetime(2026, 1, 1, tzinfo=UTC)),
    (duration, "15m", timedelta(minutes=15)), (duration, "1d", timedelta(days=1)), (duration, "0", None),
])  # fmt: skip
def test_what_is_read(parse: Any, value: str, found: Any) -> None:
    assert parse(NAME, value) == found


@pytest.mark.parametrize("parse, value", [
    (number, "0"), (number, "-5"), (number, "5.0"), (number, "٥"), (number, str(2**63)), (number, "9" * 5000),
    (numbers, "5,x"), (board_names, "p o"), (board_names, "../po"), (board_names, "пo"),
    (thread_numbers, "https://example.org/po/5"), (thread_numbers, "po/thread/x"),
    (yes_or_no, "maybe"), (one_of("a", "b"), "c"),
    (moment_of, "1969-12-31"), (moment_of, "tomorrow"), (moment_of, "9999-12-31T23:59:59-23:00"),
    (moment, "2006-03-20"), (moment, "2900-01-01"),
    (duration, "15"), (duration, "-5m"), (duration, "0s"), (duration, "5y"), (duration, "m"),
])  # fmt: skip
def test_what_is_refused_in_one_sentence_with_its_name(parse: Any, value: str) -> None:
    with pytest.raises(UserError) as raised:
        parse(NAME, value)
    assert str(raised.value).startswith(f"{NAME}=") and str(raised.value).endswith(".")
