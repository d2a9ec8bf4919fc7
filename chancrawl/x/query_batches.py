"""Which accounts one search can ask for together: `from:a OR from:b …`. Sans I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chancrawl.items import Feed
from chancrawl.x.api import account_of_feed, id_at, settled


@dataclass(slots=True)
class QueryBatch:
    """Feeds of accounts that one search asks for together, from `since_id` on."""

    feeds: list[Feed]
    since_id: int

    @property
    def query(self) -> str:
        return " OR ".join(_term(feed) for feed in self.feeds)


def _term(feed: Feed) -> str:
    """The part of a query that stands for a feed: by number, not by name, for names change."""
    return f"from:{account_of_feed(feed)}"


def batch_queries(feeds: Iterable[Feed], longest: int, reach: datetime) -> tuple[list[QueryBatch], list[Feed]]:
    """Batches whose queries have at most `longest` characters, and the feeds that are better asked for one by one.

    A search has one since_id for all, so feeds go together that were last seen at about the same time: at most one post
    in a hundred is to be shown twice. What was last seen before `reach` cannot be searched for.
    """
    earliest = id_at(reach)
    batches: list[QueryBatch] = []
    alone: list[Feed] = []
    for feed in sorted(feeds, key=lambda feed: -(feed.seen_id or 0)):
        if feed.seen_id is None or feed.newest_id is None or feed.seen_id < earliest:
            alone.append(feed)
            continue
        if batches and _fits(batches[-1], feed, longest):
            batches[-1].feeds.append(feed)
            batches[-1].since_id = feed.seen_id
        else:
            batches.append(QueryBatch([feed], feed.seen_id))
    alone += [batch.feeds[0] for batch in batches if len(batch.feeds) == 1]
    return [batch for batch in batches if len(batch.feeds) > 1], alone


def _fits(batch: QueryBatch, feed: Feed, longest: int) -> bool:
    """Whether a feed can be added to a batch."""
    assert feed.seen_id is not None
    if len(batch.query) + len(" OR ") + len(_term(feed)) > longest:
        return False
    return _shown_twice(batch.feeds, feed.seen_id) <= max(0.002 * _pace(batch.feeds), 0.05)


def _shown_twice(feeds: Sequence[Feed], since_id: int) -> float:
    """How many posts are expected between a search's since_id and where each feed was last seen."""
    days = (((feed.seen_id or 0) - since_id) / (86_400_000 << 22) for feed in feeds)
    return sum((feed.posts_per_day or 0.0) * gap for feed, gap in zip(feeds, days, strict=True))


def _pace(feeds: Sequence[Feed]) -> float:
    """Posts a day of all feeds together."""
    return sum(feed.posts_per_day or 0.0 for feed in feeds)


def note_found(feed: Feed, newest_id: int | None, seen_at: datetime, seen_id: int | None) -> None:
    """Note what a batched search has found of one of its feeds.

    A search shows no retweets, and perhaps not everything else: where its timeline goes on stays as it is.
    """
    feed.pages += 1
    highest = settled(newest_id, seen_at) if newest_id else 0
    feed.seen_id = max(highest, seen_id or 0, feed.seen_id or 0) or None
