"""Which crawls are alive: signs of life, standing by, `scrapy status`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chancrawl.storage import runs
from chancrawl.storage.postgres.connection import PostgresStore
from tests.spiders.test_chan import BOARD, live_threads
from tests.support.crawls import Crawler
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox

Wait = Callable[..., None]
FOLLOW = (f"-aboard={BOARD}", "-afollow=1", "-sBATCH_SECONDS=0.2")


def reported(crawler: Crawler) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(crawler.other("status", "--format", "json").ok().output)
    return found


@pytest.mark.soak
def test_status_lists_running_crawls_and_how_others_ended(
    any_store: Crawler, sandbox: Sandbox, wait_until: Wait
) -> None:
    if not any_store.database_url:
        any_store.other("status").refused("nothing was collected yet")
    any_store(f"-aboard={BOARD}", "-asample=2").ok()
    process = any_store.start(*FOLLOW)
    live = {no for thread in live_threads(sandbox) for no in (p["no"] for p in sandbox.thread(thread)["posts"])}
    wait_until(lambda: live <= set(any_store.held(BOARD)))
    found = reported(any_store)
    (run,) = found["alive"]
    assert (run["spider"], run["pid"], run["host"]) == ("chan", process.pid, runs.HOST)
    assert run["folder"] == str(any_store.folder) and run["alive_seconds_ago"] < 60
    (board,) = run["boards"]
    assert board["board"] == BOARD and board["posts_an_hour"] > 0 and board["read_at"]
    (end,) = found["ended"]
    assert end["reason"] == "finished" and end["succeeded_at"] == end["finished_at"]
    text = any_store.other("status").ok().output
    assert f"process {process.pid} on {runs.HOST}" in text and f"/{BOARD}/: " in text and "sample=2: finished" in text
    process.kill()
    process.communicate()
    assert reported(any_store)["alive"] == []  # its process is gone
    assert "No crawl is alive." in any_store.other("status").output
    sandbox.fault("503", path="threads.json")
    sandbox.fault("503", path="catalog")
    sandbox.fault("503", path="/1.json")
    any_store(f"-aboard={BOARD}", "-sRETRY_TIMES=0", "-sBACKOFF_MAX=1").refused("Incomplete.")
    text = any_store.other("status").ok().output
    assert "incomplete at" in text and "the last success at no time" in text


def tables(database: Database) -> bool:
    return bool(database.one("SELECT to_regclass('runs') IS NOT NULL"))


def followed(
    sandbox: Sandbox, database: Database, folder: Path, wait_until: Wait
) -> tuple[Crawler, Crawler, subprocess.Popen[str]]:
    """Two crawlers into one database, and the process of the first one, which follows the board."""
    first, second = (Crawler(folder / name, sandbox.url, database.url) for name in ("one", "two"))
    process = first.start(*FOLLOW)
    wait_until(lambda: tables(database) and database.one("SELECT count(*) FROM runs WHERE boards = %s", BOARD))
    return first, second, process


@pytest.mark.soak
def test_a_second_follower_stands_by_until_the_first_ends(
    sandbox: Sandbox, database: Database, tmp_path: Path, wait_until: Wait
) -> None:
    """R6: Scrapyd was restarted, and the crawl it had started goes on without it."""
    first, second, process = followed(sandbox, database, tmp_path, wait_until)
    wait_until(lambda: len(first.held(BOARD)) > 100)
    other = second.start(*FOLLOW, "-LINFO")
    wait_until(lambda: database.one("SELECT count(*) FROM runs") == 2)
    asked = [request for request in sandbox.requests() if BOARD in request["path"]]
    alive = {run["pid"]: [board["board"] for board in run["boards"]] for run in reported(first)["alive"]}
    assert alive == {process.pid: [BOARD], other.pid: []}
    assert "stands by" in first.other("status").output
    process.kill()  # not in good order: its number tells that it is gone
    process.communicate()
    wait_until(lambda: database.one("SELECT count(*) FROM runs WHERE boards = %s", BOARD) == 2, timeout=40)
    wait_until(lambda: len([r for r in sandbox.requests() if BOARD in r["path"]]) > len(asked))
    run = second.interrupted(other).ok()
    assert f"run 1 (process {process.pid} on {runs.HOST}" in run.output.lower() or "Run 1 (process" in run.output
    assert f"already follows /{BOARD}/ into this store. This crawl stands by" in run.output


def test_ctrl_c_while_standing_by(sandbox: Sandbox, database: Database, tmp_path: Path, wait_until: Wait) -> None:
    first, second, process = followed(sandbox, database, tmp_path, wait_until)
    other = second.start(*FOLLOW)
    wait_until(lambda: database.one("SELECT count(*) FROM runs") == 2)
    run = second.interrupted(other).ok()
    assert "Stopped" in run.output and "Following" not in run.output
    first.interrupted(process, signal.SIGTERM).ok()


@pytest.mark.soak
def test_of_two_followers_the_later_one_ends(
    sandbox: Sandbox, database: Database, tmp_path: Path, wait_until: Wait
) -> None:
    """The first was thought to be dead, because it could not give signs of life, and is back."""
    first, second, process = followed(sandbox, database, tmp_path, wait_until)
    database.rows("UPDATE runs SET alive_at = now() - interval '101 seconds'")
    other = second.start(*FOLLOW)
    wait_until(lambda: database.one("SELECT count(*) FROM runs WHERE boards = %s", BOARD) == 2, timeout=25)
    output, _ = other.communicate(timeout=60)
    assert other.returncode == 1 and "was there before: this crawl ends" in output, output
    assert process.poll() is None
    first.interrupted(process).ok()


def begun(store: PostgresStore, host: str, pid: int, age: float) -> int:
    number = runs.begin(store, "chan", {"board": "po"}, "http://h", datetime.now(UTC), "/srv")
    sql = "UPDATE runs SET host = ?, pid = ?, alive_at = now() - ? * interval '1 second' WHERE run_id = ?"
    store.write([(sql, (host, pid, age, number))])
    return number


def test_which_crawls_count_as_running(store: PostgresStore) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    elsewhere = begun(store, "another", 1, 20)
    begun(store, "another", 2, 101)  # silent for too long
    begun(store, runs.HOST, gone.pid, 1)  # killed
    here = begun(store, runs.HOST, os.getppid(), 20)
    same = begun(store, runs.HOST, os.getpid(), 20)  # the first process of another container, for all we know
    assert [run.run_id for run in runs.alive(store)] == [elsewhere, here, same]
    mine = begun(store, runs.HOST, os.getpid(), 0)
    assert runs.claim(store, elsewhere, ["po", "g"]) == []
    assert [run.run_id for run in runs.claim(store, mine, ["g", "x"])] == [elsewhere]
    assert runs.claim(store, mine, ["x"]) == [] and runs.others(store, mine, ["x"]) == []
    assert [run.run_id for run in runs.others(store, elsewhere, ["x"])] == [mine]
    store.write([("UPDATE runs SET alive_at = now() - interval '1 hour' WHERE run_id = ?", (elsewhere,))])
    assert runs.claim(store, mine, ["g", "x"]) == []
    runs.beat(store, elsewhere, {"items/post": 5})
    (back, *_) = runs.others(store, mine, ["g"])  # it was only stopped: both follow, and both are told
    assert back.run_id == elsewhere and back.stats == {"items/post": 5}


@pytest.mark.soak
def test_a_crawl_gives_signs_of_life(any_store: Crawler, wait_until: Wait) -> None:
    any_store(f"-aboard={BOARD}", "-asample=1").ok()
    process = any_store.start(*FOLLOW)
    wait_until(lambda: len(any_store.held(BOARD)) > 100)
    first = reported(any_store)["alive"][0]
    assert first["stats"] == {}
    wait_until(lambda: reported(any_store)["alive"][0]["stats"], timeout=50)
    second = reported(any_store)["alive"][0]
    assert second["alive_seconds_ago"] < 15 and 0 < second["stats"]["items/post"] <= len(any_store.held(BOARD))
    run = any_store.interrupted(process).ok()
    assert "follows the same boards" not in run.output
