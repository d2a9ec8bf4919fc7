"""What can be exported: the tables, with their columns, filters and order. Sans I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from typing import Any

from chancrawl.errors import UserError
from chancrawl.exports.columns import Column, Type, columns_of
from chancrawl.exports.dialects import Dialect
from chancrawl.items import Account, Feed, Gap, Post, Thread, Trend, Tweet
from chancrawl.storage.base import marks


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows are exported. None, and False, is no condition."""

    boards: tuple[str, ...] | None = None
    threads: tuple[int, ...] | None = None
    accounts: tuple[int, ...] | None = None
    account_names: tuple[str, ...] = ()
    """Their names, for rows that were taken over from the older crawler, which have no number of the account."""
    query: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    only_deleted: bool = False
    match: str | None = None

    def given(self) -> dict[str, Any]:
        """The conditions that are set, by their option."""
        options = {
            "board": self.boards, "thread": self.threads, "account": self.account_names or self.accounts,
            "query": self.query, "since": self.since, "until": self.until,
            "only-deleted": self.only_deleted or None, "match": self.match,
        }  # fmt: skip
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be exported.

    `rows` is the FROM clause; {quotes} stands for the elements of posts.quotes. The other fields are SQL for what a
    filter compares, or "" if the filter does not apply. `order` is a unique key.
    """

    about: str
    columns: list[Column]
    rows: str
    order: str
    time: str
    board: str = ""
    thread: str = ""
    account: str = ""
    feeds: str = ""
    deleted: str = ""
    text: str = ""
    username: str = ""
    """The name of the account, of rows that have no number of it."""
    is_escaped: bool = False
    """Whether &, < and > are escaped in the text, as X sends it."""
    always: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Columns that are parts of a JSON value: the SQL of the value, by column."""

    def takes(self) -> set[str]:
        """The filters that apply."""
        by_name = {
            "board": self.board, "thread": self.thread, "account": self.account, "query": self.feeds,
            "since": self.time, "until": self.time, "only-deleted": self.deleted, "match": self.text,
        }  # fmt: skip
        return {name for name, sql in by_name.items() if sql}

    def query(self, filters: Filters, dialect: Dialect) -> tuple[str, list[Any]]:
        """The query for the chosen rows, and its parameters."""
        values = ", ".join(dialect.value(self._column(column, dialect)) for column in self.columns)
        conditions = list(self._conditions(filters, dialect))
        where = " AND ".join([*filter(None, [self.always]), *(condition for condition, _ in conditions)]) or "true"
        sql = f"SELECT {values} FROM {self.rows.format(quotes=dialect.quotes)} WHERE {where} ORDER BY {self.order}"
        return sql, [value for _, values in conditions for value in values]

    def _column(self, column: Column, dialect: Dialect) -> Column:
        json = self.parts.get(column.name)
        return replace(column, source=dialect.part(json, column.source, column.type)) if json else column

    def _conditions(self, filters: Filters, dialect: Dialect) -> Iterator[tuple[str, list[Any]]]:
        for values, column in ((filters.boards, self.board), (filters.threads, self.thread)):
            if values is not None:
                yield f"{column} IN ({marks(values)})", list(values)
        if filters.accounts is not None:
            names = filters.account_names if self.username else ()
            older = f" OR ({self.account} IS NULL AND lower({self.username}) IN ({marks(names)}))" if names else ""
            yield f"({self.account} IN ({marks(filters.accounts)}){older})", [*filters.accounts, *names]
        if filters.query is not None:
            feeds = [f"{kind}:{filters.query}" for kind in ("search", "trend")]
            yield f"({' OR '.join(dialect.contains(self.feeds) for _ in feeds)})", feeds
        if filters.since is not None:
            yield f"{self.time} >= ?", [filters.since]
        if filters.until is not None:
            yield f"{self.time} < ?", [filters.until]
        if filters.only_deleted:
            yield f"{self.deleted} IS NOT NULL", []
        if filters.match is not None:
            words = escape(filters.match, quote=False) if self.is_escaped else filters.match
            sql, parameter = dialect.matches(self.text, words)
            yield sql, [parameter]


POST = columns_of(Post, without=["digest"])
TEXT = "coalesce(retweeted_text, text)"
"""The whole text of a post of X. The own text of a retweet is cut."""

_EDGE = [
    Column("board", Type.TEXT, "posts.board"),
    Column("no", Type.INTEGER, "posts.no"),
    Column("thread_no", Type.INTEGER, "posts.thread_no"),
    Column("posted_at", Type.TIME, "posts.posted_at"),
]

_OWNER = "CASE WHEN substr(feed, 1, 9) = 'timeline:' THEN CAST(substr(feed, 10) AS bigint) END"
"""SQL for the account of a feed."""

