"""How often an account posts, and when it is to be visited again. Sans I/O."""

from __future__ import annotations

from datetime import datetime, timedelta

from chancrawl.items import Feed
from chancrawl.x.api import time_of
from chancrawl.x.payloads import Page


def note_pace(feed: Feed, seen_at: datetime) -> None:
    """Set posts a day: the mean of what was expected and of what came since the last visit."""
    last = time_of(feed.seen_id or feed.walk_since_id or 0)
    if feed.walk_since_id is not None and last is not None and seen_at > last:
        feed.posts_per_day = _mean_pace(feed.posts_per_day, feed.walk_posts, seen_at - last)


def _mean_pace(before: float | None, posts: int, time: timedelta) -> float:
    pace = posts / max(time / timedelta(days=1), 1e-3)
    return pace if before is None else (before + pace) / 2


def pace_of(page: Page) -> float | None:
    """Posts a day, as the newest page shows them."""
    newest, oldest = time_of(page.newest_id or 0), time_of(page.oldest_id or 0)
    if newest is None or oldest is None or len(page.tweets) < 2:
        return None
    return len(page.tweets) / max((newest - oldest) / timedelta(days=1), 1e-3)


def interval(feed: Feed, shortest: timedelta, longest: timedelta = timedelta(days=1)) -> timedelta:
    """The time between two visits: until one new post is to be expected.

    >>> interval(Feed("timeline:1", posts_per_day=24), timedelta(minutes=15))
    datetime.timedelta(seconds=3600)
    """
    pace = feed.posts_per_day or 0.0
    expected = timedelta(days=1 / pace) if pace > 1e-3 else longest
    return max(min(expected, longest), shortest)


TIMELINE_EVERY = timedelta(days=7)
"""So often, at the least, is an account read by its own timeline that is otherwise read by searches."""


def wants_timeline(feed: Feed, now: datetime) -> bool:
    """Whether an account's own timeline is to be read, whatever a search finds.

    Since May 2026 searches show no retweets, and an account's count of posts does not prove that none was made: others
    may have been deleted. So the timeline is read once a week, and before half of what it can show has been posted.
    """
    if feed.timeline_at is None:
        return True
    days = (now - feed.timeline_at) / timedelta(days=1)
    return now - feed.timeline_at >= TIMELINE_EVERY or (feed.posts_per_day or 0.0) * days >= 1600
