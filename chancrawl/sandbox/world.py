"""Living boards: posts arrive, threads bump and fall off, moderators delete. Pure: time is an argument.

A board lives from its own seeded random numbers, event by event in the order of time, so that what has happened until
a moment never depends on who looked when. Times are seconds since 1970.
"""

from __future__ import annotations

import heapq
import itertools
import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chancrawl.sandbox import words


@dataclass(slots=True, frozen=True)
class Pace:
    """How a board lives. Chances are for each post (or thread), times in seconds."""

    posts_a_day: float = 3000
    new_thread: float = 0.02
    with_file: float = 0.3
    sage: float = 0.1
    deleted: float = 0.04
    deleted_soon: float = 0.5
    """How many of the deleted posts are deleted within about a minute; the others within about an hour."""
    file_deleted: float = 0.006
    banned: float = 0.004
    thread_deleted: float = 0.03
    wiped: float = 0.0005
    """A wipe takes every recent post of one address, and does not touch last_modified."""
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
    """One board: `advance` it to a time, then read its files."""

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
        self.changed_at = start
        self._events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._fill(start)
        self._at(start + self._until_next_post(), self._arrive)

    @property
    def capacity(self) -> int:
        return int(self.about["pages"] * self.about["per_page"])

    def advance(self, now: float) -> None:
        """Let everything happen that happens until `now`."""
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
        if thread.fate == "live":
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
        self._at(self.now + self.pace.archive_seconds, self._expire, thread)

    def _expire(self, thread: Thread) -> None:
        self.archive.remove(thread)
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
                self._at(self.now + random.expovariate(1 / (40 if soon else 1800)), self.delete, post)
            elif random.random() < pace.wiped:
                self._at(self.now + random.expovariate(1 / 300), self.wipe, post.address)
        if random.random() < pace.file_deleted:
            self._at(self.now + random.expovariate(1 / 900), self.delete_file, post)
        if random.random() < pace.banned:
            self._at(self.now + random.expovariate(1 / 900), self.ban, post)
        return post

    # --- the board as it is found

    def _fill(self, start: float) -> None:
        """A full board, as if it had lived for long: every thread with its past, numbers in the order of time."""
        random = self.random
        archived = self.pace.archived_at_start if self.about.get("is_archived") else 0
        threads = self.capacity + archived
        replies = [min(int(random.lognormvariate(2.2, 1.2)), self.about["bump_limit"] + 40) for _ in range(threads)]
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

    # --- its files

    def read(self, file: str) -> tuple[bytes, float] | None:
        """A file by its name in the board's folder, with its time of change; None if there is none."""
        stem, _, _ = file.partition(".")
        match stem.split("/"):
            case ["threads"]:
                return self.threads_json(), self.changed_at
            case ["catalog"]:
                return self.catalog_json(), self.changed_at
            case ["archive"] if self.about.get("is_archived"):
                return self.archive_json(), self.changed_at
            case [number] if number.isdigit() and (body := self.page_json(int(number))) is not None:
                return body, self.changed_at
            case ["thread", name]:
                no, dash, tail = name.partition("-")
                thread = self.threads.get(int(no)) if no.isdigit() else None
                if thread is None or thread.fate in ("deleted", "pruned") or tail not in ("", "tail"):
                    return None
                body = self.thread_json(thread, tail=bool(dash))
                return None if body is None else (body, thread.modified_at)
        return None

    def index_entries(self) -> list[list[Thread]]:
        """The live threads by pages. A sticky takes no place from the others, so the last page can be short."""
        size = self.about["per_page"]
        return [self.live[i : i + size] for i in range(0, len(self.live), size)]

    def threads_json(self) -> bytes:
        return json.dumps([
            {"page": number, "threads": [
                {"no": t.no, "last_modified": int(t.modified_at), "replies": len(t.visible()) - 1} for t in page
            ]} for number, page in enumerate(self.index_entries(), 1)
        ]).encode()  # fmt: skip

    def catalog_json(self) -> bytes:
        pages = []
        for number, page in enumerate(self.index_entries(), 1):
            threads = b",".join(self._catalog_thread(thread) for thread in page)
            pages.append(b'{"page":%d,"threads":[%s]}' % (number, threads))
        return b"[" + b",".join(pages) + b"]"

    def _catalog_thread(self, thread: Thread) -> bytes:
        posts = thread.visible()
        last = posts[1:][-5:]
        opening = self._opening(thread, posts)
        opening |= {
            "omitted_posts": len(posts) - 1 - len(last),
            "omitted_images": sum(1 for post in posts[1:-5] if post.has_file),
            "last_modified": int(thread.modified_at),
        }
        replies = b",".join(self.body_of(post) for post in last)
        return json.dumps(opening).encode()[:-1] + b',"last_replies":[' + replies + b"]}"

    def page_json(self, number: int) -> bytes | None:
        pages = self.index_entries()
        if not 1 <= number <= len(pages):
            return None
        threads = []
        for thread in pages[number - 1]:
            posts = thread.visible()
            last = posts[1:][-5:]
            opening = self._opening(thread, posts) | {"omitted_posts": len(posts) - 1 - len(last), "omitted_images": 0}
            bodies = [json.dumps(opening).encode(), *(self.body_of(post) for post in last)]
            threads.append(b'{"posts":[' + b",".join(bodies) + b"]}")
        return b'{"threads":[' + b",".join(threads) + b"]}"

    def archive_json(self) -> bytes:
        return json.dumps([thread.no for thread in self.archive]).encode()

    def thread_json(self, thread: Thread, tail: bool = False) -> bytes | None:
        posts = thread.visible()
        size = self._tail_size(posts)
        if tail and not size:
            return None
        opening = self._opening(thread, posts)
        replies = posts[1:]
        if tail:
            replies = replies[-size:]
            opening = {key: opening[key] for key in ("no", "resto", "replies", "images", "bumplimit", "imagelimit")}
            opening["tail_id"] = posts[-size - 1].no
        bodies = [json.dumps(opening).encode(), *(self.body_of(post) for post in replies)]
        for post in (posts[0], *replies):
            post.shown = True
        return b'{"posts":[' + b",".join(bodies) + b"]}"

    def _tail_size(self, posts: list[Post]) -> int:
        return 50 if len(posts) > 100 else 0

    def body_of(self, post: Post) -> bytes:
        """A post as JSON. Looking at it is what shows it."""
        post.shown = True
        if post.body is None:
            place = bisect_left(post.thread.posts, post.no, key=lambda other: other.no)
            earlier = [other.no for other in post.thread.posts[max(0, place - 6) : place]]
            raw = words.post(
                self.seed, self.about, post.no, post.thread.no, post.time, earlier, self.boards, post.has_file
            )
            if post.file_deleted_at is not None:
                for key in ("filename", "ext", "w", "h", "tn_w", "tn_h", "tim", "md5", "fsize", "m_img"):
                    raw.pop(key, None)
                raw["filedeleted"] = 1
            if post.banned_at is not None:
                note = '<b style="color:red;">(USER WAS BANNED FOR THIS POST)</b>'
                raw["com"] = raw.get("com", "") + "<br><br>" + note
            post.body = json.dumps(raw).encode()
        return post.body

    def _opening(self, thread: Thread, posts: list[Post]) -> dict[str, Any]:
        raw: dict[str, Any] = json.loads(self.body_of(thread.posts[0]))
        replies = len(posts) - 1
        images = sum(1 for post in posts[1:] if post.has_file and post.file_deleted_at is None)
        if thread.sticky:
            raw["sticky"] = 1
        if thread.closed:
            raw["closed"] = 1
        if thread.archived_at is not None:
            raw |= {"archived": 1, "archived_on": int(thread.archived_at)}
        raw |= {
            "bumplimit": int(replies >= self.about["bump_limit"]),
            "imagelimit": int(images >= self.about["image_limit"]),
            "semantic_url": "-".join(raw.get("sub", "thread").lower().split()[:3]),
            "replies": replies,
            "images": images,
        }
        if size := self._tail_size(posts):
            raw["tail_size"] = size
        return raw

    def truth(self) -> Iterator[dict[str, Any]]:
        """Every post ever made, its fate, and whether anybody was shown it."""
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


