"""Kills crawls and stops databases. Afterwards each row of the store has to equal the sandbox's data.

    python benchmarks/crashes.py kill       # 50 runs of kill -9, both stores, follow and one pass, 4chan and X
    python benchmarks/crashes.py kill --runs 200 --seed 9
    python benchmarks/crashes.py outage     # a database that is stopped for 60 seconds, with and without a kill

Each run has a separate sandbox and an empty store. In `kill`, a crawl is started and killed at a random instant, two or
three times, while posts are made and deleted. Then a crawl runs to its end, and the store is compared with the sandbox.
Into an embedded database a second process writes at the same time, and is killed too; its rows, the CSV files and the
integrity of the database are checked as well.
The instants depend on the seed and on the speed of the machine. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from benchmarks.tools import postgres  # noqa: E402
from chancrawl.imageboards import fourchan  # noqa: E402
from chancrawl.imageboards.diff import Observation, StoredThread, compare  # noqa: E402
from chancrawl.imageboards.pages import utc  # noqa: E402
from chancrawl.items import Post, Validator, columns  # noqa: E402
from chancrawl.payload import loads  # noqa: E402
from chancrawl.storage.base import restored  # noqa: E402
from chancrawl.storage.sqlite.store import SqliteStore  # noqa: E402
from tests.support import KINDS  # noqa: E402
from tests.support.crawls import Crawler  # noqa: E402
from tests.support.databases import Database, Server  # noqa: E402
from tests.support.sandboxes import Sandbox  # noqa: E402
from tests.support.stores import COLUMNS, posts_of  # noqa: E402
from tests.support.x import XCrawler, expected, handles_of  # noqa: E402

csv.field_size_limit(10**9)
BOARD = "po"
# Times are those of seeing; an opening post's raw has its thread's counts of then.
SAME = [name for name in COLUMNS if not name.endswith("_at") and name not in ("revision", "raw")]


SPAWN = get_context("spawn")


class Wrong(Exception):
    """The store is not what it has to be."""


# --- 4chan


def shown(sandbox: Sandbox) -> dict[int, Post]:
    """What the board shows now, in its live threads and in its archive, as it would be stored."""
    threads = [t["no"] for page in loads(sandbox.ask(f"/{BOARD}/threads.json")) for t in page["threads"]]
    posts = {}
    for no in dict.fromkeys([*threads, *loads(sandbox.ask(f"/{BOARD}/archive.json"))]):
        page = fourchan.parse_thread(loads(sandbox.ask(f"/{BOARD}/thread/{no}.json")), BOARD, no)
        for item in compare(StoredThread(), page, Observation(utc(1), None, "", is_own=True)).items:  # type: ignore[arg-type]
            if isinstance(item, Post):
                fourchan.describe(item)
                posts[item.no] = item
    return posts


def compare_posts(crawler: Crawler, sandbox: Sandbox) -> int:
    """How many posts were compared. Wrong if one is missing, different, or there twice."""
    store: Any = Database(crawler.database_url) if crawler.database_url else crawler.folder
    held = {no: row for (_, no), row in posts_of(store).items()}
    if not crawler.database_url and held != (rows := embedded_posts(crawler.folder)):
        raise Wrong(f"{sum(held.get(no) != rows.get(no) for no in held | rows)} posts differ in the CSV files")
    now = shown(sandbox)
    if missing := now.keys() - held.keys():
        raise Wrong(f"{len(missing)} posts are missing, {min(missing)} for one")
    for no, post in now.items():
        for name in SAME:
            if held[no][name] != getattr(post, name):
                raise Wrong(f"post {no}: {name} is {held[no][name]!r} and not {getattr(post, name)!r}")
        if held[no]["deleted_at"] is not None:
            raise Wrong(f"post {no} is there, and said to be deleted")
    numbers = (
        Counter((row["no"], row["revision"]) for row in crawler.csv(f"{BOARD}/posts-*"))
        if not crawler.database_url
        else {}
    )
    if twice := [key for key, number in numbers.items() if number > 1]:
        raise Wrong(f"{len(twice)} rows are there twice, {twice[0]} for one")
    return len(now)


def embedded_posts(folder: Path) -> dict[int, dict[str, Any]]:
    """The posts of an embedded database. Wrong if it is damaged."""
    store = SqliteStore(folder, KINDS)
    store.open_to_read(["posts"])
    if (state := store.rows("PRAGMA integrity_check")) != [("ok",)]:
        raise Wrong(f"the database is damaged: {state[0][0]}")
    rows = store.rows(f"SELECT {', '.join(columns(Post))} FROM posts WHERE board = ?", BOARD)
    store.close()
    return {post.no: {name: getattr(post, name) for name in COLUMNS} for row in rows for post in [restored(Post, row)]}


class Beside:
    """A second process that writes to an embedded database, as other commands do, and is killed like the crawl."""

    def __init__(self, folder: Path, counter: Any, is_there: bool = True) -> None:
        self.process = SPAWN.Process(target=write_beside, args=(folder, counter)) if is_there else None
        if self.process is not None:
            self.process.start()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()


def write_beside(folder: Path, counter: Any) -> None:
    """Write rows of a board that does not exist, one by one; `counter` has the number of committed ones."""
    while True:
        store = SqliteStore(folder, KINDS)
        store.open_beside()
        for _ in range(20):
            store.take_in([Validator(f"/zz/{counter.value + 1}", "x")])
            counter.value += 1
        store.close()


def compare_beside(folder: Path, number: int) -> None:
    store = SqliteStore(folder, KINDS)
    store.open_to_read(["validators"])
    ((held,),) = store.rows("SELECT count(*) FROM validators WHERE path LIKE '/zz/%'")
    store.close()
    if not number <= held <= number + 1:  # the last one can be committed without being counted
        raise Wrong(f"{held} rows of the second process are there, and it had committed {number}")


@contextmanager
def life(sandbox: Sandbox, random: Random) -> Iterator[None]:
    """Posts are made, deleted and marked while this lasts."""
    stop = threading.Event()

    def live() -> None:
        while not stop.wait(0.15):
            sandbox.advance(random.randrange(1, 30))

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def kill_chan(folder: Path, database: str | None, follow: bool, random: Random) -> int:
    sandbox = Sandbox("--speed", "0", "--start", "1795000000")
    crawler = Crawler(folder / "data", sandbox.url, database, delay=0.003)
    batches = (f"-sBATCH_SIZE={random.choice([7, 50, 2000])}", "-sBATCH_SECONDS=0.1")
    counter = SPAWN.Value("q", 0)
    with life(sandbox, random):
        for _ in range(random.randrange(2, 4)):
            beside = Beside(folder / "data", counter, is_there=database is None)
            process = crawler.start(f"-aboard={BOARD}", *(["-afollow=1"] if follow else []), *batches)
            time.sleep(0.8 + random.random() * 1.5)
            process.kill()
            beside.kill()
            process.communicate()
    crawler(f"-aboard={BOARD}").ok()
    number = compare_posts(crawler, sandbox)
    if database is None:
        compare_beside(folder / "data", counter.value)
        number += counter.value
    sandbox.stop()
    return number


# --- X


def kill_x(folder: Path, database: str | None, follow: bool, random: Random) -> int:
    sandbox = Sandbox("--speed", "0")
    crawler = XCrawler(folder / "data", sandbox.url, database)
    names = handles_of(sandbox)
    arguments = crawler.with_settings(
        "-a", f"handles={','.join(names)}", *(["-a", "follow=1s"] if follow else []), "-s", "BATCH_SECONDS=0.1",
        "-s", f"BATCH_SIZE={random.choice([7, 50, 2000])}", "-s", "DOWNLOAD_DELAY=0.02",
    )  # fmt: skip
    for _ in range(random.randrange(2, 4)):
        process = crawler.start(*arguments, spider="timeline")
        time.sleep(0.9 + random.random() * 1.5)
        sandbox.advance(1)  # of two posts of one instant the sandbox may put the second one before the first
        for name in random.sample(names, 3):
            sandbox.x_act("post", name)
        process.kill()
        process.communicate()
    crawler.timeline(",".join(names)).ok()
    truth = {number: expected(post) for number, post in sandbox.x_truth().items()}
    rows = crawler.articles()
    held = {int(row["id"]): row for row in rows}
    if len(held) != len(rows):
        raise Wrong(f"{len(rows) - len(held)} rows are there twice")
    if held != truth:
        different = {key for key in held.keys() | truth.keys() if held.get(key) != truth.get(key)}
        raise Wrong(f"{len(different)} posts differ, {min(different)} for one")
    sandbox.stop()
    return len(truth)


def kill(server: Server, folder: Path, runs: int, seed: int) -> dict[str, Any]:
    compared, wrong = 0, []
    kinds: Counter[str] = Counter()
    for run in range(runs):
        random = Random(f"{seed} {run}")
        store, source, follow = ("csv", "postgres")[run % 2], ("4chan", "X")[run // 2 % 2], bool(run // 4 % 2)
        name = f"{source}, {'follow' if follow else 'one pass'}, {store}"
        database = server.new_database(f"run_{run}") if store == "postgres" else None
        try:
            compared += (kill_chan if source == "4chan" else kill_x)(folder / str(run), database, follow, random)
        except (Wrong, AssertionError) as error:
            wrong.append(f"run {run} ({name}): {error}")
            print(wrong[-1], flush=True)
        kinds[name] += 1
        print(f"{run + 1:3} {name}", flush=True)
    return {"runs": runs, "seed": seed, "kinds": kinds, "rows_compared": compared, "wrong": wrong}


# --- outages


def outage(folder: Path, seconds: float, with_kill: bool) -> dict[str, Any]:
    folder.mkdir()
    server = Server(folder / "pg")
    sandbox = Sandbox("--speed", "0", "--start", "1795000000", "--backlog", "20000")
    crawler = Crawler(folder / "data", sandbox.url, server.url, delay=(seconds + 30) / 190)
    board = ("-aboard=b0", "-sBATCH_SECONDS=1")
    process = crawler.start(*board)
    time.sleep(8)
    before = Database(server.url).one("SELECT count(*) FROM posts")
    server.stop()
    stopped = time.monotonic()
    asked = []
    while time.monotonic() < stopped + seconds:
        start = len(sandbox.requests())
        time.sleep(5)
        asked.append(sum("/thread/" in request["path"] for request in sandbox.requests()[start:]))
    spooled = sum(file.stat().st_size for file in (folder / "data" / "spool").glob("*/*.gz"))
    if with_kill:
        process.kill()
        process.communicate()
    server.start()
    output = ""
    if with_kill:
        output = crawler(*board, timeout=300).ok().output
    else:
        output, _ = process.communicate(timeout=300)
        if process.returncode:
            raise Wrong(output)
    truth = [post["no"] for post in sandbox.truth() if post["board"] == "b0" and post["shown"]]
    held = crawler.held("b0")
    result = {
        "seconds": seconds,
        "killed": with_kill,
        "stored_before": before,
        "spooled_bytes": spooled,
        "threads_asked_for_each_5_s": asked,
        "posts": len(truth),
        "missing": len(set(truth) - set(held)),
        "twice": len(held) - len(set(held)),
        "said": [line for line in output.splitlines() if "out of reach" in line or "earlier crawl" in line],
    }
    print(result, flush=True)
    sandbox.stop()
    server.stop()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("kill", "outage"))
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="for which the database is stopped")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what == "kill":
            with postgres(folder / "pg") as server:
                result = kill(server, folder, options.runs, options.seed)
        else:
            both = [outage(folder / str(killed), options.seconds, killed) for killed in (False, True)]
            result = {"outages": both, "wrong": [o for o in both if o["missing"] or o["twice"]]}
    print(json.dumps(result))
    sys.exit(bool(result["wrong"]))


if __name__ == "__main__":
    main()
