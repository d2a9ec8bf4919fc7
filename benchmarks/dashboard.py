"""Measures `scrapy dashboard` on a large store while posts are written: times of the pages, memory, writing beside it.

    python benchmarks/dashboard.py                                      # 300,000 posts in each store
    python benchmarks/dashboard.py --posts 10000000 --store postgres
    python benchmarks/dashboard.py --readers 600                        # a crawl with and without two readers

Posts are those of benchmarks/export.py, one a second until now, in threads of about 50, on five boards, watched all
the time. A writer adds 100 a second meanwhile. Each page is asked for 40 times, for another board, thread, post or
word each time. With `--readers`, a crawl of the sandbox into the embedded store runs for so many seconds by itself, and
then as long with two readers that load pages again and again. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from benchmarks.export import BOARDS, WORDS, posts  # noqa: E402
from benchmarks.tools import Memory, crawl, postgres  # noqa: E402
from chancrawl.find.search import index_of  # noqa: E402
from chancrawl.imageboards.stored_coverage import keep, out_of_date  # noqa: E402
from chancrawl.items import Account, Poll, Post, Thread, Tweet  # noqa: E402
from chancrawl.storage.base import Store, parts  # noqa: E402
from chancrawl.storage.hours import recount  # noqa: E402
from chancrawl.storage.postgres.connection import PostgresStore  # noqa: E402
from chancrawl.storage.sqlite.store import SqliteStore  # noqa: E402
from tests.support import KINDS  # noqa: E402
from tests.support.sandboxes import Sandbox  # noqa: E402

EACH = 40
RATE = 100
"""Posts a second that are written meanwhile."""

FIRST = 10_000_000


def ours(number: int) -> Iterator[Post]:
    """Posts one a second until now, seen five seconds later, on the boards by turns. One of 500 is missing."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=number)
    for place, post in enumerate(posts()):
        if place % 500 != 7:
            at = start + timedelta(seconds=place)
            no = FIRST + place // len(BOARDS)
            yield replace(post, board=BOARDS[place % len(BOARDS)], no=no, thread_no=no - no % 50, posted_at=at,
                          first_seen_at=at + timedelta(seconds=5), last_seen_at=at + timedelta(seconds=5),
                          quotes=[])  # fmt: skip


