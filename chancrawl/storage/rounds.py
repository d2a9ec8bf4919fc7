"""Which items of a batch can be written by one statement, because their keys differ. Sans I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chancrawl.items import Post, Tweet


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
