"""How feeds are walked: whatever is interrupted or spoilt, every post is read, and no more is claimed than was read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chancrawl.items import Feed, Gap, Tweet
from chancrawl.payload import Malformed
from chancrawl.x import pagination
from chancrawl.x.api import SEARCH, TIMELINE, Endpoint, account_of_feed, id_at, time_of
from chancrawl.x.pace import TIMELINE_EVERY, interval, wants_timeline
from chancrawl.x.pagination import EPOCH, Again, Done, FeedPager, GiveUp, GoOn, Wants
from chancrawl.x.payloads import Page, parse_page
from chancrawl.x.query_batches import batch_queries, note_found

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ENDLESS = Endpoint(name="timeline", path="/2/users/{}/tweets", bills="posts", page_size=100)
"""A timeline that shows everything."""


def search_reach(now: datetime) -> datetime:
    reach = SEARCH.reach(now)
    assert reach is not None
    return reach


def at(minutes: float) -> int:
    """An id of so many minutes ago."""
    return id_at(NOW - timedelta(minutes=minutes))


# --- without trouble: who is interrupted, what is wanted


class Timeline:
    """A timeline with the ids of its posts, served as X does; and how often each was served."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = sorted(ids)
        self.served: list[int] = []

    def page(self, asked: dict[str, str], size: int) -> Page:
        since = int(asked.get("since_id", "0"))
        until = int(asked.get("pagination_token") or asked.get("next_token") or asked.get("until_id", str(2**63)))
        start = id_at(datetime.fromisoformat(asked["start_time"])) if "start_time" in asked else 0
        shown = [number for number in self.ids if max(since + 1, start) <= number < until][::-1]
        size = min(size, int(asked["max_results"]))
        page, rest = shown[:size], shown[size:]
        self.served += page
        return Page([Tweet(number, 1, "a", time_of(number)) for number in page], {}, str(page[-1]) if rest else None)


def read_through(
    timeline: Timeline, feed: Feed, wants: Wants, stored: set[int], size: int = 3, stop_after: int = 10**6
) -> Feed:
    """One visit; it may be cut off after so many pages. What is returned is what was committed."""
    pager = FeedPager(feed, ENDLESS, wants)
    for _ in range(10_000):
        page = timeline.page(pager.ask(NOW), size)
        step = pager.take(page, NOW)
        stored |= {tweet.id for tweet in page.tweets}
        stop_after -= 1
        if stop_after <= 0 or (isinstance(step, Done) and not pager.begin_older(NOW)):
            return replace(feed)
    raise AssertionError("it never ends")


ages = st.lists(st.integers(1, 10_000), min_size=1, max_size=40, unique=True)


@settings(max_examples=60)
@given(ages, ages, st.integers(1, 6), st.lists(st.integers(1, 5), max_size=6))
def test_every_post_is_read_once_however_often_it_is_cut_off(
    old: list[int], new: list[int], size: int, cuts: list[int]
) -> None:
    timeline = Timeline([at(20_000 + minutes) for minutes in old])
    feed, stored = Feed("timeline:1"), set[int]()
    for cut in cuts:
        feed = read_through(timeline, feed, Wants(), stored, size, cut)
    feed = read_through(timeline, feed, Wants(), stored, size)
    timeline.ids = sorted(timeline.ids + [at(minutes) for minutes in new])
    for cut in [*cuts, 10**6, 10**6]:
        feed = read_through(timeline, feed, Wants(), stored, size, cut)
    assert stored == set(timeline.ids)
    assert len(timeline.served) == len(set(timeline.served))
    assert feed.newest_id == timeline.ids[-1] and feed.oldest_id == timeline.ids[0]
    assert feed.complete_since == pagination.EPOCH and feed.posts == len(stored)


@settings(max_examples=60)
@given(ages, st.lists(st.integers(1, 45), min_size=1, max_size=4))
def test_more_is_read_when_more_is_wanted(old: list[int], limits: list[int]) -> None:
    timeline = Timeline([at(minutes) for minutes in old])
    feed, stored = Feed("timeline:1"), set[int]()
    for number, limit in enumerate(limits, 1):
        feed = read_through(timeline, feed, Wants(limit=limit), stored)
        assert stored == set(timeline.ids[-max(limits[:number]) :])
    read_through(timeline, feed, Wants(), stored)
    assert stored == set(timeline.ids) and len(timeline.served) == len(stored)


