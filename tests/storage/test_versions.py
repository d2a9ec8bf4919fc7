"""Which items of a batch are written together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from chancrawl.items import Tweet
from chancrawl.storage.versions import feeds_together, versions_apart
from tests.support.items import post

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_versions_of_a_post_are_in_rounds_of_their_own_in_order() -> None:
    first, second, other = post(6, "a"), post(6, "b", 2), post(7, "c")
    assert versions_apart([first, other, second]) == [[first, other], [second]] or versions_apart(
        [first, other, second]
    ) == [[other, first], [second]]
    assert versions_apart([]) == []


def test_a_post_that_two_feeds_show_is_one_with_both_names() -> None:
    tweet = Tweet(1, 2, "nasa", NOW, found_in=["timeline:2"], first_seen_at=NOW, last_seen_at=NOW)
    again = replace(tweet, found_in=["search:a"], first_seen_at=None, metrics={"like_count": 5})
    (together,) = feeds_together([tweet, again])
    assert together.found_in == ["timeline:2", "search:a"] and together.metrics == {"like_count": 5}
    assert together.first_seen_at == NOW
