"""Measures a whole crawl without delay into each store: speed, CPU, bytes, and whether memory use stays constant.

    python benchmarks/crawl.py                     # 100,000 posts of 4chan boards into SQLite (with and without CSV
                                                   # files) and into PostgreSQL
    python benchmarks/crawl.py --before FOLDER     # beside the checkout of an earlier version, without DATABASE_URL
    python benchmarks/crawl.py --posts 1000000     # memory after a million, beside memory after a hundred thousand

The sandbox is a separate process, which makes its pages before the measurement starts. CPU is measured for the crawl
and for the database server. Memory is resident memory: the maximum of the crawl, the value when a tenth of the posts
(or 100,000) are stored, and the value at the end. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from benchmarks.tools import Memory, crawl, finish, one, postgres  # noqa: E402
from tests.support.databases import Server  # noqa: E402
from tests.support.sandboxes import Sandbox  # noqa: E402


def shown(sandbox: Sandbox) -> int:
    """Ask for every page once, so that the sandbox has made it; how many posts there are."""
    number = 0
    for entry in json.loads(sandbox.ask("/boards.json"))["boards"]:
        board = entry["board"]
        threads = [t["no"] for page in json.loads(sandbox.ask(f"/{board}/threads.json")) for t in page["threads"]]
        for no in [*threads, *json.loads(sandbox.ask(f"/{board}/archive.json"))]:
            number += len(json.loads(sandbox.ask(f"/{board}/thread/{no}.json"))["posts"])
    return number


def stored(folder: Path, database: str | None) -> int:
    """How many posts are stored, while they are being stored."""
    if database:
        return int(one(database, "SELECT coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables WHERE relname = 'posts'"))
    for name, sql in (
        ("chancrawl.sqlite", "SELECT max(rowid) FROM posts"),
        ("ledger.sqlite", "SELECT count(*) FROM posts"),
    ):
        if (folder / name).exists():
            with closing(sqlite3.connect(f"{(folder / name).as_uri()}?mode=ro", uri=True)) as connection:
                return int(connection.execute(sql).fetchone()[0] or 0)
    return 0


def crawled(
    sandbox: Sandbox, folder: Path, posts: int, server: Server | None = None, root: Path = ROOT, **settings: Any
) -> dict[str, Any]:
    """A crawl into a new store, by the checkout `root`."""
    database = server.new_database("crawl") if server else None
    before, server_before = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu if server else 0.0
    log = folder.with_suffix(".log")
    began = time.monotonic()
    process = crawl("chan", "-a", "board=all", log=log, root=root, CHAN_API_URL=sandbox.url, CSV_FOLDER=folder,
                    DATABASE_URL=database, DOWNLOAD_DELAY=0, CHAN_THREAD_INTERVAL=0, CHAN_INDEX_INTERVAL=0,
                    **settings)  # fmt: skip
    first = min(100_000, posts // 10)
    memory = Memory(process, lambda: stored(folder, database), first)
    finish(process, log)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    number = one(database, "SELECT count(*) FROM posts") if database else stored(folder, None)
    server_cpu = server.cpu - server_before if server else 0.0
    size = one(database, "SELECT pg_total_relation_size('posts')") if database else (
        sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))  # fmt: skip
    result = {
        "stored": number,
        "captured": round(number / posts, 6),
        "posts_per_second": round(number / seconds),
        "seconds": round(seconds, 1),
        "cpu_ms_per_post": round(1000 * cpu / number, 3),
        "server_cpu_ms_per_post": round(1000 * server_cpu / number, 3),
        "all_cpu_ms_per_post": round(1000 * (cpu + server_cpu) / number, 3),
        "bytes_per_post": round(size / number),
        "peak_megabytes": memory.peak,
        "megabytes_at_first": memory.at_first,
        "first": first,
        "megabytes_at_end": memory.at_end,
        "megabytes_at_each_tenth": memory.samples[:: max(len(memory.samples) // 10, 1)],
    }
    print(f"{folder.name}: {result}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--store", choices=("sqlite", "csv", "postgres", "all"), default="all")
    parser.add_argument("--before", type=Path, help="the checkout of an earlier version")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        sandbox = Sandbox("--backlog", str(options.posts), "--speed", "0")
        posts = shown(sandbox)
        print(f"{posts:,} posts", flush=True)
        if options.before:
            root = options.before.absolute()
            result["before"] = crawled(sandbox, Path(name) / "before", posts, root=root)
        if options.store in ("csv", "all"):
            result["csv"] = crawled(sandbox, Path(name) / "csv", posts)
        if options.store in ("sqlite", "all"):
            result["sqlite"] = crawled(sandbox, Path(name) / "sqlite", posts, CSV=0)
        if options.store in ("postgres", "all"):
            with postgres(Path(name) / "pg") as server:
                result["postgres"] = crawled(sandbox, Path(name) / "postgres", posts, server)
        sandbox.stop()
    print(json.dumps({"posts": posts, **result}))


if __name__ == "__main__":
    main()
