"""Measures `scrapy export`: posts a second, and memory.

    python benchmarks/export.py                        # 300,000 posts from each store, in each format
    python benchmarks/export.py --posts 5000000 --store sqlite

The posts are those of the sandbox, repeated on five boards with other numbers, times and texts, whose words are as
frequent as in a language. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, count, islice
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from benchmarks.ingest import parsed  # noqa: E402
from benchmarks.tools import postgres  # noqa: E402
from chancrawl.imageboards import fourchan  # noqa: E402
from chancrawl.items import Post  # noqa: E402
from chancrawl.storage.base import Store, parts  # noqa: E402
from chancrawl.storage.postgres.connection import PostgresStore  # noqa: E402
from chancrawl.storage.sqlite.store import SqliteStore  # noqa: E402
from tests.support import KINDS  # noqa: E402

FORMATS = ("parquet", "jsonl", "csv")


BOARDS = ("g", "po", "pol", "sci", "wsr")
WORDS = [f"w{rank:x}" for rank in range(1, 200_001)]
"""The words, the most frequent one first."""
FREQUENCIES = list(accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))
"""Their sums, by Zipf's law."""
START = datetime(2026, 1, 1, tzinfo=UTC)


def posts() -> Iterator[Post]:
    """Posts without end, one a second, of 1 to 40 words."""
    models = parsed(20_000)
    for post in models:
        fourchan.describe(post)
    random = Random(1)
    numbers = count(10_000_000)
    while True:
        for post in models:
            text = " ".join(random.choices(WORDS, cum_weights=FREQUENCIES, k=random.randint(1, 40)))
            no = next(numbers)
            time = START + timedelta(seconds=no - 10_000_000)
            yield replace(post, board=random.choice(BOARDS), no=no, posted_at=time, comment_text=text,
                          comment_html=text, raw=post.raw | {"no": no, "com": text})  # fmt: skip


def fill(store: Store, number: int) -> None:
    """Open a store and put posts into it."""
    store.open()
    store.prepare()
    for batch in parts(islice(posts(), number), 2_000):
        store.take_in(batch)
    store.close()


def export(path: Path, settings: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "scrapy", "export", "posts", "-o", str(path)]
    for name, value in settings.items():
        command += ["-s", f"{name}={value}"]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ | {
        "SCRAPY_SETTINGS_MODULE": "chancrawl.settings"})  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return {"seconds": time.monotonic() - began, "megabytes": usage.ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--posts", type=int, default=300_000)
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    options = parser.parse_args()
    result: dict[str, Any] = {"posts": options.posts}
    with tempfile.TemporaryDirectory() as name, postgres(Path(name) / "pg") as server:
        folder = Path(name) / "data"
        stores: dict[str, tuple[Store, dict[str, str]]] = {
            "sqlite": (SqliteStore(folder, KINDS), {"CSV_FOLDER": str(folder)})
        }
        if options.store != "sqlite":
            url = server.new_database("export")
            stores["postgres"] = PostgresStore(url, KINDS), {"DATABASE_URL": url}
        for kind, (store, settings) in stores.items():
            if options.store not in (kind, "both"):
                continue
            fill(store, options.posts)
            for ending in FORMATS:
                found = export(Path(name) / f"{kind}.{ending}", settings)
                rate = round(options.posts / found["seconds"])
                size = (Path(name) / f"{kind}.{ending}").stat().st_size
                result[f"{kind} {ending}"] = {
                    "posts_per_second": rate, "peak_megabytes": round(found["megabytes"]),
                    "bytes_per_post": round(size / options.posts),
                }  # fmt: skip
                print(f"{kind} {ending:8} {result[f'{kind} {ending}']}", flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
