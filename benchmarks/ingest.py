"""Measures how fast posts are written to PostgreSQL, by the pipeline, by the fastest way and by simple ways.

    python benchmarks/ingest.py                   # 50,000 posts of the sandbox, into a separate server
    python benchmarks/ingest.py --posts 200000

The same rows are written to a table `posts` with the same indexes, each time in a new database, one after another. Only
the pipeline also keeps the sums of hours (triggers):

    raw_copy            COPY of rows that are already text, in one transaction, without comparing or preparing them
    pipeline            the PostgreSQL stage: normalised items through PostgresPipeline, to the last commit
    reingest_unchanged  the same items by another crawl, which reads what is stored, as crawls do, and drops them
    reingest_unseen     the same items by a crawl that cannot read the store: the database finds that nothing is new
    row_by_row          like simple scripts: one connection per thread, one INSERT per row in autocommit
    executemany         psycopg2's executemany, 500 rows per transaction

`from_payloads` is the whole path of an item, from the parsed payload through dedupe and normalisation to the commit.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from queue import Empty, Queue
from types import SimpleNamespace
from typing import Any

import psycopg2

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from scrapy.crawler import Crawler  # noqa: E402
from scrapy.exceptions import DropItem  # noqa: E402
from scrapy.settings import Settings  # noqa: E402

from benchmarks.tools import one, postgres  # noqa: E402
from chancrawl.commands.crawl import be_quick  # noqa: E402
from chancrawl.imageboards import fourchan  # noqa: E402
from chancrawl.imageboards.diff import Observation, StoredThread, compare  # noqa: E402
from chancrawl.imageboards.ledger import BoardLedger  # noqa: E402
from chancrawl.imageboards.pages import utc  # noqa: E402
from chancrawl.items import Post, columns  # noqa: E402
from chancrawl.payload import dumps, loads  # noqa: E402
from chancrawl.sandbox.sites import backlog  # noqa: E402
from chancrawl.sandbox.world import World  # noqa: E402
from chancrawl.storage.postgres import copy  # noqa: E402
from chancrawl.storage.postgres.connection import PostgresStore  # noqa: E402
from chancrawl.storage.session import Session  # noqa: E402
from pipelines.dedupe import DedupePipeline  # noqa: E402
from pipelines.normalize import NormalizePipeline  # noqa: E402
from pipelines.postgres import PostgresPipeline  # noqa: E402
from tests.support import KINDS  # noqa: E402

START = 1_795_000_000.0
NAMES = columns(Post)
INSERT = f"INSERT INTO posts ({', '.join(NAMES)}) VALUES ({', '.join(['%s'] * len(NAMES))})"


def parsed(number: int) -> list[Post]:
    """So many posts as the spider yields them."""
    posts: list[Post] = []
    world = World(1, START, backlog(number))
    for board in world.descriptions:
        index = world.read(f"/{board}/threads.json", START)
        assert index is not None
        for page in loads(index[0]):
            for thread in page["threads"]:
                file = world.read(f"/{board}/thread/{thread['no']}.json", START)
                assert file is not None
                page_read = fourchan.parse_thread(loads(file[0]), board, thread["no"])
                look = Observation(utc(int(START)), None, "body", is_own=True)
                posts += [item for item in compare(StoredThread(), page_read, look).items if isinstance(item, Post)]
                if len(posts) >= number:
                    return posts[:number]
    return posts


# --- this pipeline


class Spider:
    name = "chan"
    arguments: dict[str, str] = {}  # noqa: RUF012
    source = "http://127.0.0.1"


def crawler_of(url: str, folder: Path) -> Any:
    """A crawler whose pipelines can be used by themselves."""
    from scrapy import Spider as ScrapySpider

    settings = Settings()
    settings.setmodule("chancrawl.settings", priority="project")
    settings.set("DATABASE_URL", url)
    settings.set("CSV_FOLDER", str(folder))
    settings.set("LOG_LEVEL", "ERROR")
    settings.set("ADDONS", {})
    settings.set("TWISTED_REACTOR_ENABLED", False)
    crawler = Crawler(ScrapySpider, settings)
    crawler._apply_settings()
    crawler.crawling = True
    crawler.spider = Spider()
    crawler.engine = SimpleNamespace(_slot=SimpleNamespace(closing=None))
    return crawler


async def through(url: str, folder: Path, items: Sequence[Post], whole: bool, known: bool) -> float:
    """Items through the pipelines; seconds from the first one to the last commit."""
    crawler = crawler_of(url, folder)
    session, ledger = Session.of(crawler), BoardLedger.of(crawler)
    store = PostgresPipeline.from_crawler(crawler)
    await store.open_spider()
    dedupe, normalize = DedupePipeline.from_crawler(crawler), NormalizePipeline.from_crawler(crawler)
    threads = sorted({(post.board, post.thread_no) for post in items})
    began = time.perf_counter()
    if known:
        for board in sorted({board for board, _ in threads}):
            await ledger.load(board, [no for name, no in threads if name == board])
    for item in items:
        if whole or known:
            try:
                await store.process_item(normalize.process_item(dedupe.process_item(item)))  # type: ignore[arg-type]
            except DropItem:
                continue
        else:
            ledger.accept(item)
            await store.process_item(item)
    await store.close_spider()
    seconds = time.perf_counter() - began
    assert store.failure is None
    await session.attempt(session.store.close)
    return seconds


# --- the others


def raw_copy(url: str, items: Sequence[Post]) -> float:
    rows = copy.rows_of(items)
    prepared = io.BytesIO("\n".join(rows.lines).encode())
    connection = psycopg2.connect(url)
    began = time.perf_counter()
    with connection, connection.cursor() as cursor:
        cursor.copy_expert(f"COPY posts ({', '.join(rows.names)}) FROM STDIN", prepared, 1 << 20)
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def values_of(item: Post) -> list[Any]:
    return [dumps(value) if name in ("raw", "quotes") else value for name in NAMES for value in (getattr(item, name),)]


def row_by_row(url: str, items: Sequence[Post], threads: int = 4) -> float:
    waiting: Queue[list[Any]] = Queue()
    for item in items:
        waiting.put(values_of(item))

    def work() -> None:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        cursor = connection.cursor()
        while True:
            try:
                cursor.execute(INSERT, waiting.get_nowait())
            except Empty:
                break
        connection.close()

    began = time.perf_counter()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def executemany(url: str, items: Sequence[Post], size: int = 500) -> float:
    connection = psycopg2.connect(url)
    began = time.perf_counter()
    for start in range(0, len(items), size):
        with connection, connection.cursor() as cursor:
            cursor.executemany(INSERT, [values_of(item) for item in items[start : start + size]])
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


# --- the run

WRITES = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables WHERE relname = 'posts'"


def run(number: int) -> dict[str, Any]:
    be_quick()
    items = parsed(number)
    number = len(items)
    described = [Post(**{name: getattr(item, name) for name in NAMES}) for item in items]
    for item in described:
        fourchan.describe(item)
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, postgres(Path(name) / "pg") as server:
        folder = Path(name) / "data"

        def database(of: str, with_sums: bool = False) -> str:
            url = server.new_database(of)
            store = PostgresStore(url, KINDS)
            store.open()
            store.prepare()
            if not with_sums:
                store.write([("ALTER TABLE posts DISABLE TRIGGER USER", ())])
            store.close()
            return url

        def timed(what: str, work: Callable[[], float | Awaitable[float]], rows: int = number) -> None:
            gc.collect()
            seconds = work()
            rates[what] = round(rows / (asyncio.run(seconds) if asyncio.iscoroutine(seconds) else seconds))  # type: ignore[operator]
            print(f"{what:20} {rates[what]:>9,.0f} rows a second")

        url = database("raw")
        timed("raw_copy", lambda: raw_copy(url, described))
        ours = database("ours", with_sums=True)
        timed("pipeline", lambda: through(ours, folder, described, whole=False, known=False))
        before = writes_of(ours)
        timed("reingest_unchanged", lambda: through(ours, folder, described, whole=True, known=True))
        timed("reingest_unseen", lambda: through(ours, folder, described, whole=False, known=False))
        written = writes_of(ours) - before
        whole = database("whole", with_sums=True)
        timed("from_payloads", lambda: through(whole, folder, items, whole=True, known=False))
        few = described[: max(number // 5, 1)]  # enough for the slow ones
        one_by_one = database("one_by_one")
        timed("row_by_row", lambda: row_by_row(one_by_one, few), len(few))
        many = database("many")
        timed("executemany", lambda: executemany(many, few), len(few))
        assert one(ours, "SELECT count(*) FROM posts") == one(whole, "SELECT count(*) FROM posts") == number
    return {
        "rows": number,
        "rows_per_second": rates,
        "rows_written_by_reingest": written,
        "pipeline_to_raw_copy": round(rates["pipeline"] / rates["raw_copy"], 2),
        "pipeline_to_row_by_row": round(rates["pipeline"] / rates["row_by_row"], 2),
        "reingest_to_first": round(rates["reingest_unchanged"] / rates["pipeline"], 2),
    }


def writes_of(url: str) -> int:
    time.sleep(1.5)  # a session reports what it did after a second, or when it ends
    return int(one(url, WRITES))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--posts", type=int, default=50_000)
    print(json.dumps(run(parser.parse_args().posts)))


if __name__ == "__main__":
    main()
