"""What the page of a thread shows: its posts at a time, with versions, quotes and backlinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from chancrawl.dashboard.queries import Desk, Late, Missing
from chancrawl.dashboard.texts import comment, plain
from chancrawl.errors import UserError
from chancrawl.imageboards.thread_at import ThreadAt
from chancrawl.imageboards.thread_history import PostHistory, State
from chancrawl.items import Post
from chancrawl.storage.base import Store, from_json, moment
from chancrawl.storage.postgres.connection import PostgresStore

MOST = 300
"""Posts on a page."""

FILTERS = ("all", "deleted", "changed", "files")
AROUND = timedelta(days=2)
"""Quotes from other threads are looked for so long after the last post, in a store without an index of quotes."""

Found = tuple[str, int, int]
"""A post by its board, thread and number."""


@dataclass(slots=True)
class ShownPost:
    """A post as a page shows it."""

    board: str
    no: int
    post: Post
    body: Markup
    name: str
    state: str = "there"
    words: str = ""
    version: int = 1
    versions: list[tuple[Post, datetime | None, Markup]] = field(default_factory=list)
    """All versions, with the time at which each was first seen (None for the first one)."""
    backlinks: list[Found] = field(default_factory=list)

    @property
    def is_changed(self) -> bool:
        return len(self.versions) > 1

    @property
    def file(self) -> str:
        return f"{self.post.file_name or ''}{self.post.file_ext or ''}" if self.post.file_tim is not None else ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a thread is shown: at a time, only some posts, those of one poster ID, from a number on."""

    at: datetime | None = None
    only: str = "all"
    poster: str = ""
    start: int = 0


def thread(desk: Desk, board: str, number: int, wanted: Wanted) -> dict[str, Any]:
    """A thread. Missing if it is not stored."""
    store = desk.store
    found = _stored(store, board, number, wanted.at)
    there = [(history, state) for history in found.posts if (state := history.state(found.at)) is not None]
    numbers = {history.latest.no: history for history, _ in there}
    quoted = desk.part(lambda: quotes_from_others(store, board, found.no, found.posts))
    link_of = _link_of(board, found.no, numbers)
    backlinks: dict[int, list[Found]] = {}
    for history, _ in there:
        for no in _quoted(history.version(found.at), board):
            backlinks.setdefault(no, []).append((board, found.no, history.latest.no))
    for no, other in () if isinstance(quoted, Late) else quoted:
        backlinks.setdefault(no, []).append(other)
    kinds = [_kinds(history, state, found.at) for history, state in there]
    chosen = [each for each, kind in zip(there, kinds, strict=True)
              if wanted.only in kind and each[0].latest.no >= wanted.start
              and wanted.poster in ("", each[0].latest.poster_id)]  # fmt: skip
    posts = [_shown(board, history, state, found.at, link_of, backlinks) for history, state in chosen[:MOST]]
    return {
        "board": board, "no": found.no, "focus": number, "thread": found.thread, "at": found.at,
        "is_at": wanted.at is not None, "wanted": wanted, "posts": posts,
        "posters": Counter(history.latest.poster_id for history, _ in there),
        "next": chosen[MOST][0].latest.no if len(chosen) > MOST else None,
        "counts": {name: sum(name in kind for kind in kinds) for name in FILTERS},
        "subject": plain((found.thread.subject if found.thread else None) or f"Thread {found.no}"),
        "has_quotes": not isinstance(quoted, Late),
    }  # fmt: skip


def post(desk: Desk, board: str, number: int) -> dict[str, Any]:
    """A post by itself: its versions, what quotes it, and other posts with its file."""
    store = desk.store
    found = _stored(store, board, number, None)
    histories = [history for history in found.posts if history.latest.no == number]
    if not histories:
        raise Missing(f"The post /{board}/{number} is not stored.")
    history = histories[0]
    state = history.state(found.at) or State.THERE
    numbers = {other.latest.no: other for other in found.posts}
    shown = _shown(board, history, state, found.at, _link_of(board, found.no, numbers), {})
    quoted = desk.part(lambda: quotes_from_others(store, board, found.no, found.posts))
    inside = [(board, found.no, other.latest.no) for other in found.posts
              if number in _quoted(other.version(found.at), board)]  # fmt: skip
    others = [] if isinstance(quoted, Late) else [other for no, other in quoted if no == number]
    return {
        "board": board, "no": found.no, "post": shown, "backlinks": inside + others,
        "has_quotes": not isinstance(quoted, Late), "same_file": desk.part(lambda: _same_file(store, history.latest)),
        "thread": found.thread, "at": found.at,
    }  # fmt: skip


