"""Typed values out of the untrusted objects of the X API."""

from __future__ import annotations

from typing import Any

import pytest

from chancrawl.x.fields import LARGEST_ID, Entities, XFields, id_of


@pytest.mark.parametrize("value, number", [
    ("783214", 783214),
    (783214, 783214),
    (str(LARGEST_ID), LARGEST_ID),
    (str(LARGEST_ID + 1), None),
    ("0", None),
    ("-1", None),
    ("1.5", None),
    ("٣", None),  # a digit, and no ASCII
    (True, None),
    (None, None),
])  # fmt: skip
def test_ids_are_positive_numbers_that_the_stores_can_hold(value: Any, number: int | None) -> None:
    assert id_of(value) == number


@pytest.mark.parametrize("value", ["yesterday", "2022-13-01", 5, "1999-01-01T00:00:00Z", "9999-01-01T00:00:00Z"])
def test_an_odd_time_is_named_and_left_out(value: Any) -> None:
    fields = XFields({"created_at": value})
    assert fields.moment("created_at") is None and fields.problems


def test_times_are_in_utc() -> None:
    moment = XFields({"created_at": "2022-10-03T19:57:11.000+02:00"}).moment("created_at")
    assert moment is not None and moment.isoformat() == "2022-10-03T17:57:11+00:00"


def test_counts_that_are_none_are_left_out() -> None:
    raw = {"public_metrics": {"like_count": 3, "quote_count": -1, "reply_count": "4", "x": True}}
    assert XFields(raw).metrics("public_metrics") == {"like_count": 3}


def test_links_stand_without_those_of_the_posts_own_media() -> None:
    entities = Entities({"urls": [
        {"expanded_url": "https://example.org/a", "url": "https://t.co/a"},
        {"expanded_url": "https://x.com/a/status/1/photo/1", "media_key": "3_1"},
        {"expanded_url": "https://example.org/b", "display_url": "pic.twitter.com/b"},
        {"url": "https://t.co/c"},
        "nonsense",
    ]})  # fmt: skip
    assert entities.links() == ["https://example.org/a", "https://t.co/c"]
    assert Entities({"mentions": [{"username": "nasa"}, {"id": "5"}]}).mentions() == [(None, "nasa")]
