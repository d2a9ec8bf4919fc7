"""The CSV files and their ledger, written batch by batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chancrawl.items import Deletion, Item, Post
from chancrawl.storage.sqlite.store import CsvStore
from tests.support import KINDS
from tests.support.items import START, minute, post
from tests.support.stores import posts_of

SIX = post(6, "a")
THERE = replace(SIX, thread_no=4, last_seen_at=minute(2))  # in its other thread
MISSED = Deletion("po", 5, 6, START, minute(1))


@pytest.mark.parametrize("items", [
    [SIX, MISSED, THERE],
    [SIX, THERE, MISSED],
    [SIX, replace(SIX, revision=2, digest=9), THERE],
])  # fmt: skip
@pytest.mark.parametrize("batches", [1, 2, 3])
def test_a_moved_post_is_stored_in_one_thread(tmp_path: Path, items: list[Item], batches: int) -> None:
    store = CsvStore(tmp_path, KINDS)
    store.open()
    store.prepare()
    try:
        for start in range(0, 3, 3 // batches):
            store.append(store.prepared(items[start : start + 3 // batches]).lines)
        assert store.rows("SELECT no, thread_no, deleted_at FROM posts") == [(6, 4, None)]
    finally:
        store.close()
    ((key, held),) = posts_of(tmp_path).items()
    assert key == ("po", 6) and held["thread_no"] == 4 and held["deleted_at"] is None
    assert held["revision"] == sum(isinstance(item, Post) for item in items)
