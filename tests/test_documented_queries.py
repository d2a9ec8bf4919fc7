"""The queries and recipes of docs/data.md, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from chancrawl.items import Post, columns
from tests.support import ROOT
from tests.support.crawls import Crawler
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.stores import posts_of
from tests.support.x import XCrawler

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_queries_mean_utc_whatever_the_zone_of_the_reader(
    sandbox: Sandbox, database: Database, tmp_path: Path, zone: str
) -> None:
    """R12."""
    crawler = Crawler(tmp_path / "data", sandbox.url, database.url)
    crawler("-aboard=po").ok()
    posts = [post for (board, _), post in posts_of(database).items() if board == "po"]
    days = Counter(f"{post['posted_at'].astimezone(UTC):%Y-%m-%d}" for post in posts)
    day, next_day = sorted(days)[-2:]
    connection = psycopg2.connect(database.url, options=f"-c TimeZone={zone}")
    with connection, connection.cursor() as cursor:
        answers: list[list[Any]] = []
        for block in blocks("sql"):
            for query in filter(None, map(str.strip, block.split(";"))):
                cursor.execute(query.replace("2026-11-20", day).replace("2026-11-21", next_day))
                answers.append(cursor.fetchall())
        assert answers[1] == [(days[day],)]
        assert {f"{at}": number for at, number in answers[2]} == days
    connection.close()


def test_what_was_deleted_is_found_by_an_index(sandbox: Sandbox, database: Database, tmp_path: Path) -> None:
    """R13."""
    Crawler(tmp_path / "data", sandbox.url, database.url)("-aboard=wsr", "-asample=3").ok()
    names = ", ".join(c for c in columns(Post) if c not in ("no", "deleted_at"))
    database.rows(
        f"INSERT INTO posts (no, deleted_at, {names}) SELECT 10000000 + n, CASE WHEN n % 25 = 0 THEN "
        f"'2026-11-01Z'::timestamptz + n * interval '2 minutes' END, {names} FROM posts, generate_series(1, 30000) n "
        "WHERE no = (SELECT min(no) FROM posts); UPDATE posts SET board = 'po' WHERE no > 10000000; ANALYZE posts"
    )
    query = next(part for part in blocks("sql")[0].split(";") if "lived" in part)
    assert len(database.rows(query)) > 20
    plan = database.rows(f"EXPLAIN {query}")
    assert any("posts_deleted" in row[0] for row in plan), plan


def test_the_recipes_for_pandas(tmp_path: Path) -> None:
    """R14: numbers of 19 digits stay what they are, also in columns with empty fields."""
    sandbox = Sandbox("--speed", "0")
    try:
        Crawler(tmp_path / "data", sandbox.url)("-aboard=po", "-aarchive=0").ok()
        crawler = XCrawler(tmp_path / "data", sandbox.url)
        file = next(iter((tmp_path / "data" / "chan" / "po").glob("posts-*.csv")))
        crawler.timeline("CraneRed").ok()
        code = "\n".join(blocks("python")).replace("data/chan/po/posts-2026-11-21.csv", str(file))
        code += "assert len(posts) and len(tweets)\n"
        code += "print(' '.join(sorted(tweets['id'].astype(str))))\n"
        code += "print(' '.join(tweets['retweeted_status_id'].dropna().astype(str)))\n"
        env = os.environ | {"PYTHONUTF8": "1"}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        rows = crawler.articles()
        ids, retweeted = done.stdout.splitlines()
        assert ids.split() == sorted(row["id"] for row in rows)
        wanted = Counter(row["retweeted_status_id"] for row in rows if row["retweeted_status_id"])
        assert wanted and Counter(retweeted.split()) == wanted
    finally:
        sandbox.stop()
