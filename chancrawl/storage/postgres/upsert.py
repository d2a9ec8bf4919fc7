"""Batches into PostgreSQL: each kind of item by COPY into a staging table, from there by one INSERT … ON CONFLICT.

Crawls write into one database one after the other, under a lock that they share: none waits for another one's rows,
and a statement can look at what is held, decide, and replace it. What several crawls know of one post or thread need
not agree. So a row is replaced only by a later one, a post keeps the earliest time at which it was seen, and a row that
says nothing new is not touched.

In the statements `new` is the staged row, `held` the one that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

import psycopg2
from psycopg2.errors import QueryCanceled

from chancrawl.items import (
    Account,
    Board,
    Deletion,
    Feed,
    Gap,
    Handle,
    Item,
    Poll,
    Post,
    Thread,
    Trend,
    Tweet,
    Validator,
    by_kind,
    columns,
    latest,
)
from chancrawl.storage.held_back import HeldBack
from chancrawl.storage.postgres.copy import Rows, rows_of, stage
from chancrawl.storage.postgres.migrations import SETTINGS

BEGIN = f"""
{SETTINGS}
SET LOCAL statement_timeout = '5min';
SELECT pg_advisory_xact_lock(hashtext('chancrawl write'))
"""
MARK = """
INSERT INTO spools (spool, applied, applied_at) VALUES (%s, %s, now())
ON CONFLICT (spool) DO UPDATE SET applied = excluded.applied, applied_at = excluded.applied_at
WHERE spools.applied < excluded.applied
"""

SetAside = Callable[[Item, str], object]
Prepared = list[tuple["Table", Rows]]

MANY = 10
"""So many rows in a row that are rejected for one reason are the store's fault, and so is a batch of which all are."""
FEW = 5
"""A batch of fewer rows tells nothing of that kind."""


class RejectsAll(Exception):
    """The database rejects every row, for one reason, which is the text. Nothing of the batch was written."""


class NotArrived(ValueError):
    """A statement was carried out, and its row is not there: a trigger has dropped it."""


def prepare(batch: Sequence[Item]) -> Prepared:
    """A batch as COPY takes it: tables and their rows, in the order in which they are written. Blocks for a while."""
    prepared: Prepared = []
    for kind, items in by_kind(batch).items():
        table = TABLES[kind]
        prepared += [(table, rows_of(round_)) for round_ in table.rounds(items)]
    return prepared


class Streaks:
    """How many rows of each kind were rejected in a row for one reason, across batches.

    Rows that were rejected by an earlier crawl do not count (`is_known`): other rows were stored then.
    """

    def __init__(self, is_known: Callable[[Item], bool] = lambda item: False) -> None:
        self.is_known = is_known
        self._reasons: dict[type[Item], tuple[str, int]] = {}

    def rejected(self, item: Item, error: Exception) -> int:
        if self.is_known(item):
            return 0
        reason, number = reason_of(error), 1
        before = self._reasons.get(type(item))
        if before is not None and before[0] == reason:
            number += before[1]
        self._reasons[type(item)] = reason, number
        return number

    def stored(self, items: Sequence[Item]) -> None:
        for kind in {type(item) for item in items}:
            self._reasons.pop(kind, None)


def reason_of(error: Exception) -> str:
    """What rejections have in common: the code, and the column or constraint."""
    if isinstance(error, psycopg2.Error):
        return f"{error.pgcode} {error.diag.column_name} {error.diag.constraint_name}"
    return type(error).__name__


def write(
    connection: Any,
    batch: Sequence[Item],
    set_aside: SetAside,
    mark: tuple[str, int] | None = None,
    prepared: Prepared | None = None,
    held_back: HeldBack | None = None,
    streaks: Streaks | None = None,
) -> list[Item]:
    """Commit a batch: all of it but the rows that the database rejects, which `set_aside` is given with the reason.

    State that speaks of rejected rows is left out, too: `held_back` knows of rows of earlier batches, and learns of
    these. `mark` is a spool's name and the number of its batch, noted in the same transaction: what has been noted is
    not written again. `prepared` is what `prepare` made of the batch, if it was called already. Returns the rejected
    rows. RejectsAll if one reason rejects them all, psycopg2.Error if nothing was written; or if the answer to the
    commit was lost, and nobody knows. The same batch a second time changes nothing.
    """
    held_back = HeldBack() if held_back is None else held_back
    streaks = Streaks() if streaks is None else streaks
    with connection, connection.cursor() as cursor:
        cursor.execute(BEGIN)
        if mark is not None:
            cursor.execute(MARK, mark)
            if not cursor.rowcount:
                return []
        if not held_back and _fits(cursor, batch, prepared):
            rejected: list[tuple[Item, str]] = []
            stored = batch
        else:
            stored, rejected = _piecewise(cursor, batch, held_back, streaks)
        for item, reason in rejected:
            set_aside(item, reason)
    streaks.stored(stored)
    held_back.arrived(stored)
    return [item for item, _ in rejected]


