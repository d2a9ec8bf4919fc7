"""Where rows of posts go in CSV files, by what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chancrawl.imageboards.csv_files import placed
from chancrawl.items import Deletion, Post
from chancrawl.storage.sqlite.store import CsvStore
from tests.support import KINDS
from tests.support.items import START, deletion, minute, post, thread

MOVED = replace(post(6, "a"), thread_no=4)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CsvStore]:
    store = CsvStore(tmp_path, KINDS)
    store.open()
    store.prepare()
    yield store
    store.close()


def placed_items(store: CsvStore, *items: Any) -> list[Any]:
    return [line.item for line in placed(store, [store.line_of(item) for item in items])]


def test_posts_of_one_thread_stay_as_they_are(store: CsvStore) -> None:
    items = [post(6, "a"), post(6, "b", 2), deletion(6, 1), thread(2)]
    assert placed_items(store, *items) == items
    store.append([store.line_of(item) for item in items])
    assert placed_items(store, deletion(6, 1, 2)) == [deletion(6, 1, 2)]


def test_a_post_that_was_moved_is_the_next_revision_there(store: CsvStore) -> None:
    store.append([store.line_of(item) for item in (post(6, "a"), post(6, "b", 2))])
    (item,) = placed_items(store, replace(MOVED, first_seen_at=minute(9)))
    assert (item.thread_no, item.revision, item.first_seen_at) == (4, 3, START)


def test_a_post_that_was_missed_in_its_former_thread_is_not_deleted(store: CsvStore) -> None:
    store.append([store.line_of(item) for item in (post(6, "a"), deletion(6, 1))])
    moved, back = placed_items(store, replace(MOVED, last_seen_at=minute(2)))
    assert isinstance(moved, Post) and moved.revision == 2
    assert back == Deletion("po", 4, 6, minute(2), None)


def test_a_deletion_in_a_thread_where_the_post_is_no_longer_is_left_out(store: CsvStore) -> None:
    store.append([store.line_of(MOVED)])
    assert placed_items(store, deletion(6, 1)) == []


def test_the_ledger_keeps_a_post_in_the_thread_where_a_batch_leaves_it(store: CsvStore) -> None:
    lines = placed(store, [store.line_of(post(6, "a")), store.line_of(MOVED)])
    assert [bool(line.row) for line in lines] == [False, True]
    store.append([store.line_of(post(6, "a"))])
    store.append([store.line_of(MOVED)])
    assert store.rows("SELECT thread_no, revision FROM posts") == [(4, 2)]
