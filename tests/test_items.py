"""Columns and forms, by the annotations of the items."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from chancrawl.items import Account, Board, Feed, Form, Post, Quote, Thread, Trend, Tweet, columns, forms, latest
from tests.support import KINDS
from tests.support.items import START


@dataclass(slots=True)
class Sample:
    text: str
    maybe: int | None
    time: datetime | None
    flag: bool
    maybe_flag: bool | None
    names: list[str]
    quotes: list[Quote]
    numbers: list[int | None] | None
    raw: dict[str, Any] | None
    share: float | None = None


def test_the_form_of_a_column_follows_from_its_annotation() -> None:
    assert forms(Sample) == {
        "text": Form.PLAIN, "maybe": Form.PLAIN, "time": Form.TIME, "flag": Form.FLAG, "maybe_flag": Form.FLAG,
        "names": Form.JSON, "quotes": Form.JSON, "numbers": Form.JSON, "raw": Form.JSON, "share": Form.PLAIN,
    }  # fmt: skip
    assert forms(Sample) is forms(Sample) and list(forms(Sample)) == columns(Sample)


@pytest.mark.parametrize("item, column, form", [
    (Post, "quotes", Form.JSON), (Post, "raw", Form.JSON), (Post, "file_deleted", Form.FLAG), (Post, "no", Form.PLAIN),
    (Board, "worksafe", Form.FLAG), (Thread, "http_last_modified", Form.PLAIN), (Thread, "gone_at", Form.TIME),
    (Tweet, "mention_ids", Form.JSON), (Tweet, "media_urls", Form.JSON), (Tweet, "sentiment", Form.PLAIN),
    (Account, "metrics", Form.JSON), (Feed, "posts_per_day", Form.PLAIN), (Trend, "seen_at", Form.TIME),
])  # fmt: skip
def test_forms_of_the_items(item: type[Any], column: str, form: Form) -> None:
    assert forms(item)[column] is form


def test_every_kind_has_a_form_for_each_column() -> None:
    for kind in KINDS:
        assert list(forms(kind.item)) == kind.columns


def test_of_rows_with_one_key_the_last_one_stays_in_the_place_of_the_first() -> None:
    rows = [Feed("a", pages=1), Feed("b"), Feed("a", pages=2)]
    assert latest(rows, "feed") == [Feed("a", pages=2), Feed("b")]
    assert latest(rows, "feed", "pages") == rows and latest([], "feed") == []


def test_a_post_of_x_is_seen_again_when_its_counts_or_times_differ() -> None:
    tweet = Tweet(1, 1, "a", START, metrics={"like_count": 1}, first_metrics={"like_count": 1})
    assert not tweet.is_seen_again
    tweet.metrics = {"like_count": 2}
    assert tweet.is_seen_again
