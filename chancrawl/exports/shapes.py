"""Files in the form of other tools: of 4chan's API, 4CAT, 4plebs, twarc, and the older crawler. Sans I/O."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import IO, Any
from zoneinfo import ZoneInfo

import orjson

from chancrawl.exports.columns import Column, Type
from chancrawl.exports.tables import TABLES, Table
from chancrawl.exports.twarc import flattened
from chancrawl.exports.writers import CsvWriter, Rows, Writer
from chancrawl.storage.csv.lines import encoded
from chancrawl.x.legacy import COLUMNS as OLDER_COLUMNS

NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of another tool: the tables that have it, with their columns, and what writes them."""

    about: str
    ending: str
    tables: Mapping[str, Table]
    writer: Callable[[IO[bytes], Sequence[Column]], Writer]
    one_board: bool = False
    """Whether a file must not have posts of several boards, because it names a post by its number alone."""


# --- threads as 4chan's API sends them

THREADS = Table(
    "a thread of 4chan with all its posts",
    [
        Column("board", Type.TEXT, "posts.board"),
        Column("thread_no", Type.INTEGER, "posts.thread_no"),
        Column("no", Type.INTEGER, "posts.no"),
        Column("raw", Type.JSON, "posts.raw"),
        *(Column(name, Type.INTEGER, f"threads.{name}") for name in ("replies", "images", "unique_ips", "tail_size")),
        *(Column(name, Type.FLAG, f"threads.{name}") for name in (
            "sticky", "closed", "bump_limit_reached", "image_limit_reached")),
        Column("archived_at", Type.TIME, "threads.archived_at"),
    ],
    "posts LEFT JOIN threads ON threads.board = posts.board AND threads.no = posts.thread_no",
    "posts.board, posts.thread_no, posts.no",
    time="threads.first_seen_at", board="posts.board", thread="posts.thread_no",
)  # fmt: skip


class ThreadsWriter:
    """One thread a line: {"posts": […]}, with all keys of the API, as in https://arxiv.org/abs/2001.07487.

    The counts and flags of the opening post are those of the last look. Posts that were deleted are among the others.
    """

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self.stream = stream
        self.names = [column.name for column in columns]
        self.key: Any = None
        self.posts: list[dict[str, Any]] = []
        self.lines = 0

    def write(self, rows: Rows) -> None:
        for key, some in groupby(rows, lambda row: row[:2]):
            if key != self.key:
                self.close()
                self.key = key
            for row in some:
                values = dict(zip(self.names, row, strict=True))
                post = orjson.loads(values["raw"])
                self.posts.append(opening(post, values) if values["no"] == values["thread_no"] else post)

    def close(self) -> None:
        if self.posts:
            self.stream.write(orjson.dumps({"posts": self.posts}) + b"\n")
            self.lines += 1
        self.posts = []


def opening(post: dict[str, Any], thread: Mapping[str, Any]) -> dict[str, Any]:
    """An opening post with the state of its thread, under the keys of the API.

    https://github.com/4chan/4chan-API/blob/master/pages/Threads.md
    """
    if thread["replies"] is None and thread["images"] is None and thread["sticky"] is None:
        return post  # the thread was never completely read
    for key in ("replies", "images", "unique_ips", "tail_size"):
        if thread[key] is not None:
            post[key] = thread[key]
    post["bumplimit"], post["imagelimit"] = int(thread["bump_limit_reached"]), int(thread["image_limit_reached"])
    for key in ("sticky", "closed"):
        post.pop(key, None)
        if thread[key]:
            post[key] = 1
    if thread["archived_at"] is not None:
        post |= {"archived": 1, "closed": 1,
                 "archived_on": int(datetime.fromisoformat(thread["archived_at"]).timestamp())}  # fmt: skip
    return post


# --- 4CAT's upload of CSV files

PERMALINK = 'url ("permalink")'
"""4CAT guesses from the first megabyte whether a quote in a text is doubled (csv.Sniffer). A quote in the header makes
the guess right, also if the first quote in a text comes later."""

