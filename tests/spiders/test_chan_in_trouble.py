"""Crawls when the site, the user or the machine does not play along."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.spiders.test_chan import BOARD, fates, live_threads
from tests.support import ROOT
from tests.support.crawls import Crawler, environment
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox

Wait = Callable[[Callable[[], Any]], None]


def assert_polite(requests: list[dict[str, Any]], delay: float) -> None:
    """Never more requests than one for each delay, in any stretch of time. (Arrivals jitter, departures do not.)"""
    times = sorted(request["at"] for request in requests)
    assert len(times) > 10
    for count in (2, 5, 10):
        for first, last in zip(times, times[count - 1 :], strict=False):
            assert last - first >= (count - 1) * delay - 0.03, f"{count} requests in {last - first:.3f} s"


@pytest.mark.soak
def test_rate_holds_with_retries_and_indexes(tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.1)
    for board in ("wsr", "qst"):
        sandbox.ask(f"/{board}/threads.json")  # making a board takes a while, in which requests would pile up
    start = len(sandbox.requests())
    sandbox.fault("503", path="/thread/", times=3, probability=0.3)
    sandbox.fault("malformed", path="/thread/", times=2, probability=0.3)
    crawler("-aboard=wsr,qst", "-asample=15").ok()
    assert_polite(sandbox.requests(start), 0.1)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["429", "503", "html403", "truncated", "reset", "malformed", "slow"])
def test_after_a_fault_the_crawl_is_complete(crawler: Crawler, sandbox: Sandbox, kind: str) -> None:
    sandbox.fault(kind, times=2, seconds=0.2)
    sandbox.fault(kind, path="/thread/", times=6, probability=0.2, seconds=0.2)
    sandbox.fault(kind, path="archive.json", times=1, seconds=0.2)
    run = crawler(f"-aboard={BOARD}")
    run.ok()
    visible = {post["no"] for post in sandbox.truth() if post["board"] == BOARD and post["gone_at"] is None}
    assert set(crawler.held(BOARD)) == visible
    assert "deleted" not in fates(crawler).values()


@pytest.mark.soak
def test_refusals_are_answered_with_longer_and_longer_pauses(tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.1)
    sandbox.fault("429", path="/thread/", times=5)
    crawler(f"-aboard={BOARD}", "-asample=5").ok()
    times = [request["at"] for request in sandbox.requests() if "/thread/" in request["path"]]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    # The request that waited for its turn when the first was refused still goes out; then one at a time.
    for expected in (0.2, 0.4, 0.8, 1.6):
        place = next(place for place, pause in enumerate(pauses) if pause >= 0.95 * expected)
        assert pauses[place] < 1.5 * expected + 0.1
        pauses = pauses[place + 1 :]


@pytest.mark.soak
def test_retry_after_is_respected(tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.05)
    sandbox.fault("429", path="/thread/", times=1, seconds=2)
    crawler(f"-aboard={BOARD}", "-asample=3").ok()
    requests = sandbox.requests()
    place = next(place for place, request in enumerate(requests) if request["status"] == 429)
    later = [request["at"] for request in requests[place + 1 :] if request["at"] > requests[place]["at"] + 0.2]
    assert min(later) - requests[place]["at"] >= 1.95


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["malformed", "wrong_types", "empty"])
def test_what_cannot_be_read_is_set_aside_and_the_rest_goes_on(any_store: Crawler, sandbox: Sandbox, kind: str) -> None:
    bad = live_threads(sandbox)[4]
    sandbox.fault(kind, path=f"/{BOARD}/thread/{bad}.json")
    run = any_store(f"-aboard={BOARD}")
    assert run.code == 0 and "Traceback" not in run.output
    assert "1 thread could not be fetched" in run.output
    visible = {p["no"] for p in sandbox.truth() if p["board"] == BOARD and p["gone_at"] is None}
    theirs = {p["no"] for p in sandbox.truth() if p["thread_no"] == bad}
    assert set(any_store.held(BOARD)) == visible - theirs
    reports = [json.loads(file.read_text()) for file in (any_store.folder / "quarantine").glob("*.json")]
    assert {report["url"] for report in reports} == {f"{sandbox.url}/{BOARD}/thread/{bad}.json"}
    assert all(report["reason"] and report["time"] and report["bytes"] for report in reports)
    (body,) = (any_store.folder / "quarantine").glob("*.body")
    assert body.stat().st_size == reports[0]["bytes"]
    # The state did not run ahead: when the site has recovered, the next run fetches it.
    sandbox.heal()
    any_store(f"-aboard={BOARD}").ok()
    assert set(any_store.held(BOARD)) == visible


@pytest.mark.soak
def test_a_thread_is_not_asked_for_again_too_soon(crawler: Crawler, sandbox: Sandbox) -> None:
    bad = live_threads(sandbox)[4]
    sandbox.fault("malformed", path=f"/{BOARD}/thread/{bad}.json", times=2)
    crawler(f"-aboard={BOARD}", "-sCHAN_THREAD_INTERVAL=1.5", "-aarchive=0").ok()
    times = [request["at"] for request in sandbox.requests() if request["path"].endswith(f"{bad}.json")]
    assert len(times) == 3 and all(later - earlier >= 1.4 for earlier, later in pairwise(times))


def test_a_truncated_page_is_asked_for_again_and_deletes_nothing(any_store: Crawler, sandbox: Sandbox) -> None:
    thread = next(no for no in live_threads(sandbox)[1:] if len(sandbox.thread(no)["posts"]) > 5)
    sandbox.fault("forgetful", path=f"/thread/{thread}.json", times=1)
    any_store(f"-aboard={BOARD}").ok()
    assert {post["no"] for post in sandbox.thread(thread)["posts"]} <= set(any_store.held(BOARD))


@pytest.mark.soak
def test_an_archive_that_flaps_deletes_nothing(any_store: Crawler, sandbox: Sandbox) -> None:
    any_store(f"-aboard={BOARD}").ok()
    before = fates(any_store)
    sandbox.advance(60)
    for _ in range(2):
        sandbox.act("fall_off", board=BOARD, no=live_threads(sandbox)[-1])
    sandbox.fault("empty", path="archive.json")
    run = any_store(f"-aboard={BOARD}").refused("Incomplete.")
    assert "implausible" in run.output
    assert set(fates(any_store).values()) == {"live", "archived"} == set(before.values())
    sandbox.heal()
    any_store(f"-aboard={BOARD}").ok()
    assert set(fates(any_store).values()) == {"live", "archived"}


def test_an_empty_index_in_the_first_run_is_ignored_too(crawler: Crawler, sandbox: Sandbox) -> None:
    sandbox.ask(f"/{BOARD}/threads.json")
    sandbox.advance(60)
    sandbox.fault("empty", path="threads.json", times=1)
    run = crawler(f"-aboard={BOARD}").ok()
    assert "implausible" in run.output
    crawler(f"-aboard={BOARD}").ok()
    assert set(fates(crawler).values()) == {"live", "archived"}


def test_a_payload_that_is_nested_deeply(crawler: Crawler, sandbox: Sandbox) -> None:
    """One odd post costs itself, not the others of its thread."""
    bad = next(no for no in live_threads(sandbox)[1:] if len(sandbox.thread(no)["posts"]) > 5)
    posts = [post["no"] for post in sandbox.thread(bad)["posts"]]
    sandbox.fault("deep", path=f"/{BOARD}/thread/{bad}.json")
    run = crawler(f"-aboard={BOARD}").ok()
    assert "with something unreadable; examples are in CSV_FOLDER/quarantine" in run.output
    assert {int(r["no"]) for r in crawler.csv(f"{BOARD}/posts-*") if int(r["thread_no"]) == bad} == set(posts[:-1])


@pytest.mark.soak
def test_an_unreadable_index_deletes_nothing(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    sandbox.act("new_thread", board=BOARD)
    for kind in ("malformed", "wrong_types"):
        sandbox.fault(kind, path="threads.json")
        crawler(f"-aboard={BOARD}")
        sandbox.heal()
    assert set(fates(crawler).values()) == {"live", "archived"}


# --- mistakes of the user


def nothing_written(folder: Path) -> bool:
    return not folder.exists() or not any(folder.iterdir())


@pytest.mark.soak
@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-aboard=nope"], ["no board /nope/", "/po/"]),
        (["-aboard="], ["Which board?", "-a board=po"]),
        ([], ["Which board?"]),
        (["-aboard=po", "-asample=many"], ["sample=many", "whole number"]),
        (["-aboard=po", "-asample=0"], ["sample=0"]),
        (["-aboard=po", "-aarchive=perhaps"], ["archive=perhaps", "1 or 0"]),
        (["-aboard=po,g", "-athreads=5"], ["one board"]),
        (["-aboard=po", "-athreads=5;6"], ["threads=5;6"]),
        (["-aboard=po", "-abord=g"], ["no argument bord"]),
        (["-aboard=po", "-sBATCH_SIZE=lots"], ["BATCH_SIZE", "lots", "number"]),
        (["-aboard=po", "-sBATCH_SIZE=1.5"], ["BATCH_SIZE", "1.5", "whole number"]),
        (["-aboard=po", "-sDOWNLOAD_DELAY=-1"], ["DOWNLOAD_DELAY", "-1"]),
        (["-aboard=po", "-sBACKOFF_MAX=inf"], ["BACKOFF_MAX", "inf"]),
        (["-aboard=po", "-sSANDBOX=maybe"], ["SANDBOX", "maybe", "1 or 0"]),
        (["-aboard=po", "-sSANDBOX_SPEED=fast"], ["SANDBOX_SPEED", "fast"]),
        (["-aboard=po", "-sSANDBOX_TRUTH=/nowhere/truth"], ["SANDBOX_TRUTH", "no folder /nowhere"]),
        (["-aboard=po", "-sUSER_AGENT="], ["USER_AGENT is empty"]),
        (["-aboard=po", "-sROTATING_PROXY_LIST=foo"], ["Proxy 1", "no port"]),
        (["-aboard=po", "-sCHAN_API_URL=a.4cdn.org"], ["CHAN_API_URL", "https://a.4cdn.org"]),
        (["-aboard=po", "-sCHAN_API_URL=http://["], ["CHAN_API_URL"]),
        (["-aboard=po", "-sCHAN_API_URL=http://me:secret@127.0.0.1:1"], ["CHAN_API_URL", "without user"]),
        (["-aboard=po", "-sCHAN_API_URL=https://a.4cdn.org", "-sDOWNLOAD_DELAY=0.2"], ["one request a second"]),
        (["-aboard=po", "-sDATABASE_URL=postgresql://u:se/cret@127.0.0.1:1/x"], ["DATABASE_URL", "%2F"]),
        (["-aboard=po", "-sDATABASE_URL=postgresql://u:s@secret@127.0.0.1:1/x"], ["DATABASE_URL", "%40"]),
        (["-aboard=po", "-sCHAN_API_URL=http://127.0.0.1:1"], ["http://127.0.0.1:1", "cannot be reached"]),
        (["-aboard=po", "-sDATABASE_URL=mysql://x"], ["DATABASE_URL", "postgresql://"]),
        (["-aboard=po", "-sDATABASE_URL=postgresql://u:secret@127.0.0.1:1/x"], ["refused", "DATABASE_URL"]),
        (["-aboard=po", "-sCSV_FOLDER=/proc/data"], ["CSV_FOLDER", "cannot be written"]),
        (["-aboard=po", "-sCSV_FOLDER=/etc/passwd"], ["CSV_FOLDER", "is a file"]),
        (["-aboard=po", "-sROTATING_PROXY_LIST_PATH=none.txt"], ["ROTATING_PROXY_LIST_PATH", "no such file"]),
    ],
)
def test_a_mistake_is_reported_in_one_sentence(crawler: Crawler, arguments: list[str], words: list[str]) -> None:
    run = crawler(*arguments).refused(*words)
    assert run.output.count("ERROR") == 1 or len(run.output.splitlines()) == 1, run.output
    assert "secret" not in run.output
    assert nothing_written(crawler.folder)


def test_an_unknown_board_writes_nothing_to_the_database(sandbox: Sandbox, database: Database, tmp_path: Path) -> None:
    Crawler(tmp_path / "data", sandbox.url, database.url)("-aboard=nope").refused("no board")
    assert database.one("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


@pytest.mark.soak
def test_a_user_who_may_not_write_is_refused_before_the_first_request(
    sandbox: Sandbox, database: Database, tmp_path: Path
) -> None:
    database.rows("DROP ROLE IF EXISTS reader")
    database.rows("CREATE ROLE reader LOGIN")
    url = database.url.replace("postgres:@", "reader:@")
    Crawler(tmp_path / "data", sandbox.url, url)(f"-aboard={BOARD}").refused("CREATE ON SCHEMA public")
    Crawler(tmp_path / "data", sandbox.url, database.url)(f"-aboard={BOARD}", "-asample=1").ok()
    start = len(sandbox.requests())
    Crawler(tmp_path / "data", sandbox.url, url)(f"-aboard={BOARD}").refused("may not read", "permission denied")
    assert sandbox.requests(start) == []


def test_an_unknown_spider_is_named(crawler: Crawler) -> None:
    command = crawler.command("-aboard=po", spider="cham")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no spider cham; there are chan" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("option", [["-L", "LOUD"], ["--logfile", "/nowhere/x.log"]])
def test_options_of_the_log(crawler: Crawler, option: list[str]) -> None:
    run = crawler("-aboard=po", *option)
    assert run.code == 2 and "error:" in run.output and "Traceback" not in run.output
    assert nothing_written(crawler.folder)


@pytest.mark.parametrize(
    "text, words",
    [
        ("[chancrawl]\nCSV_FOLDR = x\n", "CSV_FOLDR, which is no setting"),
        ("[other]\nCSV_FOLDER = x\n", "no section [chancrawl]"),
        ("nonsense\n", "line 1: there is no section"),
    ],
)
def test_a_mistake_in_the_ini_file(crawler: Crawler, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "chancrawl.ini").write_text(text)
    run = crawler("-aboard=po", cwd=tmp_path)
    assert run.code == 1 and words in run.output and "Traceback" not in run.output, run.output


def test_settings_from_the_environment_and_the_ini_file(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "chancrawl.ini").write_text(
        f"[chancrawl]\nCSV_FOLDER = {tmp_path}/from-ini\nCHAN_API_URL = {sandbox.url}\n"
    )
    command = [sys.executable, "-m", "scrapy", "crawl", "chan", "-aboard=wsr", "-asample=1", "-sDOWNLOAD_DELAY=0.01"]
    env = environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings", "PYTHONPATH": str(ROOT)}
    for more, folder in (({}, "from-ini"), ({"CSV_FOLDER": f"{tmp_path}/from-env"}, "from-env")):
        done = subprocess.run(command, cwd=tmp_path, env=env | more, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / folder / "chan" / "wsr").is_dir()


def test_csv_files_without_their_database_are_not_touched(crawler: Crawler) -> None:
    crawler(f"-aboard={BOARD}", "-asample=3").ok()
    (file,) = (crawler.folder / "chan" / BOARD).glob("posts-*.csv")
    content = file.read_bytes()
    for ledger in crawler.folder.glob("chancrawl.sqlite*"):
        ledger.unlink()
    crawler(f"-aboard={BOARD}").refused("database that belongs to them", "CSV_FOLDER")
    (crawler.folder / "chancrawl.sqlite").write_text("no database at all, but long enough to be taken for one" * 99)
    crawler(f"-aboard={BOARD}").refused("cannot be used", "CSV_FOLDER")
    assert file.read_bytes() == content


def test_a_server_that_is_not_a_4chan_api(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler("-aboard=po", f"-sCHAN_API_URL={sandbox.url}/somewhere").refused("cannot be read", "answered 404")
    assert nothing_written(crawler.folder)


@pytest.mark.soak
def test_the_wait_for_a_silent_server_has_a_limit(crawler: Crawler) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        run = crawler("-aboard=po", f"-sCHAN_API_URL={url}", "-sDOWNLOAD_TIMEOUT=1", "-sRETRY_TIMES=1")
    run.refused("cannot be read", "CHAN_API_URL")


def test_posts_of_the_sandbox_and_of_the_site_are_not_mixed(crawler: Crawler) -> None:
    crawler(f"-aboard={BOARD}", "-asample=1").ok()
    crawler(f"-aboard={BOARD}", "-sCHAN_API_URL=https://a.4cdn.org", "-sDOWNLOAD_DELAY=1").refused(
        "not mixed", "CSV_FOLDER"
    )


@pytest.mark.soak
def test_two_crawls_into_one_folder(crawler: Crawler, sandbox: Sandbox, wait_until: Wait) -> None:
    first = crawler.start("-aboard=po", "-sDOWNLOAD_DELAY=0.2", "-sBATCH_SECONDS=2")
    wait_until(lambda: bool(sandbox.requests()))
    for _ in range(2):  # before there is anything in the folder, and then
        crawler(f"-aboard={BOARD}").refused("Another crawl", "CSV_FOLDER")
        wait_until((crawler.folder / "chancrawl.sqlite").exists)
    assert crawler.interrupted(first).code == 0
    assert sum(request["path"] == "/boards.json" for request in sandbox.requests()) == 1


def test_a_shortened_file_is_written_anew(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler(f"-aboard={BOARD}").ok()
    (file,) = (crawler.folder / "chan" / BOARD).glob("posts-*.csv")
    shortened = file.read_bytes()[:-200]
    file.write_bytes(shortened)
    sandbox.advance(5)
    sandbox.act("reply", board=BOARD, no=live_threads(sandbox)[2])
    run = crawler(f"-aboard={BOARD}").ok()
    assert "were changed by another program, and are made anew" in run.output
    assert set(crawler.held(BOARD)) == sandbox.shown(BOARD)
    assert file.with_name(f"{file.name}.edited").read_bytes() == shortened


@pytest.mark.soak
def test_a_store_that_fails_ends_the_crawl_even_while_it_backs_off(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler(f"-aboard={BOARD}").ok()
    with sqlite3.connect(crawler.folder / "chancrawl.sqlite") as connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON posts BEGIN INSERT INTO nowhere VALUES (1); END")
    connection.close()
    sandbox.advance(5)
    first, second = live_threads(sandbox)[2:4]
    for thread in (first, second):
        sandbox.act("reply", board=BOARD, no=thread)
    sandbox.fault("429", path=f"/thread/{min(first, second)}.json", seconds=600)
    sandbox.fault("429", path=f"/thread/{live_threads(sandbox)[0]}.json", seconds=600)
    run = crawler(f"-aboard={BOARD}", "-sBATCH_SECONDS=0.5", timeout=30)
    assert run.code == 1 and "Traceback" not in run.output, run.output


@pytest.mark.soak
@pytest.mark.parametrize("again", ["-asample=3", "-aarchive=0"])
def test_partial_runs_do_not_make_the_index_implausible(crawler: Crawler, sandbox: Sandbox, again: str) -> None:
    for _ in range(4):
        crawler(f"-aboard={BOARD}", again).ok()
        for _ in range(20):
            sandbox.advance(1)
            sandbox.act("new_thread", board=BOARD)
    run = crawler(f"-aboard={BOARD}").ok()
    assert "implausible" not in run.output
    live = {int(no) for no, fate in fates(crawler).items() if fate == "live"}
    assert live == set(live_threads(sandbox))


# --- ends that come early


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_within_seconds_and_keeps_what_was_fetched(
    any_store: Crawler, sandbox: Sandbox, wait_until: Wait, number: int
) -> None:
    any_store.delay = 0.1
    process = any_store.start("-aboard=po", "-sBATCH_SECONDS=1000", "-sBATCH_SIZE=100000")
    wait_until(lambda: len(sandbox.requests()) > 20)
    run = any_store.interrupted(process, number, timeout=10).ok()
    assert "Stopped; what was fetched is stored" in run.output
    assert set(any_store.held()) == sandbox.shown()
    # The next run takes up where this one was stopped.
    any_store.delay = 0.01
    any_store("-aboard=po").ok()
    assert set(any_store.held()) == {p["no"] for p in sandbox.truth() if p["board"] == "po" and p["gone_at"] is None}


def test_a_signal_stops_a_crawl_that_backs_off(crawler: Crawler, sandbox: Sandbox, wait_until: Wait) -> None:
    sandbox.fault("429", path="/thread/", seconds=600)
    process = crawler.start(f"-aboard={BOARD}")
    wait_until(lambda: any(request["status"] == 429 for request in sandbox.requests()))
    run = crawler.interrupted(process, timeout=10)
    assert run.code == 0 and "Traceback" not in run.output


@pytest.mark.soak
@pytest.mark.parametrize("after", [3, 12, 25])
def test_a_killed_crawl_is_continued(any_store: Crawler, sandbox: Sandbox, wait_until: Wait, after: int) -> None:
    any_store.delay = 0.02
    process = any_store.start("-aboard=po", "-sBATCH_SECONDS=0.1", "-sBATCH_SIZE=37")
    wait_until(lambda: len(sandbox.requests()) > after)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    any_store("-aboard=po").ok()
    held = any_store.held()
    assert len(held) == len(set(held))
    assert set(held) == {p["no"] for p in sandbox.truth() if p["board"] == "po" and p["gone_at"] is None}


@pytest.mark.soak
def test_a_signal_before_the_first_answer(crawler: Crawler, sandbox: Sandbox, wait_until: Wait) -> None:
    sandbox.fault("slow", seconds=2)
    process = crawler.start("-aboard=po")
    wait_until(lambda: sandbox.requests())
    run = crawler.interrupted(process, timeout=10)
    assert run.code == 0, run.output
    assert "Received SIGINT" in run.output and "Stopped" in run.output


# --- the one command of the README


def test_sandbox_in_the_same_command(tmp_path: Path) -> None:
    crawler = Crawler(tmp_path / "data", "")
    truth = tmp_path / "truth.jsonl"
    arguments = (f"-aboard={BOARD}", "-sSANDBOX=1", f"-sSANDBOX_TRUTH={truth}", "-sCHAN_API_URL=https://a.4cdn.org")
    for _ in range(2):  # its boards live on: the second run finds what it knows
        run = crawler(*arguments).ok()
        posts = [json.loads(line) for line in truth.read_text().splitlines()]
        held = crawler.held(BOARD)
        assert len(held) == len(set(held))
        assert {post["no"] for post in posts if post["shown"]} <= set(held)
    assert "0 revisions" in run.output or "1 revision" in run.output
    assert "3 requests" in run.output or len(held) > 0


@pytest.mark.soak
def test_the_sandbox_ends_with_its_crawl(tmp_path: Path, wait_until: Wait) -> None:
    crawler = Crawler(tmp_path / "data", "")
    process = crawler.start("-aboard=po", "-sSANDBOX=1", "-sCHAN_API_URL=https://a.4cdn.org", "-sBATCH_SECONDS=0.1")
    wait_until(lambda: children(process.pid))
    (child,) = children(process.pid)
    wait_until((tmp_path / "data" / "chancrawl.sqlite").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not Path(f"/proc/{child}").exists())
    # Its boards live on: what was read of them before the kill is no history of edits afterwards.
    run = crawler("-aboard=po", "-sSANDBOX=1", "-sCHAN_API_URL=https://a.4cdn.org", "-sDOWNLOAD_DELAY=0.01").ok()
    assert len(crawler.held()) == len(set(crawler.held())) > 4000
    assert int(run.output.partition(" revision")[0].rpartition(" ")[2]) < 5


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(file.parent.name))
    return found
