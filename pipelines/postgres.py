"""Writes to the database of DATABASE_URL."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple
from operator import attrgetter
from typing import Any, Self

from psycopg2.extras import Json, execute_values
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from chancrawl import staging
from chancrawl.items import (
    Account,
    Board,
    Deletion,
    Feed,
    Handle,
    Item,
    Poll,
    Post,
    Thread,
    Trend,
    Tweet,
    Validator,
    columns,
)
from chancrawl.payload import dumps
from pipelines.batching import UNLESS_LATER, BatchingPipeline, by_kind, latest, upsert

POST_COLUMNS = columns(Post)
UPSERT_POSTS = upsert("posts", POST_COLUMNS, ["board", "no"], "%s", "WHERE posts.digest <> excluded.digest").replace(
    # Another crawl may have stored a version of which this one does not know.
    "revision = excluded.revision",
    "revision = greatest(excluded.revision, posts.revision + 1)",
)

# The versions that new ones replace, kept before they are.
KEEP_REVISIONS = f"""
INSERT INTO post_revisions ({", ".join(POST_COLUMNS)}, replaced_at)
SELECT {", ".join(f"posts.{name}" for name in POST_COLUMNS)}, changed.replaced_at::timestamptz
FROM posts JOIN (VALUES %s) AS changed (board, no, digest, replaced_at) USING (board, no)
WHERE posts.digest <> changed.digest
FOR UPDATE OF posts
ON CONFLICT DO NOTHING
"""

MARK_DELETIONS = """
UPDATE posts
SET last_seen_at = coalesce(deletion.last_seen_at::timestamptz, posts.last_seen_at),
    deleted_at = deletion.deleted_at::timestamptz,
    deletion_confirmed_at = deletion.deletion_confirmed_at::timestamptz
FROM (VALUES %s) AS deletion (board, thread_no, no, last_seen_at, deleted_at, deletion_confirmed_at)
WHERE posts.board = deletion.board AND posts.no = deletion.no
"""

TWEET_COLUMNS = columns(Tweet)

# A post that is read again brings its counts, and fills what was not known before; what only an answer of those days
# told (a retweeted post that is gone by now) stays.
MERGE_TWEETS = f"""
INSERT INTO tweets AS held ({", ".join(TWEET_COLUMNS)})
SELECT {", ".join(TWEET_COLUMNS)} FROM staged_tweets ORDER BY id
ON CONFLICT (id) DO UPDATE SET {
    ", ".join(
        f"{name} = coalesce(excluded.{name}, held.{name})"
        for name in TWEET_COLUMNS
        if name not in ("id", "metrics", "first_metrics", "found_in", "first_seen_at")
    )
}, metrics = held.metrics || excluded.metrics, first_seen_at = coalesce(held.first_seen_at, excluded.last_seen_at)
WHERE held.metrics IS DISTINCT FROM held.metrics || excluded.metrics OR held.first_seen_at IS NULL
"""


class PostgresPipeline(BatchingPipeline):
    """One transaction a batch: posts, deletions and state together."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not crawler.settings.get("DATABASE_URL"):
            raise NotConfigured
        return super().from_crawler(crawler)

    def write(self, batch: Sequence[Item]) -> None:
        with self.ledger.store.connection as connection, connection.cursor() as cursor:
            for kind, items in by_kind(batch).items():
                WRITERS[kind](cursor, items)


def write_posts(cursor: Any, posts: list[Post]) -> None:
    # One post can be in a batch in two versions: each round writes one of each post.
    while posts:
        first = {(post.board, post.no): post for post in reversed(posts)}
        round_ = list(first.values())[::-1]
        chosen = {id(post) for post in round_}
        posts = [post for post in posts if id(post) not in chosen]
        versions = [(post.board, post.no, post.digest, post.last_seen_at) for post in round_]
        execute_values(cursor, KEEP_REVISIONS, versions, page_size=500)
        execute_values(cursor, UPSERT_POSTS, [_row(post) for post in round_], page_size=500)


def write_deletions(cursor: Any, deletions: list[Deletion]) -> None:
    rows = [astuple(deletion) for deletion in latest(deletions, "board", "no")]
    execute_values(cursor, MARK_DELETIONS, rows, page_size=500)


def write_state(cursor: Any, items: list[Any], table: str, key: list[str], unless: str = "") -> None:
    names = columns(type(items[0]))
    rows = [tuple(_value(getattr(item, name)) for name in names) for item in latest(items, *key)]
    rows.sort(key=lambda row: tuple(map(str, row[: len(key)])))  # two crawls lock rows in the same order
    execute_values(cursor, upsert(table, names, key, "%s", unless), rows, page_size=500)


def write_tweets(cursor: Any, tweets: list[Tweet]) -> None:
    staging.stage(cursor, "tweets", latest(tweets, "id"))
    cursor.execute(MERGE_TWEETS)


WRITERS: dict[type[Item], Callable[[Any, list[Any]], None]] = {
    Post: write_posts,
    Deletion: write_deletions,
    Board: lambda cursor, items: write_state(cursor, items, "boards", ["board"]),
    Thread: lambda cursor, items: write_state(cursor, items, "threads", ["board", "no"]),
    Validator: lambda cursor, items: write_state(cursor, items, "validators", ["path"]),
    Poll: lambda cursor, items: write_state(cursor, items, "board_polls", ["board", "polled_at"]),
    Tweet: write_tweets,
    Trend: lambda cursor, items: write_state(cursor, items, "trends", ["woeid", "seen_at", "rank"]),
    Account: lambda cursor, items: write_state(cursor, items, "accounts", ["id"]),
    Handle: lambda cursor, items: write_state(cursor, items, "handles", ["handle"]),
    Feed: lambda cursor, items: write_state(
        cursor, sorted(items, key=attrgetter("pages")), "feeds", ["feed"], UNLESS_LATER
    ),
}


def _row(post: Post) -> tuple[Any, ...]:
    return tuple(
        Json(post.quotes, dumps=json.dumps) if name == "quotes" else _value(getattr(post, name))
        for name in POST_COLUMNS
    )


def _value(value: Any) -> Any:
    return dumps(value) if isinstance(value, dict) else value
