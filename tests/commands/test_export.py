"""`scrapy export`, as a user types it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chancrawl.commands import export
from tests.support import ROOT
from tests.support.crawls import Crawler, environment
from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, handles_of


@pytest.fixture(params=["sqlite", "postgres"])
def collected(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Crawler:
    url = request.getfixturevalue("database").url if request.param == "postgres" else None
    crawler = Crawler(tmp_path / "data", sandbox.url, url)
    crawler("-aboard=wsr").ok()
    return crawler


def test_an_export_has_what_the_site_showed(collected: Crawler, sandbox: Sandbox, tmp_path: Path) -> None:
    run = collected.other("export", "posts", "threads", "-o", str(tmp_path / "out"), "--format", "jsonl").ok()
    assert "posts " in run.output and "README.md says what is in it" in run.output
    lines = [json.loads(line) for file in (tmp_path / "out" / "posts").rglob("*.jsonl")
             for line in file.read_bytes().splitlines()]  # fmt: skip
    assert {line["no"] for line in lines} == sandbox.visible("wsr") and len(lines) == len(sandbox.visible("wsr"))
    assert "files as exported" in collected.other("export", "--verify", str(tmp_path / "out")).ok().output
    (tmp_path / "out" / "threads.jsonl").unlink()
    collected.other("export", "--verify", str(tmp_path / "out")).refused("threads.jsonl is missing", "not as it was")


def test_wrong_words_are_one_sentence(crawler: Crawler, tmp_path: Path) -> None:
    crawler("-aboard=wsr", "-asample=2").ok()
    out = str(tmp_path / "a.csv")
    crawler.other("export", "post", "-o", out).refused("post cannot be exported; there are posts")
    crawler.other("export", "posts", "-o", out, "--account", "nasa").refused("holds nothing of @nasa")
    crawler.other("export", "posts", "-o", out, "--thread", "x").refused("the number of a thread is wanted")
    crawler.other("export", "posts", "-o", out, "--since", "yesterday").refused("--since")
    crawler.other("export", "trends", "-o", out, "--board", "wsr").refused("--board does not apply to trends")
    crawler.other("export", "posts", "-o", out, "--board", "po").refused("holds nothing of /po/")
    crawler.other("export", "posts", "-o", out, "--since", "2026-02-01", "--until", "2026-01-01").refused("not before")
    crawler.other("export", "posts", "-o", "~nobody-of-this-name/a.csv").refused("no home folder")
    assert crawler.other("export", "posts").code == 2
    crawler.other("export", "--verify", str(tmp_path)).refused("not complete")
    if crawler.database_url:
        crawler.other("export", "posts", "-o", out, "--copy-first").refused("embedded database")
    else:
        crawler.other("export", "posts", "-o", out, "--copy-first").ok()
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert export.Command().short_desc() and "README.md" in export.Command().long_desc()


def test_posts_of_an_account(sandbox: Sandbox, tmp_path: Path) -> None:
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    name = handles_of(sandbox)[0]
    crawler.timeline(name, "-a", "limit=20").ok()
    run = crawler.other("export", "tweets", "-o", str(tmp_path / "t.jsonl"), "--account", f"@{name}").ok()
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_bytes().splitlines()]
    assert rows and {row["username"] for row in rows} == {name}, run.output


def test_an_export_that_is_killed_leaves_nothing_that_looks_whole(collected: Crawler, tmp_path: Path) -> None:
    code = (
        "import sys, time; from chancrawl.exports import export as module; from scrapy.cmdline import execute\n"
        "module.AT_ONCE = 10\n"
        "from chancrawl.commands import export as command\n"
        "command.Shown.__call__ = lambda self, name, rows: time.sleep(0.05)\n"
        "execute(['scrapy', *sys.argv[1:]])"
    )
    out = tmp_path / "out.csv"
    command = [sys.executable, "-c", code, "export", "posts", "-o", str(out), "-s", f"CSV_FOLDER={collected.folder}"]
    if collected.database_url:
        command += ["-s", f"DATABASE_URL={collected.database_url}"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while time.monotonic() < end and not (tmp_path / ".out.csv.part").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists() and (tmp_path / ".out.csv.part").exists()
    collected.other("export", "posts", "-o", str(out)).ok()  # and the next one is whole
    assert out.exists() and not (tmp_path / ".out.csv.part").exists()


def test_a_folder_has_its_name_when_it_is_complete(collected: Crawler, tmp_path: Path) -> None:
    (tmp_path / ".out.part" / "posts").mkdir(parents=True)  # of an export that was killed
    (tmp_path / "out").mkdir()
    collected.other("export", "posts", "threads", "-o", str(tmp_path / "out"), "--as", "api").refused("is for one of")
    run = collected.other("export", "posts", "threads", "trends", "-o", str(tmp_path / "out")).ok()
    assert "README.md says what is in it" in run.output
    assert not (tmp_path / ".out.part").exists() and (tmp_path / "out" / "README.md").exists()
    manifest = tmp_path / "out" / "export.json"
    manifest.write_text('{"files": {"a": {}}}')
    collected.other("export", "--verify", str(tmp_path / "out")).refused("is damaged")


def test_progress_is_shown_on_a_terminal_alone(collected: Crawler, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "scrapy", "export", "posts", "-o", str(tmp_path / "out.csv"), "-s",
               f"CSV_FOLDER={collected.folder}"]  # fmt: skip
    if collected.database_url:
        command += ["-s", f"DATABASE_URL={collected.database_url}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stderr=theirs, stdout=subprocess.PIPE, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0 and "posts: " in shown and shown.rstrip().endswith("\033[K"), shown
    assert b"posts: " not in done.stdout