def fill(store: Store, number: int) -> None:
    """Put posts into a store: a part of them item by item, the others as copies with other numbers and times."""
    store.open()
    store.prepare()
    size = min(number, 250_000)
    for batch in parts(islice(ours(number), size * 499 // 500), 2_000):
        store.take_in(batch)
    moved = ("no", "thread_no", "posted_at", "first_seen_at", "last_seen_at")
    names = [name for name in store.kinds[Post].columns if name not in moved]
    is_postgres = isinstance(store, PostgresStore)
    later = "{} + interval '{} seconds'" if is_postgres else "strftime('%Y-%m-%dT%H:%M:%S.000000Z', {}, '+{} seconds')"
    for copy in range(1, number // size):
        by = copy * size
        times = ", ".join(later.format(name, by) for name in ("posted_at", "first_seen_at", "last_seen_at"))
        store.write([(
            f"INSERT INTO posts (no, thread_no, posted_at, first_seen_at, last_seen_at, {', '.join(names)}) "
            f"SELECT no + {by // 5}, thread_no + {by // 5}, {times}, {', '.join(names)} FROM posts "
            f"WHERE no < {FIRST + size // 5}", (),
        )])  # fmt: skip
        print(f"\r{by + size:,} posts", end="", file=sys.stderr, flush=True)
    if not is_postgres:
        store.write((sql, ()) for sql in recount(store.sql_hour, store.sql_seconds))
    now = datetime.now(UTC)
    watched = []
    for board in BOARDS:
        for minute in range(0, number // 60, 10):
            at = now - timedelta(seconds=number) + timedelta(minutes=minute)
            watched.append(Poll(board, at, FIRST + minute * 12, 150, 100, 30.0 if minute else None))
        watched += [
            Poll(board, now - timedelta(seconds=10 * n), FIRST + number // 5 - 2 * n, 150, 3, 10.0)
            for n in range(8_640)
        ]
    threads = [
        Thread(board, FIRST + number // 5 - 50 * n, subject=f"thread {n}", replies=50, first_seen_at=now,
               last_seen_at=now, last_modified=now - timedelta(minutes=n))
        for board in BOARDS for n in range(150)
    ]  # fmt: skip
    people = [Account(n, f"name{n}", first_seen_at=now, last_seen_at=now) for n in range(1, 201)]
    tweets = [Tweet(1000 + n, 1 + n % 200, f"name{1 + n % 200}", now - timedelta(minutes=n), text=f"words {n}",
                    first_seen_at=now, last_seen_at=now, raw={}) for n in range(20_000)]  # fmt: skip
    for batch in parts([*watched, *threads, *people, *tweets], 5_000):
        store.take_in(batch)
    for board in BOARDS:
        for start, end in out_of_date(store, board, now - timedelta(days=95)):
            keep(store, board, start, end)
    index_of(store).build(lambda table, rows: None)
    if is_postgres:
        store.connection.autocommit = True  # type: ignore[attr-defined]
        store.connection.cursor().execute("VACUUM ANALYZE")  # type: ignore[attr-defined]
    store.close()


def paths(number: int) -> dict[str, Callable[[Random], str]]:
    def post(random: Random) -> int:
        return FIRST + random.randrange(number // 5)

    def thread(random: Random) -> int:
        return post(random) // 50 * 50

    return {
        "overview": lambda random: "/",
        **{f"board, {days} days": lambda random, days=days: f"/board/{random.choice(BOARDS)}?days={days}"
           for days in (1, 7, 30, 90)},
        "chart": lambda random: f"/board/{random.choice(BOARDS)}/chart.json?days=30",
        "thread": lambda random: f"/board/{random.choice(BOARDS)}/thread/{thread(random)}",
        "post": lambda random: f"/board/{random.choice(BOARDS)}/post/{post(random)}",
        "search, frequent": lambda random: f"/search?q={random.choice(WORDS[:100])}",
        "search, rare": lambda random: f"/search?q={random.choice(WORDS[50_000:])}",
        "account": lambda random: f"/account/{random.randrange(1, 201)}?days=7",
        "accounts": lambda random: f"/accounts?after={random.randrange(100)}",
        "crawls": lambda random: "/crawls", "metrics": lambda random: "/metrics",
        "deletions.csv": lambda random: f"/table/deletions.csv?board={random.choice(BOARDS)}&since=2026-11-01",
    }  # fmt: skip


def served(settings: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "scrapy", "dashboard", "--port", "0"]
    for name, value in settings.items():
        command += ["-s", f"{name}={value}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.search(r"http://\S+(?=/)", process.stdout.readline())
    assert found is not None
    return process, found[0]


def ask(url: str) -> tuple[int, int]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, len(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, len(error.read())


def write_on(store: Store, number: int, stopped: threading.Event, batches: list[float]) -> None:
    """Write 100 posts a second."""
    store.open_beside()
    more = islice(posts(), 10**9)
    no = FIRST + number // 5 + 1
    while not stopped.is_set():
        began = time.monotonic()
        now = datetime.now(UTC)
        batch = [replace(next(more), no=no + n, thread_no=no // 50 * 50, posted_at=now, first_seen_at=now, quotes=[])
                 for n in range(RATE)]  # fmt: skip
        no += RATE
        prepared = time.monotonic()
        store.take_in(batch)
        batches.append(time.monotonic() - prepared)
        stopped.wait(max(1 - (time.monotonic() - began), 0))
    store.close()


def measure(store: Store, settings: dict[str, str], number: int) -> dict[str, Any]:
    process, url = served(settings)
    memory = Memory(process, lambda: 0, 1)  # type: ignore[arg-type]
    stopped, batches = threading.Event(), [0.0]
    writer = threading.Thread(target=write_on, args=(store, number, stopped, batches))
    writer.start()
    time.sleep(20)  # the first snapshot, and the end of the writer's first batches
    random, result = Random(5), {}
    while "board/po" not in urllib.request.urlopen(url + "/").read().decode():
        time.sleep(1)
    for name, path in paths(number).items():
        times, codes = [], set()
        for _ in range(EACH):
            began = time.monotonic()
            status, _ = ask(url + path(random))
            codes.add(status)
            times.append((time.monotonic() - began) * 1000)
            time.sleep(0.02)
        ordered = sorted(times)
        result[name] = {"median": round(ordered[EACH // 2], 1), "p95": round(ordered[int(EACH * 0.95)], 1),
                        "longest": round(ordered[-1], 1), "status": sorted(codes)}  # fmt: skip
        print(f"{name:20} {result[name]}", flush=True)
    stopped.set()
    writer.join()
    result["megabytes"] = memory.peak
    result["batch of 100, median and longest in ms"] = [round(1000 * statistics.median(batches[3:])),
                                                        round(1000 * max(batches[3:]))]  # fmt: skip
    process.terminate()
    process.wait()
    began = time.monotonic()
    check = subprocess.run(
        [sys.executable, "-m", "scrapy", "rollup", "--check",
         *(part for name, value in settings.items() for part in ("-s", f"{name}={value}"))],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    result["sums"] = check.stdout.strip() or check.stderr.strip()
    result["comparing_seconds"] = round(time.monotonic() - began, 1)
    return result


def read(url: str, stopped: threading.Event, pages: list[str]) -> None:
    """Load pages again and again."""
    while not stopped.is_set():
        for path in ("/", "/board/pol", "/board/g?days=7", "/search?q=the", "/board/po/chart.json"):
            ask(url + path)
            pages.append(path)
            stopped.wait(0.5)


def with_readers(seconds: int) -> dict[str, Any]:
    """A crawl of the sandbox for so long, with and without readers."""
    result = {}
    for kind, readers in (("alone", 0), ("with two readers", 2)):
        with tempfile.TemporaryDirectory() as name:
            sandbox = Sandbox("--speed", "3")
            folder = Path(name) / "data"
            pace = {"DOWNLOAD_DELAY": 0.3, "CHAN_INDEX_INTERVAL": 1.5, "CHAN_THREAD_INTERVAL": 3}
            process = crawl("chan", "-aboard=pol,g,po", "-afollow=1", log=Path(name) / "log", CHAN_API_URL=sandbox.url,
                            CSV_FOLDER=folder, **pace)  # fmt: skip
            dashboard = None
            pages: list[str] = []
            largest, ends = 0, time.monotonic() + seconds
            threads, stopped = [], threading.Event()
            if readers:
                while not (folder / "chancrawl.sqlite").exists():
                    time.sleep(0.2)
                time.sleep(2)
                dashboard, url = served({"CSV_FOLDER": str(folder)})

                threads = [threading.Thread(target=read, args=(url, stopped, pages)) for _ in range(readers)]
                for thread in threads:
                    thread.start()
            log = folder / "chancrawl.sqlite-wal"
            while time.monotonic() < ends:
                time.sleep(0.2)
                largest = max(largest, log.stat().st_size if log.exists() else 0)
            stopped.set()
            for thread in threads:
                thread.join()
            process.terminate()
            process.wait()
            if dashboard is not None:
                dashboard.terminate()
                dashboard.wait()
            covered = subprocess.run(
                [sys.executable, "-m", "scrapy", "coverage", "--format", "json", "-s", f"CSV_FOLDER={folder}"],
                cwd=ROOT, capture_output=True, text=True, check=True,
            )  # fmt: skip
            hours = [hour for board in json.loads(covered.stdout) for hour in board.get("hours", [])]
            issued, held = (sum(hour[key] for hour in hours) for key in ("issued", "held"))
            result[kind] = {"issued": issued, "held": held, "captured": round(held / issued, 4), "pages": len(pages),
                            "largest_log_megabytes": round(largest / 1e6, 1)}  # fmt: skip
            print(kind, result[kind], flush=True)
            sandbox.stop()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--posts", type=int, default=300_000)
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--readers", type=int, metavar="SECONDS")
    options = parser.parse_args()
    if options.readers:
        print(json.dumps(with_readers(options.readers)))
        return
    result: dict[str, Any] = {"posts": options.posts}
    with tempfile.TemporaryDirectory() as name, postgres(Path(name) / "pg") as server:
        folder = Path(name) / "data"
        stores: dict[str, tuple[Callable[[], Store], dict[str, str]]] = {
            "sqlite": (lambda: SqliteStore(folder, KINDS), {"CSV_FOLDER": str(folder)})
        }
        if options.store != "sqlite":
            url = server.new_database("dashboard")
            stores["postgres"] = lambda: PostgresStore(url, KINDS), {"DATABASE_URL": url, "CSV_FOLDER": str(folder)}
        for kind, (make, settings) in stores.items():
            if options.store in (kind, "both"):
                fill(make(), options.posts)
                result[kind] = measure(make(), settings, options.posts)
                print(json.dumps({kind: result[kind]}, indent=1), flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
