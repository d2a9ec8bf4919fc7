"""The coverage of a board with hours that were computed before is the coverage computed from its posts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chancrawl.imageboards.coverage import BoardPoll, Coverage, HeldPost, account
from chancrawl.imageboards.stored_coverage import EPOCH, POSTS, coverage_of, keep, out_of_date
from chancrawl.items import Deletion, Poll, Post
from chancrawl.storage.base import Store
from tests.support.items import START
from tests.support.items import post as any_post

NOW = START + timedelta(hours=12)
ALL_POSTS = "SELECT no, {}, {}, CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END FROM posts ORDER BY no"


def post(no: int, minute: float, delay: int = 3, board: str = "po") -> Post:
    posted = START + timedelta(minutes=minute)
    seen = posted + timedelta(seconds=delay)
    return replace(any_post(no, str(no)), board=board, posted_at=posted, first_seen_at=seen, last_seen_at=seen)


def poll(minute: float, newest_no: int | None, gap: float | None = 30.0) -> Poll:
    return Poll("po", START + timedelta(minutes=minute), newest_no, 5, 2, gap)


def keep_all(store: Store, now: datetime = NOW) -> int:
    return sum(keep(store, "po", start, end, now) for start, end in out_of_date(store, "po", now=now))


def whole(store: Store, polls: list[Poll]) -> Coverage:
    """The coverage of all posts of the store."""
    sql = ALL_POSTS.format(store.sql_seconds.format("posted_at"), store.sql_seconds.format("first_seen_at"))
    return account(
        map(HeldPost._make, store.rows(sql)), [BoardPoll(p.polled_at, p.newest_no, p.longest_gap) for p in polls]
    )


class Counting:
    """A store that counts how many posts are read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.posts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        for row in self.store.stream(sql, *parameters):
            self.posts += sql.endswith(POSTS.splitlines()[-1] + "\n")
            yield row


def test_hours_that_are_kept_are_not_read_again(either: Store) -> None:
    polls = [poll(30, 10), poll(700, 800)]
    either.take_in([*polls, *(post(no, no) for no in range(11, 700, 2))])
    expected = whole(either, polls)
    counting: Any = Counting(either)
    assert coverage_of(counting, "po") == expected and counting.posts > 330
    assert keep_all(either) >= 8 and keep_all(either) == 0
    counting.posts = 0
    assert coverage_of(counting, "po") == expected and counting.posts < 200
    part = coverage_of(either, "po", START + timedelta(hours=3), START + timedelta(hours=5))
    assert [hour for hour in expected.hours if 3 <= hour.start.hour < 5] == [
        hour for hour in part.hours if 3 <= hour.start.hour < 5
    ]


def test_a_stretch_that_begins_within_an_hour_has_the_whole_hour(either: Store) -> None:
    polls = [poll(30, 10), poll(700, 800)]
    either.take_in([*polls, *(post(no, no) for no in range(11, 700) if not 240 <= no < 300)])
    keep_all(either)
    found = coverage_of(either, "po", START + timedelta(hours=3, minutes=30))
    assert [hour.start.hour for hour in found.hours if hour.held] == [3, 5, 6, 7, 8, 9, 10, 11]


def test_a_changed_hour_is_kept_anew(either: Store) -> None:
    polls = [poll(30, 10), poll(700, 800)]
    either.take_in([*polls, *(post(no, no) for no in range(11, 700, 2))])
    keep_all(either)
    either.take_in([post(300, 300)])
    assert out_of_date(either, "po", now=NOW) == [(START + timedelta(hours=5), START + timedelta(hours=6))]
    assert coverage_of(either, "po") == whole(either, polls)
    assert keep_all(either) == 3
    assert out_of_date(either, "po", now=NOW) == []


def test_nothing_is_kept_of_a_board_that_is_not_followed_nor_of_recent_hours(either: Store) -> None:
    either.take_in([post(no, no) for no in range(11, 700)])
    assert keep_all(either) == 0
    either.take_in([poll(30, 10), poll(700, 800)])
    assert out_of_date(either, "po", now=START + timedelta(hours=3, minutes=59)) == []
    (first,) = out_of_date(either, "po", now=START + timedelta(hours=4))
    assert first == (START + timedelta(hours=1), START + timedelta(hours=2))
    assert out_of_date(either, "po", since=START + timedelta(hours=9), now=NOW)[0][0] == START + timedelta(hours=9)


def test_long_stretches_are_kept_in_pieces(either: Store) -> None:
    polls = [poll(0, 1)]
    either.take_in([*polls, *(post(2 + hour, 60 * hour) for hour in range(100))])
    stretches = out_of_date(either, "po", now=START + timedelta(hours=200))
    assert len(stretches) == 5 and all(end - start <= timedelta(hours=24) for start, end in stretches)
    assert keep_all(either, START + timedelta(hours=200)) >= 99
    assert coverage_of(either, "po") == whole(either, polls)


minutes = st.integers(-90, 9 * 60)
numbers = st.integers(1, 200)
steps = st.lists(
    st.one_of(
        st.just(("keep", 0, 0)),
        st.tuples(st.just("post"), numbers, st.integers(-70, 70)),
        st.tuples(st.just("delete"), numbers, st.just(0)),
        st.tuples(st.just("remove"), numbers, st.just(0)),
        st.tuples(st.just("earlier"), numbers, st.just(0)),
        st.tuples(st.just("poll"), minutes, st.integers(0, 210)),
    ),
    max_size=25,
)


def test_any_history_has_the_coverage_of_its_posts(either: Store) -> None:
    """Numbers rise with time, except within about a minute here; posts come late, are deleted, and are removed."""

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sets(numbers, max_size=60), steps)
    def same(first: set[int], history: list[tuple[str, int, int]]) -> None:
        tables = ("posts", "board_polls", "board_hours", "board_coverage")
        either.write((f"DELETE FROM {table}", ()) for table in tables)
        polls = {0: poll(0, 20), 560: poll(560, 180)}
        either.take_in([*polls.values(), *(post(no, 3 * no) for no in sorted(first))])
        for what, number, other in history:
            if what == "keep":
                keep_all(either)
            elif what == "post":
                either.take_in([post(number, 3 * number + other / 60)])
            elif what == "delete":
                at = START + timedelta(hours=11)
                either.take_in([Deletion("po", 5, number, START, at, None)])
            elif what == "remove":
                either.write([("DELETE FROM posts WHERE no = ?", (number,))])
            elif what == "earlier":
                either.write([("UPDATE posts SET first_seen_at = posted_at WHERE no = ?", (number,))])
            elif number > 0 and number not in polls:
                polls[number] = poll(number, other)
                either.take_in([polls[number]])
        assert coverage_of(either, "po") == whole(either, [polls[minute] for minute in sorted(polls)])

    same()


def test_the_epoch_is_before_all_posts() -> None:
    assert EPOCH.timestamp() == 0 and EPOCH.tzinfo is UTC
