"""Threads as they stood at some time."""

from __future__ import annotations

import json
import re
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from chancrawl.imageboards.thread_at import ThreadAt
from chancrawl.imageboards.thread_history import PostHistory, State, histories
from chancrawl.imageboards.thread_html import page
from chancrawl.items import Post
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.crawls import Crawler
from tests.support.items import START, minute, post, thread
from tests.support.sandboxes import Sandbox

LATER = START + timedelta(hours=1)


def at(number: int) -> datetime:
    return START + timedelta(minutes=number)


def test_a_deleted_post_has_three_states() -> None:
    gone = replace(post(6, "a"), posted_at=at(0), last_seen_at=at(10), deleted_at=at(12))
    (history,) = histories(thread(1), [gone], [])
    assert [history.state(at(n)) for n in (-1, 0, 10, 11, 12, 99)] == [
        None, State.THERE, State.THERE, State.UNKNOWN, State.GONE, State.GONE
    ]  # fmt: skip


def test_a_post_is_there_as_long_as_its_thread_was_seen() -> None:
    item = replace(post(6, "a"), posted_at=at(0), last_seen_at=at(1))
    seen = replace(thread(1), last_seen_at=at(20))
    (history,) = histories(seen, [item], [])
    assert (history.state(at(20)), history.state(at(21))) == (State.THERE, State.UNKNOWN)
    (history,) = histories(replace(seen, fate="pruned", gone_at=at(40)), [item], [])
    assert [history.state(at(n)) for n in (20, 30, 40)] == [State.THERE, State.UNKNOWN, State.GONE]
    (history,) = histories(None, [item], [])
    assert history.state(at(2)) is State.UNKNOWN


def test_the_version_of_a_time() -> None:
    first, second, third = post(6, "first"), post(6, "second", 2), post(6, "third", 3)
    third.last_seen_at, third.deleted_at = at(20), at(30)  # it was seen until then
    (history,) = histories(thread(1), [third], [(second, at(2)), (first, at(1))])
    assert [history.version(at(n)).revision for n in (-5, 0, 1, 2, 9)] == [1, 1, 2, 3, 3]
    assert history.latest is third


def test_a_post_that_was_moved_is_in_the_thread_of_the_time(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open()
    store.prepare()
    moved = replace(post(6, "b", 2), thread_no=90, digest=7, last_seen_at=at(9))
    store.take_in(
        [post(5, "a"), post(6, "b"), thread(1), replace(thread(0), no=90), replace(post(90, "c"), thread_no=90)]
    )
    store.take_in([moved])
    for no, minutes, expected in ((5, 5, [5, 6]), (90, 5, [90]), (5, 10, [5]), (90, 10, [6, 90])):
        shown = ThreadAt.of(store, "po", no, at(minutes))
        assert [history.latest.no for history in shown.posts] == expected, (no, minutes)
    store.close()


# --- HTML

EVIL = "<script>alert(1)</script> \"'> \u202e\x1b[2J & >>6 >>7 &gt;&gt;6"


def test_foreign_text_is_text() -> None:
    item = replace(post(6, "x"), comment_text=EVIL, name=EVIL, subject=EVIL, file_name=EVIL, file_tim=5, capcode=EVIL,
                   tripcode=EVIL, poster_id=EVIL, country=EVIL)  # fmt: skip
    html = page("po", 5, replace(thread(1), subject=EVIL), histories(thread(1), [item], []), LATER)
    assert "<script" not in html and "\u202e" not in html and "\x1b" not in html
    assert re.findall(r"<(\w+)", html) and set(re.findall(r"<(\w+)", html)) <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "bdi", "p", "article", "header", "b", "time",
        "a", "br", "span", "footer",
    }  # fmt: skip
    assert '<a href="#p6">&gt;&gt;6</a>' in html and "#p7" not in html
    assert "&amp;gt;&amp;gt;6" in html  # what the text itself says stays what it says


def test_states_are_said_in_words() -> None:
    gone = replace(post(6, "a"), posted_at=at(0), last_seen_at=at(10), deleted_at=at(12))
    changed = [post(7, "first"), post(7, "second", 2)]
    html = page("po", 5, thread(1), histories(thread(1), [gone, changed[1]], [(changed[0], at(1))]), at(20))
    assert 'class="gone"' in html and "deleted before 2026-11-21 00:12:00" in html and "version 2 of 2" in html
    html = page("po", 5, thread(1), histories(thread(1), [gone], []), at(11))
    assert 'class="unknown"' in html and "not known whether it was still there" in html


# --- against what the sandbox knows


@pytest.mark.soak
def test_there_and_gone_are_true(tmp_path: Path) -> None:
    """A thousand random pairs of a thread and a time, while the board was watched."""
    sandbox = Sandbox("--speed", "20", "--start", "1795000000", "--seed", "3")
    crawler = Crawler(tmp_path / "data", sandbox.url, None, 1 / 20)
    process = crawler.start("-aboard=wsr", "-afollow=1", "-sCHAN_INDEX_INTERVAL=0.25", "-sCHAN_THREAD_INTERVAL=0.5",
                            "-sBATCH_SECONDS=0.2")  # fmt: skip
    began = time.monotonic()
    while time.monotonic() < began + 50:
        time.sleep(0.5)
    crawler.interrupted(process, signal.SIGINT).ok()
    truth = {(post["board"], post["no"]): post for post in sandbox.truth()}
    sandbox.stop()
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open_to_read(["posts"])
    ((first,),) = store.rows("SELECT min(polled_at) FROM board_polls")
    start = datetime.fromisoformat(first)
    start += timedelta(minutes=5)  # the first pass over the threads
    # Nobody looked at a thread after its last look.
    sql = "SELECT no, coalesce(gone_at, last_seen_at) FROM threads WHERE last_seen_at > ?"
    threads = [(no, datetime.fromisoformat(until)) for no, until in store.rows(sql, start)]
    random = Random(1)
    compared = right = unknown = 0
    for _ in range(1000):
        no, until = random.choice(threads)
        moment = start + random.random() * (until - start)
        shown = ThreadAt.of(store, "wsr", no, moment)
        for history in shown.posts:
            state = history.state(moment)
            if state is None:
                continue
            known = truth["wsr", history.latest.no]
            ends = [known[name] for name in ("deleted_at", "gone_at") if known[name] is not None]
            was_there = not ends or moment.timestamp() < min(ends)
            compared += 1
            unknown += state is State.UNKNOWN
            right += state is (State.THERE if was_there else State.GONE)
    store.close()
    assert compared > 2000
    assert right >= 0.999 * (compared - unknown), (compared, right, unknown)
    assert unknown <= 0.01 * compared, (compared, right, unknown)


def test_the_parts_are_plain_values() -> None:
    item: Post = post(6, "a")
    assert PostHistory([item], [None], minute(1) or LATER, None).latest == item and LATER.tzinfo is UTC
    assert json.dumps([state.value for state in State]) == '["there", "gone", "not known"]'