_RUN = [
    Column("run_id", Type.INTEGER), Column("spider", Type.TEXT), Column("arguments", Type.JSON),
    Column("source", Type.TEXT), Column("started_at", Type.TIME), Column("finished_at", Type.TIME),
    Column("finish_reason", Type.TEXT), Column("stats", Type.JSON), Column("dollars", Type.NUMBER),
    Column("host", Type.TEXT), Column("pid", Type.INTEGER), Column("boards", Type.TEXT), Column("alive_at", Type.TIME),
]  # fmt: skip
_LIMIT = [
    Column("credential", Type.TEXT), Column("endpoint", Type.TEXT), Column("call_limit", Type.INTEGER),
    Column("remaining", Type.INTEGER), Column("reset_at", Type.NUMBER), Column("retired", Type.TEXT),
    Column("retired_at", Type.TIME),
]  # fmt: skip

TABLES = {
    "posts": Table("a post of 4chan, in its latest version", POST, "posts", "board, posted_at, no", time="posted_at",
        board="board", thread="thread_no", deleted="deleted_at", text="comment_text",
    ),
    "revisions": Table(
        "an earlier version of a post that has changed", [*POST, Column("replaced_at", Type.TIME)],
        "post_revisions", "board, posted_at, no, revision", time="posted_at", board="board", thread="thread_no",
        deleted="(SELECT p.deleted_at FROM posts p WHERE (p.board, p.no) = (post_revisions.board, post_revisions.no))",
        text="comment_text",
    ),
    "deletions": Table(
        "a post that was deleted, and when it was seen last and missed first",
        [*_EDGE, Column("last_seen_at", Type.TIME), Column("deleted_at", Type.TIME),
         Column("deletion_confirmed_at", Type.TIME)],
        "posts", "board, no", always="posts.deleted_at IS NOT NULL", time="posts.deleted_at", board="posts.board",
        thread="posts.thread_no", deleted="posts.deleted_at", text="posts.comment_text",
    ),
    "quotes": Table(
        "a post that quotes another one",
        [*_EDGE, Column("quoted_board", Type.TEXT, "board", "Board of the quoted post."),
         Column("quoted_thread_no", Type.INTEGER, "thread_no", "Its thread; null where the link does not say."),
         Column("quoted_no", Type.INTEGER, "no", "Its number."),
         Column("quoted_is_dead", Type.FLAG, "dead", "Whether the site itself shows it as gone.")],
        "{quotes}", "posts.board, posts.no", time="posts.posted_at", board="posts.board", thread="posts.thread_no",
        deleted="posts.deleted_at", text="posts.comment_text",
        parts=dict.fromkeys(("quoted_board", "quoted_thread_no", "quoted_no", "quoted_is_dead"), "quote"),
    ),
    "threads": Table(
        "a thread of 4chan, as it was last seen, and its fate", columns_of(Thread), "threads", "board, no",
        time="first_seen_at", board="board", thread="no", text="subject",
    ),
    "tweets": Table(
        "a post of X", columns_of(Tweet), "tweets", "id", time="posted_at", account="author_id", feeds="found_in",
        text=TEXT, username="username", is_escaped=True,
    ),
    "retweets": Table(
        "a post of X that repeats another one",
        [Column("id", Type.INTEGER), Column("author_id", Type.INTEGER), Column("username", Type.TEXT),
         Column("posted_at", Type.TIME), Column("retweeted_id", Type.INTEGER),
         Column("retweeted_username", Type.TEXT)],
        "tweets", "id", time="posted_at", account="author_id", feeds="found_in", text=TEXT, username="username",
        is_escaped=True, always="retweeted_id IS NOT NULL",
    ),
    "accounts": Table(
        "an account of X", columns_of(Account), "accounts", "id", time="first_seen_at", account="id",
        text="description",
    ),
    "feeds": Table(
        "how far a timeline or a search was read", columns_of(Feed), "feeds", "feed", time="visited_at",
        account=_OWNER, text="feed",
    ),
    "gaps": Table(
        "an interval of a feed that was not read and cannot be read any more", columns_of(Gap), "gaps",
        "feed, before_id", time="found_at", account=_OWNER,
    ),
    "runs": Table(
        "a crawl", _RUN, "runs", "run_id", time="started_at",
    ),
    "limits": Table(
        "how a credential stands at an endpoint of X", _LIMIT, "credential_limits",
        "credential, endpoint", time="retired_at",
    ),
    "trends": Table(
        "a topic that trended at a place", columns_of(Trend), "trends", "woeid, seen_at, rank", time="seen_at",
        text="name",
    ),
}  # fmt: skip
"""The tables by name. Coverage is computed and not stored: see coverage.py."""


def check(name: str, table: Table, filters: Filters) -> None:
    """UserError for a filter that does not apply to the table."""
    for option in filters.given().keys() - table.takes():
        fits = ", ".join(f"--{other}" for other in sorted(table.takes()))
        raise UserError(f"--{option} does not apply to {name}; {name} takes {fits}.")
