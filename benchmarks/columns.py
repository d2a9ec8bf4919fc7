"""Measures what the columns of a post cost in each store, in bytes.

    python benchmarks/columns.py                       # 50,000 posts of the sandbox
    python benchmarks/columns.py --threads FILE …      # recorded threads of 4chan's API, repeated

`whole` is the table with its indexes, for one post. `column` is what the values of a column take, and `without` what
the table would take with the column empty. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

import psycopg2  # noqa: E402

from benchmarks.ingest import START, parsed  # noqa: E402
from benchmarks.tools import postgres  # noqa: E402
from chancrawl.imageboards import fourchan  # noqa: E402
from chancrawl.imageboards.diff import Observation, StoredThread, compare  # noqa: E402
from chancrawl.imageboards.pages import utc  # noqa: E402
from chancrawl.items import Post  # noqa: E402
from chancrawl.payload import digest, loads  # noqa: E402
from chancrawl.storage.base import parts  # noqa: E402
from chancrawl.storage.postgres.connection import PostgresStore  # noqa: E402
from chancrawl.storage.sqlite.store import SqliteStore  # noqa: E402
from tests.support import KINDS  # noqa: E402

COLUMNS = {"raw": "'{}'", "comment_html": "NULL", "comment_text": "NULL", "quotes": "'[]'"}
"""The columns that are measured, and their empty values."""


def recorded(files: Sequence[Path], number: int) -> list[Post]:
    """So many posts of recorded threads. Those of each repetition have other numbers."""
    posts: list[Post] = []
    for file in files:
        page = loads(file.read_bytes())
        thread = fourchan.parse_thread(page, "b", page["posts"][0]["no"])
        look = Observation(utc(int(START)), None, "body", is_own=True)
        posts += [item for item in compare(StoredThread(), thread, look).items if isinstance(item, Post)]
    numbers = count(10_000_000)
    found = []
    for post in islice(cycle(posts), number):
        raw = post.raw | {"no": next(numbers)}
        found.append(Post(**{name: getattr(post, name) for name in post.__dataclass_fields__}))
        found[-1].no, found[-1].raw, found[-1].digest = raw["no"], raw, digest(raw)
    return found


def in_postgres(url: str, posts: Sequence[Post]) -> dict[str, Any]:
    store = PostgresStore(url, KINDS)
    store.open()
    store.prepare()
    for batch in parts(posts, 2000):
        store.take_in(batch)
    store.close()
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()

    def number(sql: str) -> float:
        cursor.execute(sql)
        return round(float(cursor.fetchone()[0]) / len(posts), 1)

    cursor.execute("VACUUM FULL posts")
    result: dict[str, Any] = {"whole": number("SELECT pg_total_relation_size('posts')")}
    heap = number("SELECT pg_table_size('posts')")
    cursor.execute("SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = 'posts'::regclass")
    for (index,) in cursor.fetchall():
        result[index] = number(f"SELECT pg_relation_size('{index}')")
    for column, empty in COLUMNS.items():
        cursor.execute(f"CREATE TABLE smaller AS SELECT * FROM posts; UPDATE smaller SET {column} = {empty}")
        cursor.execute("VACUUM FULL smaller")
        saved = heap - number("SELECT pg_table_size('smaller')")
        result[column] = {
            "column": number(f"SELECT sum(pg_column_size({column})) FROM posts"),
            "without": round(result["whole"] - saved, 1),
        }
        cursor.execute("DROP TABLE smaller")
    connection.close()
    return result


def in_sqlite(folder: Path, posts: Sequence[Post]) -> dict[str, Any]:
    store = SqliteStore(folder, KINDS)
    store.open()
    store.prepare()
    for batch in parts(posts, 2000):
        store.take_in(batch)
    store.close()
    copy = folder / "copy.sqlite"
    with closing(sqlite3.connect(store.file, isolation_level=None)) as connection:

        def size(sql: str = "") -> float:
            copy.unlink(missing_ok=True)
            connection.execute("BEGIN")
            if sql:
                connection.execute(sql)
                connection.execute("COMMIT")
            else:
                connection.execute("ROLLBACK")
            connection.execute(f"VACUUM INTO '{copy}'")
            return round(copy.stat().st_size / len(posts), 1)

        lengths = {
            column: connection.execute(f"SELECT sum(length(CAST({column} AS BLOB))) FROM posts").fetchone()[0]
            for column in COLUMNS
        }
        result: dict[str, Any] = {"whole": size()}
        before = result["whole"]
        for column, empty in COLUMNS.items():
            after = size(f"UPDATE posts SET {column} = {empty}")
            result[column] = {
                "column": round((lengths[column] or 0) / len(posts), 1),
                "without": round(result["whole"] - (before - after), 1),
            }
            before = after
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--posts", type=int, default=50_000)
    parser.add_argument("--threads", type=Path, nargs="+", default=[], metavar="FILE")
    options = parser.parse_args()
    posts = recorded(options.threads, options.posts) if options.threads else parsed(options.posts)
    for post in posts:
        fourchan.describe(post)
    result: dict[str, Any] = {"posts": len(posts)}
    with tempfile.TemporaryDirectory() as name:
        with postgres(Path(name) / "pg") as server:
            result["postgres"] = in_postgres(server.new_database("columns"), posts)
        result["sqlite"] = in_sqlite(Path(name) / "data", posts)
    for store in ("postgres", "sqlite"):
        for what, bytes_ in result[store].items():
            print(f"{store:10} {what:24} {bytes_}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
