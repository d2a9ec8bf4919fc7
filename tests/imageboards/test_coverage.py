from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from chancrawl.imageboards.coverage import BoardPoll, Coverage, HeldPost, account, between, by_day, thinned
from chancrawl.items import Poll

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def post(no: int, minute: float, delay: float = 3, deleted: bool = False) -> HeldPost:
    posted = int((NOON + timedelta(minutes=minute)).timestamp())
    return HeldPost(no, posted, posted + int(delay), deleted)


def poll(minute: float, newest_no: int | None, longest_gap: float | None = 30.0) -> BoardPoll:
    return BoardPoll(NOON + timedelta(minutes=minute), newest_no, longest_gap)


def test_account_counts_posts_and_missing_numbers() -> None:
    polls = [poll(1, 100, None), poll(2, 103), poll(70, 110)]
    posts = [post(99, 0.5), post(102, 2, delay=4), post(103, 2.5, deleted=True), post(107, 65, delay=60)]
    coverage = account(posts, polls)
    first, second = coverage.hours
    assert (first.issued, first.held, first.deleted, first.missing) == (3, 2, 1, [(101, 101)])
    assert (first.delay(0.5), first.delay(0.95)) == (3.0, 4.0)
    assert second.start == NOON + timedelta(hours=1)
    assert (second.issued, second.held, second.missing) == (7, 1, [(104, 106), (108, 110)])
    assert coverage.pauses == []


def test_pauses_between_and_within_crawls() -> None:
    polls = [poll(0, 1, None), poll(50, 1), poll(90, 1, None), poll(110, 1, 900.0)]
    coverage = account([], polls)
    assert [(end - start).total_seconds() / 60 for start, end in coverage.pauses] == [40, 15]
    assert [hour.unwatched.total_seconds() / 60 for hour in coverage.hours] == [10, 30 + 15]


def test_a_board_that_was_never_followed() -> None:
    """Passes over a board write no polls: the account begins with the oldest post."""
    coverage = account([post(5, -3000, delay=180000), post(9, 1), post(11, 2)], [])
    (hour,) = coverage.hours
    assert (hour.held, hour.missing) == (2, [(10, 10)])


def test_an_implausible_number_is_ignored() -> None:
    coverage = account([post(2, 1), post(2**63 - 1, 2), post(4, 3)], [poll(0, 1, None)])
    assert coverage.hours[0].missing == [(3, 3)]


def test_no_posts_and_no_polls() -> None:
    assert account([], []) == Coverage([], [])


@given(st.sets(st.integers(101, 400), max_size=60), st.integers(400, 420))
def test_every_number_is_held_or_missing(held: set[int], newest: int) -> None:
    posts = [post(no, no / 3) for no in sorted(held)]
    coverage = account(posts, [poll(0, 100, None), poll(200, newest)])
    missing = {no for hour in coverage.hours for first, last in hour.missing for no in range(first, last + 1)}
    assert not missing & held and missing | held == set(range(101, newest + 1))
    assert sum(hour.issued for hour in coverage.hours) == newest - 100


@given(
    st.dictionaries(st.integers(101, 900), st.booleans(), max_size=200),
    st.lists(st.integers(0, 40), max_size=12, unique=True),
    st.integers(0, 8),
    st.integers(1, 8),
)
def test_part_of_the_account_equals_the_same_part_of_the_whole(
    held: dict[int, bool], poll_numbers: list[int], since: int, hours: int
) -> None:
    """An account read only for `since` to `until` has the same hours as the whole account."""
    posts = [post(no, no, deleted=deleted) for no, deleted in sorted(held.items())]  # a number a minute
    polls = [poll(30 * number, 100 + 30 * number, 30.0 if number else None) for number in sorted({0, *poll_numbers})]
    start = NOON + timedelta(hours=since)
    end = start + timedelta(hours=hours)
    first, last = (start - timedelta(hours=1)).timestamp(), (end + timedelta(hours=1)).timestamp()
    some = [each for each in posts if first <= each.posted < last]
    some += [each for each in posts if each.posted >= last][:1]
    after = max((each.no for each in posts if not some or each.no < some[0].no), default=0)
    near = [polls[0], *(each for each in polls if each.polled_at >= start - timedelta(hours=1))]
    part = between(account(some, near, after), start, end)
    whole = between(account(posts, polls), start, end)
    assert [hour for hour in part.hours if hour.issued] == [hour for hour in whole.hours if hour.issued]


def test_days_are_sums_of_their_hours() -> None:
    coverage = account(
        [post(n, 17 * n, deleted=n % 3 == 0) for n in range(1, 300, 2)], [poll(0, 0, None), poll(900, 40)]
    )
    days = by_day(coverage).hours
    assert len(days) == 5 and all(day.start.hour == 0 for day in days)
    for what in ("held", "deleted", "issued", "missing_count"):
        assert sum(getattr(day, what) for day in days) == sum(getattr(hour, what) for hour in coverage.hours)


@given(
    st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 5), st.sampled_from([None, 5.0, 30.0, 700.0])), max_size=80)
)
def test_thinning_does_not_change_coverage(steps: list[tuple[int, int, float | None]]) -> None:
    """Old rows of board_polls are removed, and the account stays the same."""
    at, newest, polls = NOON, 100, []
    for seconds, new, gap in steps:
        at, newest = at + timedelta(seconds=seconds), newest + new
        polls.append(Poll("po", at, newest, 10, 1, gap))
    changed, gone = thinned(polls)
    kept = {poll.polled_at: poll for poll in polls if poll not in gone} | {poll.polled_at: poll for poll in changed}
    left = [kept[time] for time in sorted(kept)]
    assert len(left) + len(gone) == len(polls) and sum(p.looks for p in left) == len(polls)
    posts = [post(no, (no - 100) * 3) for no in range(101, newest, 2)]
    before, after = (
        account(posts, [BoardPoll(p.polled_at, p.newest_no, p.longest_gap) for p in rows]) for rows in (polls, left)
    )
    assert after == before
    assert thinned(left)[1] == [] or len(left) < len(polls)


def test_thinning_a_day_of_polls_keeps_less_than_300() -> None:
    polls = [Poll("po", NOON + timedelta(seconds=10 * n), n, 10, 2, 12.0) for n in range(6 * 60 * 24)]
    changed, gone = thinned(polls)
    assert len(polls) - len(gone) < 300 and sum(poll.looks for poll in changed) > 17_000
