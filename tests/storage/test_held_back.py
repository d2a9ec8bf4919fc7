"""State that waits because a row it speaks of was not stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chancrawl.items import Account, Feed, Gap, Item, Thread, Validator
from chancrawl.storage.held_back import HeldBack
from tests.pipelines.test_postgres import tweet
from tests.support import KINDS
from tests.support.items import START, post


@pytest.mark.parametrize("item, waiting", [
    (post(6, "a"), [Thread("po", 5), Validator("/po/catalog.json", "x"), Validator("/po/archive.json", "x")]),
    (Thread("po", 5), [Validator("/po/threads.json", "x")]),
    (replace(tweet(1), found_in=["search:a"]), [Feed("search:a")]),
    (Account(1, "a"), [Feed("timeline:1")]),
    (Gap("search:a", 7, 5, None, None, "reach", START), [Feed("search:a")]),
])  # fmt: skip
def test_what_waits_for_what(item: Item, waiting: list[Item]) -> None:
    held_back = HeldBack(KINDS)
    assert not any(map(held_back.waits, waiting))
    held_back.missed(item)
    assert all(map(held_back.waits, waiting))
    assert not any(map(held_back.waits, [Thread("g", 5), Validator("/g/catalog.json", "x"), Feed("timeline:7"), item]))
    held_back.arrived([item])
    assert not held_back and not any(map(held_back.waits, waiting))


def test_state_waits_until_the_last_of_its_rows_has_arrived() -> None:
    held_back = HeldBack(KINDS)
    held_back.missed(post(6, "a"))
    held_back.missed(post(7, "a"))
    held_back.arrived([post(6, "a"), post(8, "a")])
    assert held_back.waits(Thread("po", 5))
    held_back.arrived([post(7, "another version of it")])
    assert not held_back.waits(Thread("po", 5)) and not held_back


def test_a_thread_that_is_held_back_holds_back_its_index_and_not_its_posts() -> None:
    held_back = HeldBack(KINDS)
    held_back.missed(post(6, "a"))
    assert held_back.waits(Validator("/po/threads.json", "x"))
    assert not held_back.waits(post(9, "b")) and not held_back.waits(Thread("po", 9))


def test_what_costs_money_does_not_wait_for_a_row_that_is_kept_in_the_quarantine() -> None:
    held_back = HeldBack(KINDS)
    item = replace(tweet(1), found_in=["timeline:1"])
    held_back.missed(item)
    assert held_back.waits(Feed("timeline:1"))
    held_back.missed(item, is_kept=True)
    assert not held_back.waits(Feed("timeline:1"))
    held_back.missed(post(6, "a"), is_kept=True)  # a board costs nothing to read again
    assert held_back.waits(Thread("po", 5))
