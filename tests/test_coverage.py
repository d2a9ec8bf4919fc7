from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from chancrawl.coverage import Coverage, HeldPost, Look, account

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def post(no: int, minute: float, delay: float = 3, deleted: bool = False) -> HeldPost:
    posted = NOON + timedelta(minutes=minute)
    return HeldPost(no, posted, posted + timedelta(seconds=delay), posted + timedelta(minutes=5) if deleted else None)


def look(minute: float, newest_no: int | None, longest_gap: float | None = 30.0) -> Look:
    return Look(NOON + timedelta(minutes=minute), newest_no, longest_gap)


def test_an_account() -> None:
    looks = [look(1, 100, None), look(2, 103), look(70, 110)]
    posts = [post(99, 0.5), post(102, 2, delay=4), post(103, 2.5, deleted=True), post(107, 65, delay=60)]
    coverage = account(posts, looks)
    first, second = coverage.hours
    assert (first.issued, first.held, first.deleted, first.missing) == (3, 2, 1, [(101, 101)])
    assert (first.delay(0.5), first.delay(0.95)) == (3.0, 4.0)
    assert second.start == NOON + timedelta(hours=1)
    assert (second.issued, second.held, second.missing) == (7, 1, [(104, 106), (108, 110)])
    assert coverage.pauses == []


def test_pauses() -> None:
    looks = [look(0, 1, None), look(50, 1), look(90, 1, None), look(110, 1, 900.0)]
    coverage = account([], looks)
    assert [(end - start).total_seconds() / 60 for start, end in coverage.pauses] == [40, 15]
    assert [hour.unwatched.total_seconds() / 60 for hour in coverage.hours] == [10, 30 + 15]


def test_a_board_that_was_never_followed() -> None:
    """Passes over a board leave no looks: the first of them shows where to begin."""
    coverage = account([post(5, -3000, delay=180000), post(9, 1), post(11, 2)], [])
    (hour,) = coverage.hours
    assert (hour.held, hour.missing) == (2, [(10, 10)])


def test_a_number_that_is_none() -> None:
    coverage = account([post(2, 1), post(2**63 - 1, 2), post(4, 3)], [look(0, 1, None)])
    assert coverage.hours[0].missing == [(3, 3)]


def test_nothing() -> None:
    assert account([], []) == Coverage([], [])


@given(st.sets(st.integers(101, 400), max_size=60), st.integers(400, 420))
def test_every_number_is_held_or_missing(held: set[int], newest: int) -> None:
    posts = [post(no, no / 3) for no in sorted(held)]
    coverage = account(posts, [look(0, 100, None), look(200, newest)])
    missing = {no for hour in coverage.hours for first, last in hour.missing for no in range(first, last + 1)}
    assert not missing & held and missing | held == set(range(101, newest + 1))
    assert sum(hour.issued for hour in coverage.hours) == newest - 100
