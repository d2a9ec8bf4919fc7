"""A real Scrapyd with a password: the egg is deployed as a user deploys it, and its jobs are started and stopped."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.support import ROOT
from tests.support.crawls import environment
from tests.support.databases import Database
from tests.support.proxies import free_port
from tests.support.sandboxes import Sandbox

PARTS = ("chancrawl", "spiders", "pipelines", "schema.sql", "setup.py", "scrapy.cfg", "README.md", "requirements.txt")
PASSWORD = "open sesame"


class Scrapyd:
    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}/"
        conf = (ROOT / "deploy" / "scrapyd.conf").read_text()
        assert "bind_address = 127.0.0.1" in conf and "http_port    = 6800" in conf
        conf = conf.replace("6800", self.url.rpartition(":")[2].strip("/")).replace("change-me", PASSWORD)
        (folder / "scrapyd.conf").write_text(conf.replace("poll_interval    = 5", "poll_interval    = 0.2"))
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scrapyd"], cwd=folder, env=environment(), stdout=self.log, stderr=self.log
        )

    def ask(self, name: str, password: str | None = PASSWORD, **values: Any) -> dict[str, Any]:
        data = urlencode(values, doseq=True).encode() if values else None
        request = Request(self.url + name, data=data)
        if password is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"chancrawl:{password}".encode()).decode())
        with build_opener(ProxyHandler({})).open(request) as answer:
            content: dict[str, Any] = json.loads(answer.read())
        assert content.get("status") == "ok", content
        return content

    def is_up(self) -> bool:
        try:
            return bool(self.ask("daemonstatus.json"))
        except URLError:
            return False

    def jobs(self, state: str) -> list[str]:
        return [job["id"] for job in self.ask("listjobs.json")[state]]


@pytest.fixture
def scrapyd(tmp_path: Path, wait_until: Callable[..., None]) -> Iterator[Scrapyd]:
    folder = tmp_path / "scrapyd"
    folder.mkdir()
    server = Scrapyd(folder)
    wait_until(server.is_up)
    yield server
    server.process.terminate()
    server.process.wait(timeout=30)
    server.log.close()


@pytest.fixture
def checkout(tmp_path: Path, scrapyd: Scrapyd) -> Path:
    """The project, set to deploy to the server of the test."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / part)
    cfg = (copy / "scrapy.cfg").read_text()
    assert "http://127.0.0.1:6800/" in cfg
    (copy / "scrapy.cfg").write_text(cfg.replace("http://127.0.0.1:6800/", scrapyd.url))
    return copy


def deploy(checkout: Path, *arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("scrapyd-deploy")), *arguments]
    env = environment() | {"SCRAPYD_PASSWORD": PASSWORD}
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_scrapyd(
    scrapyd: Scrapyd, checkout: Path, sandbox: Sandbox, database: Database, tmp_path: Path, wait_until: Any
) -> None:
    with pytest.raises(HTTPError) as refusal:
        scrapyd.ask("daemonstatus.json", password="wrong")
    assert refusal.value.code == 401
    refusal.value.close()

    deploy(checkout)
    assert scrapyd.ask("listprojects.json")["projects"] == ["chancrawl"]
    assert scrapyd.ask("listspiders.json?project=chancrawl")["spiders"] == ["chan", "search", "timeline", "trending"]
    (egg,) = (tmp_path / "scrapyd" / "eggs" / "chancrawl").glob("*.egg")
    with zipfile.ZipFile(egg) as content:
        names = set(content.namelist())
        assert {
            "chancrawl/schema.sql",
            "spiders/chan.py",
            "pipelines/postgres.py",
            "chancrawl/sandbox/server.py",
        } <= names
        assert content.read("chancrawl/schema.sql") == (ROOT / "schema.sql").read_bytes()
        assert not any(name.startswith("tests") for name in names)

    # A password has no place among the settings of a job: it is refused, and not shown.
    secret = "DATABASE_URL=postgresql://me:hunter2@127.0.0.1:9/db"
    job = scrapyd.ask("schedule.json", project="chancrawl", spider="chan", board="wsr", setting=secret)["jobid"]
    wait_until(lambda: job in scrapyd.jobs("finished"), timeout=60)
    said = (tmp_path / "scrapyd" / "logs" / "chancrawl" / "chan" / f"{job}.log").read_text()
    assert "not into setting=" in said + (tmp_path / "scrapyd" / "log").read_text() and "Traceback" not in said

    # What all jobs share is in chancrawl.ini in the folder of the service.
    ini = f"[chancrawl]\nDATABASE_URL = {database.url}\nCSV_FOLDER = {tmp_path / 'data'}\n"
    (tmp_path / "scrapyd" / "chancrawl.ini").write_text(ini)
    settings = [f"CHAN_API_URL={sandbox.url}", "DOWNLOAD_DELAY=0.01"]
    job = scrapyd.ask("schedule.json", project="chancrawl", spider="chan", board="wsr", setting=settings)["jobid"]
    wait_until(lambda: job in scrapyd.jobs("finished"), timeout=90)
    held = {row[0] for row in database.rows("SELECT no FROM posts WHERE board = 'wsr'")}
    assert held == sandbox.shown("wsr") and len(held) > 200

    # A running job is cancelled: what it has fetched is stored.
    settings[-1] = "DOWNLOAD_DELAY=0.1"
    slow = ["BATCH_SECONDS=1000", "BATCH_SIZE=100000"]
    start = len(sandbox.requests())
    job = scrapyd.ask("schedule.json", project="chancrawl", spider="chan", board="po", setting=settings + slow)["jobid"]
    wait_until(lambda: len(sandbox.requests(start)) > 15, timeout=60)
    scrapyd.ask("cancel.json", project="chancrawl", job=job)
    wait_until(lambda: job in scrapyd.jobs("finished"), timeout=30)
    held = {row[0] for row in database.rows("SELECT no FROM posts WHERE board = 'po'")}
    assert held == sandbox.shown("po") and len(held) > 100
    reasons = database.rows("SELECT finish_reason FROM runs ORDER BY run_id")
    assert reasons == [("finished",), ("shutdown",)]
