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

from chancrawl.commands.show import ShownThread
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
    (history,) = histories(thread(1), [gone], [], None)
    assert [history.state(at(n)) for n in (-1, 0, 10, 11, 12, 99)] == [
        None, State.THERE, State.THERE, State.UNKNOWN, State.GONE, State.GONE
    ]  # fmt: skip


def test_a_post_is_there_as_long_as_its_thread_was_seen() -> None:
    item = replace(post(6, "a"), posted_at=at(0), last_seen_at=at(1))
    seen = replace(thread(1), last_seen_at=at(20))
    (history,) = histories(seen, [item], [], None)
    assert (history.state(at(20)), history.state(at(21))) == (State.THERE, State.UNKNOWN)
    (history,) = histories(seen, [item], [], at(30))  # the board was watched, and nothing changed
    assert (history.state(at(30)), history.state(at(31))) == (State.THERE, State.UNKNOWN)
    (history,) = histories(replace(seen, fate="pruned", gone_at=at(40)), [item], [], at(50))
    assert [history.state(at(n)) for n in (20, 30, 40)] == [State.THERE, State.UNKNOWN, State.GONE]
    (history,) = histories(None, [item], [], at(50))
    assert history.state(at(2)) is State.UNKNOWN


def test_the_version_of_a_time() -> None:
    versions = [post(6, "first"), post(6, "second", 2), post(6, "third", 3)]
    (history,) = histories(thread(1), versions[2:], versions[1::-1], None)
    assert [history.version(at(n)).revision for n in (-5, 0, 1, 2, 9)] == [1, 1, 2, 3, 3]
    assert history.latest is versions[2]


# --- HTML

EVIL = "<script>alert(1)</script> \"'> \u202e\x1b[2J & >>6 >>7 &gt;&gt;6"


def test_foreign_text_is_text() -> None:
    item = replace(post(6, "x"), comment_text=EVIL, name=EVIL, subject=EVIL, file_name=EVIL, file_tim=5, capcode=EVIL,
                   tripcode=EVIL, poster_id=EVIL, country=EVIL)  # fmt: skip
    html = page("po", 5, replace(thread(1), subject=EVIL), histories(thread(1), [item], [], None), LATER)
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
    html = page("po", 5, thread(1), histories(thread(1), [gone, changed[1]], changed[:1], None), at(20))
    assert 'class="gone"' in html and "deleted before 2026-11-21 00:12:00" in html and "version 2 of 2" in html
    html = page("po", 5, thread(1), histories(thread(1), [gone], [], None), at(11))
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
    ((first, last),) = store.rows("SELECT min(polled_at), max(polled_at) FROM board_polls")
    start, end = (datetime.fromisoformat(value) for value in (first, last))
    start += timedelta(minutes=5)  # the first pass over the threads
    # An archived thread is not read again: nobody looked after its last look.
    sql = "SELECT no, CASE WHEN fate = 'archived' THEN last_seen_at END FROM threads WHERE last_seen_at > ?"
    threads = [(no, datetime.fromisoformat(until) if until else end) for no, until in store.rows(sql, start)]
    random = Random(1)
    compared = right = unknown = 0
    for _ in range(1000):
        no, until = random.choice(threads)
        moment = start + random.random() * (until - start)
        shown = ShownThread.of(store, "wsr", no, moment)
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
    assert PostHistory([item], minute(1) or LATER, None).latest == item and LATER.tzinfo is UTC
    assert json.dumps([state.value for state in State]) == '["there", "gone", "not known"]'
