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
    """A post with all its versions, the first one first.

    `existed_until` is the last time at which it is known to have existed, `gone_at` when it was first missing: by
    itself, or with its thread.
    """

    versions: Sequence[Post]
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
        seen = [post for post in self.versions if post.last_seen_at is not None and post.last_seen_at <= at]
        return seen[-1] if seen else self.versions[0]


def histories(
    thread: Thread | None, posts: Sequence[Post], revisions: Sequence[Post], watched_until: datetime | None
) -> list[PostHistory]:
    """The posts of a thread in order, each with its earlier versions.

    `watched_until` is the last look at the board. A live thread that had changed would have been read again, so its
    posts were there then.
    """
    earlier: dict[int, list[Post]] = {}
    for post in sorted(revisions, key=lambda post: (post.no, post.revision)):
        earlier.setdefault(post.no, []).append(post)
    return [_history(thread, [*earlier.get(post.no, ()), post], watched_until)
            for post in sorted(posts, key=lambda post: post.no)]  # fmt: skip


def _history(thread: Thread | None, versions: Sequence[Post], watched_until: datetime | None) -> PostHistory:
    post = versions[-1]
    seen = [time for time in (post.last_seen_at, post.first_seen_at, post.posted_at) if time is not None]
    if post.deleted_at is not None:
        return PostHistory(versions, max(seen), post.deleted_at)
    if thread is not None:
        seen += [time for time in (thread.last_seen_at,) if time is not None]
        if thread.fate == "live" and watched_until is not None:
            seen.append(watched_until)
    return PostHistory(versions, max(seen), thread.gone_at if thread is not None else None)
