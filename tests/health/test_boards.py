"""The numbers of boards, from sums alone, are those of the coverage that reads the posts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from chancrawl.forget.removal import remove
from chancrawl.forget.subjects import subject_of
from chancrawl.health.boards import BoardReader, HourSums, coverage, delay, gaps
from chancrawl.imageboards.coverage import between
from chancrawl.imageboards.stored_coverage import coverage_of, keep, out_of_date
from chancrawl.items import Item, Poll, Post
from chancrawl.storage.base import Store
from tests.support.items import START, post, thread
from tests.support.stores import replaced


def history(seed: int) -> list[Item]:
    """Ten hours of a board: numbers in order of time, some missing, some deleted; polls with pauses."""
    random = Random(seed)
    items: list[Item] = []
    no, minute = 100, -90.0
    newest = 100
    polls: list[Item] = []
    next_poll = 0.0
    while minute < 600:
        minute += random.expovariate(1.0)
        no += 1
        while next_poll <= minute:
            gap = 30.0 if polls else None
            if random.random() < 0.02:
                next_poll += 40
                gap = 2400.0
            polls.append(Poll("po", START + timedelta(minutes=next_poll), newest, 5, 2, gap))
            next_poll += 1.0
        newest = no
        if random.random() < 0.2 or (240 < minute < 330 and seed % 2):
            continue
        posted = START + timedelta(minutes=minute)
        seen = posted + timedelta(seconds=random.randrange(90))
        items.append(replaced(post(no, "x"), posted_at=posted, first_seen_at=seen, last_seen_at=seen))
    return [*items[::2], *polls[: len(polls) // 2], *items[1::2], *polls[len(polls) // 2 :], thread(0)]


@pytest.mark.parametrize("seed", range(6))
def test_sums_are_the_coverage(either: Store, seed: int) -> None:
    now = START + timedelta(hours=10)
    reader = BoardReader()
    items = history(seed)
    third = len(items) // 3 + 1
    for part in range(3):
        either.take_in(items[part * third : (part + 1) * third])
        exact = between(coverage_of(either, "po", START), START, None)
        for found in (reader.read(either, "po", START), BoardReader().read(either, "po", START)):
            ours = {hour.start: hour for hour in found.hours if hour.missing is not None}
            assert ours
            for hour in exact.hours:
                if hour.start in ours:
                    here = ours[hour.start]
                    assert (here.posts, here.deleted) == (hour.held, hour.deleted), (part, hour.start)
                    assert here.missing == hour.missing_count, (part, hour.start)
            assert found.pauses == exact.pauses
        for start, end in out_of_date(either, "po", now=now):
            keep(either, "po", start, end, now)
    settled = BoardReader().read(either, "po", START)
    numbers = {(first, last) for _, first, last in gaps(settled.hours)}
    assert numbers and numbers <= {interval for hour in exact.hours for interval in hour.missing}
    assert any(hour.p95_seconds is not None for hour in settled.hours)


@pytest.mark.parametrize("seed", range(4))
def test_removed_posts_are_not_missing(either: Store, tmp_path: Path, seed: int) -> None:
    """As in `scrapy coverage`. If everything before was removed, about as there: within the posts of an hour."""
    now = START + timedelta(hours=10)
    items = history(seed)
    either.take_in(items)
    random = Random(seed)
    later = START + timedelta(hours=2)  # the hour in which following began is not counted in whole
    numbers = sorted(item.no for item in items if isinstance(item, Post) and (seed == 3 or item.posted_at > later))
    gone = numbers[: len(numbers) // 2] if seed == 3 else random.sample(numbers, 60)
    for step in range(2):
        for no in gone[step::2]:
            remove(either, subject_of(f"po/{no}"), "", tmp_path)
        for start, end in out_of_date(either, "po", now=now) if seed % 2 else ():
            keep(either, "po", start, end, now)
        exact = {hour.start: hour for hour in coverage_of(either, "po").hours}
        found = BoardReader().read(either, "po", START - timedelta(days=1))
        for hour in found.hours:
            if hour.missing is not None and hour.start in exact:
                here = exact[hour.start]
                assert (hour.posts, hour.missing + hour.removed) == (here.held, here.missing_count + here.removed)
                assert abs(hour.missing - here.missing_count) <= (60 if seed == 3 else 0)
                assert set(hour.intervals) <= set(here.missing)


def test_a_board_that_nobody_follows_has_no_coverage(either: Store) -> None:
    either.take_in([post(5, "a"), post(9, "b"), thread(0)])
    found = BoardReader().read(either, "po", START - timedelta(days=3000))
    assert [hour.missing for hour in found.hours] == [None] and coverage(found.hours) is None
    assert delay(found.hours) is None and found.polled_at is None


def test_hours_without_numbers_do_not_count() -> None:
    assert coverage([HourSums(START, posts=3, missing=1), HourSums(START, posts=100)]) == 0.75
    assert delay([HourSums(START, posts=1, mean_seconds=4.0), HourSums(START, posts=3, mean_seconds=8.0)]) == 7.0
