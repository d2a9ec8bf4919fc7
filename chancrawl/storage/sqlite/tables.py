"""Writes the rows of each kind into the tables of the embedded database.

The rules are those of storage/postgres: only a later row replaces a stored one, and an unchanged row is not updated. In
the conditions that kinds declare, `new` is the row to write and `held` is the stored one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from chancrawl.items import Deletion, Post, Tweet, columns
from chancrawl.storage.kinds import Kind
from chancrawl.storage.sqlite.hours import COUNT_NEW, LAST
from chancrawl.storage.sqlite.values import rows_of, time_text
from chancrawl.storage.versions import LATER, MERGED, feeds_together, states_apart, versions_apart

Rows = list[tuple[Any, ...]]

TOGETHER = (256, 32, 4, 1)
"""Numbers of rows that one statement writes. SQLite takes 32,766 parameters (https://sqlite.org/limits.html)."""


def in_sqlite(sql: str, table: str, new: str = "excluded") -> str:
    """A condition of a kind in SQLite's dialect. There, max and min of a null are null.

    >>> in_sqlite("greatest(new.a, held.a) >= new.b", "posts")
    'coalesce(max(excluded.a, posts.a), excluded.a, posts.a) >= excluded.b'
    """
    for word, name in (("greatest", "max"), ("least", "min")):
        sql = re.sub(rf"\b{word}\(([^(),]+), ([^(),]+)\)", rf"coalesce({name}(\1, \2), \1, \2)", sql)
    return re.sub(r"\bheld\.", f"{table}.", re.sub(r"\bnew\.", f"{new}.", sql))


def insert_many(cursor: Any, into: str, rows: Rows, then: str = "") -> int:
    """Insert rows by statements with many rows each. Returns the number of rows that were inserted or updated.

    `executemany` would release and take back Python's lock for each row. Beside a busy reactor, that costs more than
    the writing itself.
    """
    start = written = 0
    for number in TOGETHER:
        if len(rows) - start < number:
            continue
        marks = f"({', '.join('?' * len(rows[0]))})"
        sql = f"INSERT INTO {into} VALUES {', '.join([marks] * number)} {then}"
        while len(rows) - start >= number:
            written += cursor.execute(sql, tuple(chain.from_iterable(rows[start : start + number]))).rowcount
            start += number
    return written


class Table:
    """Writes the rows of a kind by one upsert. Posts, deletions and posts of X have subclasses."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        names = kind.columns
        rest = [name for name in names if name not in kind.key]
        compared = rest if kind.compared is None else kind.compared
        values = {name: in_sqlite(kind.merged.get(name, f"new.{name}"), kind.table) for name in rest}
        changed = " OR ".join(f"{values[name]} IS NOT {kind.table}.{name}" for name in compared)
        self.into = f"{kind.table} ({', '.join(names)})"
        update = f"UPDATE SET {', '.join(f'{name} = {value}' for name, value in values.items())}"
        later = f"WHERE ({in_sqlite(kind.later, kind.table)}) AND ({changed or 'true'})"
        action = f"{update} {later}" if rest else "NOTHING"
        self.on_conflict = f"ON CONFLICT ({', '.join(kind.key)}) DO {action}"

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        """The items to write, in rounds. The items of a round have different keys."""
        return states_apart(items, self.kind)

    def converted(self, items: Sequence[Any]) -> Rows:
        return rows_of(items)

    def write(self, cursor: Any, rows: Rows) -> None:
        insert_many(cursor, self.into, rows, self.on_conflict)


# --- imageboards

NAMES = columns(Post)
MERGED_POST = {name: in_sqlite(sql, "held", "new") for name, sql in MERGED.items()}
BESIDE = "FROM temp.staged_posts AS new CROSS JOIN posts AS held ON held.board = new.board AND held.no = new.no"
POST_COLUMNS = ", ".join(NAMES)

# The statements are in the order in which they are executed; each sees the changes of those before it.
KEEP_REPLACED = f"""
INSERT INTO post_revisions ({POST_COLUMNS}, replaced_at)
SELECT {", ".join(f"held.{name}" for name in NAMES)}, new.last_seen_at {BESIDE}
WHERE new.digest <> held.digest AND {LATER}
ON CONFLICT DO NOTHING
"""
REPLACE = f"""
UPDATE posts AS held SET {", ".join(f"{name} = {MERGED_POST.get(name, f'new.{name}')}" for name in NAMES[2:])}
FROM temp.staged_posts AS new
WHERE held.board = new.board AND held.no = new.no AND new.digest <> held.digest AND {LATER}
"""
KEEP_LATE = f"""
INSERT INTO post_revisions ({POST_COLUMNS}, replaced_at)
SELECT {", ".join("held.revision" if name == "revision" else f"new.{name}" for name in NAMES)}, held.last_seen_at
{BESIDE}
WHERE new.digest <> held.digest AND NOT {LATER} AND NOT EXISTS (
    SELECT 1 FROM post_revisions AS kept WHERE kept.board = new.board AND kept.no = new.no AND kept.digest = new.digest)
ON CONFLICT DO NOTHING
RETURNING board, no
"""
ONE_MORE = "UPDATE posts SET revision = revision + 1 WHERE board = ? AND no = ?"
SEEN_EARLIER = """
UPDATE posts AS held SET first_seen_at = new.first_seen_at FROM temp.staged_posts AS new
WHERE held.board = new.board AND held.no = new.no AND new.first_seen_at < held.first_seen_at
"""


class Posts(Table):
    """Posts have versions. Versions that are replaced, or arrive after a later one, are written to post_revisions."""

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        return list(versions_apart(items))

    def write(self, cursor: Any, rows: Rows) -> None:
        ((last,),) = cursor.execute(LAST)
        new = insert_many(cursor, self.into, rows, "ON CONFLICT (board, no) DO NOTHING")
        if new:
            cursor.execute(COUNT_NEW, (last,))
        if new == len(rows):
            return  # all are new
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staged_posts ({POST_COLUMNS}, PRIMARY KEY (board, no))")
        cursor.execute("DELETE FROM temp.staged_posts")
        insert_many(cursor, "temp.staged_posts", rows)
        late = cursor.execute(KEEP_LATE).fetchall()
        cursor.execute(KEEP_REPLACED)
        cursor.execute(REPLACE)
        cursor.executemany(ONE_MORE, late)
        cursor.execute(SEEN_EARLIER)


# Two crawls can miss a post: the earlier time counts. A sighting that is older than the stored deletion changes
# nothing, and a deletion that is older than the stored sighting neither; but its confirmation does, if that is later.
# A post that is missing from a thread because it was moved to another thread is not deleted.
MISSED = "CASE WHEN :deleted < last_seen_at THEN :confirmed ELSE :deleted END"
CONFIRMED_LATER = "CASE WHEN deletion_confirmed_at > :seen THEN deletion_confirmed_at END"
SEEN_LAST = "coalesce(max(last_seen_at, :seen), last_seen_at)"
DELETED = (
    f"CASE WHEN :deleted IS NOT NULL THEN coalesce(min(deleted_at, {MISSED}), deleted_at, {MISSED}) "
    f"ELSE {CONFIRMED_LATER} END"
)
CONFIRMED = (
    "CASE WHEN :deleted IS NOT NULL THEN "
    "coalesce(min(deletion_confirmed_at, :confirmed), deletion_confirmed_at, :confirmed) "
    f"ELSE {CONFIRMED_LATER} END"
)
MARK_DELETION = f"""
UPDATE posts SET last_seen_at = {SEEN_LAST}, deleted_at = {DELETED}, deletion_confirmed_at = {CONFIRMED}
WHERE board = :board AND no = :no AND thread_no = :thread
  AND CASE WHEN :deleted IS NULL THEN deleted_at IS NULL OR :seen >= deleted_at ELSE {MISSED} >= last_seen_at END
  AND (last_seen_at, deleted_at, deletion_confirmed_at) IS NOT ({SEEN_LAST}, {DELETED}, {CONFIRMED})
"""


class Deletions(Table):
    """Deletions are marks on the rows of posts."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def converted(self, items: Sequence[Any]) -> Any:
        return [
            {
                "board": item.board, "thread": item.thread_no, "no": item.no, "seen": _time(item.last_seen_at),
                "deleted": _time(item.deleted_at), "confirmed": _time(item.deletion_confirmed_at),
            }
            for item in items
        ]  # fmt: skip

    def write(self, cursor: Any, rows: Any) -> None:
        cursor.executemany(MARK_DELETION, rows)


def _time(time: Any) -> str | None:
    return None if time is None else time_text(time)


# --- X

HELD_FEEDS = "json_each(coalesce(tweets.found_in, '[]'))"
NEW_FEEDS = f"FROM json_each(excluded.found_in) WHERE value NOT IN (SELECT value FROM {HELD_FEEDS})"
TWEET_MERGED = {
    **{name: f"coalesce(excluded.{name}, tweets.{name})" for name in columns(Tweet) if name != "id"},
    "metrics": "json_patch(tweets.metrics, excluded.metrics)",
    "first_metrics": "tweets.first_metrics",
    "found_in": f"CASE WHEN EXISTS (SELECT 1 {NEW_FEEDS}) THEN (SELECT json_group_array(value) FROM ("
    f"SELECT value FROM {HELD_FEEDS} UNION ALL SELECT value {NEW_FEEDS})) ELSE tweets.found_in END",
    "first_seen_at": "coalesce(tweets.first_seen_at, excluded.first_seen_at, excluded.last_seen_at)",
}
TWEET_COMPARED = ("metrics", "first_seen_at", "found_in")
MERGE_TWEET = f"""
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = {value}" for name, value in TWEET_MERGED.items())}
WHERE coalesce(excluded.last_seen_at >= tweets.last_seen_at, true)
  AND ({" OR ".join(f"({TWEET_MERGED[name]}) IS NOT tweets.{name}" for name in TWEET_COMPARED)})
"""


class Tweets(Table):
    """If a post of X is read again, its columns get the new values, except nulls: a later answer can lack what an
    earlier one had."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.on_conflict = MERGE_TWEET

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        return [feeds_together(items)]

    def converted(self, items: Sequence[Any]) -> Rows:
        return rows_of(
            [item if item.first_seen_at else replace(item, first_seen_at=item.last_seen_at) for item in items]
        )


OWN: dict[type[Any], type[Table]] = {Post: Posts, Deletion: Deletions, Tweet: Tweets}


@functools.cache
def table_of(kind: Kind) -> Table:
    """The object that writes the rows of a kind."""
    return OWN.get(kind.item, Table)(kind)
