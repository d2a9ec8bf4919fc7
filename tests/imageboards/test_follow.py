"""`scrapy crawl chan -a follow=1`, as a user starts it, against boards that live."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chancrawl.items import Poll, Post, columns
from chancrawl.storage.base import Store, restored
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS, ROOT
from tests.support.crawls import Crawler, environment, wait_for_line
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox

SPEED = 20  # seconds of the sandbox's clock for one of ours
DELAY = 1 / SPEED  # one request a second of its clock
WaitUntil = Callable[..., None]


@pytest.fixture
def lively(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Boards that live at SPEED, or faster if a test says so."""
    speed = getattr(request, "param", SPEED)
    sandbox = Sandbox("--speed", str(speed), "--start", "1795000000", "--seed", "3")
    yield sandbox
    sandbox.stop()


@pytest.fixture(params=["csv", "postgres"])
def follower(request: pytest.FixtureRequest, tmp_path: Path, lively: Sandbox) -> Crawler:
    database_url = request.getfixturevalue("database").url if request.param == "postgres" else None
    return Crawler(tmp_path / "data", lively.url, database_url, DELAY)


def follow(crawler: Crawler, board: str = "wsr", *more: str) -> subprocess.Popen[str]:
    delay = crawler.delay
    return crawler.start(
        "-a", f"board={board}", "-a", "follow=1", "-s", f"CHAN_INDEX_INTERVAL={5 * delay}",
        "-s", f"CHAN_THREAD_INTERVAL={10 * delay}", "-s", "BATCH_SECONDS=0.2", *more,
    )  # fmt: skip


def deletions(crawler: Crawler, board: str) -> dict[int, tuple[bool, bool]]:
    """By post: whether it is marked deleted, and whether that is confirmed."""
    if crawler.database_url:
        rows = Database(crawler.database_url).rows(
            "SELECT no, deleted_at IS NOT NULL, deletion_confirmed_at IS NOT NULL FROM posts WHERE board = %s", board
        )
        return {no: (deleted, confirmed) for no, deleted, confirmed in rows if deleted}
    last = {int(row["no"]): (bool(row["deleted_at"]), bool(row["deletion_confirmed_at"]))
            for row in crawler.csv(f"{board}/deletions")}  # fmt: skip
    return {no: state for no, state in last.items() if state[0]}


def fates(crawler: Crawler, board: str) -> dict[int, str]:
    if crawler.database_url:
        return dict(Database(crawler.database_url).rows("SELECT no, fate FROM threads WHERE board = %s", board))
    return {int(row["no"]): row["fate"] for row in crawler.csv(f"{board}/threads")}


def is_there(crawler: Crawler, board: str) -> bool:
    if crawler.database_url:
        database = Database(crawler.database_url)
        return bool(database.one("SELECT to_regclass('board_polls') IS NOT NULL")) and bool(crawler.held(board))
    return bool(crawler.held(board))


def check_politeness(requests: list[dict[str, Any]], delay: float) -> None:
    """Never two requests within the delay, nor two of a thread within its interval; never a file twice in full."""
    requests = [request for request in requests if not request["path"].startswith("/sandbox")]
    times = [request["at"] for request in requests]
    gaps = sorted(after - before for before, after in pairwise(times))
    assert gaps[len(gaps) // 20] >= 0.9 * delay, gaps[
        :20
    ]  # the sandbox itself may be late to note one, and even it out
    last: dict[str, float] = {}
    for request in requests:
        path = request["path"].replace("-tail", "")
        if "/thread/" in path:
            assert request["at"] - last.get(path, -9.0) >= 9.9 * delay, path
            last[path] = request["at"]
    fetched = set()
    for request in requests:
        assert request["conditional"] or request["path"] not in fetched, request
        if request["status"] == 200:
            fetched.add(request["path"])


