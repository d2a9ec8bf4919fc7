"""Any history of batches leaves the same rows, column for column, in both state stores."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chancrawl.items import Account, Board, Feed, Form, Gap, Handle, Poll, Thread, Trend, Tweet, Validator, forms
from chancrawl.storage.base import Store, moment
from chancrawl.storage.hours import recount
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.databases import Database
from tests.support.items import START, deletion, post, thread

minutes = st.integers(0, 5)
times = minutes.map(lambda minute: START + timedelta(minutes=minute, microseconds=minute))


@st.composite
def posts(draw: st.DrawFn) -> Any:
    """Versions of three posts, some in another thread, in any order."""
    item = post(draw(st.integers(6, 8)), draw(st.sampled_from(["a", "b", "é\u2603"])), draw(st.integers(1, 4)))
    moved = draw(st.booleans())
    return replace(item, thread_no=4, digest=item.digest + 1) if moved else item


@st.composite
def tweets(draw: st.DrawFn) -> Any:
    first = {"like_count": draw(minutes)}
    counts = first | {"like_count": draw(minutes), "reply_count": draw(minutes)}
    return Tweet(
        draw(st.integers(1, 3)), draw(st.sampled_from([5, None])), "nasa", START, hashtags=["b", "a"],
        text=draw(st.sampled_from(["t", None])), metrics=counts, first_metrics=first,
        found_in=draw(st.lists(st.sampled_from(["f1", "f2", "f3"]), min_size=1, unique=True)),
        first_seen_at=draw(st.none() | times), last_seen_at=draw(times),
        possibly_sensitive=draw(st.none() | st.booleans()), longitude=draw(st.sampled_from([None, 1.5])),
        raw={"id": "1", "text": "half \ud83d \0"}, includes={"users": [{"é": 1}]},
    )  # fmt: skip


def deletions() -> Any:
    return st.builds(
        lambda no, missed, later: deletion(no, missed, missed + later if missed and later else None),
        st.integers(6, 8), st.none() | st.integers(1, 5), st.none() | st.integers(1, 3),
    )  # fmt: skip


states = st.one_of(
    st.builds(lambda replies, time, gone: replace(thread(replies), last_seen_at=time, gone_at=gone), minutes, times,
              st.none() | times),
    st.builds(lambda time, title: Board("po", title=title, seen_at=time, raw={"board": "po"}), st.none() | times,
              st.sampled_from(["a", "b"])),
    st.builds(lambda value: Validator("/po/threads.json", value), st.sampled_from(["x", "y"])),
    st.builds(lambda time, gap: Poll("po", time, 7, 1, 1, gap), times, st.none() | st.floats(0, 9)),
    st.builds(lambda pages, time: Feed("search:a", pages=pages, visited_at=time, posts_per_day=0.5), minutes, times),
    st.builds(lambda end: Gap("search:a", 9, end, START, None, "reach", START), minutes),
    st.builds(lambda time, status: Handle("nasa", 5, status, time), times, st.sampled_from(["active", "missing"])),
    st.builds(lambda time, name: Account(5, name, metrics={"b": 1, "a": 2}, first_metrics={"a": 2},
              first_seen_at=time, last_seen_at=time), times, st.sampled_from(["nasa", "NASA"])),
    st.builds(lambda rank, time: Trend(1, time, rank, "#a", None), st.integers(1, 2), times),
)  # fmt: skip
histories = st.lists(
    st.lists(posts() | deletions() | tweets() | states, min_size=1, max_size=6), min_size=1, max_size=5
)


def rows_of(store: Store) -> dict[str, list[dict[str, Any]]]:
    """The rows of all tables, with values that are the same for both stores."""
    found = {}
    for kind in KINDS:
        for table in {"posts": ("posts", "post_revisions"), "deletions": ()}.get(kind.table, (kind.table,)):
            extra = ["replaced_at"] if table == "post_revisions" else []
            names = [*kind.columns, *extra]
            rows = store.rows(f"SELECT {', '.join(names)} FROM {table}")
            values = [
                {
                    name: _value(forms(kind.item).get(name, Form.TIME), value)
                    for name, value in zip(names, row, strict=True)
                }
                for row in rows
            ]
            found[table] = sorted(values, key=lambda row: json.dumps(row, sort_keys=True, default=str))
    return found


def sums_of(store: Store) -> list[Any]:
    """The sums of hours that have posts."""
    boards = "SELECT board, hour, posts, deleted, delay_seconds, no_sum FROM board_hours WHERE posts <> 0"
    accounts = "SELECT account_id, hour, posts FROM account_hours WHERE posts <> 0"
    rows = [*store.rows(f"{boards} ORDER BY 1, 2"), *store.rows(f"{accounts} ORDER BY 1, 2")]
    return [(name, moment(hour), *numbers) for name, hour, *numbers in rows]


def _value(form: Form, value: Any) -> Any:
    if value is None:
        return None
    if form is Form.TIME:
        return moment(value)
    if form is Form.FLAG:
        return bool(value)
    if form is Form.JSON:
        return json.loads(value) if isinstance(value, str) else value
    return value if isinstance(value, int | str | datetime | date) else float(value)


def test_any_history_leaves_the_same_rows_in_both_stores(tmp_path: Path, database: Database) -> None:
    postgres = PostgresStore(database.url, KINDS)
    sqlite = SqliteStore(tmp_path / "data", KINDS)
    stores: list[Store] = [postgres, sqlite]
    for store in stores:
        store.open()
        store.prepare()

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(histories)
    def same(batches: list[list[Any]]) -> None:
        for store in stores:
            tables = {table for kind in KINDS for table in (kind.table, "post_revisions")} - {"deletions"}
            store.write((f"DELETE FROM {table}", ()) for table in tables)
            for batch in batches:
                assert store.take_in([replace(item) for item in batch]) == []
        first, second = map(rows_of, stores)
        for table in first:
            assert first[table] == second[table], table
        kept = [sums_of(store) for store in stores]
        for store in stores:
            store.write((statement, ()) for statement in recount(store.sql_hour, store.sql_seconds))
        assert kept[0] == kept[1] == sums_of(stores[0]) == sums_of(stores[1])

    try:
        same()
    finally:
        for store in stores:
            store.close()


def test_threads_are_among_the_states() -> None:
    assert isinstance(thread(1), Thread)
