"""Simulated boards: posts arrive, threads are bumped and fall off, moderators delete. Sans I/O: time is an argument.

A board lives from its own seeded random numbers, event by event in the order of time, so that what has happened until
a moment never depends on who looked when. Times are seconds since 1970.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log
from random import Random
from typing import Any


@dataclass(slots=True, frozen=True)
class Pace:
    """The behaviour of a board. Probabilities are per post (or thread), times in seconds."""

    posts_a_day: float = 3000
    new_thread: float = 0.02
    with_file: float = 0.3
    sage: float = 0.1
    deleted: float = 0.04
    deleted_soon: float = 0.5
    """The share of the deleted posts that are deleted within about a minute; the others within about an hour."""
    replies_at_start: float = 18
    """The mean over the threads of the board at the start."""
    file_deleted: float = 0.006
    banned: float = 0.004
    thread_deleted: float = 0.03
    wiped: float = 0.0005
    """A wipe deletes all recent posts of one address, and does not change last_modified."""
    archive_seconds: float = 3 * 86400
    archived_at_start: int = 40


@dataclass(slots=True, eq=False)
class Post:
    no: int
    thread: Thread
    time: float
    has_file: bool
    address: int
    deleted_at: float | None = None
    file_deleted_at: float | None = None
    banned_at: float | None = None
    shown: bool = False
    body: bytes | None = None  # the post as JSON, kept until it changes


@dataclass(slots=True, eq=False)
class Thread:
    no: int
    bumped_at: float
    modified_at: float
    sticky: bool = False
    closed: bool = False
    posts: list[Post] = field(default_factory=list)  # also the deleted ones
    shed: int = 0  # oldest replies that a sticky no longer shows
    archived_at: float | None = None
    gone_at: float | None = None
    fate: str = "live"

    def visible(self) -> list[Post]:
        posts = [post for post in self.posts if post.deleted_at is None]
        return posts[:1] + posts[1 + self.shed :] if self.shed else posts


class Board:
    """One board. `advance` it to a time before you read it."""

    def __init__(self, about: dict[str, Any], pace: Pace, seed: int, start: float, boards: list[str]) -> None:
        self.about = about
        self.name: str = about["board"]
        self.pace = pace
        self.seed = seed
        self.boards = boards
        self.random = Random(f"{seed} {self.name}")
        self.now = start
        self.live: list[Thread] = []  # in bump order, stickies first
        self.threads: dict[int, Thread] = {}
        self.archive: list[Thread] = []
        self.posts: dict[int, Post] = {}
        self.last_no = self.random.randrange(100_000, 900_000)
        self.changed_at = self.archive_changed_at = start
        self._events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._fill(start)
        self._at(start + self._until_next_post(), self._arrive)

    @property
    def capacity(self) -> int:
        return int(self.about["pages"] * self.about["per_page"])

    def advance(self, now: float) -> None:
        """Process all events until `now`."""
        while self._events and self._events[0][0] <= now:
            self.now, _, event, arguments = heapq.heappop(self._events)
            event(*arguments)
        self.now = max(self.now, now)

    # --- events

    def _at(self, time: float, event: Any, *arguments: Any) -> None:
        heapq.heappush(self._events, (time, next(self._order), event, arguments))

    def _until_next_post(self) -> float:
        return self.random.expovariate(self.pace.posts_a_day / 86400) if self.pace.posts_a_day else float("inf")

    def _arrive(self) -> None:
        self._at(self.now + self._until_next_post(), self._arrive)
        open_threads = [thread for thread in self.live if not thread.closed]
        if not open_threads or self.random.random() < self.pace.new_thread:
            self.new_thread()
        else:
            # Most replies go to the threads bumped last.
            place = int(self.random.expovariate(8 / len(open_threads))) % len(open_threads)
            self.reply(open_threads[place])

    def new_thread(self, sticky: bool = False) -> Thread:
        post = self._new_post(None)
        thread = post.thread
        thread.sticky = sticky
        self.live.insert(0 if sticky else self._first_unpinned(), thread)
        if not sticky and self.random.random() < self.pace.thread_deleted:
            self._at(self.now + self.random.expovariate(1 / 1200), self.delete_thread, thread)
        while len(self.live) - self._first_unpinned() > self.capacity:
            self.fall_off(self.live[-1])
        self._touch(thread)
        return thread

    def reply(self, thread: Thread) -> Post:
        post = self._new_post(thread)
        replies = len(thread.posts) - 1
        if replies <= self.about["bump_limit"] and not thread.sticky and self.random.random() >= self.pace.sage:
            self.live.remove(thread)
            self.live.insert(self._first_unpinned(), thread)
            thread.bumped_at = self.now
        if thread.sticky:
            thread.shed = max(0, len(thread.visible()) + thread.shed - 1001)
        self._touch(thread)
        return post

    def delete(self, post: Post, touch: bool = True) -> None:
        if post is post.thread.posts[0]:
            self.delete_thread(post.thread)
        elif post.deleted_at is None and post.thread.fate == "live":
            post.deleted_at = self.now
            if touch:
                self._touch(post.thread)

    def move(self, post: Post, thread: Thread) -> None:
        """A moderator moves a reply to another thread, where it keeps its number."""
        if post is not post.thread.posts[0]:
            before, post.thread, post.body = post.thread, thread, None
            before.posts.remove(post)
            insort(thread.posts, post, key=lambda other: other.no)
            self._touch(before)
            self._touch(thread)

    def restore(self, post: Post) -> None:
        post.deleted_at = None
        self._touch(post.thread)

    def delete_file(self, post: Post) -> None:
        if post.has_file and post.deleted_at is None and post.thread.fate == "live":
            post.file_deleted_at = self.now
            post.body = None
            self._touch(post.thread)

    def ban(self, post: Post) -> None:
        if post.deleted_at is None and post.thread.fate == "live":
            post.banned_at = self.now
            post.body = None
            self._touch(post.thread)

    def wipe(self, address: int) -> None:
        for post in itertools.islice(reversed(self.posts.values()), 500):
            if post.address == address and post is not post.thread.posts[0]:
                self.delete(post, touch=False)
        self.changed_at = self.now

    def delete_thread(self, thread: Thread) -> None:
        if thread in self.archive:
            self.archive.remove(thread)
            self.archive_changed_at = self.now
        elif thread.fate != "live":
            return
        for post in thread.posts:
            post.deleted_at = post.deleted_at or self.now
        self._leave(thread, "deleted")

    def fall_off(self, thread: Thread) -> None:
        if not self.about.get("is_archived"):
            self._leave(thread, "pruned")
            return
        self.live.remove(thread)
        self._put_in_archive(thread)
        self.changed_at = self.now

    def _put_in_archive(self, thread: Thread) -> None:
        thread.fate, thread.archived_at, thread.closed = "archived", self.now, True
        self._touch(thread)
        self.archive.append(thread)
        self.archive_changed_at = self.now
        self._at(self.now + self.pace.archive_seconds, self.expire, thread)

    def expire(self, thread: Thread) -> None:
        if thread in self.archive:
            self.archive.remove(thread)
            self.archive_changed_at = self.now
            self._leave(thread, "pruned")

    def _leave(self, thread: Thread, fate: str) -> None:
        if thread in self.live:
            self.live.remove(thread)
        thread.fate, thread.gone_at = fate, self.now
        self.changed_at = self.now

    def _touch(self, thread: Thread) -> None:
        thread.modified_at = self.changed_at = self.now

    def _first_unpinned(self) -> int:
        return next((place for place, thread in enumerate(self.live) if not thread.sticky), len(self.live))

    def _new_post(self, thread: Thread | None) -> Post:
        self.last_no += 1
        if thread is None:
            thread = Thread(self.last_no, self.now, self.now)
            self.threads[thread.no] = thread
        random, pace = self.random, self.pace
        has_file = thread.no == self.last_no or random.random() < pace.with_file
        post = Post(self.last_no, thread, self.now, has_file, random.randrange(400))
        thread.posts.append(post)
        self.posts[post.no] = post
        if post.no != thread.no:
            if random.random() < pace.deleted:
                soon = random.random() < pace.deleted_soon
                age = random.lognormvariate(log(50), 1.1) if soon else random.expovariate(1 / 1800)
                self._at(self.now + age, self.delete, post)
            elif random.random() < pace.wiped:
                self._at(self.now + random.expovariate(1 / 300), self.wipe, post.address)
        if random.random() < pace.file_deleted:
            self._at(self.now + random.expovariate(1 / 900), self.delete_file, post)
        if random.random() < pace.banned:
            self._at(self.now + random.expovariate(1 / 900), self.ban, post)
        return post

    # --- the board at the start

    def _fill(self, start: float) -> None:
        """Fill the board as after a long time: each thread has older posts, and numbers are in the order of time."""
        random = self.random
        archived = self.pace.archived_at_start if self.about.get("is_archived") else 0
        threads = self.capacity + archived
        middle = log(self.pace.replies_at_start) - 1.2**2 / 2
        replies = [min(int(random.lognormvariate(middle, 1.2)), self.about["bump_limit"] + 40) for _ in range(threads)]
        span = max(3600.0, (sum(replies) + threads) / max(self.pace.posts_a_day, 1) * 86400)
        moments: list[tuple[float, int]] = []
        for place, count in enumerate(replies):
            # The last places were bumped longest ago; archived threads come behind them.
            last = start - span * (place / threads) ** 1.5 * 0.9 - random.random() * 5
            first = last - random.random() * span * 0.5 - 60
            moments += [(first, place)] + [(first + (last - first) * random.random(), place) for _ in range(count)]
        moments.sort()
        found: dict[int, Thread] = {}
        for self.now, place in moments:
            self.last_no += random.choices((0, random.randrange(1, 4)), (9, 1))[0]  # posts of threads long gone
            post = self._new_post(found.get(place))
            found[place] = post.thread
            post.thread.bumped_at = post.thread.modified_at = self.now
        self._events = [event for event in self._events if event[0] > start]
        heapq.heapify(self._events)
        for place, thread in found.items():
            if place < self.capacity:
                self.live.append(thread)
        self.live.sort(key=lambda thread: thread.bumped_at, reverse=True)
        for thread in sorted((t for p, t in found.items() if p >= self.capacity), key=lambda t: t.bumped_at):
            self.now = max(thread.bumped_at, start - self.pace.archive_seconds * 0.9)
            self._put_in_archive(thread)
        self.archive.sort(key=lambda thread: thread.archived_at or 0.0)
        self.now = start
        sticky = self.new_thread(sticky=True)
        sticky.closed = True

    def truth(self) -> Iterator[dict[str, Any]]:
        """Every post ever made, its fate, and whether it was in any answer."""
        for post in self.posts.values():
            yield {
                "board": self.name,
                "no": post.no,
                "thread_no": post.thread.no,
                "posted_at": post.time,
                "deleted_at": post.deleted_at,
                "file_deleted_at": post.file_deleted_at,
                "thread_fate": post.thread.fate,
                "gone_at": post.deleted_at or post.thread.gone_at,
                "shown": post.shown,
            }