@pytest.mark.soak
def test_follow_stores_every_post_that_was_shown(follower: Crawler, lively: Sandbox) -> None:
    """Three virtual minutes of a fast board, a slow one, and one without an archive."""
    process = follow(follower, "pol,b,wsr")
    time.sleep(10)
    run = follower.interrupted(process).ok()
    assert "Stopped; what was fetched is stored." in run.output
    now = max(json.loads(lively.ask("/sandbox/clock"))["now"] - 0.1, 0)
    for board in ("pol", "b", "wsr"):
        held = follower.held(board)
        assert len(held) == len(set(held)), "no post twice"
        truth = [post for post in lively.truth() if post["board"] == board]
        assert set(held) <= {post["no"] for post in truth}
        made = [post for post in truth if 1795000000 < post["posted_at"] < now - 40]
        missed = [post for post in made if post["no"] not in set(held) and post["deleted_at"] is None]
        assert len(missed) <= 0.02 * len(made) + 1, missed
        deleted = {post["no"] for post in truth if post["deleted_at"] is not None}
        assert set(deletions(follower, board)) <= deleted
    check_politeness(lively.requests(), DELAY)


@pytest.mark.soak
@pytest.mark.parametrize("lively", [200], indirect=True)
def test_follow_stores_deletions_and_fates(follower: Crawler, lively: Sandbox, wait_until: WaitUntil) -> None:
    process = follow(follower, "wsr,qst")
    index = {board: [thread["no"] for page in json.loads(lively.ask(f"/{board}/threads.json"))
                     for thread in page["threads"]] for board in ("wsr", "qst")}  # fmt: skip
    replies = {no: [post["no"] for post in lively.thread(no)["posts"][1:]] for no in index["wsr"][1:]}
    long = max(replies, key=lambda no: len(replies[no]))
    doomed, old, *_ = (no for no in index["wsr"][1:12] if no != long)
    pruned = index["qst"][-1]
    wait_until(lambda: is_there(follower, "wsr") and set(replies[long]) <= set(follower.held("wsr")), timeout=30)
    wait_until(lambda: is_there(follower, "qst") and pruned in fates(follower, "qst"))

    victim = replies[long][len(replies[long]) // 2]
    new = lively.act("reply", board="wsr", no=long, count=8)["nos"]
    lively.act("delete", board="wsr", no=victim)
    lively.act("delete_thread", board="wsr", no=doomed)
    lively.act("fall_off", board="wsr", no=old)
    lively.act("fall_off", board="qst", no=pruned)

    def there(nos: list[int]) -> set[int]:
        """Without what a moderator was faster to delete."""
        return {post["no"] for post in lively.truth() if post["no"] in nos and post["gone_at"] is None}

    wait_until(lambda: there(new) <= set(follower.held("wsr")), timeout=60)
    wait_until(lambda: victim in deletions(follower, "wsr"), timeout=60)
    wait_until(lambda: fates(follower, "wsr").get(doomed) == "deleted", timeout=60)
    wait_until(lambda: fates(follower, "wsr").get(old) == "archived", timeout=60)
    wait_until(lambda: fates(follower, "qst").get(pruned) == "pruned", timeout=60)
    assert {doomed, *replies[doomed]} <= set(deletions(follower, "wsr"))
    assert not set(replies[old]) & set(deletions(follower, "wsr"))

    lively.act("restore", board="wsr", no=victim)
    wait_until(lambda: victim not in deletions(follower, "wsr"), timeout=60)
    follower.interrupted(process).ok()


@pytest.mark.soak
def test_killed_again_and_again(follower: Crawler, lively: Sandbox, wait_until: WaitUntil) -> None:
    """kill -9 at twenty random instants: what was acknowledged stays, nothing is there twice, coverage tells gaps."""
    random = Random(7)
    acknowledged: set[int] = set()
    for number in range(20):
        process = follow(follower, "pol")
        if number % 2:  # at any time after its start, which a busy machine makes long; else while it starts, too
            wait_for_line(process, "Following")
        time.sleep(random.uniform(0.2, 1.7))
        process.kill()
        process.communicate()
        if is_there(follower, "pol"):
            assert acknowledged <= set(follower.held("pol"))
            acknowledged = committed(follower)
    process = follow(follower, "pol")
    time.sleep(6)
    follower.interrupted(process).ok()
    held = follower.held("pol")
    assert len(held) == len(set(held)) and acknowledged <= set(held)
    assert len(held) > 1000
    live = {post["no"] for post in lively.truth() if post["board"] == "pol" and post["deleted_at"] is None}
    assert not set(deletions(follower, "pol")) & live
    (board,) = json.loads(coverage(follower, "--format", "json", "-a", "board=pol"))
    assert len(board["unwatched"]) >= 3  # some are killed before their first look
    assert sum(hour["unwatched_seconds"] for hour in board["hours"]) > 5 * SPEED


def committed(crawler: Crawler) -> set[int]:
    """Posts of /pol/ that a commit has acknowledged: a CSV file can hold some more of a batch that was cut off."""
    if crawler.database_url:
        return set(crawler.held("pol"))
    connection = sqlite3.connect(crawler.folder / "chancrawl.sqlite")
    try:
        return {no for (no,) in connection.execute("SELECT no FROM posts WHERE board = 'pol'")}
    finally:
        connection.close()


def coverage(crawler: Crawler, *arguments: str) -> str:
    command = [sys.executable, "-m", "scrapy", "coverage", "-s", f"CSV_FOLDER={crawler.folder}", *arguments]
    if crawler.database_url:
        command += ["-s", f"DATABASE_URL={crawler.database_url}"]
    run = subprocess.run(command, cwd=ROOT, env=environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings"},
                         capture_output=True, text=True, timeout=60)  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


# A list without a thread and then a page that is a stub say together that the thread was deleted, so the stub is first.
FAULTS = (
    *("stub", "429", "503", "html403", "html200", "json403", "302", "reset", "slow", "date2099", "date1970"),
    *("modified2099", "truncated", "empty", "malformed", "wrong_types", "forgetful", "holey", "bad_byte"),
)


@pytest.mark.soak
def test_half_an_hour_of_every_fault(tmp_path: Path) -> None:
    """Thirty virtual minutes: no post and no thread is taken for deleted, and the pace comes back."""
    speed = 60
    sandbox = Sandbox("--speed", str(speed), "--start", "1795000000", "--seed", "5")
    try:
        crawler = Crawler(tmp_path / "data", sandbox.url, delay=1 / speed)
        process = follow(crawler, "g,wsr", "-s", "BACKOFF_MAX=1")
        time.sleep(4)
        for kind in FAULTS:
            sandbox.fault(kind, probability=0.7, seconds=0.2)
            time.sleep(30 / len(FAULTS) - 0.8)
            sandbox.heal()
            time.sleep(0.8)
        healed = len(sandbox.requests())
        time.sleep(4)
        run = crawler.interrupted(process).ok()
        after = [request for request in sandbox.requests()[healed:] if "/sandbox/" not in request["path"]]
        assert sum(request["status"] in (200, 304, 404) for request in after) > 20, run.output
        truth = {(post["board"], post["no"]): post for post in sandbox.truth()}
        for board in ("g", "wsr"):
            for no in deletions(crawler, board):
                assert truth[board, no]["deleted_at"] is not None, (board, no)
            for no, fate in fates(crawler, board).items():
                assert fate in ("live", truth[board, no]["thread_fate"]), (no, fate, truth[board, no])
            held = set(crawler.held(board))
            seen = [post for post in truth.values() if post["board"] == board and post["deleted_at"] is None
                    and post["posted_at"] < json.loads(sandbox.ask("/sandbox/clock"))["now"] - 120]  # fmt: skip
            assert len([post for post in seen if post["no"] not in held and post["thread_fate"] == "live"]) <= 5
    finally:
        sandbox.stop()


@pytest.mark.soak
def test_a_crawl_after_a_day_without_one(follower: Crawler, lively: Sandbox, wait_until: WaitUntil) -> None:
    """After a downtime, what went to the archive meanwhile is read there, and the pause is on record."""
    process = follow(follower, "wsr")
    wait_until(lambda: is_there(follower, "wsr"))
    time.sleep(2)
    follower.interrupted(process).ok()
    left = [no for no, fate in fates(follower, "wsr").items() if fate == "live"]
    lively.advance(2 * 86400)
    lively.ask("/wsr/threads.json")
    live = {post["no"] for post in lively.truth() if post["thread_fate"] == "live" and post["gone_at"] is None}
    gone = [no for no in left if no in live][:3]
    assert gone
    for no in gone:
        lively.act("fall_off", board="wsr", no=no)
    process = follow(follower, "wsr")
    wait_until(lambda: all(fates(follower, "wsr").get(no) == "archived" for no in gone), timeout=60)
    follower.interrupted(process).ok()
    (board,) = json.loads(coverage(follower, "--format", "json"))
    start, end = (datetime.fromisoformat(time) for time in board["unwatched"][0])
    assert (end - start).days == 2


def test_a_crawl_keeps_the_coverage_of_past_hours(follower: Crawler, wait_until: WaitUntil) -> None:
    process = follow(follower, "wsr")
    wait_until(lambda: is_there(follower, "wsr"))
    follower.interrupted(process).ok()
    store = store_of(follower)
    hour = datetime(2025, 10, 20, 12, tzinfo=UTC)  # long before the first post of the sandbox
    (model,) = store.rows(f"SELECT {', '.join(columns(Post))} FROM posts WHERE board = ? LIMIT 1", "wsr")
    posts = [
        replace(restored(Post, model), no=no, posted_at=at, first_seen_at=at, last_seen_at=at)
        for no in range(2, 300)
        for at in [hour + timedelta(minutes=no)]
    ]
    assert store.take_in([Poll("wsr", hour, 1, 5, 2, None), *posts]) == []
    before = coverage(follower, "--format", "json")
    process = follow(follower, "wsr")
    wait_until(lambda: store.rows("SELECT count(*) FROM board_coverage")[0][0] >= 4, timeout=20)
    follower.interrupted(process).ok()
    store.close()
    ((earlier,), (later,)) = json.loads(before), json.loads(coverage(follower, "--format", "json"))
    assert [hour["held"] for hour in earlier["hours"][:5]] == [58, 60, 60, 60, 60]
    assert later["hours"][:5] == earlier["hours"][:5]


def store_of(crawler: Crawler) -> Store:
    """The store of a crawl that has ended, to be written to beside the next one."""
    store: Store = (
        SqliteStore(crawler.folder, KINDS)
        if crawler.database_url is None
        else PostgresStore(crawler.database_url, KINDS)
    )
    store.open_beside()
    return store


@pytest.mark.soak
def test_ctrl_c_while_nothing_is_due(follower: Crawler, wait_until: WaitUntil) -> None:
    process = follow(follower, "wsr", "-s", "CHAN_INDEX_INTERVAL=600", "-s", "CHAN_THREAD_INTERVAL=600")
    wait_until(lambda: is_there(follower, "wsr"))
    time.sleep(3)
    began = time.monotonic()
    follower.interrupted(process, signal.SIGTERM).ok()
    assert time.monotonic() - began < 3


def test_follow_refuses_sample(crawler: Crawler) -> None:
    crawler("-a", "board=po", "-a", "follow=1", "-a", "sample=3").refused("follow=1", "sample")


def test_coverage_of_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scrapy", "coverage", "-s", f"CSV_FOLDER={tmp_path / 'none'}"]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "nothing was collected yet" in run.stderr and "Traceback" not in run.stderr
