"""Kinds of rows: their order, their names, and which state waits for which rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chancrawl.items import Board, Deletion, Feed, Poll, Post, Thread, Trend, Tweet, Validator
from chancrawl.storage.kinds import Kinds
from tests.support import KINDS
from tests.support.engines import settings_of
from tests.support.items import START, deletion, minute, post, thread


def test_a_batch_is_written_in_the_order_of_the_kinds_and_each_kind_in_its_own() -> None:
    batch: list[Any] = [Validator("/b", "x"), thread(1), post(7, "b"), deletion(6, 1), post(6, "a"), Board("po")]
    found = KINDS.sorted(batch)
    assert [kind.item for kind in found] == [Board, Post, Deletion, Thread, Validator]
    assert [item.no for item in found[KINDS[Post]]] == [7, 6]


def test_state_comes_behind_the_rows_that_it_speaks_of() -> None:
    order = [kind.item for kind in KINDS]
    for kind in KINDS:
        if not kind.is_state:
            continue
        for other in KINDS:
            names = {name for name, *_ in kind.waits_as(example(kind.item))}
            waiting = {name for name, *_ in other.keeps_waiting(example(other.item))}
            if names & waiting and other is not kind:
                assert order.index(other.item) < order.index(kind.item), (other.item, kind.item)
    assert KINDS.state == {kind.item for kind in KINDS if kind.is_state} and Thread in KINDS.state


def example(item_class: type[Any]) -> Any:
    examples: dict[type[Any], Any] = {
        Post: post(6, "a"), Deletion: deletion(6, 1), Thread: thread(1), Board: Board("po"),
        Validator: Validator("/po/threads.json", "x"), Poll: Poll("po", START, None, 1, 1, None),
        Trend: Trend(1, START, 1, "#a", None), Feed: Feed("timeline:1"),
        Tweet: Tweet(1, 1, "a", START, found_in=["timeline:1"]),
    }  # fmt: skip
    if item_class in examples:
        return examples[item_class]
    kind = KINDS[item_class]
    return item_class(**dict.fromkeys(kind.columns, 1) | {"feed": "timeline:1"} if "feed" in kind.columns
                      else dict.fromkeys(kind.columns, 1))  # fmt: skip


def test_a_name_is_the_same_for_every_version_of_a_row() -> None:
    kind = KINDS[Post]
    assert kind.key_of(post(6, "a")) == kind.key_of(post(6, "b", 2)) == ("post", "po", 6)
    assert kind.key_of(replace(post(6, "a"), board="g")) != kind.key_of(post(6, "a"))
    assert KINDS[Thread].key_of(thread(1)) == ("thread", "po", 5)
    assert KINDS.named("Post") is KINDS.of(post(6, "a")) is kind
    with pytest.raises(KeyError):
        KINDS.named("Nobody")


def test_the_kinds_are_those_of_the_sources_in_the_order_of_the_setting(tmp_path: Any) -> None:
    both = Kinds.from_settings(settings_of(tmp_path))
    assert [kind.item for kind in both] == [kind.item for kind in KINDS]
    assert both is Kinds.from_settings(settings_of(tmp_path))
    turned = {"chancrawl.imageboards.source.Imageboards": 300}
    items = [kind.item for kind in Kinds.from_settings(settings_of(tmp_path, SOURCES=turned))]
    assert items.index(Tweet) < items.index(Post)
    alone = Kinds.from_settings(settings_of(tmp_path, SOURCES={"chancrawl.x.source.X": None}))
    assert Tweet not in [kind.item for kind in alone]


@pytest.mark.parametrize("item, file", [
    (replace(post(6, "a"), last_seen_at=minute(24 * 60 - 1)), "chan/po/posts-2026-11-21.csv"),
    (replace(post(6, "a"), last_seen_at=minute(24 * 60)), "chan/po/posts-2026-11-22.csv"),
    (deletion(6, 1), "chan/po/deletions.csv"),
    (thread(1), "chan/po/threads.csv"),
    (Board("po"), "chan/boards.csv"),
    (Poll("po", START, None, 1, 1, None), "chan/po/polls.csv"),
])  # fmt: skip
def test_where_a_row_goes_among_the_csv_files(item: Any, file: str) -> None:
    csv_file, *_ = KINDS.of(item).csv_files
    assert csv_file.path(item) == file and csv_file.may_be(file)


def test_a_validator_has_no_csv_file() -> None:
    assert KINDS[Validator].csv_files == []


def test_every_key_is_a_column() -> None:
    for kind in KINDS:
        assert set(kind.key) <= set(kind.columns), kind.table
        assert kind.order is None or kind.order in kind.columns
