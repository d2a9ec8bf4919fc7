"""Items as lines of JSON, as a spool and the quarantine keep them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.items import Account, Feed, Item, Poll, Tweet, Validator
from chancrawl.storage.item_json import decoded, encoded
from tests.support import KINDS
from tests.support.items import START, deletion, post, thread

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(raw=st.dictionaries(st.text(), JSON), text=st.none() | st.text(), time=st.datetimes(timezones=st.just(UTC)))
def test_an_item_comes_back_as_it_was(raw: dict[str, Any], text: str | None, time: datetime) -> None:
    items: list[Item] = [
        replace(post(6, "a"), raw=raw, comment_text=text, last_seen_at=time),
        Tweet(1, None, None, time, text, metrics={"like_count": 3}, raw=raw),
        Account(2, "a", created_at=time, raw=raw),
        Feed("timeline:2", complete_since=time, posts_per_day=0.1),
        Poll("po", time, None, 1, 2, None),
        deletion(6, 1),
        thread(3),
    ]
    for item in items:
        assert decoded(encoded(item).encode(), KINDS) == item


def test_an_item_is_one_line() -> None:
    line = encoded(Validator("/po/\n", "a\r\nb"))
    assert line.splitlines() == [line] and json.loads(line)[0] == "Validator"


def test_a_field_that_an_earlier_version_did_not_have_is_left_to_its_default() -> None:
    assert decoded(b'["Poll", {"board": "po", "polled_at": "2026-11-21T00:00:00+00:00", "newest_no": null, '
                   b'"threads": 1, "looks": 2, "longest_gap": null, "a_former_column": 1}]', KINDS) == Poll(
        "po", START, None, 1, 2, None)  # fmt: skip


def test_the_one_feed_that_version_2_kept_becomes_a_list() -> None:
    assert decoded(b'["Tweet", {"id": 1, "author_id": null, "username": null, "posted_at": null, '
                   b'"found_in": "search:a"}]', KINDS).found_in == ["search:a"]  # fmt: skip


@pytest.mark.parametrize("line, error", [
    (b'["Nobody", {}]', KeyError),  # of a source that is no longer there
    (b'["Validator", {"path": "/x"}]', TypeError),  # a field without a default is missing
    (b'["Thread", {"board": "po", "no": 5, "gone_at": "yesterday"}]', ValueError),
    (b'["Thread"', ValueError),
    (b"5", TypeError),
])  # fmt: skip
def test_what_is_no_item_is_named_as_such(line: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decoded(line, KINDS)