FOURCAT = {
    "posts": replace(
        TABLES["posts"],
        columns=[
            Column("id", Type.INTEGER, "no"), Column("thread_id", Type.INTEGER, "thread_no"),
            Column("author", Type.TEXT, "coalesce(name, '')"), Column("body", Type.TEXT, "coalesce(comment_text, '')"),
            Column("timestamp", Type.TIME, "posted_at"), Column("subject", Type.TEXT), Column("board", Type.TEXT),
            Column("author_trip", Type.TEXT, "tripcode"), Column("author_poster_id", Type.TEXT, "poster_id"),
            Column("author_capcode", Type.TEXT, "capcode"), Column("country", Type.TEXT),
            Column("file_name", Type.TEXT), Column("file_md5", Type.TEXT), Column("deleted_at", Type.TIME),
            Column(PERMALINK, Type.TEXT,
                   "'https://boards.4chan.org/' || board || '/thread/' || thread_no || '#p' || no"),
        ],
    ),
    "tweets": replace(
        TABLES["tweets"],
        columns=[
            Column("id", Type.INTEGER), Column("thread_id", Type.INTEGER, "coalesce(conversation_id, id)"),
            Column("author", Type.TEXT, "coalesce(username, '')"),
            Column("body", Type.TEXT, "coalesce(retweeted_text, text, '')"),
            Column("timestamp", Type.TIME, "posted_at"), Column("author_id", Type.INTEGER), Column("lang", Type.TEXT),
            Column("hashtags", Type.TEXTS), Column("urls", Type.TEXTS), Column("quoted_id", Type.INTEGER),
            Column("retweeted_id", Type.INTEGER), Column("author_retweeted", Type.TEXT, "retweeted_username"),
            Column(PERMALINK, Type.TEXT, "'https://x.com/i/status/' || id"),
        ],
    ),
}  # fmt: skip


class FourcatWriter(CsvWriter):
    """The columns that 4CAT's upload takes by their names, and others. Times have no fractions.

    https://github.com/digitalmethodsinitiative/4cat/blob/master/datasources/upload/import_formats.py
    """

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        super().__init__(
            stream, [replace(column, name=f'"{column.name.replace(chr(34), chr(34) * 2)}"') for column in columns]
        )
        for place, column in enumerate(columns):
            if column.type is Type.TIME:
                self.converts[place] = lambda text: f'"{text[:19]}Z"' if text else '""'


# --- dumps of 4plebs (Asagi)

ASAGI = (
    "num", "subnum", "thread_num", "op", "timestamp", "timestamp_expired", "preview_orig", "preview_w", "preview_h",
    "media_filename", "media_w", "media_h", "media_size", "media_hash", "media_orig", "spoiler", "deleted", "capcode",
    "email", "name", "trip", "title", "comment", "sticky", "locked", "poster_hash", "poster_country", "exif",
)  # fmt: skip
"""The columns of a dump, which has no heading (https://archive.org/details/4plebs-org-data-dump-2024-01)."""

CAPCODES = {"mod": "M", "admin": "A", "admin_highlight": "A", "manager": "G", "developer": "D", "founder": "F"}

ASAGI_POSTS = replace(
    TABLES["posts"],
    columns=[
        *(Column(column.name, column.type, f"posts.{column.name}") for column in TABLES["posts"].columns
          if column.name not in ("raw", "quotes", "links", "comment_html")),
        Column("sticky", Type.FLAG, "threads.sticky"), Column("closed", Type.FLAG, "threads.closed"),
        Column("archived_at", Type.TIME, "threads.archived_at"), Column("gone_at", Type.TIME, "threads.gone_at"),
    ],
    rows="posts LEFT JOIN threads ON threads.board = posts.board AND threads.no = posts.thread_no",
    order="posts.board, posts.no",
    time="posts.posted_at", board="posts.board", thread="posts.thread_no", deleted="posts.deleted_at",
    text="posts.comment_text",
)  # fmt: skip


class AsagiWriter:
    """28 columns without a heading, all in quotes, with backslashes before quotes and backslashes, and \\N for null."""

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self.stream = stream
        self.names = [column.name for column in columns]

    def write(self, rows: Rows) -> None:
        lines = (asagi_values(dict(zip(self.names, row, strict=True))) for row in rows)
        self.stream.write(encoded("".join(",".join(map(_escaped, values)) + "\n" for values in lines)))

    def close(self) -> None: ...


