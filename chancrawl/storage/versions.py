"""Versions of rows: which of a batch can be written by one statement, and which version of a post stays. Sans I/O.

In the conditions, `new` is the row to write and `held` is the stored one, as in those of kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from chancrawl.items import Post, Tweet, latest
from chancrawl.storage.kinds import Kind

LATER = """(new.last_seen_at > held.last_seen_at OR (new.last_seen_at = held.last_seen_at AND NOT EXISTS (
        SELECT 1 FROM post_revisions AS kept WHERE kept.board = new.board AND kept.no = new.no
        AND kept.digest = new.digest AND kept.last_seen_at = new.last_seen_at)))"""
"""Whether the new version is later. Of two versions seen in the same second, the one that is written last is later,
unless it is an earlier version that was replaced already."""

MERGED = {
    "revision": "greatest(new.revision, held.revision + 1)",  # another crawl may have stored versions since
    "first_seen_at": "least(new.first_seen_at, held.first_seen_at)",
    "last_seen_at": "greatest(new.last_seen_at, held.last_seen_at)",
    # Another crawl may have seen its deletion since.
    "deleted_at": "CASE WHEN held.deleted_at > new.last_seen_at THEN held.deleted_at "
    "WHEN held.deletion_confirmed_at > new.last_seen_at THEN held.deletion_confirmed_at END",
    "deletion_confirmed_at": "CASE WHEN held.deletion_confirmed_at > new.last_seen_at "
    "THEN held.deletion_confirmed_at END",
}


def states_apart(items: Sequence[Any], kind: Kind) -> list[Sequence[Any]]:
    """States in one round: of several with one key, the last one."""
    if kind.order is not None:
        items = sorted(items, key=attrgetter(kind.order))
    return [latest(items, *kind.key)]


def versions_apart(posts: Sequence[Post]) -> list[Sequence[Post]]:
    """Posts in rounds: if a batch has several versions of a post, each is in a round of its own, in order."""
    rounds: list[Sequence[Post]] = []
    while posts:
        first = {(post.board, post.no): post for post in reversed(posts)}
        chosen = {id(post) for post in first.values()}
        rounds.append(list(first.values())[::-1])
        posts = [post for post in posts if id(post) not in chosen]
    return rounds


def feeds_together(tweets: Sequence[Tweet]) -> list[Tweet]:
    """Each post once. One that several feeds show in a batch gets the names of all these feeds."""
    merged: dict[int, Tweet] = {}
    for tweet in tweets:
        before = merged.get(tweet.id)
        if before is not None:
            feeds = list(dict.fromkeys([*before.found_in, *tweet.found_in]))
            later = before.metrics | tweet.metrics if tweet.is_seen_again else before.metrics
            tweet = replace(before, found_in=feeds, metrics=later)
        merged[tweet.id] = tweet
    return list(merged.values())
