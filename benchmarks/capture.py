"""Compares how many posts this crawler and two simple ones capture, and how many requests they need.

    python benchmarks/capture.py                              # a fast board, 20 virtual minutes at 20 times the speed
    python benchmarks/capture.py --site four --minutes 60 --speed 10

Each collector gets a separate sandbox with the same boards (the same seed, so that events do not depend on the
requests), one request per virtual second, an empty store, and the same time. The stored posts are compared with the
sandbox's list of all posts.

    chancrawl   scrapy crawl chan -a follow=1, into CSV files
    vanished    reads the catalog every five minutes, and the threads that have vanished from it
    modified    reads threads.json every minute, and every modified thread in the order of the index
    best        knows all events in advance. With the same number of requests, each of which shows a whole board, it
                requests each post just before it disappears (earliest deadline first). It is the upper bound.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

import aiohttp  # noqa: E402

from chancrawl.sandbox.sites import SITES  # noqa: E402

START = 1_795_000_000.0
Key = tuple[str, int]
Truth = list[dict[str, Any]]


@dataclass
class Result:
    """What a collector stored, and what it took."""

    stored: set[Key]
    truth: Truth
    until: float
    requests: int = 0
    received: int = 0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    measures: dict[str, float | None] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", choices=sorted(SITES), default="fast", help="which boards (default fast)")
    parser.add_argument("--minutes", type=float, default=20, help="virtual minutes (default 20)")
    parser.add_argument("--speed", type=float, default=20, help="virtual seconds for one of ours (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="another number makes other boards (default 1)")
    parser.add_argument(
        "--index-seconds", type=float, default=0, help="rebuild index files so seldom (default 0: live)"
    )
    parser.add_argument("--only", nargs="*", choices=("chancrawl", "vanished", "modified"), help="leave out the others")
    parser.add_argument("--collector", nargs=4, metavar=("NAME", "URL", "DELAY", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collector:
        name, url, delay, file = options.collector
        asyncio.run(Simple(url, float(delay), Path(file), boards_of(options.site)).run(BASELINES[name]))
        return
    results = {}
    for name in options.only or ("chancrawl", "vanished", "modified"):
        print(f"{name}: {options.minutes:g} virtual minutes …", file=sys.stderr, flush=True)
        results[name] = run(name, options)
    first = next(iter(results.values()))
    results["best"] = best(first)
    for result in results.values():
        measure(result, options.site)
    print_table(results)
    about = {key: getattr(options, key) for key in ("site", "minutes", "speed", "seed", "index_seconds")}
    print(json.dumps({**about, "collectors": {name: result.measures for name, result in results.items()}}))


def boards_of(site: str) -> list[str]:
    """The small site has many boards; two of them are enough here."""
    return ["po", "g"] if site == "small" else [entry["board"] for entry, _ in SITES[site]]


# --- a run


def run(name: str, options: argparse.Namespace) -> Result:
    command = [sys.executable, "-m", "chancrawl.sandbox", "--port", "0", "--until-eof", "--site", options.site]
    command += ["--start", str(START), "--speed", str(options.speed), "--seed", str(options.seed)]
    command += ["--index-seconds", str(options.index_seconds)]
    sandbox = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sandbox.stdout is not None and sandbox.stdin is not None
    url = sandbox.stdout.readline().strip()

    def ask(what: str) -> bytes:
        with build_opener(ProxyHandler({})).open(f"{url}/sandbox/{what}") as answer:
            content: bytes = answer.read()
        return content

    with tempfile.TemporaryDirectory() as folder:
        collector = start(name, url, Path(folder), options)
        end = START + options.minutes * 60
        while json.loads(ask("clock"))["now"] < end and collector.poll() is None:
            time.sleep(0.2)
        collector.send_signal(signal.SIGINT)
        _, status, usage = os.wait4(collector.pid, 0)
        if os.waitstatus_to_exitcode(status) != 0:
            sys.exit(f"{name} ended with {os.waitstatus_to_exitcode(status)}; see the lines above.")
        until = json.loads(ask("clock"))["now"]
        truth = [json.loads(line) for line in ask("truth").splitlines()]
        requests = [r for r in json.loads(ask("requests")) if not r["path"].startswith("/sandbox")]
        result = Result(stored(Path(folder)), truth, until, len(requests), sum(r["bytes"] for r in requests))
    result.cpu_seconds = usage.ru_utime + usage.ru_stime
    result.peak_memory = usage.ru_maxrss * 1024
    sandbox.stdin.close()
    sandbox.wait()
    return result


def start(name: str, url: str, folder: Path, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    delay = 1 / options.speed
    if name == "chancrawl":
        settings = {"CHAN_API_URL": url, "CSV_FOLDER": folder, "DOWNLOAD_DELAY": delay, "LOG_LEVEL": "WARNING"}
        settings |= {"CHAN_INDEX_INTERVAL": 5 * delay, "CHAN_THREAD_INTERVAL": 10 * delay}
        settings |= {"CLOCK_TOLERANCE": 10**8}  # the sandbox begins at START
        command = [sys.executable, "-m", "scrapy", "crawl", "chan", "-a", "follow=1"]
        command += ["-a", "board=" + ",".join(boards_of(options.site))]
        for setting, value in settings.items():
            command += ["-s", f"{setting}={value}"]
    else:
        collector = [name, url, str(delay), str(folder / "stored.csv")]
        command = [sys.executable, __file__, "--site", options.site, "--collector", *collector]
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "DATABASE_URL"}
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def stored(folder: Path) -> set[Key]:
    csv.field_size_limit(10**9)
    found = set()
    for file in [*folder.glob("chan/*/posts-*.csv"), *folder.glob("stored.csv")]:
        with file.open(newline="", encoding="utf-8") as stream:
            found |= {(row["board"], int(row["no"])) for row in csv.DictReader(stream)}
    return found


# --- the baselines


class Simple:
    """One request after the other; every new post becomes a row at once."""

    def __init__(self, url: str, delay: float, file: Path, boards: list[str]) -> None:
        self.url = url
        self.delay = delay
        self.file = file
        self.boards = boards
        self.held: set[Key] = set()
        self.modified: dict[str, str] = {}  # Last-Modified, by path
        self.next_request = 0.0

    async def run(self, collect: Callable[[Simple], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(collect(self))
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
        with self.file.open("w", newline="", encoding="utf-8") as stream:
            self.rows = csv.writer(stream)
            self.rows.writerow(["board", "no", "raw"])
            async with aiohttp.ClientSession() as self.session:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def get(self, path: str) -> Any:
        """The content of a file; None if it is not there, or has not changed."""
        now = time.monotonic()
        self.next_request = max(self.next_request, now) + self.delay
        await asyncio.sleep(self.next_request - self.delay - now)
        headers = {"If-Modified-Since": self.modified[path]} if path in self.modified else {}
        async with self.session.get(self.url + path, headers=headers) as response:
            if response.status != 200:
                return None
            self.modified[path] = response.headers["Last-Modified"]
            return json.loads(await response.read())

    async def get_thread(self, board: str, no: int) -> None:
        page = await self.get(f"/{board}/thread/{no}.json")
        for post in page["posts"] if page else ():
            if (board, post["no"]) not in self.held:
                self.held.add((board, post["no"]))
                self.rows.writerow([board, post["no"], json.dumps(post)])


async def vanished(self: Simple) -> None:
    known: dict[str, set[int]] = {}
    while True:
        began = time.monotonic()
        for board in self.boards:
            catalog = await self.get(f"/{board}/catalog.json")
            if catalog is not None:
                live = {thread["no"] for page in catalog for thread in page["threads"]}
                for no in known.get(board, set()) - live:
                    await self.get_thread(board, no)
                known[board] = live
        await asyncio.sleep(max(0.0, began + 300 * self.delay - time.monotonic()))


async def modified(self: Simple) -> None:
    known: dict[Key, int] = {}
    while True:
        began = time.monotonic()
        for board in self.boards:
            for page in await self.get(f"/{board}/threads.json") or ():
                for thread in page["threads"]:
                    if known.get((board, thread["no"])) != thread["last_modified"]:
                        known[board, thread["no"]] = thread["last_modified"]
                        await self.get_thread(board, thread["no"])
        await asyncio.sleep(max(0.0, began + 60 * self.delay - time.monotonic()))


BASELINES = {"vanished": vanished, "modified": modified}


# --- the best that can be


def best(other: Result) -> Result:
    """From the truth that another run left."""
    gone = sorted(
        (post for post in other.truth if post["gone_at"] and START < post["gone_at"] <= other.until),
        key=lambda post: post["gone_at"],
    )
    taken: dict[int, str] = {}  # the board that is asked for, by virtual second
    seen: set[Key] = set()
    for post in gone:
        first, last = int(max(post["posted_at"], START) - START) + 1, int(post["gone_at"] - START)
        moments = range(last, first - 1, -1)
        if any(taken.get(moment) == post["board"] for moment in moments):
            seen.add((post["board"], post["no"]))
        elif (free := next((moment for moment in moments if moment not in taken), None)) is not None:
            taken[free] = post["board"]
            seen.add((post["board"], post["no"]))
    lost = {(post["board"], post["no"]) for post in gone} - seen
    everything = {(post["board"], post["no"]) for post in other.truth}
    return Result(everything - lost, other.truth, other.until)


# --- what came of it


def measure(result: Result, site: str) -> None:
    archives = {entry["board"]: bool(entry.get("is_archived")) for entry, _ in SITES[site]}
    boards = set(boards_of(site))
    truth = [post for post in result.truth if post["board"] in boards and post["posted_at"] <= result.until]
    made = [post for post in truth if post["posted_at"] > START]
    deleted = [post for post in made if post["deleted_at"]]
    at_start = [post for post in truth if post["posted_at"] <= START and not post["gone_at"]
                and post["thread_fate"] == "live"]  # fmt: skip
    lost = [post for post in truth if post["gone_at"] and START < post["gone_at"] <= result.until
            and (post["board"], post["no"]) not in result.stored]  # fmt: skip

    def share(posts: Truth) -> float | None:
        held = sum((post["board"], post["no"]) in result.stored for post in posts)
        return round(held / len(posts), 5) if posts else None

    captured = sum((post["board"], post["no"]) in result.stored for post in made)
    result.measures = {
        "posts_made": len(made),
        "captured": share(made),
        "lost_for_good": round(len(lost) / len(truth), 5),
        "lost_of_new": round(sum(post["posted_at"] > START for post in lost) / max(len(made), 1), 5),
        "deleted": share(deleted),
        "lived_under_60s": share([post for post in deleted if post["deleted_at"] - post["posted_at"] < 60]),
        "no_archive": share([post for post in made if not archives[post["board"]]]),
        "at_start": share(at_start),
    }
    if result.requests:
        each = max(captured, 1)
        result.measures |= {
            "requests_a_post": round(result.requests / each, 3),
            "kilobytes_a_post": round(result.received / each / 1000, 2),
            "cpu_ms_a_post": round(result.cpu_seconds * 1000 / each, 2),
            "peak_megabytes": round(result.peak_memory / 1e6),
        }


def print_table(results: dict[str, Result]) -> None:
    names = list(dict.fromkeys(name for result in results.values() for name in result.measures))
    print(f"{'':20}" + "".join(f"{name:>12}" for name in results))
    for name in names:
        values = [result.measures.get(name) for result in results.values()]
        print(f"{name:20}" + "".join(f"{'–' if value is None else f'{value:,}':>12}" for value in values))


if __name__ == "__main__":
    main()
