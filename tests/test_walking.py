"""How feeds are walked: whatever is interrupted, every post is read, and none twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from chancrawl import walking
from chancrawl.items import Feed, Tweet
from chancrawl.twitter import Page, id_at, time_of
from chancrawl.walking import Wants

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(minutes: float) -> int:
    """An id of so many minutes ago."""
    return id_at(NOW - timedelta(minutes=minutes))


class Timeline:
    """A timeline with the ids of its posts, served as X does; and how often each was served."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = sorted(ids)
        self.served: list[int] = []

    def page(self, asked: dict[str, str], token: str | None, size: int) -> Page:
        since, until = int(asked.get("since_id", "0")), int(token or asked.get("until_id", str(2**63)))
        start = id_at(datetime.fromisoformat(asked["start_time"])) if "start_time" in asked else 0
        shown = [number for number in self.ids if max(since + 1, start) <= number < until][::-1]
        page, rest = shown[: min(size, int(asked["max_results"]))], shown[min(size, int(asked["max_results"])) :]
        self.served += page
        tweets = [Tweet(number, 1, "a", time_of(number)) for number in page]
        return Page(tweets, {}, str(page[-1]) if rest else None)


def walk(
    timeline: Timeline, feed: Feed, wants: Wants, stored: set[int], size: int = 3, stop_after: int = 10**6
) -> Feed:
    """One visit; it may be cut off after so many pages. What is returned is what was committed."""
    begun = False
    while True:
        if feed.next_token is None and not (begun and feed.walk_until_id is not None):
            walking.begin(feed)
        begun = True
        page = timeline.page(walking.parameters(feed, wants, 1), feed.next_token, size)
        stored |= {tweet.id for tweet in page.tweets}
        goes_on = walking.advance(feed, page, wants, NOW, None)
        stop_after -= 1
        if stop_after <= 0:
            return replace(feed)
        if not goes_on and not walking.begin_older(feed, wants):
            return replace(feed)


ages = st.lists(st.integers(1, 10_000), min_size=1, max_size=40, unique=True)


@settings(max_examples=60)
@given(ages, ages, st.integers(1, 6), st.lists(st.integers(1, 5), max_size=6))
def test_every_post_is_read_once_however_often_it_is_cut_off(
    old: list[int], new: list[int], size: int, cuts: list[int]
) -> None:
    timeline = Timeline([at(20_000 + minutes) for minutes in old])
    feed, stored = Feed("timeline:1"), set[int]()
    for cut in cuts:
        feed = walk(timeline, feed, Wants(), stored, size, cut)
    feed = walk(timeline, feed, Wants(), stored, size)
    timeline.ids = sorted(timeline.ids + [at(minutes) for minutes in new])
    for cut in [*cuts, 10**6, 10**6]:
        feed = walk(timeline, feed, Wants(), stored, size, cut)
    assert stored == set(timeline.ids)
    assert len(timeline.served) == len(set(timeline.served))
    assert feed.newest_id == timeline.ids[-1] and feed.oldest_id == timeline.ids[0]
    assert feed.complete_since == walking.EPOCH and feed.posts == len(stored)


@settings(max_examples=60)
@given(ages, st.lists(st.integers(1, 45), min_size=1, max_size=4))
def test_more_is_read_when_more_is_wanted(old: list[int], limits: list[int]) -> None:
    timeline = Timeline([at(minutes) for minutes in old])
    feed, stored = Feed("timeline:1"), set[int]()
    for number, limit in enumerate(limits, 1):
        feed = walk(timeline, feed, Wants(limit=limit), stored)
        assert stored == set(timeline.ids[-max(limits[:number]) :])
    walk(timeline, feed, Wants(), stored)
    assert stored == set(timeline.ids) and len(timeline.served) == len(stored)