def asagi_values(post: Mapping[str, Any]) -> list[Any]:
    """The values of ASAGI for a post."""
    is_opening = post["no"] == post["thread_no"]
    tim, ending = post["file_tim"], post["file_ext"] or ""
    expired = post["deleted_at"] or post["gone_at"]
    return [
        post["no"], 0, post["thread_no"], int(is_opening), new_york(post["posted_at"]),
        new_york(expired) if expired else 0,
        f"{tim}s.jpg" if tim is not None else None, post["thumbnail_width"] or 0, post["thumbnail_height"] or 0,
        f"{post['file_name'] or ''}{ending}" if tim is not None else None, post["file_width"] or 0,
        post["file_height"] or 0, post["file_size"] or 0, _base64(post["file_md5"]),
        f"{tim}{ending}" if tim is not None else None, int(post["file_spoiler"] or 0),
        int(post["deleted_at"] is not None), CAPCODES.get(post["capcode"] or "", "N"), post["email"], post["name"],
        post["tripcode"], post["subject"], post["comment_text"], int(bool(is_opening and post["sticky"])),
        int(bool(is_opening and post["closed"])), post["poster_id"], post["country"], None,
    ]  # fmt: skip


def new_york(time: str) -> int:
    """The wall clock of New York at a time, as if it were UTC, in seconds since 1970: the time of Asagi.

    Of the hour that comes twice in autumn, both have the same values.

    >>> new_york("2026-11-21T05:00:00.000000Z") - new_york("2026-07-01T05:00:00.000000Z") - 143 * 86400
    -3600
    """
    moment = datetime.fromisoformat(time)
    offset = moment.astimezone(NEW_YORK).utcoffset()
    assert offset is not None
    return int((moment + offset).timestamp())


def _base64(md5: str | None) -> str | None:
    try:
        return None if md5 is None else base64.b64encode(binascii.unhexlify(md5)).decode()
    except ValueError:
        return None


def _escaped(value: Any) -> str:
    if value is None:
        return "\\N"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


# --- tweets for twarc-csv

TWARC = replace(
    TABLES["tweets"],
    columns=[
        *(Column(name, Type.INTEGER) for name in ("id", "author_id", "conversation_id", "in_reply_to_user_id")),
        *(Column(name, Type.TEXT) for name in ("username", "text", "lang", "in_reply_to_username")),
        Column("posted_at", Type.TIME), Column("metrics", Type.COUNTS), Column("raw", Type.JSON),
        Column("includes", Type.JSON), *(Column(name, Type.TEXT) for name in ("retweeted_text", "retweeted_username")),
    ],
)  # fmt: skip


class TwarcWriter:
    """A tweet a line, flattened as twarc does it, with only the keys that twarc-csv knows."""

    has_all_keys = False

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self.stream = stream
        self.names = [column.name for column in columns]

    def write(self, rows: Rows) -> None:
        tweets = (flattened(dict(zip(self.names, row, strict=True)), self.has_all_keys) for row in rows)
        self.stream.write(b"".join(orjson.dumps(tweet) + b"\n" for tweet in tweets))

    def close(self) -> None: ...


class TwarcAllWriter(TwarcWriter):
    has_all_keys = True


# --- the older crawler's table

NUMBERS = ("id", "favorite_count", "in_reply_to_user_id", "in_reply_to_status_id", "retweet_count",
           "retweeted_status_id")  # fmt: skip

OLDER = replace(
    TABLES["tweets"],
    columns=[
        Column(name, Type.INTEGER if name in NUMBERS else Type.NUMBER if name == "sentiment" else Type.TEXT,
               f"older.{name}") for name in OLDER_COLUMNS
    ],
    rows="tweets JOIN tweet_articles_tweepy AS older ON older.id = tweets.id",
    order="tweets.id", time="tweets.posted_at", account="tweets.author_id", feeds="tweets.found_in",
    text="coalesce(tweets.retweeted_text, tweets.text)", username="tweets.username",
)  # fmt: skip

SHAPES = {
    "api": Shape('threads of 4chan, one a line: {"posts": […]}', "jsonl", {"threads": THREADS}, ThreadsWriter),
    "4cat": Shape("a CSV file that 4CAT's upload takes", "csv", FOURCAT, FourcatWriter, one_board=True),
    "4plebs": Shape("a CSV dump as 4plebs has them", "csv", {"posts": ASAGI_POSTS}, AsagiWriter, one_board=True),
    "twarc": Shape("flattened tweets for twarc-csv", "jsonl", {"tweets": TWARC}, TwarcWriter),
    "twarc-all": Shape("flattened tweets with every key", "jsonl", {"tweets": TWARC}, TwarcAllWriter),
    "tweepy": Shape("a CSV file with the older crawler's columns", "csv", {"tweets": OLDER}, CsvWriter),
}


def names() -> Iterator[str]:
    """The shapes with the tables that have them, for the help."""
    for name, shape in SHAPES.items():
        yield f"{name} ({', '.join(shape.tables)})"
