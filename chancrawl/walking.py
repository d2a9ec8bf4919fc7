"""How a feed is read: what to ask for, what the answer means, when to come again, what fits into one search. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chancrawl.items import Feed
from chancrawl.twitter import PAGE, SEARCH_DAYS, Page, account_of_feed, id_at, time_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DISORDER = timedelta(seconds=10)
"""Ids are not strictly in the order in which posts appear: what is younger than this is asked for once more."""


@dataclass(frozen=True, slots=True)
class Wants:
    """How far back a feed is to be read: to a time, to a number of posts, or as far as it goes.

    `limit` is for all that was read of the feed, or for `each_visit`: then what lies between two visits is left out.
    """

    since: datetime | None = None
    limit: int | None = None
    each_visit: bool = False

    def left(self, feed: Feed) -> int | None:
        """Posts that the walk under way may still read; None: no bound. What is new is always read whole."""
        if self.limit is None or (feed.walk_since_id is not None and not self.each_visit):
            return None
        return self.limit - (feed.walk_posts if self.each_visit else feed.posts)


def begin(feed: Feed) -> None:
    """Set out from the top down to what is stored, or go on with the walk under way."""
    if feed.next_token is None:
        feed.walk_since_id = feed.newest_id


def begin_older(feed: Feed, wants: Wants, search_from: datetime | None = None) -> bool:
    """Set out downwards from the oldest post; False if no more is wanted than was read, or none can be had."""
    if search_from is not None and (feed.oldest_id or 0) <= id_at(search_from):
        return False
    if feed.newest_id is None or feed.oldest_id is None or feed.complete_since is None or wants.each_visit:
        return False
    wants_more = feed.posts < wants.limit if wants.limit is not None else True
    if not wants_more or feed.complete_since <= (wants.since or EPOCH):
        return False
    feed.walk_until_id = feed.oldest_id
    return True


def parameters(feed: Feed, wants: Wants, smallest: int, search_from: datetime | None = None) -> dict[str, str]:
    """What the next page of a walk is asked with, but for its token.

    `smallest` is the smallest page that the endpoint allows, `search_from` as far back as a search reaches.
    """
    left = wants.left(feed)
    asked = {"max_results": str(PAGE if left is None else max(min(left, PAGE), smallest))}
    if feed.walk_since_id is not None:
        since_id = feed.walk_since_id
        if search_from is not None:
            since_id = max(since_id, id_at(search_from))
        asked["since_id"] = str(since_id)
    elif wants.since is not None and (search_from is None or wants.since > search_from):
        asked["start_time"] = wants.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if feed.walk_until_id is not None:
        asked["until_id"] = str(feed.walk_until_id)
    return asked


def search_reach(now: datetime) -> datetime:
    """As far back as recent search goes, with a margin for the time under way."""
    return now - timedelta(days=SEARCH_DAYS) + timedelta(minutes=2)


def advance(feed: Feed, page: Page, wants: Wants, seen_at: datetime, seen_id: int | None) -> bool:
    """Take note of a page. True if the walk goes on at `feed.next_token`, False when it is whole."""
    is_backfill = feed.walk_since_id is None
    if feed.walk_newest_id is None and feed.walk_until_id is None:
        feed.walk_newest_id = max(page.newest_id or 0, feed.newest_id or 0) or None
        if is_backfill:
            feed.posts_per_day = _pace_of(page)
    feed.pages += 1
    feed.posts += len(page.tweets)
    feed.walk_posts += len(page.tweets)
    if page.oldest_id is not None:
        feed.walk_oldest_id = min(feed.walk_oldest_id or page.oldest_id, page.oldest_id)
        feed.oldest_id = min(feed.oldest_id or page.oldest_id, page.oldest_id)
    left = wants.left(feed)
    if page.next_token is not None and (left is None or left > 0):
        feed.next_token = page.next_token
        return True
    if is_backfill and feed.oldest_id is not None:
        oldest_at = time_of(feed.oldest_id) or EPOCH
        feed.complete_since = oldest_at if page.next_token is not None else wants.since or EPOCH
    _finish(feed, seen_at, seen_id)
    return False


def _finish(feed: Feed, seen_at: datetime, seen_id: int | None) -> None:
    if feed.walk_until_id is None:
        _note_pace(feed, seen_at)
        if feed.walk_newest_id is not None and feed.walk_newest_id != feed.newest_id:
            feed.newest_id = max(_settled(feed.walk_newest_id, seen_at), feed.newest_id or 0)
        feed.seen_id = max(feed.newest_id or 0, seen_id or 0, feed.seen_id or 0) or None
    stop(feed)


def found(feed: Feed, posts: int, newest_id: int | None, seen_at: datetime, seen_id: int | None) -> None:
    """Take note of what a search over several feeds has found of one."""
    begin(feed)
    feed.pages += 1
    feed.posts += posts
    feed.walk_posts = posts
    feed.walk_newest_id = max(newest_id or 0, feed.newest_id or 0) or None
    _finish(feed, seen_at, seen_id)


def stop(feed: Feed) -> None:
    """No walk is under way any more."""
    feed.next_token = feed.walk_since_id = feed.walk_until_id = feed.walk_newest_id = feed.walk_oldest_id = None
    feed.walk_posts = 0


def _settled(newest_id: int, seen_at: datetime) -> int:
    """The highest id below which nothing is still to appear."""
    time = time_of(newest_id)
    if time is None or seen_at - time > DISORDER or time - seen_at > timedelta(days=1):  # or ids of another making
        return newest_id
    return min(newest_id, id_at(seen_at - DISORDER))


def settled_id(highest_id: int) -> int:
    """An id seen somewhere says that its time has come: everything some seconds older has appeared."""
    return max(highest_id - (int(DISORDER.total_seconds() * 1000) << 22), 1)


def _note_pace(feed: Feed, seen_at: datetime) -> None:
    """Posts a day: half of what was thought, and half of what came since the last visit."""
    last = time_of(feed.seen_id or feed.walk_since_id or 0)
    if feed.walk_since_id is not None and last is not None and seen_at > last:
        pace = feed.walk_posts / max((seen_at - last) / timedelta(days=1), 1e-3)
        feed.posts_per_day = pace if feed.posts_per_day is None else (feed.posts_per_day + pace) / 2


def _pace_of(page: Page) -> float | None:
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


# --- several timelines in one search


@dataclass(slots=True)
class Pack:
    """Timelines that one search asks for together, from `since_id` on."""

    feeds: list[Feed]
    since_id: int

    @property
    def query(self) -> str:
        return " OR ".join(_term(feed) for feed in self.feeds)


def _term(feed: Feed) -> str:
    """By number, not by name: names change."""
    return f"from:{account_of_feed(feed)}"


def pack(feeds: Iterable[Feed], longest: int, reach: datetime) -> tuple[list[Pack], list[Feed]]:
    """Searches of at most `longest` characters, and the feeds that are better asked for one by one.

    A search has one since_id for all, so feeds go together that were last seen at about the same time: at most one post
    in a hundred is to be shown twice. What was last seen before `reach` cannot be searched for.
    """
    earliest = id_at(reach)
    packs: list[Pack] = []
    alone: list[Feed] = []
    for feed in sorted(feeds, key=lambda feed: -(feed.seen_id or 0)):
        if feed.seen_id is None or feed.newest_id is None or feed.seen_id < earliest:
            alone.append(feed)
            continue
        if packs and _fits(packs[-1], feed, longest):
            packs[-1].feeds.append(feed)
            packs[-1].since_id = feed.seen_id
        else:
            packs.append(Pack([feed], feed.seen_id))
    alone += [pack.feeds[0] for pack in packs if len(pack.feeds) == 1]
    return [pack for pack in packs if len(pack.feeds) > 1], alone


def _fits(pack: Pack, feed: Feed, longest: int) -> bool:
    assert feed.seen_id is not None
    if len(pack.query) + len(" OR ") + len(_term(feed)) > longest:
        return False
    return _shown_twice(pack.feeds, feed.seen_id) <= max(0.002 * _pace(pack.feeds), 0.05)


def _shown_twice(feeds: Sequence[Feed], since_id: int) -> float:
    """Posts to be expected between a search's since_id and where each feed was last seen."""
    days = (((feed.seen_id or 0) - since_id) / (86_400_000 << 22) for feed in feeds)
    return sum((feed.posts_per_day or 0.0) * gap for feed, gap in zip(feeds, days, strict=True))


def _pace(feeds: Sequence[Feed]) -> float:
    """Posts a day of all feeds together."""
    return sum(feed.posts_per_day or 0.0 for feed in feeds)