def test_nothing_below_is_asked_for_once() -> None:
    timeline = Timeline([at(minutes) for minutes in range(10, 60, 10)])
    feed, stored = Feed("timeline:1"), set[int]()
    feed = read_through(timeline, feed, Wants(limit=3), stored)
    timeline.ids = [number for number in timeline.ids if number in stored]  # the rest was deleted
    pager = FeedPager(feed, ENDLESS, Wants())
    assert pager.begin_older(NOW)
    steps = [pager.take(timeline.page(pager.ask(NOW), 3), NOW) for _ in range(pagination.EMPTY_CONFIRMED)]
    assert [type(step) for step in steps] == [*[Again] * (pagination.EMPTY_CONFIRMED - 1), Done]
    assert feed.complete_since == pagination.EPOCH and not pager.begin_older(NOW)


def test_since_then_further_back() -> None:
    timeline = Timeline([at(minutes) for minutes in range(10, 1000, 10)])
    feed, stored = Feed("timeline:1"), set[int]()
    feed = read_through(timeline, feed, Wants(since=NOW - timedelta(minutes=305)), stored)
    assert stored == set(timeline.ids[-30:])
    feed = read_through(timeline, feed, Wants(since=NOW - timedelta(minutes=205)), stored)
    assert len(stored) == 30
    read_through(timeline, feed, Wants(), stored)
    assert stored == set(timeline.ids) and len(timeline.served) == len(stored)


def test_what_has_only_just_appeared_is_asked_for_once_more() -> None:
    timeline = Timeline([at(minutes) for minutes in (0.05, 1, 2)])  # three seconds old
    feed, stored = Feed("timeline:1"), set[int]()
    feed = read_through(timeline, feed, Wants(), stored)
    late = at(0.1)  # six seconds old, and not shown until now
    timeline.ids = sorted([*timeline.ids, late])
    read_through(timeline, feed, Wants(), stored)
    assert late in stored


def test_non_snowflake_ids_are_accepted() -> None:
    timeline = Timeline([1001, 1002, 1003])
    feed, stored = Feed("timeline:1"), set[int]()
    feed = read_through(timeline, feed, Wants(), stored)
    timeline.ids.append(1004)
    read_through(timeline, feed, Wants(), stored)
    assert stored == {1001, 1002, 1003, 1004} and len(timeline.served) == 4


def test_a_bound_for_each_visit_leaves_a_gap_on_record() -> None:
    wants = Wants(limit=3, each_visit=True)
    timeline = Timeline([at(minutes) for minutes in range(100, 130)])
    feed, stored = Feed("search:x"), set[int]()
    feed = read_through(timeline, feed, wants, stored)
    timeline.ids += [at(minutes) for minutes in range(99, 80, -1)]
    pager = FeedPager(feed, ENDLESS, wants)
    page = timeline.page(pager.ask(NOW), 3)
    stored |= {tweet.id for tweet in page.tweets}
    step = pager.take(page, NOW)
    assert isinstance(step, Done)
    (gap,) = step.gaps
    assert (gap.after_id, gap.before_id, gap.reason) == (at(100), at(83), "limit")
    assert feed.complete_since == time_of(at(83))
    assert stored == set(timeline.ids[-3:]) | {at(minutes) for minutes in range(100, 103)}


def test_a_smallest_page_that_has_more_than_is_wanted_is_cut() -> None:
    feed = Feed("search:x")
    pager = FeedPager(feed, SEARCH, Wants(limit=5))
    asked = pager.ask(NOW)
    assert asked["max_results"] == "10"
    page = Page([Tweet(at(minutes), 1, "a", None) for minutes in range(1, 11)], {}, "more")
    assert isinstance(pager.take(page, NOW), Done)
    assert [tweet.id for tweet in page.tweets] == [at(minutes) for minutes in range(1, 6)]
    assert feed.posts == 5 and feed.complete_since == time_of(at(5))


@pytest.mark.parametrize("year, start", [(2009, "2010-11-06T00:00:00Z"), (2020, "2020-01-01T00:00:00Z")])
def test_x_knows_no_start_before_november_2010(year: int, start: str) -> None:
    asked = FeedPager(Feed("timeline:1"), TIMELINE, Wants(since=datetime(year, 1, 1, tzinfo=UTC))).ask(NOW)
    assert asked["start_time"] == start


