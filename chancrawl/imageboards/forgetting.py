"""Removal of posts of imageboards: what an item is about, and the statements that remove it. Sans I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from chancrawl.items import Deletion, Post, Thread
from chancrawl.storage.base import Statement, Step, Store, marks, parts
from chancrawl.storage.kinds import IsForgotten, Subject

AT_ONCE = 500
"""Posts that are removed in one transaction."""


def subject_of(text: str) -> Subject | None:
    """What a person means: po/570368, po/thread/570368, po/thread/570368/id/AbCdEf12, or an address of the site.

    >>> subject_of("https://boards.4chan.org/po/thread/570368#p570370"), subject_of("po/thread/5/id/Ab")
    (('post', 'po/570370'), ('poster', 'po/5/Ab'))
    """
    text = re.sub(r"^(?:https?://)?boards\.4chan(?:nel)?\.org", "", text).removeprefix("/")
    if match := re.fullmatch(r"(\w{1,10})/thread/\d{1,18}(?:/[^#]*)?#p(\d{1,18})", text):
        return "post", f"{match[1].lower()}/{int(match[2])}"
    if match := re.fullmatch(r"(\w{1,10})/(\d{1,18})/?", text):
        return "post", f"{match[1].lower()}/{int(match[2])}"
    if match := re.fullmatch(r"(\w{1,10})/thread/(\d{1,18})/id/(\S{1,20})", text):
        return "poster", f"{match[1].lower()}/{int(match[2])}/{match[3]}"
    if match := re.fullmatch(r"(\w{1,10})/thread/(\d{1,18})(?:/[\w-]*)?/?", text):
        return "thread", f"{match[1].lower()}/{int(match[2])}"
    return None


ABOUT = ("post", "thread", "poster")


def subjects_of_post(post: Post) -> Iterator[Subject]:
    yield "post", f"{post.board}/{post.no}"
    yield "thread", f"{post.board}/{post.thread_no}"
    if post.poster_id is not None:
        yield "poster", f"{post.board}/{post.thread_no}/{post.poster_id}"


def subjects_of_deletion(deletion: Deletion) -> Iterator[Subject]:
    yield "post", f"{deletion.board}/{deletion.no}"
    yield "thread", f"{deletion.board}/{deletion.thread_no}"


def subjects_of_thread(thread: Thread) -> Iterator[Subject]:
    yield "thread", f"{thread.board}/{thread.no}"


def thread_without(thread: Thread, is_forgotten: IsForgotten) -> Thread:
    """A thread without the words of an opening post that was removed."""
    if (thread.subject or thread.semantic_url) and is_forgotten(("post", f"{thread.board}/{thread.no}")):
        return replace(thread, subject=None, semantic_url=None)
    return thread


WHERE = {
    "post": "board = ? AND no = ?",
    "thread": "board = ? AND thread_no = ?",
    "poster": "board = ? AND thread_no = ? AND poster_id = ?",
}


def removal(store: Store, subject: Subject) -> Iterator[Step]:
    """The steps that remove something."""
    kind, name = subject
    board, *names = name.split("/", 2)
    values = (board, int(names[0]), *names[1:])
    sql = " UNION ".join(f"SELECT no FROM {table} WHERE {WHERE[kind]}" for table in ("posts", "post_revisions"))
    for some in parts(sorted(no for (no,) in store.rows(sql, *values, *values)), AT_ONCE):
        # Each post by itself, so that it stays out if it is moved to another thread.
        buried: list[Subject] = [("post", f"{board}/{no}") for no in some]
        yield Step(without_posts(store, board, some), Counter(posts=len(some)), buried)
    yield Step([("DELETE FROM threads WHERE board = ? AND no = ?", values)] if kind == "thread" else [])


def without_posts(store: Store, board: str, numbers: Sequence[int]) -> list[Statement]:
    """The statements that remove posts, and count them in removed_hours."""
    chosen = f"board = ? AND no IN ({marks(numbers)})"
    values = (board, *numbers)
    return [
        (f"INSERT INTO removed_hours (board, hour, posts) SELECT board, {store.sql_hour.format('posted_at')}, count(*) "
         f"FROM posts WHERE {chosen} GROUP BY 1, 2 "
         "ON CONFLICT (board, hour) DO UPDATE SET posts = removed_hours.posts + excluded.posts", values),
        (f"DELETE FROM post_revisions WHERE {chosen}", values),
        (f"DELETE FROM posts WHERE {chosen}", values),
        (f"UPDATE threads SET subject = NULL, semantic_url = NULL WHERE {chosen}", values),
    ]  # fmt: skip
