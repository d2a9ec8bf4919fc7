"""The CSV files of an imageboard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

from chancrawl.items import Deletion, Post, columns
from chancrawl.storage.base import marks, moment, parts
from chancrawl.storage.kinds import CsvFile, Query

PLACES = "SELECT no, thread_no, revision, first_seen_at FROM posts WHERE board = ? AND no IN ({})"
REVISED = f"{PLACES} AND revision > 1"

NAMES = columns(Post)
POST = ", ".join(f"version.{name}" for name in NAMES)
BEFORE = (
    "(SELECT replaced_at FROM post_revisions AS earlier WHERE earlier.board = version.board "
    "AND earlier.no = version.no AND earlier.revision = version.revision - 1)"
)
VERSIONS = f"""
SELECT {POST}, coalesce({BEFORE}, version.first_seen_at) FROM posts AS version
UNION ALL SELECT {POST}, coalesce({BEFORE}, version.first_seen_at)
FROM post_revisions AS version
"""
"""All versions of all posts, each with the time at which it was first seen."""

DELETED = """
SELECT board, thread_no, no, last_seen_at, deleted_at, deletion_confirmed_at FROM posts WHERE deleted_at IS NOT NULL
"""


def _posts_file(post: Post) -> str:
    """The file of the day on which this version of the post was first seen."""
    assert post.last_seen_at is not None
    return f"chan/{post.board}/posts-{post.last_seen_at.astimezone(UTC).date()}.csv"


def _places(items: Sequence[Post | Deletion], query: Query, sql: str) -> dict[tuple[str, int], tuple[int, int, object]]:
    """The threads of stored posts, their revisions and the times at which they were first seen."""
    asked: defaultdict[str, list[int]] = defaultdict(list)
    for item in items:
        asked[item.board].append(item.no)
    return {
        (board, no): (thread_no, revision, first)
        for board, nos in asked.items()
        for some in parts(nos)
        for no, thread_no, revision, first in query(sql.format(marks(some)), board, *some)
    }


def settled_posts(posts: Sequence[Post], query: Query) -> list[Post]:
    """Posts with the revision that the store gave them: one that was moved to another thread is the next revision."""
    first = [post for post in posts if post.revision == 1]
    places = _places(first, query, REVISED)
    found = []
    for post in posts:
        place = places.get((post.board, post.no)) if post.revision == 1 else None
        if place is not None and place[0] == post.thread_no:
            post = replace(post, revision=place[1], first_seen_at=moment(place[2]))  # type: ignore[arg-type]
        found.append(post)
    return found


def settled_deletions(deletions: Sequence[Deletion], query: Query) -> list[Deletion]:
    """Deletions without those of posts that are in another thread now."""
    places = _places(deletions, query, PLACES)
    return [item for item in deletions if (place := places.get((item.board, item.no))) is None
            or place[0] == item.thread_no]  # fmt: skip


POSTS = CsvFile(
    _posts_file,
    [name for name in NAMES if name != "digest"],
    pattern="chan/*/posts-*.csv",
    settled=settled_posts,
    stored=VERSIONS,
    filed_by="last_seen_at",
)
DELETIONS = CsvFile(
    lambda deletion: f"chan/{deletion.board}/deletions.csv",
    pattern="chan/*/deletions.csv",
    settled=settled_deletions,
    stored=DELETED,
)


def moved_posts(posts: Sequence[Post], query: Query) -> list[Post]:
    """The posts that were moved to another thread."""
    places = _places([post for post in posts if post.revision == 1], query, REVISED)
    return [post for post in posts if post.revision == 1 and (post.board, post.no) in places]


def _back(post: Post) -> Iterator[dict[str, Any]]:
    """A post is not deleted, whatever an earlier row says."""
    yield {"board": post.board, "thread_no": post.thread_no, "no": post.no, "last_seen_at": post.last_seen_at}


MOVED = CsvFile(
    lambda post: f"chan/{post.board}/deletions.csv",
    columns(Deletion),
    pattern=DELETIONS.pattern,
    rows=_back,
    is_announced=False,
    settled=moved_posts,
    stored=f"SELECT {', '.join(NAMES)} FROM posts WHERE false",
)
BOARDS = CsvFile(lambda board: "chan/boards.csv", pattern="chan/boards.csv")
THREADS = CsvFile(lambda thread: f"chan/{thread.board}/threads.csv", pattern="chan/*/threads.csv")
POLLS = CsvFile(lambda poll: f"chan/{poll.board}/polls.csv", pattern="chan/*/polls.csv")
