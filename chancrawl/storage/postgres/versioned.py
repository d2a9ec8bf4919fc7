"""The tables whose rows need more than an upsert: versions of posts, marks of deletions, posts of X.

In the statements, `new` is the staged row and `held` is the stored row of the table.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from chancrawl.items import Deletion, Post, Tweet, columns
from chancrawl.storage.kinds import Kind
from chancrawl.storage.postgres.copy import Rows, stage
from chancrawl.storage.postgres.tables import Table
from chancrawl.storage.versions import LATER, MERGED, feeds_together, versions_apart

# --- 4chan


class Posts(Table):
    """Posts have versions. Versions that are replaced, or arrive after a later one, are written to post_revisions."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.later, self.merged, self.compared = LATER, MERGED, ["digest"]

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        return list(versions_apart(items))

    def write(self, cursor: Any, rows: Rows) -> None:
        stage(cursor, self.kind.table, self.kind.columns, rows)
        cursor.execute(ADD_POSTS)
        if cursor.rowcount == len(rows.lines):
            return  # all are new
        self.check(cursor)
        cursor.execute(COUNT_VERSIONS)
        later, late, earlier = cursor.fetchone()
        if later:
            cursor.execute(KEEP_REPLACED)
            cursor.execute(self.merge)
        if late:
            cursor.execute(KEEP_LATE)
        if earlier:
            cursor.execute(SEEN_EARLIER)


BESIDE = Table(Kind(Post, "posts", ("board", "no"))).held_beside_new("")
POST_COLUMNS = ", ".join(columns(Post))
REPLACED = ", ".join(f"held.{name}" for name in columns(Post))
LATE = ", ".join("held.revision" if name == "revision" else f"new.{name}" for name in columns(Post))

ADD_POSTS = f"""
INSERT INTO posts ({POST_COLUMNS}) SELECT {POST_COLUMNS} FROM staged_posts ORDER BY board, no
ON CONFLICT (board, no) DO NOTHING
"""
COUNT_VERSIONS = f"""
SELECT count(*) FILTER (WHERE new.digest <> held.digest AND {LATER}),
    count(*) FILTER (WHERE new.digest <> held.digest AND NOT ({LATER})),
    count(*) FILTER (WHERE new.first_seen_at < held.first_seen_at)
{BESIDE}
"""
SEEN_EARLIER = """
UPDATE posts SET first_seen_at = new.first_seen_at FROM staged_posts AS new
WHERE posts.board = new.board AND posts.no = new.no AND new.first_seen_at < posts.first_seen_at
"""
# Copies the versions that are about to be replaced.
KEEP_REPLACED = f"""
INSERT INTO post_revisions ({POST_COLUMNS}, replaced_at)
SELECT {REPLACED}, new.last_seen_at {BESIDE}
WHERE new.digest <> held.digest AND {LATER}
ON CONFLICT DO NOTHING
"""
# Inserts versions that are older than the version which another crawl has stored already.
KEEP_LATE = f"""
WITH late AS (
    INSERT INTO post_revisions ({POST_COLUMNS}, replaced_at)
    SELECT {LATE}, held.last_seen_at {BESIDE}
    WHERE new.digest <> held.digest AND NOT ({LATER}) AND NOT EXISTS (
        SELECT FROM post_revisions AS kept
        WHERE kept.board = new.board AND kept.no = new.no AND kept.digest = new.digest
    )
    ON CONFLICT DO NOTHING
    RETURNING board, no
)
UPDATE posts SET revision = posts.revision + 1 FROM late WHERE posts.board = late.board AND posts.no = late.no
"""


class Deletions(Table):
    """Deletions are marks on the rows of posts."""

    def write(self, cursor: Any, rows: Rows) -> None:
        stage(cursor, self.kind.table, self.kind.columns, rows, like=DELETION_COLUMNS)
        cursor.execute(MARK_DELETIONS)


# If two crawls miss a post, the earlier time counts. A sighting that is older than the stored deletion changes nothing,
# and a deletion that is older than the stored sighting does not either; but its confirmation does, if that is later.
# A post that is missing from a thread because it was moved to another thread is not deleted.
MARK_DELETIONS = """
UPDATE posts AS held SET last_seen_at = now.last_seen_at, deleted_at = now.deleted_at,
    deletion_confirmed_at = now.deletion_confirmed_at
FROM (
    SELECT it.board, it.no,
        greatest(it.last_seen_at, new.last_seen_at) AS last_seen_at,
        CASE WHEN new.deleted_at IS NOT NULL THEN least(it.deleted_at, new.missed_at)
             WHEN it.deletion_confirmed_at > new.last_seen_at THEN it.deletion_confirmed_at END AS deleted_at,
        CASE WHEN new.deleted_at IS NOT NULL THEN least(it.deletion_confirmed_at, new.deletion_confirmed_at)
             WHEN it.deletion_confirmed_at > new.last_seen_at THEN it.deletion_confirmed_at END
            AS deletion_confirmed_at
    FROM staged_deletions AS staged
    JOIN LATERAL (
        SELECT * FROM posts WHERE posts.board = staged.board AND posts.no = staged.no LIMIT 1
    ) AS it ON it.thread_no = staged.thread_no
    CROSS JOIN LATERAL (
        SELECT staged.*,
            CASE WHEN staged.deleted_at < it.last_seen_at THEN staged.deletion_confirmed_at ELSE staged.deleted_at END
                AS missed_at
    ) AS new
    WHERE CASE WHEN new.deleted_at IS NULL THEN it.deleted_at IS NULL OR new.last_seen_at >= it.deleted_at
               ELSE new.missed_at >= it.last_seen_at END
) AS now
WHERE held.board = now.board AND held.no = now.no
  AND (held.last_seen_at, held.deleted_at, held.deletion_confirmed_at)
      IS DISTINCT FROM (now.last_seen_at, now.deleted_at, now.deletion_confirmed_at)
"""
DELETION_COLUMNS = (
    "board text, thread_no bigint, no bigint, last_seen_at timestamptz, deleted_at timestamptz, "
    "deletion_confirmed_at timestamptz"
)


# --- X


# If a post is read again, its columns get the new values, except NULLs: a later answer can lack what an earlier one had
# (for example a retweeted post that is gone by now).
class Tweets(Table):
    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.later = "coalesce(new.last_seen_at >= held.last_seen_at, true)"
        self.merged, self.compared = TWEET_MERGED, ["metrics", "first_seen_at", "found_in"]

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        return [feeds_together(items)]


FEEDS_TOGETHER = (
    "CASE WHEN new.found_in <@ held.found_in THEN held.found_in ELSE coalesce(held.found_in, '{}') || "
    "ARRAY(SELECT feed FROM unnest(new.found_in) AS feed WHERE feed <> ALL (coalesce(held.found_in, '{}'))) END"
)
TWEET_MERGED = {
    **{name: f"coalesce(new.{name}, held.{name})" for name in columns(Tweet) if name != "id"},
    "metrics": "coalesce(held.metrics || new.metrics, new.metrics)",
    "first_metrics": "coalesce(held.first_metrics, new.first_metrics)",
    "found_in": FEEDS_TOGETHER,
    "first_seen_at": "coalesce(held.first_seen_at, new.first_seen_at, new.last_seen_at)",
}


OWN: dict[type[Any], type[Table]] = {Post: Posts, Deletion: Deletions, Tweet: Tweets}


@functools.cache
def table_of(kind: Kind) -> Table:
    """The object that merges the rows of a kind."""
    return OWN.get(kind.item, Table)(kind)