def _fits(cursor: Any, batch: Sequence[Item], prepared: Prepared | None) -> bool:
    """Merge a batch as a whole; False, and nothing is changed, if something in it is rejected."""
    cursor.execute("SAVEPOINT batch")
    try:
        for table, rows in prepared or prepare(batch):
            table.write(cursor, rows)
    except Exception as error:
        if not is_rejection(error) and not (isinstance(error, QueryCanceled) and len(batch) > 1):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT batch")
        return False
    cursor.execute("RELEASE SAVEPOINT batch")
    return True


def _piecewise(
    cursor: Any, batch: Sequence[Item], held_back: HeldBack, streaks: Streaks
) -> tuple[list[Item], list[tuple[Item, str]]]:
    """Merge a batch one kind of rows after the other, the data before the state: what is stored, and what rejected."""
    stored: list[Item] = []
    rejected: list[tuple[Item, str]] = []
    for items in by_kind(batch).values():
        ready = [item for item in items if not held_back.waits(item)]
        good, bad = _halved(cursor, ready, streaks)
        new = [error for item, error in bad if not streaks.is_known(item)]
        if len(new) >= FEW and not good and len({reason_of(error) for error in new}) == 1:
            raise RejectsAll(_text(new[0]))
        for item, error in bad:
            held_back.missed(item, streaks.is_known(item))
            rejected.append((item, _text(error)))
        stored += good
    return stored, rejected


def _halved(cursor: Any, items: Sequence[Item], streaks: Streaks) -> tuple[list[Item], list[tuple[Item, Exception]]]:
    """Merge rows of one kind; if one is rejected, their halves one after the other, down to that row.

    So are rows halved that take longer than the server allows.
    """
    if not items:
        return [], []
    cursor.execute("SAVEPOINT rows")
    try:
        for table, rows in prepare(items):
            table.write(cursor, rows)
    except Exception as error:
        if not is_rejection(error) and not (isinstance(error, QueryCanceled) and len(items) > 1):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT rows")
        if len(items) == 1:
            if streaks.rejected(items[0], error) >= MANY:
                raise RejectsAll(_text(error)) from None
            return [], [(items[0], error)]
        middle = len(items) // 2
        first, second = _halved(cursor, items[:middle], streaks), _halved(cursor, items[middle:], streaks)
        return first[0] + second[0], first[1] + second[1]
    cursor.execute("RELEASE SAVEPOINT rows")
    streaks.stored(items)
    return list(items), []


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__