def _stored(store: Store, board: str, number: int, at: datetime | None) -> ThreadAt:
    """The thread of a post. Missing if it is not stored."""
    try:
        return ThreadAt.of(store, board, number, at)
    except UserError as error:
        raise Missing(str(error)) from None


def _kinds(history: PostHistory, state: State, at: datetime) -> set[str]:
    """The filters that a post passes."""
    is_changed = len([since for since in history.since if since is None or since <= at]) > 1
    has_file = history.version(at).file_tim is not None
    passed = {"deleted": state is State.GONE, "changed": is_changed, "files": has_file, "all": True}
    return {name for name, is_passed in passed.items() if is_passed}


def _shown(
    board: str,
    history: PostHistory,
    state: State,
    at: datetime,
    link_of: Callable[[str | None, int], str | None],
    backlinks: dict[int, list[Found]],
) -> ShownPost:
    post = history.version(at)
    kind = {State.THERE: "there", State.GONE: "gone", State.UNKNOWN: "unknown"}[state]
    words = ""
    if state is State.GONE:
        words = "deleted" if history.latest.deleted_at else "gone with its thread"
    elif state is State.UNKNOWN:
        words = "not known whether it was still there"
    seen = [(version, since) for version, since in zip(history.versions, history.since, strict=True)
            if since is None or since <= at]  # fmt: skip
    name = " ".join(filter(None, (post.name, post.tripcode, f"## {post.capcode}" if post.capcode else "")))
    return ShownPost(
        board, post.no, post, comment(post.comment_text, link_of), name, kind, words,
        post.revision, [(version, since, comment(version.comment_text, link_of)) for version, since in seen],
        backlinks.get(post.no, []),
    )  # fmt: skip


def _link_of(board: str, thread_no: int, there: Collection[int]) -> Callable[[str | None, int], str | None]:
    def link_of(other: str | None, no: int) -> str | None:
        if other in (None, board) and no in there:
            return f"/board/{board}/thread/{thread_no}#p{no}"
        return f"/board/{other or board}/post/{no}"

    return link_of


def _quoted(post: Post, board: str) -> set[int]:
    return {quote["no"] for quote in post.quotes or () if quote.get("board") == board and quote.get("no")}


def quotes_from_others(
    store: Store, board: str, thread_no: int, posts: Sequence[PostHistory]
) -> list[tuple[int, Found]]:
    """The quoted posts of a thread, each with a post of another thread that quotes it."""
    numbers = {history.latest.no for history in posts}
    if not numbers:
        return []
    rows: Iterable[Any]
    if isinstance(store, PostgresStore):
        wanted = f'[{{"board": "{board}", "thread_no": {thread_no}}}]'
        rows = store.rows(
            "SELECT board, thread_no, no, quotes FROM posts WHERE quotes @> CAST(? AS jsonb) AND "
            "NOT (board = ? AND thread_no = ?) ORDER BY board, no LIMIT 1000", wanted, board, thread_no,
        )  # fmt: skip
    else:
        times = [history.latest.posted_at for history in posts]
        rows = store.rows(
            "SELECT board, thread_no, no, quotes FROM posts WHERE board = ? AND posted_at >= ? AND posted_at <= ? AND "
            "thread_no <> ? AND instr(quotes, ?) ORDER BY posted_at LIMIT 1000",
            board, min(times), max(times) + AROUND, thread_no, str(thread_no),
        )  # fmt: skip
    return [
        (quote["no"], (other, other_thread, no))
        for other, other_thread, no, quotes in rows
        for quote in from_json(quotes)
        if quote.get("board") == board and quote.get("no") in numbers
    ]


def _same_file(store: Store, post: Post) -> list[tuple[str, int, int, datetime | None]]:
    """The latest other posts with the same file."""
    if post.file_md5 is None:
        return []
    sql = """
SELECT board, thread_no, no, posted_at FROM posts WHERE file_md5 = ? AND NOT (board = ? AND no = ?)
ORDER BY posted_at DESC LIMIT 100
"""
    return [(board, thread_no, no, moment(posted_at)) for board, thread_no, no, posted_at
            in store.rows(sql, post.file_md5, post.board, post.no)]  # fmt: skip
