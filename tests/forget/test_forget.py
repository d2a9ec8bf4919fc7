"""`scrapy forget`: what was removed does not come back, and what happens in the middle of a removal."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chancrawl.commands import forget
from chancrawl.errors import UserError
from chancrawl.forget import removal
from chancrawl.forget.kept import Kept
from chancrawl.forget.subjects import subject_of
from chancrawl.forget.upkeep import Upkeep
from chancrawl.imageboards.stored_coverage import coverage_of
from chancrawl.items import Account, Deletion, Handle, Poll, Post, Trend, Tweet
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
        patch.setattr(removal, "_complete", stop)
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
        ("post", "po/6"), ("account", "5"), ("name", "nasa")}  # fmt: skip
    assert numbers(either) == {7} and either.rows("SELECT id, text FROM tweets") == [(2, "@[removed]")]
    assert either.take_in(items) == [] and numbers(either) == {7}
    assert removal.settle(either, tmp_path) == [] and not Kept(tmp_path).restore(either)


def handle_of(number: int, name: str) -> list[Any]:
    return [Account(number, name, first_seen_at=START, last_seen_at=START),
            Tweet(10 * number, number, name, START, text="own", last_seen_at=START)]  # fmt: skip


def test_a_handle_that_has_passed_to_somebody_else(either: Store, tmp_path: Path) -> None:
    first = replace(handle_of(1, "bar")[0], former_usernames=["foo"])
    assert either.take_in([first, *handle_of(1, "bar")[1:], *handle_of(2, "foo")]) == []
    removal.remove(either, ("account", "1"), "", tmp_path)
    later = Tweet(21, 2, "foo", START, text="still here", last_seen_at=START)
    mention = Tweet(30, 3, "other", START, mention_ids=[2], mention_usernames=["foo"], last_seen_at=START)
    assert either.take_in([later, mention]) == []
    assert either.rows("SELECT id FROM accounts") == [(2,)]
    assert either.rows("SELECT id FROM tweets ORDER BY id") == [(20,), (21,), (30,)]
    assert "foo" in str(either.rows("SELECT mention_usernames FROM tweets WHERE id = 30"))
    removal.remove(either, ("handle", "nobodyknown"), "", tmp_path)  # no number: whoever has it
    assert either.take_in(handle_of(9, "NobodyKnown")) == [] and either.rows("SELECT id FROM accounts") == [(2,)]


def test_what_is_known_of_a_handle_from_others(either: Store, tmp_path: Path) -> None:
    said = Tweet(1, 6, "esa", START, text="hi @nasa", mention_ids=[5], mention_usernames=["nasa"],
                 last_seen_at=START)  # fmt: skip
    raw = {
        "conversation_id": "77",
        "in_reply_to_user_id": "5",
        "referenced_tweets": [{"type": "replied_to", "id": "77"}],
    }
    reply = Tweet(2, 6, "esa", START, text="yes", in_reply_to_user_id=5, in_reply_to_username="nasa", in_reply_to_id=77,
                  conversation_id=77, raw=raw, last_seen_at=START)  # fmt: skip
    for subject in (("account", "5"), ("handle", "nasa")):
        either.write([("DELETE FROM tweets", ())])
        assert either.take_in([said, reply]) == []
        removal.remove(either, subject, "", tmp_path)
        removal.lift(either, subject, tmp_path)
        assert either.rows("SELECT text FROM tweets ORDER BY id") == [("hi @[removed]",), ("yes",)]
        (row,) = either.rows(
            "SELECT in_reply_to_user_id, in_reply_to_id, conversation_id, raw FROM tweets WHERE id = 2"
        )
        assert row[:3] == (None, None, None) and "77" not in str(row[3]) and '"5"' not in str(row[3])


def test_media_of_a_removed_quoted_post(either: Store, tmp_path: Path) -> None:
    includes = {
        "tweets": [{"id": "7", "author_id": "5", "text": "x", "attachments": {"media_keys": ["m1"]}}],
        "users": [{"id": "5", "username": "nasa"}], "polls": [{"id": "p1"}],
        "media": [{"media_key": "m1", "url": "https://pbs.twimg.com/1.jpg"}, {"media_key": "m2", "url": "own"}],
    }  # fmt: skip
    raw = {"id": "8", "attachments": {"media_keys": ["m2"]}}
    assert (
        either.take_in([Tweet(8, 6, "esa", START, quoted_id=7, raw=raw, includes=includes, last_seen_at=START)]) == []
    )
    removal.remove(either, ("account", "5"), "", tmp_path)
    ((quoted, text),) = either.rows("SELECT quoted_id, CAST(includes AS text) FROM tweets")
    assert quoted is None and json.loads(text) == {"tweets": [], "users": [], "polls": [], "media": [
        {"media_key": "m2", "url": "own"}]}  # fmt: skip


def test_versions_of_an_edited_post_go_together(either: Store, tmp_path: Path) -> None:
    versions = [Tweet(number, 6, "esa", START, text="t", edit_history=[1, 2], last_seen_at=START) for number in (1, 2)]
    assert either.take_in(versions) == []
    removal.remove(either, ("tweet", "1"), "", tmp_path)
    assert either.take_in(versions) == [] and either.rows("SELECT id FROM tweets") == []


def test_addresses_of_mail_and_words_are_no_handles(either: Store, tmp_path: Path) -> None:
    text = "jo@gmail.com, @gmail@mastodon.social, gmail; @gmail! x.com/gmail"
    trend = Trend(1, START, 1, "gmail", None)
    assert either.take_in([Tweet(1, 6, "esa", START, text=text, last_seen_at=START), trend]) == []
    removal.remove(either, ("handle", "gmail"), "", tmp_path)
    removed = "jo@gmail.com, @gmail@mastodon.social, gmail; @[removed]! x.com/[removed]"
    assert either.rows("SELECT text FROM tweets") == [(removed,)] and either.rows("SELECT name FROM trends") == [
        ("gmail",)
    ]


def test_a_moved_post_stays_out(either: Store, tmp_path: Path) -> None:
    item = replace(post(7, "a"), thread_no=5)
    assert either.take_in([item]) == []
    removal.remove(either, ("thread", "po/5"), "", tmp_path)
    late = replace(post(8, "b"), thread_no=5)
    assert either.take_in([late]) == []  # it was never stored
    moved = [replace(each, thread_no=4, digest=50 + each.no) for each in (item, late)]
    assert either.take_in(moved) == [] and numbers(either) == set()
    assert either.rows("SELECT sum(posts) FROM removed_hours")[0][0] == 2


def test_words_of_the_program_as_names(either: Store, tmp_path: Path) -> None:
    insert = "INSERT INTO runs (spider, arguments, source, started_at, stats, finish_reason) VALUES (?, ?, ?, ?, ?, ?)"
    values = ("chan", '{"board": "finished"}', "http://127.0.0.1", START, '{"finished": 1}', "finished")
    either.write([(insert, values)])
    for _ in range(2):
        removal.remove(either, ("handle", "finished"), "", tmp_path)
        removal.remove(either, ("handle", "board"), "", tmp_path)
    ((arguments, stats, reason),) = either.rows(
        "SELECT CAST(arguments AS text), CAST(stats AS text), finish_reason FROM runs"
    )
    assert json.loads(arguments) == {"board": "[removed]"} and json.loads(stats) == {"finished": 1}
    assert reason == "[removed]" and removal.settle(either, tmp_path) == []


def test_a_damaged_copy_of_the_tombstones_is_said(either: Store, tmp_path: Path) -> None:
    removal.remove(either, ("post", "po/6"), "", tmp_path)
    (tmp_path / "forgotten.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        removal.settle(either, tmp_path)


def test_copies_in_several_folders_come_together(either: Store, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    items = [post(no, "a") for no in (6, 7, 8)]
    removal.remove(either, ("post", "po/6"), "", folders[0])
    either.write([(f"DELETE FROM {table}", ()) for table in ("tombstones", "tombstone_keys", "removals")])  # restored
    removal.remove(either, ("post", "po/7"), "", folders[1])
    removal.settle(either, folders[0])
    assert either.take_in(items) == [] and numbers(either) == {8}
    assert removal.lift(either, ("post", "po/7"), folders[1])
    assert either.take_in(items) == [] and numbers(either) == {7, 8}
    removal.settle(either, folders[0])  # its copy is older than the lifting
    assert either.take_in(items) == [] and numbers(either) == {7, 8}


def test_what_others_say_after_a_restored_backup(either: Store, tmp_path: Path) -> None:
    said = Tweet(2, 6, "esa", START, text="hi @nasa", mention_ids=[5], mention_usernames=["nasa"], last_seen_at=START)
    assert either.take_in([said]) == []
    removal.remove(either, ("account", "5"), "", tmp_path)
    either.write([(f"DELETE FROM {table}", ()) for table in ("tombstones", "tombstone_keys", "removals", "tweets")])
    assert either.take_in([said]) == []
    removal.settle(either, tmp_path)
    assert either.rows("SELECT text FROM tweets") == [("hi @[removed]",)]


def test_files_that_cannot_be_cleaned_leave_it_unfinished(either: Store, tmp_path: Path) -> None:
    assert either.take_in([post(6, "a")]) == []
    removal.remove(either, ("post", "po/6"), "", tmp_path, lambda subjects: (Counter(), False))
    cleaned: list[Any] = []

    def clean(subjects: Any) -> tuple[Counter[str], bool]:
        cleaned.append(subjects)
        return Counter(), True

    removal.settle(either, tmp_path, clean)
    assert cleaned == [[("post", "po/6")]] and removal.settle(either, tmp_path, clean) == []


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
    assert "posts 1" in run.output and "CSV files" in run.output
    assert ("of copy.sqlite" in run.output) == bool(options)
    crawler.other("show", f"wsr/{no}").refused("holds nothing of")
    assert "Done." in read_again(crawler)
    keep_row(crawler.folder / "quarantine", KINDS.of(item), item, "odd")
    crawler.other("quarantine", "take-in").ok()
    assert no not in crawler.held("wsr") and kept in crawler.held("wsr")
    assert str(no) not in {row["no"] for row in crawler.csv("wsr/posts-*")}
    listed = crawler.other("forget", "--list").ok().output
    assert "post, done: posts 1" in listed and "asked by mail" in listed and str(no) not in listed
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
    wait_until(lambda: (crawler.folder / "chancrawl.sqlite").exists() and len(_rows(crawler, stored)) > 2)
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


@pytest.mark.soak
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


def test_a_search_that_names_somebody_who_was_removed_is_not_read(sandbox: Sandbox, tmp_path: Path) -> None:
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    name, other = handles_of(sandbox)[:2]
    crawler.x("search", "-a", f"queries=from:{other}", "-a", "limit=20").ok()
    crawler.other("forget", f"@{name}").ok()
    asked = len(sandbox.x_requests())
    run = crawler.x("search", "-a", f"queries=from:{name}", "-a", "limit=20").ok()
    assert "1 query names an account that was removed" in run.output and len(sandbox.x_requests()) == asked


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


def test_mistakes_are_said(crawler: Crawler) -> None:
    crawler("-aboard=wsr", "-asample=2").ok()
    crawler.other("forget", "nasa").refused("names nothing that can be removed")
    assert crawler.other("forget").code == 2 and forget.Command().short_desc()
    crawler.other("forget", "--undo", "wsr/1").refused("was not removed")
    crawler.other("forget", "tweet/9999999999999999999").refused("names nothing")
    assert crawler.other("forget", "@nasa", "--list").code == 2
    crawler.other("forget", "wsr/1", "--backup", "none.sqlite").refused("There is no backup")
    assert "nothing was stored of it" in crawler.other("forget", "@nobody").ok().output


def test_nothing_was_collected(tmp_path: Path, sandbox: Sandbox) -> None:
    Crawler(tmp_path / "data", sandbox.url).other("forget", "po/1").refused("nothing was collected yet")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text, subject", [
    ("po/570368", ("post", "po/570368")), ("/po/570368/", ("post", "po/570368")),
    ("https://boards.4chan.org/po/thread/5/crane", ("thread", "po/5")),
    ("boards.4chan.org/po/thread/5#p9", ("post", "po/9")), ("@NASA", ("handle", "nasa")), ("id:05", ("account", "5")),
    ("https://twitter.com/nasa", ("handle", "nasa")), ("https://x.com/nasa/status/9?s=20", ("tweet", "9")),
    ("tweet/9", ("tweet", "9")), ("PO/5", ("post", "po/5")), ("po/thread/5/id/Ab+/", ("poster", "po/5/Ab+/")),
])  # fmt: skip
def test_what_is_named(text: str, subject: tuple[str, str]) -> None:
    assert subject_of(text) == subject


def test_a_tweet_without_others_is_the_same_if_nothing_was_removed() -> None:
    tweet = Tweet(1, 5, "a", START, text="hi @b", mention_ids=[6], mention_usernames=["b"], raw={"text": "hi @b"})
    assert tweet_without(tweet, lambda subject: False) is tweet
    assert tweet_without(tweet, {("handle", "b")}.__contains__).text == "hi @[removed]"
    assert not hasattr(Upkeep, "missing")