def is_rejection(error: Exception) -> bool:
    """Whether an error is a row's fault: bad data, a broken constraint, a limit exceeded; or no text that COPY takes.

    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    if isinstance(error, psycopg2.Error):
        return (error.pgcode or "").startswith(("21", "22", "23", "54", "P0001"))
    return isinstance(error, ValueError | TypeError | ArithmeticError | RecursionError | LookupError | AttributeError)


@dataclass
class Table:
    """How the rows of a table are merged.

    `later` is the condition under which a held row may be replaced; `merged` the columns that are not simply those of
    the new row; `compared` those that tell whether anything is new (None: all).
    """

    name: str
    item: type[Item]
    key: tuple[str, ...]
    later: str = "true"
    merged: Mapping[str, str] = field(default_factory=dict)
    compared: Sequence[str] | None = None

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Item]]:
        """The items to write: those of a round have different keys."""
        return [latest(items, *self.key)]

    def write(self, cursor: Any, rows: Rows) -> None:
        """Write rows, all with different keys. NotArrived if one is not there afterwards."""
        stage(cursor, self.name, columns(self.item), rows)
        cursor.execute(self.merge)
        if cursor.rowcount < len(rows.lines):
            self.check(cursor)

    def check(self, cursor: Any) -> None:
        cursor.execute(f"SELECT count(*) {self.held_beside_new('LEFT')} WHERE held.{self.key[0]} IS NULL")
        (dropped,) = cursor.fetchone()
        if dropped:
            raise NotArrived(f"{dropped} rows are not in {self.name} after they were inserted: a trigger drops them")

    @cached_property
    def merge(self) -> str:
        names = columns(self.item)
        rest = [name for name in names if name not in self.key]
        compared = rest if self.compared is None else self.compared
        new = ", ".join(_comparable(name, self._merged(name)) for name in compared)
        held = ", ".join(_comparable(name, f"held.{name}") for name in compared)
        order = ", ".join(self.key)
        return (
            f"INSERT INTO {self.name} ({', '.join(names)}) "
            f"SELECT {', '.join(map(self._merged, names))} {self.held_beside_new('LEFT')} "
            f"WHERE held.{self.key[0]} IS NULL OR (({self.later}) AND ({new}) IS DISTINCT FROM ({held})) "
            f"ORDER BY {', '.join(f'new.{name}' for name in self.key)} "
            f"ON CONFLICT ({order}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in rest)}"
        )

    def _merged(self, name: str) -> str:
        return self.merged.get(name, f"new.{name}")

    def held_beside_new(self, join: str) -> str:
        """The FROM of a statement. With its LIMIT it is always a look-up for each new row, however large the table."""
        same = " AND ".join(f"it.{name} = new.{name}" for name in self.key)
        return (
            f"FROM staged_{self.name} AS new "
            f"{join} JOIN LATERAL (SELECT * FROM {self.name} AS it WHERE {same} LIMIT 1) AS held ON true"
        )


def _comparable(name: str, value: str) -> str:
    return f"({value})::text" if name in ("raw", "includes") else value  # json has no equality


# --- 4chan


class Posts(Table):
    """Posts have versions: those that are replaced, or come too late, go to post_revisions."""

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Item]]:
        rounds: list[Sequence[Item]] = []
        while items:
            first = {(post.board, post.no): post for post in reversed(items)}
            chosen = {id(post) for post in first.values()}
            rounds.append(list(first.values())[::-1])
            items = [post for post in items if id(post) not in chosen]
        return rounds

    def write(self, cursor: Any, rows: Rows) -> None:
        stage(cursor, self.name, columns(self.item), rows)
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


POSTS = Posts(
    "posts",
    Post,
    ("board", "no"),
    # Of two versions seen in the same second the one that comes later is; but not if it has been replaced already.
    later="""(new.last_seen_at > held.last_seen_at OR (new.last_seen_at = held.last_seen_at AND NOT EXISTS (
        SELECT FROM post_revisions AS kept WHERE kept.board = new.board AND kept.no = new.no
        AND kept.digest = new.digest AND kept.last_seen_at = new.last_seen_at)))""",
    merged={
        "revision": "greatest(new.revision, held.revision + 1)",  # another crawl may have stored versions since
        "first_seen_at": "least(new.first_seen_at, held.first_seen_at)",
        "last_seen_at": "greatest(new.last_seen_at, held.last_seen_at)",
        # Another crawl may have missed it since.
        "deleted_at": "CASE WHEN held.deleted_at > new.last_seen_at THEN held.deleted_at "
        "WHEN held.deletion_confirmed_at > new.last_seen_at THEN held.deletion_confirmed_at END",
        "deletion_confirmed_at": "CASE WHEN held.deletion_confirmed_at > new.last_seen_at "
        "THEN held.deletion_confirmed_at END",
    },
    compared=["digest"],
)
POST_COLUMNS = ", ".join(columns(Post))
REPLACED = ", ".join(f"held.{name}" for name in columns(Post))
LATE = ", ".join("held.revision" if name == "revision" else f"new.{name}" for name in columns(Post))

ADD_POSTS = f"""
INSERT INTO posts ({POST_COLUMNS}) SELECT {POST_COLUMNS} FROM staged_posts ORDER BY board, no
ON CONFLICT (board, no) DO NOTHING
"""
COUNT_VERSIONS = f"""
SELECT count(*) FILTER (WHERE new.digest <> held.digest AND {POSTS.later}),
    count(*) FILTER (WHERE new.digest <> held.digest AND NOT ({POSTS.later})),
    count(*) FILTER (WHERE new.first_seen_at < held.first_seen_at)
{POSTS.held_beside_new("")}
"""
SEEN_EARLIER = """
UPDATE posts SET first_seen_at = new.first_seen_at FROM staged_posts AS new
WHERE posts.board = new.board AND posts.no = new.no AND new.first_seen_at < posts.first_seen_at
"""
# The versions that new ones replace, kept before they are.
KEEP_REPLACED = f"""
INSERT INTO post_revisions ({POST_COLUMNS}, replaced_at)
SELECT {REPLACED}, new.last_seen_at {POSTS.held_beside_new("")}
WHERE new.digest <> held.digest AND {POSTS.later}
ON CONFLICT DO NOTHING
"""
# Versions that a crawl has seen before the one that another crawl has stored already.
KEEP_LATE = f"""
WITH late AS (
    INSERT INTO post_revisions ({POST_COLUMNS}, replaced_at)
    SELECT {LATE}, held.last_seen_at {POSTS.held_beside_new("")}
    WHERE new.digest <> held.digest AND NOT ({POSTS.later}) AND NOT EXISTS (
        SELECT FROM post_revisions AS kept
        WHERE kept.board = new.board AND kept.no = new.no AND kept.digest = new.digest
    )
    ON CONFLICT DO NOTHING
    RETURNING board, no
)
UPDATE posts SET revision = posts.revision + 1 FROM late WHERE posts.board = late.board AND posts.no = late.no
"""


class Deletions(Table):
    """Marks on posts."""

    def write(self, cursor: Any, rows: Rows) -> None:
        stage(cursor, self.name, columns(self.item), rows, like=DELETION_COLUMNS)
        cursor.execute(MARK_DELETIONS)


# Two crawls that miss a post have missed it since the earlier time. What one saw before the other one missed it, or
# missed before the other one saw it, is no news; but a second look that missed it is, if it came after that.
# A post that is missing from a thread because it was moved to another one is not deleted.
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


DELETIONS = Deletions("deletions", Deletion, ("board", "no"))

EARLIEST = {"first_seen_at": "least(new.first_seen_at, held.first_seen_at)"}

BOARDS = Table(
    "boards",
    Board,
    ("board",),
    later="coalesce(new.seen_at >= held.seen_at, true)",
    compared=[name for name in columns(Board) if name not in ("board", "seen_at")],
)
THREADS = Table(
    "threads",
    Thread,
    ("board", "no"),
    later="greatest(new.last_seen_at, new.gone_at) >= greatest(held.last_seen_at, held.gone_at)",
    merged=EARLIEST,
)
VALIDATORS = Table("validators", Validator, ("path",))
POLLS = Table("board_polls", Poll, ("board", "polled_at"))

# --- X


# A post that is read again brings its counts, and fills what was not known before; what only an answer of those days
# told (a retweeted post that is gone by now) stays.
class Tweets(Table):
    def rounds(self, items: Sequence[Any]) -> list[Sequence[Item]]:
        """A post that several feeds show in one batch is one row, with the names of all."""
        merged: dict[int, Tweet] = {}
        for tweet in items:
            before = merged.get(tweet.id)
            if before is not None:
                feeds = list(dict.fromkeys([*before.found_in, *tweet.found_in]))
                later = before.metrics | tweet.metrics if tweet.is_seen_again else before.metrics
                tweet = replace(before, found_in=feeds, metrics=later)
            merged[tweet.id] = tweet
        return [list(merged.values())]


FEEDS_TOGETHER = (
    "CASE WHEN new.found_in <@ held.found_in THEN held.found_in ELSE coalesce(held.found_in, '{}') || "
    "ARRAY(SELECT feed FROM unnest(new.found_in) AS feed WHERE feed <> ALL (coalesce(held.found_in, '{}'))) END"
)
TWEETS = Tweets(
    "tweets",
    Tweet,
    ("id",),
    later="coalesce(new.last_seen_at >= held.last_seen_at, true)",
    merged={
        **{name: f"coalesce(new.{name}, held.{name})" for name in columns(Tweet) if name != "id"},
        "metrics": "coalesce(held.metrics || new.metrics, new.metrics)",
        "first_metrics": "coalesce(held.first_metrics, new.first_metrics)",
        "found_in": FEEDS_TOGETHER,
        "first_seen_at": "coalesce(held.first_seen_at, new.first_seen_at, new.last_seen_at)",
    },
    compared=["metrics", "first_seen_at", "found_in"],
)
TRENDS = Table("trends", Trend, ("woeid", "seen_at", "rank"))
ACCOUNTS = Table(
    "accounts",
    Account,
    ("id",),
    later="coalesce(new.last_seen_at >= held.last_seen_at, true)",
    merged={**EARLIEST, "first_metrics": "coalesce(held.first_metrics, new.first_metrics)"},
)
GAPS = Table("gaps", Gap, ("feed", "before_id"), compared=["after_id"])
HANDLES = Table("handles", Handle, ("handle",), later="new.checked_at >= held.checked_at")


class Feeds(Table):
    def rounds(self, items: Sequence[Any]) -> list[Sequence[Item]]:
        # A page's state can come behind that of the next page.
        return super().rounds(sorted(items, key=attrgetter("pages")))


FEEDS = Feeds("feeds", Feed, ("feed",), later="new.pages >= held.pages")

TABLES: dict[type[Item], Table] = {
    table.item: table
    for table in (
        *(BOARDS, POSTS, DELETIONS, THREADS, VALIDATORS, POLLS),
        *(TWEETS, TRENDS, ACCOUNTS, HANDLES, GAPS, FEEDS),
    )
}
