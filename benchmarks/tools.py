"""Functions of several benchmarks: starting servers, and measuring processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2

from tests.support import ROOT
from tests.support.databases import Server


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()


def one(url: str, sql: str) -> Any:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]
    finally:
        connection.close()


def crawl(spider: str, *arguments: str, log: Path, root: Path = ROOT, **settings: Any) -> subprocess.Popen[bytes]:
    """Start `scrapy crawl`; what it says goes to a file. `root` is the checkout whose crawl it is."""
    settings = {"CLOCK_TOLERANCE": 10**8} | settings  # clocks of sandboxes go fast
    command = [sys.executable, "-m", "scrapy", "crawl", spider, *arguments]
    for name, value in settings.items():
        if value is not None:
            command += ["-s", f"{name}={value}"]
    environment = os.environ | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings"}
    with log.open("ab") as file:
        return subprocess.Popen(
            command, cwd=root, env=environment | {"PYTHONPATH": str(root)}, stdout=file, stderr=subprocess.STDOUT
        )


def finish(process: subprocess.Popen[bytes], log: Path) -> None:
    if process.wait() != 0:
        sys.exit(log.read_text())


class Memory(threading.Thread):
    """Resident megabytes of a process: the most, the most of its last seconds, and when `count` came to `first`."""

    def __init__(self, process: subprocess.Popen[bytes], count: Callable[[], int], first: int) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.count = count
        self.first = first
        self.samples: list[float] = []
        self.at_first: float | None = None
        self.start()

    def run(self) -> None:
        while self.process.poll() is None:
            with contextlib.suppress(OSError, StopIteration, psycopg2.Error, sqlite3.Error):
                status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
                resident = int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024
                self.samples.append(round(resident, 1))
                if self.at_first is None and self.count() >= self.first:
                    self.at_first = self.samples[-1]
            time.sleep(0.25)

    @property
    def peak(self) -> float:
        return max(self.samples)

    @property
    def at_end(self) -> float:
        return max(self.samples[-10:])
