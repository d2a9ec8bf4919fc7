"""Where rows of posts go among the CSV files, by what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chancrawl.imageboards.csv_files import moved_posts, settled_deletions, settled_posts
from chancrawl.storage.csv.files import Names
from chancrawl.storage.csv.placing import path_of
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.items import START, deletion, minute, post

MOVED = replace(post(6, "a"), thread_no=4, digest=4, last_seen_at=minute(2))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path, KINDS)
    store.open()
    store.prepare()
    yield store
    store.close()


@pytest.mark.parametrize("time, day", [(minute(24 * 60 - 1), "2026-11-21"), (minute(24 * 60), "2026-11-22")])
def test_a_version_is_in_the_file_of_the_day_on_which_it_was_first_seen(time: Any, day: str) -> None:
    item = replace(post(6, "a"), last_seen_at=time)
    file, _ = KINDS.of(item).csv_files
    path = path_of(file, item, Names({}))
    assert path == f"chan/po/posts-{day}.csv" and file.may_be(path) and not file.may_be("chan/po/threads.csv")


def test_posts_of_one_thread_stay_as_they_are(store: SqliteStore) -> None:
    items = [post(6, "a"), post(7, "b")]
    store.take_in(items)
    assert settled_posts(items, store.rows) == items
    store.take_in([post(6, "c", 2)])
    assert settled_posts([post(6, "c", 2)], store.rows) == [post(6, "c", 2)]
    assert settled_deletions([deletion(6, 1, 2)], store.rows) == [deletion(6, 1, 2)]


def test_a_post_that_was_moved_is_the_next_revision_there(store: SqliteStore) -> None:
    store.take_in([post(6, "a"), post(6, "b", 2)])
    store.take_in([MOVED])
    (item,) = settled_posts([replace(MOVED, first_seen_at=minute(9))], store.rows)
    assert (item.thread_no, item.revision, item.first_seen_at) == (4, 3, START)


def test_a_post_that_was_missed_in_its_former_thread_is_back(store: SqliteStore) -> None:
    store.take_in([post(6, "a"), deletion(6, 1), post(7, "b")])
    store.take_in([MOVED])
    assert moved_posts([MOVED, post(7, "b")], store.rows) == [MOVED]
    _, file = KINDS.of(MOVED).csv_files
    assert file.rows is not None and list(file.rows(MOVED)) == [
        {"board": "po", "thread_no": 4, "no": 6, "last_seen_at": minute(2)}]  # fmt: skip


def test_a_deletion_in_a_thread_where_the_post_is_no_longer_is_left_out(store: SqliteStore) -> None:
    store.take_in([MOVED])
    assert settled_deletions([deletion(6, 1)], store.rows) == []
