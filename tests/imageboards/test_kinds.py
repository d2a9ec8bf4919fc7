"""What an imageboard's state waits for."""

from __future__ import annotations

from chancrawl.imageboards.kinds import KINDS
from chancrawl.items import Board, Deletion, Poll, Post, Thread, Validator
from tests.support.items import START, deletion, post, thread

BY_ITEM = {kind.item: kind for kind in KINDS}


def test_the_state_of_a_thread_and_of_its_index_waits_for_its_posts() -> None:
    waiting = BY_ITEM[Post].keeps_waiting(post(6, "a"))
    assert waiting == BY_ITEM[Deletion].keeps_waiting(deletion(6, 1))
    assert set(BY_ITEM[Thread].waits_as(thread(1))) < set(waiting)
    for path in ("/po/threads.json", "/po/archive.json", "/po/catalog.json"):
        assert set(BY_ITEM[Validator].waits_as(Validator(path, "x"))) < set(waiting)
    assert not set(BY_ITEM[Validator].waits_as(Validator("/pol/threads.json", "x"))) & set(waiting)
    assert not set(BY_ITEM[Thread].waits_as(Thread("po", 6))) & set(waiting)


def test_the_list_of_boards_waits_for_its_boards() -> None:
    (name,) = BY_ITEM[Validator].waits_as(Validator("/boards.json", "x"))
    assert name in BY_ITEM[Board].keeps_waiting(Board("po"))


def test_nothing_waits_for_the_account_of_readings() -> None:
    assert BY_ITEM[Poll].keeps_waiting(Poll("po", START, None, 1, 1, None)) == [] and not BY_ITEM[Poll].is_state
