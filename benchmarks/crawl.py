"""A whole crawl at no delay, into both stores: how fast, what it takes, and whether memory stays flat.

    python benchmarks/crawl.py                     # 100,000 posts of 4chan boards into CSV files and into PostgreSQL
    python benchmarks/crawl.py --posts 1000000     # memory after a million, beside memory after a hundred thousand

The sandbox is a process of its own; it has made its pages before the clock starts. CPU is that of the crawl and, beside
it, of the database server. Memory is resident: the most of the whole crawl, when a tenth of the posts (or 100,000) were
stored, and at the end. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

import psycopg2  # noqa: E402

from benchmarks.tools import Memory, Sandbox, Server, crawl, finish, one, postgres  # noqa: E402

csv.field_size_limit(10**9)


def shown(sandbox: Sandbox) -> int:
    """Ask for every page once, so that the sandbox has made it; how many posts there are."""
    number = 0
    for entry in json.loads(sandbox.ask("/boards.json"))["boards"]:
        board = entry["board"]
        threads = [t["no"] for page in json.loads(sandbox.ask(f"/{board}/threads.json")) for t in page["threads"]]
        for no in [*threads, *json.loads(sandbox.ask(f"/{board}/archive.json"))]:
            number += len(json.loads(sandbox.ask(f"/{board}/thread/{no}.json"))["posts"])
    return number


class Count:
    """How many posts are stored, while they are being stored."""

    def __init__(self, folder: Path, database: str | None) -> None:
        self.ledger = folder / "ledger.sqlite"
        self.database = database

    def __call__(self) -> int:
        with contextlib.suppress(sqlite3.Error, psycopg2.Error):
            if self.database:
                return int(one(self.database, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'posts'"))
            connection = sqlite3.connect(f"{self.ledger.as_uri()}?mode=ro", uri=True)
            (number,) = connection.execute("SELECT count(*) FROM posts").fetchone()
            connection.close()
            return int(number)
        return 0


def crawled(sandbox: Sandbox, folder: Path, posts: int, server: Server | None) -> dict[str, Any]:
    database = server.new_database("crawl") if server else None
    before, server_before = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu if server else 0.0
    log = folder.with_suffix(".log")
    began = time.monotonic()
    process = crawl("chan", "-a", "board=all", log=log, CHAN_API_URL=sandbox.url, CSV_FOLDER=folder,
                    DATABASE_URL=database, DOWNLOAD_DELAY=0, CHAN_THREAD_INTERVAL=0, CHAN_INDEX_INTERVAL=0)  # fmt: skip
    memory = Memory(process)
    count, first = Count(folder, database), min(100_000, posts // 10)
    at_first = None
    while process.poll() is None and at_first is None:
        time.sleep(0.5)
        if count() >= first:
            at_first = memory.samples[-1][1]
    finish(process, log)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    stored = one(database, "SELECT count(*) FROM posts") if database else count_in(folder)
    last = [megabytes for _, megabytes in memory.samples[-20:]]
    result = {
        "stored": stored,
        "captured": round(stored / posts, 6),
        "posts_per_second": round(stored / seconds),
        "seconds": round(seconds, 1),
        "cpu_ms_per_post": round(1000 * cpu / stored, 3),
        "server_cpu_ms_per_post": round(1000 * (server.cpu - server_before) / stored, 3) if server else 0.0,
        "peak_megabytes": round(memory.peak, 1),
        "megabytes_at_first": round(at_first, 1) if at_first else None,
        "first": first,
        "megabytes_at_end": round(max(last), 1),
    }
    print(f"{'postgres' if server else 'csv'}: {result}", flush=True)
    return result


def count_in(folder: Path) -> int:
    number = 0
    for file in (folder / "chan").glob("*/posts-*.csv"):
        with file.open(newline="", encoding="utf-8") as stream:
            number += sum(1 for _ in csv.reader(stream)) - 1
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--store", choices=("csv", "postgres", "both"), default="both")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        sandbox = Sandbox("--backlog", str(options.posts), "--speed", "0")
        posts = shown(sandbox)
        print(f"{posts:,} posts", flush=True)
        if options.store != "postgres":
            result["csv"] = crawled(sandbox, Path(name) / "csv", posts, None)
        if options.store != "csv":
            with postgres(Path(name) / "pg") as server:
                result["postgres"] = crawled(sandbox, Path(name) / "postgres", posts, server)
        sandbox.stop()
    print(json.dumps({"posts": posts, **result}))


if __name__ == "__main__":
    main()