def test_a_search_is_complete_back_to_where_searches_reach() -> None:
    feed, stored = Feed("search:x"), set[int]()
    timeline = Timeline([at(minutes) for minutes in (5, 500, 5000)])
    search = FeedPager(feed, SEARCH, Wants())
    page = timeline.page(search.ask(NOW), 100)
    assert search.take(page, NOW) == Done()
    assert feed.complete_since == search_reach(NOW).replace(microsecond=0)
    stored |= {tweet.id for tweet in page.tweets}
    later = NOW + timedelta(days=10)
    again = FeedPager(feed, SEARCH, Wants())
    timeline.ids.append(id_at(later - timedelta(hours=1)))
    step = again.take(timeline.page(again.ask(later), 100), later)
    assert isinstance(step, Done)
    (gap,) = step.gaps
    assert (gap.after_id, gap.reason) == (at(5), "reach")
    assert gap.starts_at == time_of(at(5)) and gap.ends_at == search_reach(later)
    assert feed.complete_since == search_reach(later)


# --- an API that is spoilt in every way

SPOILS = (
    "error code34 unavailable empty no_meta circle bad_token torn reordered duplicated same_page barren malformed"
).split()


@dataclass
class Spoilt:
    """A feed whose answers go wrong as X's do: `spoils` says how, one answer after the other; then it is well."""

    endpoint: Endpoint
    size: int
    spoils: Iterator[str]
    ids: list[int] = field(default_factory=list)
    shown: set[int] = field(default_factory=set)
    now: datetime = NOW
    last: Any = None
    empties: int = 0
    tells_total: bool = False
    walked: set[int] = field(default_factory=set)
    """Posts of pages that were taken for what they are: not those of a torn page, which is asked for again."""

    def reachable(self) -> list[int]:
        if self.endpoint.reach_posts is not None:
            return self.ids[-self.endpoint.reach_posts :]
        floor = id_at(self.now - timedelta(days=7))
        return [number for number in self.ids if number >= floor]

    def answer(self, asked: dict[str, str]) -> Any:
        """The payload; Malformed for an answer that never becomes one."""
        since = int(asked.get("since_id", "0"))
        until = int(asked.get("until_id", str(2**63)))
        token = asked.get(self.endpoint.page_token_parameter)
        if token is not None:
            if not token.startswith("t"):
                raise Malformed("a wrong token")
            until = min(until, int(token.removeprefix("t").partition("x")[0]))
        shown = [number for number in self.reachable() if since < number < until][::-1]
        page, rest = shown[: self.size], shown[self.size :]
        meta: dict[str, Any] = {"result_count": len(page)}
        if rest:
            meta["next_token"] = f"t{page[-1]}"
        payload: Any = {"data": [{"id": str(number), "text": "x"} for number in page], "meta": meta}
        if not page:
            payload = {"meta": meta}
        elif self.tells_total:
            author = {"id": "1", "username": "a", "public_metrics": {"tweet_count": len(self.ids)}}
            payload["includes"] = {"users": [author]}
        payload = self.spoil(next(self.spoils, ""), payload, token)
        self.shown |= {int(post["id"]) for post in payload.get("data", [])}
        return payload

    def spoil(self, how: str, payload: Any, token: str | None) -> Any:
        data, meta = payload.get("data", []), payload["meta"]
        if how == "empty" and self.empties >= 2:
            how = ""  # so often that nobody could tell it from the truth
        self.empties = self.empties + 1 if how == "empty" else 0
        match how:
            case "error" | "malformed":
                raise Malformed("503, or a page in HTML")
            case "code34":
                return {"errors": [{"message": "Sorry, that page does not exist", "code": 34}]}
            case "unavailable":
                return {"errors": [{"title": "Service Unavailable", "status": 503}]}
            case "empty":
                return {"meta": {"result_count": 0}}
            case "no_meta" if data:
                return {"data": data}
            case "circle":
                return payload | {"meta": meta | {"next_token": token or "t1x"}}
            case "bad_token":
                return payload | {"meta": meta | {"next_token": "\ud800"}}
            case "torn" if data:
                return payload | {"data": data[: len(data) // 2]}
            case "reordered":
                return payload | {"data": data[::-1]}
            case "duplicated" if data:
                doubled = [post for post in data for _ in range(2)]
                return payload | {"data": doubled, "meta": meta | {"result_count": len(doubled)}}
            case "same_page" if self.last is not None and self.last.get("data"):
                return self.last
            case "barren":
                return {"meta": {"result_count": 0, "next_token": f"{token or f't{2**62}'}x"}}
        self.last = payload
        return payload


def visit(api: Spoilt, feed: Feed, stored: set[int], gaps: list[Gap], wants: Wants, cut: int = 10**6) -> Feed:
    """One visit. What is returned is what was committed: a crawl may be cut off after so many answers."""
    pager = FeedPager(replace(feed), api.endpoint, wants)
    committed = feed
    for _ in range(5000):
        asked = pager.ask(api.now)
        step: pagination.Step
        try:
            page = parse_page(json.loads(json.dumps(api.answer(asked))), feed.feed, api.now)
        except Malformed as error:
            step = pager.again(str(error))
        else:
            pages = pager.feed.pages
            step = pager.take(page, api.now)
            stored |= {tweet.id for tweet in page.tweets}
            if not isinstance(step, Again):
                committed = replace(pager.feed)
            if pager.feed.pages > pages:
                api.walked |= {tweet.id for tweet in page.tweets}
        if isinstance(step, Done):
            gaps += step.gaps
        cut -= 1
        if cut <= 0 or isinstance(step, GiveUp) or (isinstance(step, Done) and not pager.begin_older(api.now)):
            return committed
        assert isinstance(step, GoOn | Done | Again)
    raise AssertionError("it never ends")


def assert_honest(api: Spoilt, feed: Feed, stored: set[int], gaps: list[Gap]) -> None:
    """What is said to be complete is; what is missing is on record; and nothing that was read counts as missing."""
    for gap in gaps:
        assert gap.after_id < gap.before_id
        assert not [number for number in api.walked if gap.after_id < number < gap.before_id], "a gap that was read"
    if feed.complete_since is None or feed.newest_id is None:
        return
    for number in api.ids:
        if number in stored or number > feed.newest_id:
            continue
        time = time_of(number)
        assert time is not None
        is_gap = any(gap.after_id < number < gap.before_id for gap in gaps)
        assert is_gap or time < feed.complete_since, f"{number} is missing, and nothing says so"
        assert not is_gap or time < feed.complete_since, "complete_since reaches behind a gap"


rounds = st.lists(
    st.tuples(
        st.integers(0, 45),  # new posts
        st.integers(1, 20 * 1440),  # minutes since the last visit
        st.lists(st.sampled_from(["", "", *SPOILS]), max_size=12),
        st.integers(1, 12) | st.just(10**6),  # answers after which the crawl is killed
    ),
    min_size=1,
    max_size=5,
)
KINDS: dict[str, Endpoint] = {"timeline": replace(TIMELINE, reach_posts=60), "search": SEARCH}


@example("search", [(2, 1, ["", "same_page", "empty", "empty", "error", "empty"], 10**6)], 1, False)
@settings(max_examples=1500)
@given(st.sampled_from(sorted(KINDS)), rounds, st.integers(1, 9), st.booleans())
def test_whatever_is_spoilt_all_is_read_and_no_more_is_claimed(
    kind: str, visits: Any, size: int, tells_total: bool
) -> None:
    api = Spoilt(KINDS[kind], size, iter(()), tells_total=tells_total)
    feed, stored = Feed(f"{kind}:1"), set[int]()
    gaps: list[Gap] = []
    wants = Wants()
    for new, minutes, spoils, cut in visits:
        begin = api.now
        api.now = begin + timedelta(minutes=minutes)
        step = (api.now - begin - timedelta(seconds=20)) / (new + 1)
        api.ids += [id_at(begin + step * (place + 1)) | place for place in range(new)]
        api.ids = sorted(set(api.ids))
        api.spoils = iter(spoils)
        feed = visit(api, feed, stored, gaps, wants, cut)
        assert_honest(api, feed, stored, gaps)
    api.spoils = iter(())
    floor = id_at(search_reach(api.now)) if kind == "search" else 0  # what is about to fall out may be lost
    could_be_read = {number for number in api.reachable() if number > floor}
    for _ in range(3):  # the service is well again
        feed = visit(api, feed, stored, gaps, wants)
    assert_honest(api, feed, stored, gaps)
    assert api.shown >= could_be_read and stored >= api.shown
    assert not pagination.is_under_way(feed)


# --- packed searches


@settings(max_examples=1500)
@given(
    st.lists(
        st.tuples(
            st.lists(st.booleans(), max_size=6),  # posts since, and whether each is a retweet
            st.integers(30, 3 * 1440),
            st.lists(st.sampled_from(["", *SPOILS]), max_size=6),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 5),
)
def test_packed_searches_and_timelines_together_miss_no_retweet(rounds_: Any, size: int) -> None:
    """A search shows no retweets: the timeline, which is read in time, starts where a timeline was read last."""
    timeline = Spoilt(TIMELINE, size, iter(()))
    search = Spoilt(SEARCH, size, iter(()))
    feed, stored = Feed("timeline:1"), set[int]()
    gaps: list[Gap] = []
    feed = visit(timeline, feed, stored, gaps, Wants())
    feed.timeline_at = timeline.now
    for posts, minutes, spoils in rounds_:
        begin = timeline.now
        timeline.now = search.now = begin + timedelta(minutes=minutes)
        for place, is_retweet in enumerate(posts):
            number = id_at(begin + timedelta(minutes=minutes) * (place + 1) / (len(posts) + 2)) | place
            timeline.ids.append(number)
            if not is_retweet:
                search.ids.append(number)
        timeline.ids.sort()
        if feed.seen_id is not None and feed.newest_id is not None and not wants_timeline(feed, timeline.now):
            search.spoils = iter(spoils)
            packed = Feed("search:batch", newest_id=feed.seen_id)
            before, found = packed.pages, set[int]()
            committed = visit(search, packed, found, gaps, Wants())
            stored |= found
            if not pagination.is_under_way(committed) and committed.pages > before:
                note_found(feed, max(found, default=None), search.now, None)
        else:
            timeline.spoils = iter(spoils)
            feed = visit(timeline, feed, stored, gaps, Wants())
            timeline.spoils = iter(())
            feed = visit(timeline, feed, stored, gaps, Wants())
            assert stored == set(timeline.ids)
    timeline.now += TIMELINE_EVERY
    assert feed.newest_id is None or wants_timeline(feed, timeline.now)
    feed = visit(timeline, feed, stored, gaps, Wants())
    assert stored == set(timeline.ids)


def feed_seen(number: int, minutes_ago: float, pace: float) -> Feed:
    return Feed(f"timeline:{number}", at(minutes_ago + 5), at(minutes_ago), posts_per_day=pace)


def test_batches_hold_as_many_as_fit_and_show_little_twice() -> None:
    feeds = [feed_seen(10**17 + number, 360 + number / 100, 26) for number in range(280)]
    batches, alone = batch_queries(feeds, 512, search_reach(NOW))
    assert alone == [] and len(batches) < 20
    assert sorted(feed.feed for batch in batches for feed in batch.feeds) == sorted(feed.feed for feed in feeds)
    for batch in batches:
        assert len(batch.query) <= 512 and all(batch.since_id <= (feed.seen_id or 0) for feed in batch.feeds)


def test_what_was_seen_too_long_ago_or_never_is_not_searched_for() -> None:
    never, long_ago, busy = Feed("timeline:1"), feed_seen(2, 8 * 1440, 3), feed_seen(3, 10, 500)
    batches, alone = batch_queries([never, long_ago, busy, feed_seen(4, 5000, 1)], 512, search_reach(NOW))
    assert batches == [] and len(alone) == 4


def test_visits_go_by_the_pace() -> None:
    quarter = timedelta(minutes=15)
    assert interval(Feed("timeline:1", posts_per_day=1000), quarter) == quarter
    assert interval(Feed("timeline:1", posts_per_day=2), quarter) == timedelta(hours=12)
    assert interval(Feed("timeline:1"), quarter) == timedelta(days=1)


def test_a_timeline_that_was_cut_off_is_complete_back_to_its_oldest_post() -> None:
    api = Spoilt(replace(TIMELINE, reach_posts=60), 10, iter(()), [at(minutes) for minutes in range(100, 0, -1)])
    feed, stored = Feed("timeline:1"), set[int]()
    gaps: list[Gap] = []
    feed = visit(api, feed, stored, gaps, Wants())
    assert len(stored) == 60 and gaps == []
    assert feed.complete_since == time_of(at(60)) != EPOCH
    # and the next visit finds more than it can read
    api.now += timedelta(minutes=200)
    new = [id_at(NOW + timedelta(minutes=minutes)) for minutes in range(1, 151)]
    api.ids += new
    feed = visit(api, feed, stored, gaps, Wants())
    (gap,) = gaps
    assert (gap.after_id, gap.before_id, gap.reason) == (at(1), new[-60], "reach")
    assert feed.complete_since == time_of(new[-60])
    assert account_of_feed(feed) == 1
