"""Measures whether crawls of different boards hold each other up in PostgreSQL.

    python benchmarks/writers.py                   # 100 batches of 500 posts by each writer

Writers are processes that write batches without pause: one alone, two of different boards, two of one board. `wait` is
the time of a batch in which a writer waits for locks, `batch` the whole time of a batch, both as median and 95th
percentile in milliseconds. Writers and server share the processors, so that a batch takes longer even if nobody waits
for a lock. `two databases` is the same work where no writer can wait for the other.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

import psycopg2  # noqa: E402

from benchmarks.ingest import parsed  # noqa: E402
from benchmarks.tools import postgres  # noqa: E402
from chancrawl.imageboards import fourchan  # noqa: E402
from chancrawl.storage.postgres import upsert  # noqa: E402
from chancrawl.storage.postgres.connection import PostgresStore  # noqa: E402
from tests.support import KINDS  # noqa: E402

SPAWN = get_context("spawn")


class Cursor(psycopg2.extensions.cursor):
    """Adds up the time of statements that take locks."""

    waited = 0.0

    def execute(self, query: Any, parameters: Any = None) -> None:
        began = time.perf_counter()
        super().execute(query, parameters)
        if query is upsert.LOCKS:
            Cursor.waited += time.perf_counter() - began


def write(url: str, board: str, first: int, batches: int, size: int, start: Any, answer: Any) -> None:
    """Write batches of new posts of a board. The answer is the time of each batch, and the part spent waiting."""
    models = parsed(size)
    for post in models:
        fourchan.describe(post)
        post.board = board
    connection = psycopg2.connect(url, cursor_factory=Cursor)
    writer = upsert.BatchWriter(KINDS)
    times = []
    start.wait()
    for batch in range(batches):
        for number, post in enumerate(models):
            post.no = first + batch * size + number
        before, Cursor.waited = time.perf_counter(), 0.0
        writer.write(connection, models, print)
        times.append((time.perf_counter() - before, Cursor.waited))
    answer.put(times)


def measured(writers: list[tuple[str, str, int]], batches: int, size: int) -> dict[str, Any]:
    """Writers side by side: (database, board, first number)."""
    start, answers = SPAWN.Barrier(len(writers)), SPAWN.Queue()
    processes = [SPAWN.Process(target=write, args=(*writer, batches, size, start, answers)) for writer in writers]
    for process in processes:
        process.start()
    times = [pair for _ in processes for pair in answers.get()]
    for process in processes:
        process.join()
    return {name: _figures([1000 * pair[place] for pair in times]) for place, name in enumerate(("batch", "wait"))}


def _figures(values: list[float]) -> dict[str, float]:
    return {"median": round(median(values), 2), "p95": round(quantiles(values, n=20)[-1], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--size", type=int, default=500)
    options = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as name, postgres(Path(name) / "pg") as server:

        def database(of: str) -> str:
            url = server.new_database(of)
            store = PostgresStore(url, KINDS)
            store.open()
            store.prepare()
            store.close()
            return url

        shared, other = database("shared"), database("other")
        cases = {
            "one alone": [(shared, "a", 1)],
            "two databases": [(shared, "b", 1), (other, "b", 1)],
            "two boards": [(shared, "c", 1), (shared, "d", 1)],
            "one board": [(shared, "e", 1), (shared, "e", 10**9)],
        }
        for case, writers in cases.items():
            result[case] = measured(writers, options.batches, options.size)
            print(f"{case:15} {result[case]}", flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