def about(board: str, title: str, **more: Any) -> dict[str, Any]:
    """An entry of boards.json."""
    return {
        "board": board,
        "title": title,
        "ws_board": 1,
        "per_page": 15,
        "pages": 10,
        "max_filesize": 4194304,
        "max_webm_filesize": 3145728,
        "max_comment_chars": 2000,
        "max_webm_duration": 120,
        "bump_limit": 310,
        "image_limit": 150,
        "cooldowns": {"threads": 600, "replies": 60, "images": 60},
        "meta_description": f"&quot;/{board}/ - {title}&quot; is a board of the sandbox.",
        **more,
    }


BOARDS = (
    (about("po", "Papercraft &amp; Origami", is_archived=1, spoilers=1), Pace()),
    (about("g", "Gardening", is_archived=1, code_tags=1), Pace(posts_a_day=22_000, new_thread=0.01)),
    (
        about("pol", "Post Office Lobby", is_archived=1, per_page=20, bump_limit=300, user_ids=1, country_flags=1,
              board_flags=dict(words.FLAGS)),
        Pace(posts_a_day=150_000, new_thread=0.008),
    ),
    (about("b", "Bakery", per_page=15, bump_limit=300, forced_anon=1), Pace(posts_a_day=90_000, new_thread=0.012)),
    (about("int", "Interrail", is_archived=1, country_flags=1), Pace(posts_a_day=18_000, new_thread=0.01)),
    (about("qst", "Quilting", sjis_tags=1), Pace(posts_a_day=900)),
    (about("wsr", "Window Sill Recipes", is_archived=1, pages=2), Pace(posts_a_day=90)),
)  # fmt: skip