def test_nothing_below_is_asked_for_once() -> None:
    timeline = Timeline([at(minutes) for minutes in range(10, 60, 10)])
    feed, stored = Feed("timeline:1"), set[int]()
    feed = walk(timeline, feed, Wants(limit=3), stored)
    timeline.ids = [number for number in timeline.ids if number in stored]  # the rest was deleted
    feed = walk(timeline, feed, Wants(), stored)
    assert feed.complete_since == walking.EPOCH and not walking.begin_older(feed, Wants())


def test_since_then_further_back() -> None:
    timeline = Timeline([at(minutes) for minutes in range(10, 1000, 10)])
    feed, stored = Feed("timeline:1"), set[int]()
    feed = walk(timeline, feed, Wants(since=NOW - timedelta(minutes=305)), stored)
    assert stored == set(timeline.ids[-30:])
    feed = walk(timeline, feed, Wants(since=NOW - timedelta(minutes=205)), stored)
    assert len(stored) == 30
    walk(timeline, feed, Wants(), stored)
    assert stored == set(timeline.ids) and len(timeline.served) == len(stored)


def test_what_has_only_just_appeared_is_asked_for_once_more() -> None:
    timeline = Timeline([at(minutes) for minutes in (0.05, 1, 2)])  # three seconds old
    feed, stored = Feed("timeline:1"), set[int]()
    feed = walk(timeline, feed, Wants(), stored)
    late = at(0.1)  # six seconds old, and not shown until now
    timeline.ids = sorted([*timeline.ids, late])
    walk(timeline, feed, Wants(), stored)
    assert late in stored


def test_ids_of_another_making_do() -> None:
    timeline = Timeline([1001, 1002, 1003])
    feed, stored = Feed("timeline:1"), set[int]()
    feed = walk(timeline, feed, Wants(), stored)
    timeline.ids.append(1004)
    walk(timeline, feed, Wants(), stored)
    assert stored == {1001, 1002, 1003, 1004} and len(timeline.served) == 4


def test_a_bound_for_each_visit_leaves_the_gap() -> None:
    wants = Wants(limit=3, each_visit=True)
    timeline = Timeline([at(minutes) for minutes in range(100, 130)])
    feed, stored = Feed("search:x"), set[int]()
    feed = walk(timeline, feed, wants, stored)
    timeline.ids += [at(minutes) for minutes in range(99, 80, -1)]
    walk(timeline, feed, wants, stored)
    assert stored == set(timeline.ids[-3:]) | {at(minutes) for minutes in range(100, 103)}


def feed_seen(number: int, minutes_ago: float, pace: float) -> Feed:
    return Feed(f"timeline:{number}", at(minutes_ago + 5), at(minutes_ago), posts_per_day=pace)


def test_packs_hold_as_many_as_fit_and_show_little_twice() -> None:
    feeds = [feed_seen(10**17 + number, 360 + number / 100, 26) for number in range(280)]
    packs, alone = walking.pack(feeds, 512, walking.search_reach(NOW))
    assert alone == [] and len(packs) < 20
    assert sorted(feed.feed for pack in packs for feed in pack.feeds) == sorted(feed.feed for feed in feeds)
    for pack in packs:
        assert len(pack.query) <= 512 and all(pack.since_id <= (feed.seen_id or 0) for feed in pack.feeds)


def test_what_was_seen_too_long_ago_or_never_is_not_searched_for() -> None:
    never, long_ago, busy = Feed("timeline:1"), feed_seen(2, 8 * 1440, 3), feed_seen(3, 10, 500)
    packs, alone = walking.pack([never, long_ago, busy, feed_seen(4, 5000, 1)], 512, walking.search_reach(NOW))
    assert packs == [] and len(alone) == 4


def test_visits_go_by_the_pace() -> None:
    quarter = timedelta(minutes=15)
    assert walking.interval(Feed("timeline:1", posts_per_day=1000), quarter) == quarter
    assert walking.interval(Feed("timeline:1", posts_per_day=2), quarter) == timedelta(hours=12)
    assert walking.interval(Feed("timeline:1"), quarter) == timedelta(days=1)
