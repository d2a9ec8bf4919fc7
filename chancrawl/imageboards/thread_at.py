"""A thread as it stood at some time, read from a store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from chancrawl.errors import UserError
from chancrawl.imageboards.thread_history import PostHistory, histories
from chancrawl.items import Post, Thread
from chancrawl.storage.base import Store, moment, restored, select
from chancrawl.text import capitalized

NUMBERS = """
SELECT no FROM posts WHERE board = ? AND thread_no = ?
UNION SELECT no FROM post_revisions WHERE board = ? AND thread_no = ?
"""


@dataclass(frozen=True, slots=True)
class ThreadAt:
    """A thread at a time. `post` is the post that was asked for."""

    board: str
    no: int
    post: int
    thread: Thread | None
    posts: list[PostHistory]
    at: datetime

    @classmethod
    def of(cls, store: Store, board: str, number: int, at: datetime | None) -> ThreadAt:
        """The thread of a post. UserError if the post is not stored."""
        rows = store.rows("SELECT thread_no FROM posts WHERE board = ? AND no = ?", board, number) or store.rows(
            "SELECT no FROM threads WHERE board = ? AND no = ?", board, number
        )
        if not rows:
            raise UserError(f"{capitalized(store.place)} holds nothing of /{board}/{number}.")
        no = rows[0][0]
        threads = select(store, Thread, "WHERE board = ? AND no = ?", board, no)
        thread = threads[0] if threads else None
        # Posts that were moved to another thread later were here before.
        posts = select(store, Post, f"WHERE board = ? AND no IN ({NUMBERS})", board, board, no, board, no)
        names = ", ".join(store.kinds[Post].columns)
        sql = f"SELECT {names}, replaced_at FROM post_revisions WHERE board = ? AND no IN ({NUMBERS})"
        revisions = [
            (restored(Post, row[:-1]), replaced_at)
            for row in store.rows(sql, board, board, no, board, no)
            if (replaced_at := moment(row[-1])) is not None
        ]
        found = histories(thread, posts, revisions)
        if at is None:  # what is known last
            times = [history.gone_at or history.existed_until for history in found]
            at = max(times, default=datetime.now(UTC))
        return cls(board, no, number, thread, [each for each in found if each.version(at).thread_no == no], at)
