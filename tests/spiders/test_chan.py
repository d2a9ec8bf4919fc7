"""Whole crawls, as a user starts them, against the sandbox; then a look into the store."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.crawls import Crawler
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.stores import posts_of

BOARD = "wsr"  # the smallest board of the sandbox: 30 threads, and as many in the archive


def live_threads(sandbox: Sandbox, board: str = BOARD) -> list[int]:
    index = json.loads(sandbox.ask(f"/{board}/threads.json"))
    return [thread["no"] for page in index for thread in page["threads"]]


def requests_of(sandbox: Sandbox, start: int) -> list[dict[str, Any]]:
    return sandbox.requests(start)


def test_one_pass_stores_what_was_shown_each_post_once(any_store: Crawler, sandbox: Sandbox) -> None:
    run = any_store(f"-aboard={BOARD}").ok()
    held = any_store.held(BOARD)
    assert set(held) == sandbox.shown(BOARD)
    assert max(Counter(held).values()) == 1
    assert f"{len(held):,} posts" in run.output
    visible = {post["no"] for post in sandbox.truth() if post["board"] == BOARD and post["gone_at"] is None}
    assert set(held) == visible


@pytest.mark.soak
def test_the_two_stores_agree_field_for_field(tmp_path: Path, sandbox: Sandbox, database: Database) -> None:
    Crawler(tmp_path / "csv", sandbox.url)(f"-aboard={BOARD}").ok()
    Crawler(tmp_path / "pg", sandbox.url, database.url)(f"-aboard={BOARD}").ok()
    in_csv, in_postgres = posts_of(tmp_path / "csv"), posts_of(database)
    assert len(in_csv) > 200
    assert in_csv.keys() == in_postgres.keys()
    for key, post in in_csv.items():
        assert post == in_postgres[key]


@pytest.mark.parametrize("reader", ["csv", "pandas"])
def test_csv_reads_back_as_it_was_sent(crawler: Crawler, sandbox: Sandbox, reader: str) -> None:
    crawler(f"-aboard={BOARD}").ok()
    (file,) = (crawler.folder / "chan" / BOARD).glob("posts-*.csv")
    if reader == "csv":
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    else:
        import pandas

        rows = pandas.read_csv(file, dtype=str, keep_default_na=False).to_dict("records")
    sent = {}
    for no in {int(row["thread_no"]) for row in rows}:
        for post in sandbox.thread(no)["posts"]:
            sent[post["no"]] = post
    assert {int(row["no"]) for row in rows} == set(sent)
    for row in rows:
        post = sent[int(row["no"])]
        assert json.loads(row["raw"]) == post
        clean = post.get("com", "").replace("\x00", "\ufffd").replace("\ud83d", "\ufffd")
        assert row["comment_html"] == clean


def test_a_second_run_requests_almost_nothing_and_writes_nothing(any_store: Crawler, sandbox: Sandbox) -> None:
    any_store(f"-aboard={BOARD}").ok()
    before, start = snapshot(any_store), len(sandbox.requests())
    any_store(f"-aboard={BOARD}").ok()
    requests = sandbox.requests(start)
    assert len([request for request in requests if request["status"] != 304]) <= 3
    assert all(request["conditional"] for request in requests)
    assert len(requests) <= 3
    assert snapshot(any_store) == before


def snapshot(crawler: Crawler) -> Any:
    """Everything that a run may have written to the data."""
    if crawler.database_url:
        tables = ("boards", "threads", "posts", "post_revisions", "validators")
        database = Database(crawler.database_url)
        return [sorted(map(str, database.rows(f"SELECT t, t.xmin::text FROM {table} t"))) for table in tables]
    return {file: file.read_bytes() for file in sorted((crawler.folder / "chan").rglob("*.csv"))}


@pytest.mark.soak
def test_new_posts_take_one_request_per_thread_and_one_row_each(any_store: Crawler, sandbox: Sandbox) -> None:
    any_store(f"-aboard={BOARD}").ok()
    held = set(any_store.held(BOARD))
    threads = live_threads(sandbox)[2:5]
    made = [no for count, thread in enumerate(threads, 1) for no in
            sandbox.act("reply", board=BOARD, no=thread, count=count)["nos"]]  # fmt: skip
    start = len(sandbox.requests())
    any_store(f"-aboard={BOARD}").ok()
    paths = [request["path"] for request in sandbox.requests(start)]
    assert sorted(path for path in paths if "/thread/" in path) == sorted(
        f"/{BOARD}/thread/{no}.json" for no in threads
    )
    assert set(any_store.held(BOARD)) - held == set(made)
    assert len(any_store.held(BOARD)) == len(held) + len(made)


@pytest.mark.soak
def test_a_reply_in_the_second_of_the_last_reading_is_not_overlooked(any_store: Crawler, sandbox: Sandbox) -> None:
    """The clock stands still: every change has the same Last-Modified, and the server compares for equality."""
    thread = live_threads(sandbox)[3]
    sandbox.act("reply", board=BOARD, no=thread)
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(1)  # the index moves on, but not the thread's own time
    other = live_threads(sandbox)[5]
    sandbox.act("reply", board=BOARD, no=other)
    sandbox.advance(-1)
    (made,) = sandbox.act("reply", board=BOARD, no=thread)["nos"]
    sandbox.advance(1)
    any_store(f"-aboard={BOARD}").ok()
    assert made in any_store.held(BOARD)


def test_deleted_and_changed_posts_are_kept(any_store: Crawler, sandbox: Sandbox, tmp_path: Path) -> None:
    thread = next(no for no in live_threads(sandbox) if len(sandbox.thread(no)["posts"]) >= 5)
    posts = sandbox.thread(thread)["posts"]
    with_file = next(post["no"] for post in posts if "md5" in post)
    deleted, banned = (post["no"] for post in posts[1:3])
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    sandbox.act("delete", board=BOARD, no=deleted)
    sandbox.act("delete_file", board=BOARD, no=with_file)
    if banned != with_file:
        sandbox.act("ban", board=BOARD, no=banned)
    any_store(f"-aboard={BOARD}").ok()
    source: Any = Database(any_store.database_url) if any_store.database_url else any_store.folder
    current = posts_of(source)
    gone = current[BOARD, deleted]
    assert gone["deleted_at"] is not None and gone["deletion_confirmed_at"] is None
    assert gone["last_seen_at"] < gone["deleted_at"]
    assert gone["raw"]["no"] == deleted
    changed = current[BOARD, with_file]
    assert changed["revision"] == 2 and changed["file_deleted"] and changed["file_md5"] is None
    assert "BANNED" in current[BOARD, banned]["comment_text"]
    earlier = posts_of(source, earlier=True)
    assert earlier[BOARD, with_file]["file_md5"] and earlier[BOARD, with_file]["revision"] == 1
    assert earlier[BOARD, with_file]["first_seen_at"] == changed["first_seen_at"]

    # Missed again in another body: confirmed. Back again: taken back.
    sandbox.advance(60)
    sandbox.act("reply", board=BOARD, no=thread)
    any_store(f"-aboard={BOARD}").ok()
    confirmed = posts_of(source)[BOARD, deleted]
    assert confirmed["deleted_at"] == gone["deleted_at"] < confirmed["deletion_confirmed_at"]
    sandbox.advance(60)
    sandbox.act("restore", board=BOARD, no=deleted)
    any_store(f"-aboard={BOARD}").ok()
    back = posts_of(source)[BOARD, deleted]
    assert back["deleted_at"] is None and back["deletion_confirmed_at"] is None and back["revision"] == 1


def test_fates_of_threads(any_store: Crawler, sandbox: Sandbox) -> None:
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    first, *_, last = live_threads(sandbox)
    killed = live_threads(sandbox)[3]
    sandbox.act("delete_thread", board=BOARD, no=killed)
    sandbox.act("fall_off", board=BOARD, no=last)
    run = any_store(f"-aboard={BOARD}").ok()
    assert fates(any_store)[killed] == "deleted"
    assert fates(any_store)[last] == "archived"
    assert fates(any_store)[first] == "live"
    source: Any = Database(any_store.database_url) if any_store.database_url else any_store.folder
    posts = [post for post in posts_of(source).values() if post["thread_no"] == killed]
    assert posts and all(post["deleted_at"] and post["deletion_confirmed_at"] for post in posts)
    assert f"{len(posts)} deletion" in run.output
    # And that is the end of it.
    start = len(sandbox.requests())
    any_store(f"-aboard={BOARD}").ok()
    assert len(sandbox.requests(start)) <= 3


def fates(crawler: Crawler) -> dict[int, str]:
    if crawler.database_url:
        return dict(Database(crawler.database_url).rows("SELECT no, fate FROM threads"))
    return {int(row["no"]): row["fate"] for row in crawler.csv(f"{BOARD}/threads")}


@pytest.mark.soak
def test_a_deletion_is_found_while_the_archive_is_unchanged(any_store: Crawler, sandbox: Sandbox) -> None:
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    killed = live_threads(sandbox)[3]
    sandbox.act("delete_thread", board=BOARD, no=killed)
    start = len(sandbox.requests())
    any_store(f"-aboard={BOARD}").ok()
    assert fates(any_store)[killed] == "deleted"
    requests = {request["path"]: request["status"] for request in sandbox.requests(start)}
    assert f"/{BOARD}/archive.json" in requests
    assert requests[f"/{BOARD}/thread/{killed}.json"] == 404


@pytest.mark.soak
def test_a_thread_that_the_index_omits_is_not_gone(any_store: Crawler, sandbox: Sandbox) -> None:
    """The index flaps; the thread's own page has the last word."""
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    sandbox.fault("forgetful", path="threads.json", times=1)
    made = sandbox.act("reply", board=BOARD, no=live_threads(sandbox)[4])["nos"]
    forgotten = live_threads(sandbox)[-1]
    any_store(f"-aboard={BOARD}").ok()
    assert fates(any_store)[forgotten] == "live"
    assert set(made) <= set(any_store.held(BOARD))


