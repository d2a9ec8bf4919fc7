"""`scrapy dashboard` as a user starts it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scrapy.settings import Settings

from chancrawl.dashboard import downloads, pages, searches, threads
from chancrawl.dashboard.queries import Desk
from chancrawl.dashboard.watching import EVERY
from chancrawl.storage.base import Store
from chancrawl.storage.sqlite.store import SqliteStore
from tests.dashboard.test_pages import items
from tests.support import KINDS, ROOT
from tests.support.crawls import STARTED, Crawler, environment
from tests.support.dashboards import served
from tests.support.databases import Database
from tests.support.engines import settings_of
from tests.support.stores import replaced

Wait = Callable[[Callable[[], Any]], None]
VENDORED = ROOT / "chancrawl" / "dashboard" / "static" / "VENDORED.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open()
    store.prepare()
    store.take_in(items())
    store.close()
    return tmp_path / "data"


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "scrapy", "dashboard", "--port", "0", "-s", f"CSV_FOLDER={folder}", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)  # fmt: skip
    STARTED.append(process)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:  # a line of the log may come first
        lines.append(line)
        if (found := re.search(r"http://\S+/", line)) is not None:
            break
    else:
        raise AssertionError("".join(lines))
    yield process, found[0]


def read(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_and_stops(folder: Path, number: int, wait_until: Wait) -> None:
    with started(folder) as (process, url):
        wait_until(lambda: "/board/po" in read(url)[1])
        assert read(url + "board/po/thread/5")[0] == 200
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0 and "Traceback" not in output and "Warning" not in output, output
        again = Crawler(folder, "").other("status")
        assert again.code == 0


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        Crawler(folder, "").other("dashboard", "--port", str(port)).refused(f"127.0.0.1:{port} cannot be used")


def test_nothing_was_collected_yet(tmp_path: Path, wait_until: Wait) -> None:
    with started(tmp_path / "data") as (_, url):
        wait_until(lambda: "nothing was collected yet" in read(url)[1])
        assert read(url + "crawls")[0] == 503 or read(url + "crawls")[0] == 400
        assert "store_up 0.0" in read(url + "metrics")[1]
        assert not (tmp_path / "data").exists()  # it makes nothing


@pytest.mark.skipif(os.geteuid() != 0, reason="left out: only root can become another user")
def test_a_reader_who_may_not_write(folder: Path, tmp_path: Path) -> None:
    """While a crawl has the database open, it is read as it is; else it is said why it is not."""
    for place in (tmp_path, folder, *folder.iterdir(), *tmp_path.parents):
        with contextlib.suppress(PermissionError):
            place.chmod(place.stat().st_mode | (0o555 if place.is_dir() else 0o444))
    settings = settings_of(folder)
    assert "run the dashboard as the user who owns the folder" in as_nobody(lambda: posts_seen(settings))
    store = SqliteStore(folder, KINDS)
    store.open()
    store.take_in([replaced(items()[0], no=77, thread_no=5)])
    for place in folder.iterdir():
        place.chmod(0o644)
    assert as_nobody(lambda: posts_seen(settings)) == "77"
    store.close()


def posts_seen(settings: Settings) -> str:
    desk = Desk(settings)
    try:
        return str(desk.run(lambda desk: desk.store.rows("SELECT max(no) FROM posts")[0][0], 5))
    finally:
        desk.close()


def as_nobody(function: Callable[[], str]) -> str:
    """What a function returns, or the error that it raises, in a process of another user."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            answer = function()
        except Exception as error:
            answer = str(error)
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        return stream.read()


def test_a_reader_of_postgresql(database: Database, store: Store, tmp_path: Path) -> None:
    store.take_in(items())
    reader = f"reader_{os.getpid()}"
    database.rows(f"CREATE ROLE {reader} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}; "
                 f"REVOKE SELECT ON tombstone_keys FROM {reader}")  # fmt: skip
    try:
        with served(tmp_path / "data", database.url.replace("postgres@", f"{reader}@")) as dashboard:
            for path in ("/", "/board/po", "/board/po/thread/5", "/search?q=opening", "/table/posts.csv?board=po",
                         "/account/5", "/crawls", "/metrics"):  # fmt: skip
                assert dashboard.get(path).status == 200, path
    finally:
        database.rows(f"DROP OWNED BY {reader}; DROP ROLE {reader}")


def test_a_store_that_goes_away_and_comes_back(folder: Path) -> None:
    with served(folder) as dashboard:
        assert dashboard.get("/board/po").status == 200
        kept = folder.rename(folder.with_name("kept"))
        watching = dashboard.dashboard.watching
        watching._desk.close()
        watching.look()
        page = dashboard.get("/").text
        assert "The store cannot be read" in page and "chancrawl_store_up 0.0" in dashboard.get("/metrics").text
        kept.rename(folder)
        watching.look()
        assert "The store cannot be read" not in dashboard.get("/").text and EVERY == 15


def test_vendored_files_are_as_they_came() -> None:
    rows = re.findall(r"^\| (\S+) \| .* \| ([0-9a-f]{64}) \|", VENDORED.read_text(), re.MULTILINE)
    assert len(rows) == 2
    for name, digest in rows:
        assert hashlib.sha256((VENDORED.parent / name).read_bytes()).hexdigest() == digest


def test_the_egg_has_the_files() -> None:
    setup = (ROOT / "setup.py").read_text()
    assert '"chancrawl.dashboard": ["templates/*", "static/*"]' in setup


def test_commands_of_pages() -> None:
    found = downloads.download("posts", board="po", thread=5, only_deleted=1, until=None)
    assert found.command == "scrapy export posts --board po --thread 5 --only-deleted -o posts.csv"
    assert found.url("csv") == "/table/posts.csv?board=po&thread=5&only-deleted=1"
    assert searches.command(searches.Wanted("a 'b'", "po")) == ["scrapy", "find", "a 'b'", "--board", "po"]
    assert pages.DAYS[0] == 1 and "all" in threads.FILTERS
