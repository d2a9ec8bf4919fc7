"""`scrapy forget`: what was removed does not come back, and what happens in the middle of a removal."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chancrawl.commands import forget
from chancrawl.forget import removal
from chancrawl.forget.kept import Kept
from chancrawl.forget.subjects import subject_of
from chancrawl.forget.upkeep import Upkeep
from chancrawl.imageboards.stored_coverage import coverage_of
from chancrawl.items import Deletion, Handle, Poll, Post, Tweet
from chancrawl.storage.base import Store
from chancrawl.storage.forgotten import Forgotten
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.spool import Spool, apply_oldest
from chancrawl.storage.postgres.upsert import BatchWriter
from chancrawl.storage.quarantine import keep_row
from chancrawl.x.forgetting import tweet_without
from tests.support import KINDS
from tests.support.crawls import Crawler
from tests.support.items import START, post
from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, handles_of

Wait = Callable[[Callable[[], Any]], None]


def numbers(store: Store) -> set[int]:
    return {no for (no,) in store.rows("SELECT no FROM posts")}


def test_what_was_removed_is_stored_no_more(either: Store, tmp_path: Path) -> None:
    poster = replace(post(9, "c"), thread_no=8, poster_id="AbCd")
    items = [post(6, "a"), replace(post(7, "b"), thread_no=8), poster]
    assert either.take_in(items) == []
    done = [removal.remove(either, subject_of(text), "", tmp_path)[1] for text in ("po/6", "po/thread/8/id/AbCd")]
    assert [counts["posts"] for counts in done] == [1, 1]
    later = [replace(item, digest=99, revision=2, last_seen_at=START + timedelta(days=1)) for item in items]
    deletion = Deletion("po", 5, 6, START, START + timedelta(hours=1))
    assert either.take_in([*later, deletion, replace(poster, no=10)]) == []
    assert numbers(either) == {7}
    assert removal.remove(either, subject_of("po/thread/8"), "", tmp_path)[1]["posts"] == 1
    assert either.take_in([*later, replace(items[1], no=11)]) == [] and numbers(either) == set()
    assert removal.lift(either, ("post", "po/6"), tmp_path) and not removal.lift(either, ("post", "po/6"), tmp_path)
    assert either.take_in(later) == [] and numbers(either) == {6}
    ((kinds,),) = either.rows("SELECT count(*) FROM removals WHERE subject IS NULL AND finished_at IS NOT NULL")
    assert kinds == 3


def test_a_row_that_is_changed_and_rejected_is_the_one_that_was_given(either: Store, tmp_path: Path) -> None:
    removal.remove(either, ("handle", "nasa"), "", tmp_path)
    good = Tweet(1, 6, "esa", START, text="hi @nasa", last_seen_at=START)
    bad = replace(good, id=2**70)
    gone = replace(good, id=3, username="nasa")
    ((rejected, _),) = either.take_in([good, bad, gone])
    assert rejected is bad and either.rows("SELECT id, text FROM tweets") == [(1, "hi @[removed]")]


def test_a_removal_in_the_middle_is_completed(either: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [Tweet(number, 5, "nasa", START, text="t", last_seen_at=START) for number in range(1, 1200)]
    other = Tweet(2000, 6, "esa", START, text="hi @nasa", last_seen_at=START)
    assert either.take_in([*own, other, Handle("nasa", 5, "active", START)]) == []

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(removal, "remove_rows", stop)
        with pytest.raises(KeyboardInterrupt):
            removal.remove(either, ("handle", "nasa"), "", tmp_path)
    left = either.rows("SELECT count(*) FROM tweets")[0][0]
    assert 600 < left < 1200  # tombstones, and the first rows
    assert either.take_in(own[:5]) == [] and either.rows("SELECT count(*) FROM tweets")[0][0] == left
    assert len(removal.settle(either, tmp_path)) == 1
    assert either.rows("SELECT id, text FROM tweets") == [(2000, "hi @[removed]")]
    assert either.rows("SELECT count(*) FROM handles") == [(0,)]
    assert removal.settle(either, tmp_path) == []


def test_a_restored_backup_brings_nothing_back(either: Store, tmp_path: Path) -> None:
    tweets = [Tweet(1, 5, "nasa", START, text="t", last_seen_at=START),
              Tweet(2, 6, "esa", START, text="@nasa", last_seen_at=START)]  # fmt: skip
    items = [post(6, "a"), post(7, "b"), *tweets]
    assert either.take_in(items) == []
    for text in ("po/6", "@nasa"):
        removal.remove(either, subject_of(text), "", tmp_path)
    # As it was before: the rows, and no tombstones.
    either.write([(f"DELETE FROM {table}", ()) for table in ("tombstones", "tombstone_keys", "removals", "tweets")])
    assert either.take_in(items) == [] and numbers(either) == {6, 7}
    assert {subject for subjects in removal.settle(either, tmp_path) for subject in subjects} == {
        ("post", "po/6"), ("handle", "nasa"), ("account", "5")}  # fmt: skip
    assert numbers(either) == {7} and either.rows("SELECT id, text FROM tweets") == [(2, "@[removed]")]
    assert either.take_in(items) == [] and numbers(either) == {7}
    assert removal.settle(either, tmp_path) == [] and not Kept(tmp_path).is_ahead_of(either)


def test_a_spool_brings_nothing_back(store: PostgresStore, tmp_path: Path) -> None:
    assert store.take_in([post(6, "a")]) == [] and store.database_id is not None
    spool = Spool.new(tmp_path / "spool", KINDS, 10**9)
    spool.append([post(6, "a"), post(7, "b")], store.database_id, "here")
    removal.remove(store, ("post", "po/6"), "", tmp_path)
    apply_oldest(spool, store.connection, BatchWriter(KINDS), lambda item, reason: None)
    assert numbers(store) == {7}


def test_an_outage_of_the_marks_is_none() -> None:
    forgotten = Forgotten(KINDS)
    items = [post(6, "a")]
    assert forgotten.left(items) is items and not forgotten.has(("post", "po/6"))
    forgotten.refresh(lambda sql: [])
    assert forgotten.left(items) is items


# --- as a user


@pytest.fixture
def collected(any_store: Crawler) -> Crawler:
    any_store("-aboard=wsr", "-sCSV=1").ok()
    return any_store


def read_again(crawler: Crawler) -> str:
    """Another crawl that has to read everything again."""
    with crawler_store(crawler) as store:
        store.write([("DELETE FROM validators", ()), ("DELETE FROM threads", ())])
    return crawler("-aboard=wsr", "-sCSV=1").ok().output


class crawler_store:
    """The store of a crawl, opened beside it."""

    def __init__(self, crawler: Crawler) -> None:
        from chancrawl.storage.sqlite.store import SqliteStore

        self.store: Any = (PostgresStore(crawler.database_url, KINDS) if crawler.database_url
                           else SqliteStore(crawler.folder, KINDS))  # fmt: skip

    def __enter__(self) -> Any:
        self.store.open_beside()
        return self.store

    def __exit__(self, *error: object) -> None:
        self.store.close()


def test_looks_backups_take_ins_and_commands(collected: Crawler, tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = collected
    *_, no, kept = crawler.held("wsr")
    backup = tmp_path / "backup.sqlite"
    if crawler.database_url is None:
        crawler.other("backup", str(backup)).ok()
        shutil.copy(backup, tmp_path / "copy.sqlite")
    with crawler_store(crawler) as store:
        (item,) = [each for each in _posts(store) if each.no == no]
    options = ["--backup", str(tmp_path / "copy.sqlite")] if backup.exists() else []
    run = crawler.other("forget", f"wsr/{no}", "--reason", "asked by mail", *options).ok()
    assert "1 posts" in run.output and "CSV files" in run.output
    assert ("of copy.sqlite" in run.output) == bool(options)
    crawler.other("show", f"wsr/{no}").refused("holds nothing of")
    assert "Done." in read_again(crawler)
    keep_row(crawler.folder / "quarantine", KINDS.of(item), item, "odd")
    crawler.other("quarantine", "take-in").ok()
    assert no not in crawler.held("wsr") and kept in crawler.held("wsr")
    assert str(no) not in {row["no"] for row in crawler.csv("wsr/posts-*")}
    listed = crawler.other("forget", "--list").ok().output
    assert "post, done" in listed and "asked by mail" in listed and str(no) not in listed
    if options:  # an older backup is put back
        for file in crawler.folder.glob("chancrawl.sqlite*"):
            file.unlink()
        shutil.copy(backup, crawler.folder / "chancrawl.sqlite")
        assert "in the store again" in crawler("-aboard=wsr", "-sCSV=1").ok().output
        assert no not in crawler.held("wsr") and kept in crawler.held("wsr")
    assert "is collected again" in crawler.other("forget", "--undo", f"wsr/{no}").ok().output
    read_again(crawler)
    assert no in crawler.held("wsr")


def _posts(store: Store) -> list[Post]:
    from chancrawl.storage.base import select

    return select(store, Post)


@pytest.mark.parametrize("seed", range(5))
def test_removed_posts_are_not_missing(either: Store, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    items = [replace(post(no, "a"), posted_at=START + timedelta(minutes=7 * no, seconds=random.randrange(200)),
                     first_seen_at=START + timedelta(minutes=7 * no + 4)) for no in range(1, 80)
             if random.random() < 0.9]  # fmt: skip
    assert either.take_in([Poll("po", START, 0, 0, 1, None), Poll("po", START + timedelta(days=1), 80, 0, 1, None),
                           *items]) == []  # fmt: skip
    before = coverage_of(either, "po")
    gone = random.sample(items[:-1], 12)
    for item in gone:
        removal.remove(either, ("post", f"po/{item.no}"), "", tmp_path)
    after = coverage_of(either, "po")
    for count in (lambda hour: hour.issued, lambda hour: hour.missing_count):
        assert sum(map(count, after.hours)) == sum(map(count, before.hours))
    assert sum(hour.removed for hour in after.hours) == 12
    named = {no for hour in after.hours for first, last in hour.missing for no in range(first, last + 1)}
    assert not named & {item.no for item in gone}  # nobody is told which


def test_a_removal_during_a_crawl(tmp_path: Path, sandbox: Sandbox, wait_until: Wait) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.02)
    process = crawler.start("-aboard=po,wsr", "-sBATCH_SECONDS=0.1", "-sBATCH_SIZE=20")
    stored = "SELECT no FROM posts WHERE board = 'po' ORDER BY no LIMIT 40"
    wait_until(lambda: (crawler.folder / "chancrawl.sqlite").exists() and _rows(crawler, stored))
    removed = [no for (no,) in _rows(crawler, stored)][:3]
    runs = [crawler.other("forget", f"po/{no}") for no in removed]
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and [run.code for run in runs] == [0, 0, 0], output
    assert "locked" not in output + "".join(run.output for run in runs)
    assert not set(removed) & set(crawler.held("po")) and not list(crawler.folder.rglob("*.edited"))
    assert not set(removed) & {no for (no,) in crawler.embedded("SELECT no FROM posts WHERE board = 'po'")}


def _rows(crawler: Crawler, sql: str) -> list[Any]:
    import sqlite3

    try:
        return crawler.embedded(sql)
    except sqlite3.OperationalError:
        return []


def test_killed_in_the_middle(tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    name, other = handles_of(sandbox)[:2]
    crawler.timeline(f"{name},{other}", "-a", "limit=300").ok()
    for delay in (0.8, 1.0, 1.2, 1.4):
        process = crawler.start_other("forget", f"@{name}")
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run = crawler.timeline(f"{name},{other}", "-a", "limit=300").ok()
    crawler.other("forget", f"@{name}").ok()
    rows = crawler.embedded(f"SELECT count(*) FROM tweets WHERE lower(username) = '{name.lower()}'")
    assert rows == [(0,)] and crawler.embedded("SELECT count(*) FROM tweets")[0][0] > 0
    assert crawler.embedded("SELECT count(*) FROM removals WHERE finished_at IS NULL") == [(0,)]
    asked = len(sandbox.x_requests())
    run = crawler.timeline(name, "-a", "limit=300").ok()
    assert "1 account of the list was removed (scrapy forget)" in run.output
    assert len(sandbox.x_requests()) == asked


def test_old_posts_are_removed(collected: Crawler) -> None:
    crawler = collected
    with crawler_store(crawler) as store:
        times = sorted(post.posted_at for post in _posts(store))
    days = (time.time() - times[len(times) // 2].timestamp()) / 86400
    kept = f"KEEP_DAYS={days:.6f}"
    run = crawler.other("forget", "--old", "-s", kept).ok()
    assert "posts" in run.output
    left = len(times) - len(times) // 2
    with crawler_store(crawler) as store:
        assert abs(len(_posts(store)) - left) <= 1
    assert "age, done" in crawler.other("forget", "--list").ok().output
    assert "items/too_old" in read_again_with(crawler, kept)
    with crawler_store(crawler) as store:
        assert len(_posts(store)) <= left + 1
    crawler.other("forget", "--old").refused("Set KEEP_DAYS")


def read_again_with(crawler: Crawler, setting: str) -> str:
    with crawler_store(crawler) as store:
        store.write([("DELETE FROM validators", ()), ("DELETE FROM threads", ())])
    return crawler("-aboard=wsr", "-s", setting, "-sLOG_LEVEL=INFO", "-sSTATS_DUMP=1").ok().output


def test_mistakes_are_said(collected: Crawler) -> None:
    collected.other("forget", "nasa").refused("names nothing that can be removed")
    assert collected.other("forget").code == 2 and forget.Command().short_desc()
    collected.other("forget", "--undo", "wsr/1").refused("was not removed")
    collected.other("forget", "wsr/1", "--backup", "none.sqlite").refused("There is no backup")
    assert "nothing was stored of it" in collected.other("forget", "@nobody").ok().output


def test_nothing_was_collected(tmp_path: Path, sandbox: Sandbox) -> None:
    Crawler(tmp_path / "data", sandbox.url).other("forget", "po/1").refused("nothing was collected yet")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text, subject", [
    ("po/570368", ("post", "po/570368")), ("/po/570368/", ("post", "po/570368")),
    ("https://boards.4chan.org/po/thread/5/crane", ("thread", "po/5")),
    ("boards.4chan.org/po/thread/5#p9", ("post", "po/9")), ("@NASA", ("handle", "nasa")), ("id:05", ("account", "5")),
    ("https://twitter.com/nasa", ("handle", "nasa")), ("https://x.com/nasa/status/9?s=20", ("tweet", "9")),
    ("tweet/9", ("tweet", "9")),
])  # fmt: skip
def test_what_is_named(text: str, subject: tuple[str, str]) -> None:
    assert subject_of(text) == subject


def test_a_tweet_without_others_is_the_same_if_nothing_was_removed() -> None:
    tweet = Tweet(1, 5, "a", START, text="hi @b", mention_ids=[6], mention_usernames=["b"], raw={"text": "hi @b"})
    assert tweet_without(tweet, lambda subject: False) is tweet
    assert tweet_without(tweet, {("handle", "b")}.__contains__).text == "hi @[removed]"
    assert not hasattr(Upkeep, "missing")
