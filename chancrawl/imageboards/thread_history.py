"""A thread as it stood at some time: which posts were there, which were gone, and which are not known. Sans I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from chancrawl.items import Post, Thread


class State(Enum):
    """Whether a post was there at a time."""

    THERE = "there"
    GONE = "gone"
    UNKNOWN = "not known"
    """Between the last proof that it was there and the first look that missed it."""


@dataclass(frozen=True, slots=True)
class PostHistory:
    """A post with all its versions, the first one first, and when each was first seen (the first one counts always).

    `existed_until` is the last time at which it is known to have existed, `gone_at` when it was first missing: by
    itself, or with its thread.
    """

    versions: Sequence[Post]
    since: Sequence[datetime | None]
    existed_until: datetime
    gone_at: datetime | None

    @property
    def latest(self) -> Post:
        return self.versions[-1]

    def state(self, at: datetime) -> State | None:
        """Its state at a time; None before it was made."""
        if at < self.latest.posted_at:
            return None
        if at <= self.existed_until:
            return State.THERE
        return State.GONE if self.gone_at is not None and at >= self.gone_at else State.UNKNOWN

    def version(self, at: datetime) -> Post:
        """The version that was seen last before a time, or else the first one that was seen."""
        seen = [post for post, since in zip(self.versions, self.since, strict=True) if since is None or since <= at]
        return seen[-1]


def histories(
    thread: Thread | None, posts: Sequence[Post], revisions: Sequence[tuple[Post, datetime]]
) -> list[PostHistory]:
    """The posts of a thread in order. `revisions` are their earlier versions, each with the time of its successor.

    A post without a deletion existed at least until its thread was seen last.
    """
    earlier: dict[int, list[tuple[Post, datetime]]] = {}
    for post, replaced_at in sorted(revisions, key=lambda pair: (pair[0].no, pair[0].revision)):
        earlier.setdefault(post.no, []).append((post, replaced_at))
    return [_history(thread, earlier.get(post.no, []), post) for post in sorted(posts, key=lambda post: post.no)]


def _history(thread: Thread | None, earlier: Sequence[tuple[Post, datetime]], post: Post) -> PostHistory:
    versions = [*(version for version, _ in earlier), post]
    since = [None, *(replaced_at for _, replaced_at in earlier)]
    seen = [time for time in (post.last_seen_at, post.first_seen_at, post.posted_at) if time is not None]
    if post.deleted_at is not None:
        return PostHistory(versions, since, max(seen), post.deleted_at)
    if thread is not None and thread.last_seen_at is not None:
        seen.append(thread.last_seen_at)
    return PostHistory(versions, since, max(seen), thread.gone_at if thread is not None else None)