@pytest.mark.soak
def test_a_board_without_archive_prunes_from_the_end(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler("-aboard=qst").ok()
    sandbox.advance(60)
    threads = live_threads(sandbox, "qst")
    sandbox.act("delete_thread", board="qst", no=threads[3])
    sandbox.act("new_thread", board="qst")
    sandbox.act("new_thread", board="qst")
    crawler("-aboard=qst").ok()
    state = {int(row["no"]): row["fate"] for row in crawler.csv("qst/threads")}
    assert state[threads[3]] == "deleted"
    assert state[threads[-1]] == "pruned"


def test_an_empty_index_deletes_nothing(any_store: Crawler, sandbox: Sandbox) -> None:
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    made = sandbox.act("reply", board=BOARD, no=live_threads(sandbox)[2])["nos"]
    sandbox.fault("empty", path="threads.json")
    run = any_store(f"-aboard={BOARD}").ok()
    assert "implausible" in run.output
    assert "deleted" not in fates(any_store).values()
    sandbox.heal()
    any_store(f"-aboard={BOARD}").ok()
    assert set(made) <= set(any_store.held(BOARD))


@pytest.mark.soak
def test_arguments_limit_the_crawl(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler(f"-aboard={BOARD}", "-asample=4").ok()
    assert len({row["no"] for row in crawler.csv(f"{BOARD}/threads")}) == 4
    crawler(f"-aboard={BOARD}", "-aarchive=0").ok()
    states = {row["no"]: row["fate"] for row in crawler.csv(f"{BOARD}/threads")}
    assert set(states.values()) == {"live"} and len(states) == len(live_threads(sandbox))
    first, second = live_threads(sandbox, "qst")[:2]
    start = len(sandbox.requests())
    crawler("-aboard=qst", f"-athreads={first},{second}").ok()
    assert len(sandbox.requests(start)) == 3
    assert {int(row["no"]) for row in crawler.csv("qst/threads")} == {first, second}


def test_several_boards_in_one_crawl(crawler: Crawler, sandbox: Sandbox) -> None:
    run = crawler("-aboard=wsr,qst", "-asample=3").ok()
    assert "2 boards, 6 threads" in run.output
    everything = crawler("-aboard=all", "-asample=1").ok()
    assert "7 boards" in everything.output


def test_every_recorded_thread_is_stored_completely(
    recorded: Sandbox, fixtures: Path, tmp_path: Path, database: Database
) -> None:
    csv_crawler = Crawler(tmp_path / "csv", recorded.url)
    pg_crawler = Crawler(tmp_path / "pg", recorded.url, database.url)
    sent: dict[tuple[str, int], Any] = {}
    for file in sorted((fixtures / "fourchan").glob("*.thread.*.json"), reverse=True):
        if "headers" not in file.name:
            board = file.name.split(".")[0]
            for post in json.loads(file.read_bytes())["posts"]:
                sent[board, post["no"]] = post  # of the first recording, for it is read last here
    for _ in range(2):
        for crawler in (csv_crawler, pg_crawler):
            crawler("-aboard=g,po").ok()
        recorded.ask("/sandbox/step", "POST")
    in_csv, in_postgres = posts_of(csv_crawler.folder), posts_of(database)
    assert in_csv == in_postgres
    assert set(in_csv) == set(sent)
    for key, post in sent.items():
        assert in_csv[key]["raw"] == post
        assert in_csv[key]["revision"] == 1, "only the thread had changed, not the post"
        assert in_csv[key]["comment_html"] == post.get("com")
    assert all(post["deleted_at"] is None for post in in_csv.values())
    assert database.one("SELECT count(*) FROM post_revisions") == 0
