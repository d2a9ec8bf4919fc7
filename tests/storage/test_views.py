"""The views that both stores have give the same answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chancrawl.items import Tweet
from chancrawl.payload import dumps, loads
from chancrawl.storage.base import Store, moment
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support.items import START, deletion, minute, post, thread


def test_a_post_existed_until_it_was_missed_or_its_thread_was_seen_last(either: Store) -> None:
    either.take_in([
        post(5, "a"), post(6, "b"), post(7, "c"), post(7, "d", 2), replace(post(90, "e"), thread_no=80),
        deletion(6, 3, 4), replace(thread(2), last_seen_at=minute(9), fate="archived"),
    ])  # fmt: skip
    columns = "no, existed_until, deleted_at, deletion_confirmed_at, revision, comment_text, thread_fate"
    rows = {no: rest for no, *rest in either.rows(f"SELECT {columns} FROM posts_as_seen ORDER BY no")}
    times = {no: tuple(map(moment, rest[:3])) for no, rest in rows.items()}
    assert times == {
        5: (minute(9), None, None), 6: (START, minute(3), minute(4)), 7: (minute(9), None, None),
        90: (START, None, None),
    }  # fmt: skip
    assert {no: tuple(rest[3:]) for no, rest in rows.items()} == {
        5: (1, "a", "archived"), 6: (1, "b", "archived"), 7: (2, "d", "archived"), 90: (1, "e", None)
    }  # fmt: skip


def test_a_thread_with_the_counts_of_its_posts(either: Store) -> None:
    with_file = replace(post(8, "e"), file_md5="0" * 32, poster_id="Ab")
    either.take_in([post(5, "a"), post(6, "b"), post(7, "c"), post(7, "d", 2), with_file, deletion(6, 3), thread(3),
                    replace(thread(0), no=50)])  # fmt: skip
    columns = "no, posts, deleted, changed, files, poster_ids, replies, url"
    rows = either.rows(f"SELECT {columns} FROM threads_overview WHERE board = ? ORDER BY no", "po")
    assert [tuple(row) for row in rows] == [
        (5, 4, 1, 1, 1, 1, 3, "https://boards.4chan.org/po/thread/5"),
        (50, 0, 0, 0, 0, 0, 0, "https://boards.4chan.org/po/thread/50"),
    ]
    ((first, last),) = either.rows("SELECT first_post_at, last_post_at FROM threads_overview WHERE no = 5")
    assert moment(first) == post(5, "a").posted_at and moment(last) == post(8, "e").posted_at


def test_one_thread_is_counted_by_an_index(either: Store) -> None:
    either.take_in([post(no, "a") for no in range(5, 60)] + [thread(50)])
    sql = "SELECT posts FROM threads_overview WHERE board = 'po' AND no = 5"
    if isinstance(either, SqliteStore):
        plan = " ".join(str(row) for row in either.rows(f"EXPLAIN QUERY PLAN {sql}"))
        assert "posts_thread (board=? AND thread_no=?)" in plan, plan
    else:
        with either.locked("plan") as rows:
            rows("SET LOCAL enable_seqscan = off")
            plan = "\n".join(row[0] for row in rows(f"EXPLAIN {sql}"))
        assert "Index" in plan and "(thread_no = 5)" in plan, plan
    assert [tuple(row) for row in either.rows(sql)] == [(55,)]


odd = st.text(st.characters(exclude_categories=[]) | st.sampled_from('\0\ud800\udc00\ud83d\\u"/'), max_size=12)


def test_json_is_safe_for_any_text(either: Store) -> None:
    """R6: NUL and lone surrogates are U+FFFD, in values and keys, and nothing else changes."""

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(odd, odd), min_size=1, max_size=5))
    def safe(texts: list[tuple[str, str]]) -> None:
        either.write([("DELETE FROM posts", ()), ("DELETE FROM tweets", ())])
        items: list[Any] = []
        for number, (first, second) in enumerate(texts):
            raw = {"com": first, "sub": [second], "n": 1}
            items.append(replace(post(6 + number, "a"), raw=raw))
            items.append(Tweet(number, 5, "nasa", START, metrics={}, first_metrics={}, raw=raw, includes={"x": second}))
        assert either.take_in(items) == []
        rows = either.rows("SELECT raw FROM posts_raw ORDER BY no")
        assert [_json(row[0]) for row in rows] == [
            {"com": _clean(first), "sub": [_clean(second)], "n": 1} for first, second in texts
        ]
        pick = "json_extract({}, '$.{}')" if isinstance(either, SqliteStore) else "{} ->> '{}'"
        columns = f"{pick.format('raw', 'com')}, {pick.format('includes', 'x')}"
        rows = either.rows(f"SELECT {columns} FROM tweets_raw ORDER BY id")
        assert [tuple(row) for row in rows] == [(_clean(first), _clean(second)) for first, second in texts]

    safe()


def test_json_without_odd_escapes_stays_as_it_is(either: Store) -> None:
    raw = loads(b'{"com": "a \\\\u0000 \\ud83d\\ude00 \\n", "e": 1e5}')
    either.take_in([replace(post(6, "a"), raw=raw)])
    ((safe, stored),) = either.rows(
        "SELECT CAST(s.raw AS text), CAST(posts.raw AS text) FROM posts_raw AS s JOIN posts ON posts.no = s.no"
    )
    assert json.loads(safe) == json.loads(stored) == json.loads(dumps(raw))


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    """What a text is without NUL and lone surrogates."""
    joined = json.loads(dumps(text))  # as it comes back from raw, where two halves in a row are one character
    return "".join("\ufffd" if sign == "\0" or "\ud800" <= sign <= "\udfff" else sign for sign in joined)