class World:
    """All boards of the sandbox, made when they are first asked for.

    `index_seconds`: index files are rebuilt only so often, as they may be on the real site.
    """

    def __init__(self, seed: int = 1, start: float = 0.0, boards: Any = BOARDS, index_seconds: float = 0.0) -> None:
        self.seed = seed
        self.start = start
        self.index_seconds = index_seconds
        self.descriptions = {entry["board"]: (entry, pace) for entry, pace in boards}
        self.boards: dict[str, Board] = {}
        self._built: dict[str, tuple[float, tuple[bytes, float] | None]] = {}

    def board(self, name: str, now: float) -> Board | None:
        if name not in self.descriptions:
            return None
        if name not in self.boards:
            entry, pace = self.descriptions[name]
            self.boards[name] = Board(entry, pace, self.seed, self.start, list(self.descriptions))
        board = self.boards[name]
        board.advance(now)
        return board

    def read(self, path: str, now: float) -> tuple[bytes, float] | None:
        """A file of the API by its path (`/po/threads.json`), with its time of change; None if there is none."""
        name, _, file = path.strip("/").partition("/")
        if name == "boards.json":
            return json.dumps({"boards": [entry for entry, _ in self.descriptions.values()]}).encode(), self.start
        board = self.board(name, now)
        if board is None or not file.endswith(".json"):
            return None
        if not self.index_seconds or file.startswith("thread/"):
            return board.read(file)
        built_at, answer = self._built.get(path, (0.0, None))
        if now >= built_at + self.index_seconds:
            answer = board.read(file)
            self._built[path] = now, answer
        return answer

    def truth(self) -> Iterator[dict[str, Any]]:
        for board in self.boards.values():
            yield from board.truth()

    # --- moderation by hand, for tests and for the curious

    def act(self, now: float, do: str, board: str, no: int = 0, count: int = 1) -> dict[str, Any]:
        """Make something happen now. `no` is a post or, for reply and delete_thread, a thread; see ACTIONS."""
        found = self.board(board, now)
        if found is None or do not in ACTIONS:
            raise ValueError(f"there is no board {board}, or no action {do} (there are {', '.join(ACTIONS)})")
        if do == "new_thread":
            return {"no": found.new_thread().no}
        if do in ("reply", "delete_thread", "fall_off"):
            thread = found.threads[no]
            if do == "reply":
                return {"nos": [found.reply(thread).no for _ in range(count)]}
            (found.delete_thread if do == "delete_thread" else found.fall_off)(thread)
        else:
            getattr(found, do)(found.posts[no])
        return {"no": no}


ACTIONS = ("new_thread", "reply", "delete", "restore", "delete_file", "ban", "delete_thread", "fall_off")
