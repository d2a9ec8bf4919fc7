"""The tools of the field open the embedded database while a crawl writes to it, and answer the documented queries."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas
import pytest

from chancrawl.storage.sqlite.connection import PAGES_IN_WAL, connected, transaction
from tests.support import ROOT
from tests.support.crawls import Crawler
from tests.support.sandboxes import Sandbox

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
QUERIES = [
    re.sub(r"^--.*\n", "", query.strip())
    for block in re.findall(r"^```sql sqlite\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for query in block.split(";")
    if query.strip()
]
COUNT = "SELECT count(*) FROM posts"


@pytest.fixture
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The database of a crawl that follows boards, which live sixty times as fast, or as a test says."""
    sandbox = Sandbox("--speed", str(getattr(request, "param", 60)))
    crawler = Crawler(tmp_path / "data", sandbox.url)
    process = crawler.start("-aboard=po,wsr", "-afollow=1", "-sBATCH_SECONDS=0.2")
    file = crawler.folder / "chancrawl.sqlite"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (file.exists() and _count(file) > 500):
        time.sleep(0.1)
    yield file
    assert process.poll() is None, "it was still writing"
    run = crawler.interrupted(process, signal.SIGINT)
    sandbox.stop()
    assert run.code == 0 and "locked" not in run.output, run.output
    assert not file.with_name(f"{file.name}-wal").exists()


def _count(file: Path) -> int:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute(COUNT).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_there_are_documented_queries() -> None:
    assert len(QUERIES) == 8


def test_the_tools_of_the_field_answer_the_documented_queries(running: Path) -> None:
    ask_pandas(running)
    ask_datasette(running)


def ask_pandas(file: Path) -> None:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        for query in QUERIES:
            pandas.read_sql(query, connection)
        posts = pandas.read_sql("SELECT no, posted_at, first_seen_at FROM posts", connection)
    assert len(posts) > 500 and posts["no"].dtype == "int64"
    for name in ("posted_at", "first_seen_at"):
        assert str(pandas.to_datetime(posts[name]).dtype).endswith("UTC]")  # one width: no format has to be given


def ask_datasette(file: Path) -> None:
    for query in (COUNT, *QUERIES):
        command = [sys.executable, "-m", "datasette", str(file), "--get",
                   f"/chancrawl.json?_shape=array&sql={_quoted(query)}"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert isinstance(json.loads(done.stdout), list)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 program is not installed")
def test_so_does_the_sqlite3_program(running: Path) -> None:
    file = running
    for query in QUERIES:
        done = subprocess.run(["sqlite3", "-readonly", "-bail", file, query], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "", (query, done.stderr)
    done = subprocess.run(["sqlite3", "-readonly", file, COUNT], capture_output=True, text=True)
    assert int(done.stdout) > 500


def _quoted(text: str) -> str:
    return "".join(sign if sign.isalnum() else "".join(f"%{byte:02x}" for byte in sign.encode()) for sign in text)


def test_others_read_write_and_copy_beside_a_crawl(running: Path, tmp_path: Path) -> None:
    write_beside(running)
    keep_a_cursor_open(running)
    copy_to_read_only_media(running, tmp_path)


def write_beside(running: Path) -> None:
    """As `scrapy quarantine take-in` writes, for some seconds of batches every 0.2 s."""
    slowest = 0.0
    with closing(connected(running, checkpoints=False)) as connection:
        for number in range(100):
            began = time.monotonic()
            with transaction(connection):
                connection.execute("INSERT INTO validators VALUES (?, 'x')", (f"/test/{number}",))
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.02)
        connection.execute("DELETE FROM validators WHERE path LIKE '/test/%'")
    assert slowest < 30


def keep_a_cursor_open(running: Path) -> None:
    with closing(sqlite3.connect(f"{running.as_uri()}?mode=ro", uri=True)) as connection:
        cursor = connection.execute("SELECT no FROM posts")
        first = cursor.fetchone()
        before = _count(running)
        end = time.monotonic() + 20
        while time.monotonic() < end and _count(running) <= before:
            time.sleep(0.1)
        assert _count(running) > before  # the crawl goes on
        assert first and len(cursor.fetchall()) + 1 <= before  # and the reader sees what was there


@pytest.mark.soak
@pytest.mark.parametrize("running", [240], indirect=True)
def test_a_cursor_that_is_open_for_an_hour_of_the_boards(running: Path) -> None:
    log = running.with_name(f"{running.name}-wal")
    with closing(sqlite3.connect(f"{running.as_uri()}?mode=ro", uri=True)) as connection:
        cursor = connection.execute("SELECT no FROM posts")
        first, before = cursor.fetchone(), _count(running)
        end = time.monotonic() + 15  # an hour of the boards
        while time.monotonic() < end:
            time.sleep(1)
        held = log.stat().st_size
        assert first and len(cursor.fetchall()) + 1 <= before < _count(running)
    end = time.monotonic() + 60
    while time.monotonic() < end and log.stat().st_size > min(held, PAGES_IN_WAL * 4096 + 100_000):
        time.sleep(0.5)
    assert log.stat().st_size <= PAGES_IN_WAL * 4096 + 100_000  # it is used from its beginning again


def copy_to_read_only_media(running: Path, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    copy = media / "copy.sqlite"
    command = [sys.executable, "-m", "scrapy", "backup", str(copy), "-s", f"CSV_FOLDER={running.parent}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    copy.chmod(0o400)
    media.chmod(0o500)
    try:
        with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            assert connection.execute(COUNT).fetchone()[0] > 500
            for query in QUERIES:
                connection.execute(query).fetchall()
    finally:
        media.chmod(0o700)
