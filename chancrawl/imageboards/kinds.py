"""The kinds of rows that an imageboard yields. Sans I/O."""

from __future__ import annotations

from datetime import UTC

from chancrawl.imageboards.csv_files import placed
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.items import Board, Deletion, Poll, Post, Thread, Validator, columns
from chancrawl.storage.kinds import CsvFile, EmbeddedTable, Key, Kind
from chancrawl.storage.sqlite.upsert import upsert

LEDGER_POST = "board thread_no no digest revision posted_at first_seen_at deleted_at deletion_confirmed_at".split()

INDEX = "index"
"""The validators of a board's index files wait under (INDEX, board)."""


def _posts_file(post: Post) -> str:
    """The file of the day on which this version of the post was first seen."""
    assert post.last_seen_at is not None
    return f"chan/{post.board}/posts-{post.last_seen_at.astimezone(UTC):%Y-%m-%d}.csv"


def _thread_and_index(item: Post | Deletion) -> list[Key]:
    return [("thread", item.board, item.thread_no), (INDEX, item.board)]


KINDS = (
    Kind(
        Board,
        "boards",
        ("board",),
        later="coalesce(new.seen_at >= held.seen_at, true)",
        compared=[name for name in columns(Board) if name not in ("board", "seen_at")],
        csv=CsvFile(lambda board: "chan/boards.csv"),
        keeps_waiting=lambda board: [(INDEX, "boards.json")],
    ),
    Kind(
        Post,
        "posts",
        ("board", "no"),
        csv=CsvFile(_posts_file, [name for name in columns(Post) if name != "digest"], placed=placed),
        embedded=EmbeddedTable(
            """
CREATE TABLE IF NOT EXISTS posts (board TEXT, thread_no INTEGER, no INTEGER, digest INTEGER, revision INTEGER,
    posted_at TEXT, first_seen_at TEXT, deleted_at TEXT, deletion_confirmed_at TEXT,
    PRIMARY KEY (board, thread_no, no)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS posts_no ON posts (board, no);
""",
            LEDGER_POST,
            upsert("posts", LEDGER_POST, ("board", "thread_no", "no")),
        ),
        keeps_waiting=_thread_and_index,
        describe=FOURCHAN.describe,
    ),
    Kind(
        Deletion,
        "deletions",
        ("board", "no"),
        csv=CsvFile(lambda deletion: f"chan/{deletion.board}/deletions.csv"),
        embedded=EmbeddedTable(
            "",  # no table: the row of posts is marked
            ["deleted_at", "deletion_confirmed_at", "board", "thread_no", "no"],
            "UPDATE posts SET deleted_at = ?, deletion_confirmed_at = ? WHERE board = ? AND thread_no = ? AND no = ?",
        ),
        keeps_waiting=_thread_and_index,
    ),
    Kind(
        Thread,
        "threads",
        ("board", "no"),
        later="greatest(new.last_seen_at, new.gone_at) >= greatest(held.last_seen_at, held.gone_at)",
        merged={"first_seen_at": "least(new.first_seen_at, held.first_seen_at)"},
        csv=CsvFile(lambda thread: f"chan/{thread.board}/threads.csv"),
        is_state=True,
        waits_as=lambda thread: [("thread", thread.board, thread.no)],
        keeps_waiting=lambda thread: [(INDEX, thread.board)],
    ),
    Kind(
        Validator,
        "validators",
        ("path",),
        is_state=True,
        waits_as=lambda validator: [(INDEX, validator.path.strip("/").partition("/")[0])],
    ),
    Kind(Poll, "board_polls", ("board", "polled_at"), csv=CsvFile(lambda poll: f"chan/{poll.board}/polls.csv")),
)
