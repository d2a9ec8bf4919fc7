"""Measures `scrapy find`: the index of words, and how long a search for the newest 100 posts takes with it.

    python benchmarks/find.py                        # 300,000 posts in each store
    python benchmarks/find.py --posts 5000000 --store sqlite

Eleven kinds of searches, 40 of each: words that are frequent, less frequent, rare and missing; two words; phrases that
are there and that are not; a beginning of a word; a frequent word on one board, and before a time. Also the time of
writing 20,000 posts with and without the index. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from benchmarks.export import START, WORDS, fill, posts  # noqa: E402
from benchmarks.tools import postgres  # noqa: E402
from chancrawl.find.search import Search, index_of  # noqa: E402
from chancrawl.find.terms import terms_of  # noqa: E402
from chancrawl.storage.base import Store, parts  # noqa: E402
from chancrawl.storage.postgres.connection import PostgresStore  # noqa: E402
from chancrawl.storage.sqlite.store import SqliteStore  # noqa: E402
from tests.support import KINDS  # noqa: E402

NEWEST = 100
EACH = 40


def searches(store: Store, number: int) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """The kind of a search, its words, and where it searches."""
    random = Random(3)
    frequent, less, rare = WORDS[:100], WORDS[100:5_000], WORDS[50_000:]
    texts = [text for (text,) in store.rows(f"SELECT comment_text FROM posts WHERE no > {10_000_000 + number - 500}")]
    for _ in range(EACH):
        yield "frequent", random.sample(frequent, 1), {}
        yield "less frequent", random.sample(less, 1), {}
        yield "rare", random.sample(rare, 1), {}
        yield "missing", [f"missing{random.random():.9f}"[:12]], {}
        yield "two frequent", random.sample(frequent, 2), {}
        yield "frequent and rare", [random.choice(frequent), random.choice(rare)], {}
        words = random.choice([text for text in texts if len(text.split()) > 2]).split()
        yield "phrase", [" ".join(words[1:3])], {}
        yield "phrase that is missing", [" ".join(random.sample(less, 2))], {}
        yield "beginning", [f"{random.choice(less)[:4]}*"], {}
        yield "frequent, one board", random.sample(frequent, 1), {"boards": ["sci"], "accounts": []}
        until = START + timedelta(seconds=random.randrange(number))
        yield "frequent, before a time", random.sample(frequent, 1), {"until": until}


def measure(store: Store, number: int) -> dict[str, Any]:
    _, before = (seconds_of_writing(store, number + start) for start in (0, 20_000))  # the first one warms up
    began = time.monotonic()
    index = index_of(store)
    index.build(lambda table, rows: None)
    result: dict[str, Any] = {"building_seconds": round(time.monotonic() - began, 1), "megabytes": index.size() / 1e6}
    (text,) = store.rows("SELECT sum(length(comment_text)) FROM posts")[0]
    result["of_the_text"] = round(index.size() / int(text), 2)
    times: dict[str, list[float]] = {}
    for kind, words, where in searches(store, number):
        began = time.monotonic()
        list(islice(Search(terms_of(words), **where).hits(store), NEWEST))
        times.setdefault(kind, []).append((time.monotonic() - began) * 1000)
    times["all"] = [each for some in times.values() for each in some]
    for kind, some in times.items():
        ordered = sorted(some)
        result[f"{kind}: median, 95 %, longest in ms"] = [
            round(ordered[int(len(ordered) * part)], 1) for part in (0.5, 0.95)] + [round(ordered[-1], 1)]  # fmt: skip
    result["writing_with_index"] = round(seconds_of_writing(store, number + 40_000) / before, 2)
    return result


def seconds_of_writing(store: Store, start: int) -> float:
    """The time in which 20,000 more posts are written, in batches of 500."""
    more = list(islice(posts(), 20_000))
    for post in more:
        post.no += start
        post.posted_at += timedelta(seconds=start)
    began = time.monotonic()
    for batch in parts(more, 500):
        store.take_in(batch)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--posts", type=int, default=300_000)
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    options = parser.parse_args()
    result: dict[str, Any] = {"posts": options.posts}
    with tempfile.TemporaryDirectory() as name, postgres(Path(name) / "pg") as server:
        stores: dict[str, Store] = {"sqlite": SqliteStore(Path(name) / "data", KINDS)}
        if options.store != "sqlite":
            stores["postgres"] = PostgresStore(server.new_database("find"), KINDS)
        for kind, store in stores.items():
            if options.store in (kind, "both"):
                fill(store, options.posts)
                store.open()
                result[kind] = measure(store, options.posts)
                store.close()
                print(json.dumps({kind: result[kind]}, indent=1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
