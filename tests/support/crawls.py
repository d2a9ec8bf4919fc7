"""Crawls and other commands as a user starts them, and what they left in the store."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chancrawl.setting_rows import NAMES_IN_FILES
from tests.support import ROOT
from tests.support.databases import Database

STARTED: list[subprocess.Popen[str]] = []
"""The crawls of the test at hand; conftest.py ends those that outlive it."""


@dataclass
class Run:
    """A crawl that has ended."""

    code: int
    output: str

    def ok(self) -> Run:
        assert self.code == 0, self.output
        assert "Traceback" not in self.output, self.output
        assert "DeprecationWarning" not in self.output, self.output
        return self

    def refused(self, *words: str) -> Run:
        """It ended with a sentence that says all these words, and with nothing worse."""
        assert self.code not in (0, None), self.output
        assert "Traceback" not in self.output, self.output
        for word in words:
            assert word in self.output, self.output
        return self


@dataclass
class Crawler:
    """Crawls into one store, of one source, at a delay that is short because the source is ours."""

    folder: Path
    url: str
    database_url: str | None = None
    delay: float = 0.01
    tolerance: str = str(10**8)
    """The sandbox's clock may show any time."""

    def command(self, *arguments: str, spider: str = "chan") -> list[str]:
        values = {"CHAN_API_URL": self.url, "CSV_FOLDER": str(self.folder), "DOWNLOAD_DELAY": str(self.delay)}
        values |= {"CHAN_INDEX_INTERVAL": "0", "CHAN_THREAD_INTERVAL": "0", "CLOCK_TOLERANCE": self.tolerance}
        if self.database_url:
            values["DATABASE_URL"] = self.database_url
        command = [sys.executable, "-m", "scrapy", "crawl", spider]
        given = " ".join(arguments)
        for name, value in values.items():
            if f"{name}=" not in given:
                command += ["-s", f"{name}={value}"]
        return [*command, *arguments]

    def start(self, *arguments: str, cwd: Path = ROOT, spider: str = "chan") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*arguments, spider=spider),
            cwd=cwd,
            env=environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        STARTED.append(process)
        return process

    def __call__(self, *arguments: str, timeout: float = 120, cwd: Path = ROOT, spider: str = "chan") -> Run:
        process = self.start(*arguments, cwd=cwd, spider=spider)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError("the crawl did not end: " + process.communicate()[0]) from None
        return Run(process.returncode, output)

    def interrupted(self, process: subprocess.Popen[str], number: int = signal.SIGINT, timeout: float = 20) -> Run:
        process.send_signal(number)
        output, _ = process.communicate(timeout=timeout)
        return Run(process.returncode, output)

    def other(self, *arguments: str) -> Run:
        """Another command on its store: `status`, `coverage --format json`."""
        done = subprocess.run(
            self._other(*arguments), cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60
        )
        return Run(done.returncode, done.stdout + done.stderr)

    def start_other(self, *arguments: str) -> subprocess.Popen[str]:
        """Another command, which goes on meanwhile."""
        process = subprocess.Popen(
            self._other(*arguments), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        STARTED.append(process)
        return process

    def _other(self, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "scrapy", *arguments, "-s", f"CSV_FOLDER={self.folder}"]
        if self.database_url:
            command += ["-s", f"DATABASE_URL={self.database_url}"]
        return command

    # --- what is in the store

    @property
    def store(self) -> Path | Database:
        """As `posts_of` takes it."""
        return Database(self.database_url) if self.database_url else self.folder

    def csv(self, name: str) -> list[dict[str, str]]:
        """The rows of all CSV files of that name, `po/posts-*` for example."""
        rows: list[dict[str, str]] = []
        for file in sorted((self.folder / "chan").glob(f"{name}.csv")):
            with file.open(newline="", encoding="utf-8") as stream:
                rows += csv.DictReader(stream)
        return rows

    def embedded(self, sql: str) -> list[Any]:
        """The answer of the embedded database."""
        with closing(sqlite3.connect(f"{(self.folder / 'chancrawl.sqlite').as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def held(self, board: str = "po") -> list[int]:
        """The numbers of the posts in the store, in order, each as often as it is there (in its first version)."""
        if self.database_url:
            return [row[0] for row in Database(self.database_url).rows(
                "SELECT no FROM posts WHERE board = %s ORDER BY no", board)]  # fmt: skip
        return sorted(int(row["no"]) for row in self.csv(f"{board}/posts-*") if row["revision"] == "1")


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"it ended before it said {words}")


def environment() -> dict[str, str]:
    """The environment of a crawl: no setting of the developer's, no proxy."""
    return {k: v for k, v in os.environ.items() if k not in NAMES_IN_FILES and not k.lower().endswith("_proxy")}
