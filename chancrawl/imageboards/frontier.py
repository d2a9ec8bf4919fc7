"""Chooses the next request of a crawl that follows boards. Sans I/O.

Each request has a worth, the number of posts that would be lost without it, and a price, one request and its bytes.
Posts are lost when moderators delete them, mostly within minutes, and when threads fall off the end of the board.

- An index file shows `gain` new posts per second. If it is not read for a time t, gain * t posts are unseen, and each
  can be deleted before it is seen. The expected loss since the last reading is hazard * gain * t^2 / 2. To request the
  file with the largest such area is the index policy for polling under a budget (Whittle, Restless bandits, 1988).
  It requests boards in proportion to the square root of their pace. The gain of each file is learned from what it
  showed.
- Posts that an index counted and did not show (more than the last five replies of a thread) are pending until their
  thread is read. So are deletions that only the counts show, and threads that are no longer in the index.
- The backlog (posts made before the crawl began) is read when no other request is worth its price. Threads that are
  about to fall off the end of a board are read first.

`now` is the local monotonic clock, which times the requests. `at` is the server's clock, which payloads use. Both are
in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chancrawl.imageboards.board_state import (
    BYTES_PER_REQUEST,
    FRESH,
    NEVER,
    PROOF_HOLDS,
    Asked,
    BoardState,
    IndexFile,
    TrackedThread,
)
from chancrawl.imageboards.lifecycle import ARCHIVE_KEEPS
from chancrawl.imageboards.pace import Clock

WORTHWHILE = 0.0045
"""How many posts a request has to save, for each unit of its price."""

DELETION = 1e-4
"""The worth, in posts, of knowing a deletion one second earlier."""

GONE = 30.0
"""Seconds after which a thread that is in no index is requested."""

GUESS = WORTHWHILE / 200
"""How many posts a thread request has to save while the index lags. It is low, because requests are left over then."""

STARVING = 3e-5
"""How fast the worth of the next archived thread grows, in posts a second."""

ARCHIVE_TRIES = 4
"""How often a thread of the archive is requested if it is not there or cannot be read."""


@dataclass(slots=True, frozen=True)
class Fetch:
    """One request: an index file of a board (catalog, threads, archive, or a page by its number), or a thread."""

    board: str
    what: str
    no: int = 0

    @property
    def is_thread(self) -> bool:
        return self.what in ("thread", "tail")

    @property
    def may_be_missing(self) -> bool:
        """Whether a 404 is normal: a board that is not full has fewer pages."""
        return self.what.isdigit() and self.what != "1"


@dataclass(slots=True, frozen=True)
class Idle:
    """No request is worth its price before this time of the local clock."""

    until: float


class Frontier:
    """`next` returns the request to make. `answered`, `read`, `failed` and others report its result."""

    def __init__(self, index_interval: float, thread_interval: float, delay: float) -> None:
        self.index_interval = index_interval
        self.thread_interval = thread_interval * 1.01  # margin for clock resolution
        self.delay = delay
        self.clock = Clock()
        self.boards: dict[str, BoardState] = {}
        self._best_threads: dict[str, tuple[float, list[tuple[float, float, TrackedThread]]]] = {}

    def add(self, board: BoardState) -> None:
        self.boards[board.name] = board

    # --- what to request

    def next(self, now: float) -> Fetch | Idle:
        """The request that is worth most now, which then counts as sent; or Idle until the next one is due."""
        best: tuple[float, Fetch] | None = None
        soonest = now + 60.0
        for board in self.boards.values():
            for worth, due, fetch in self._choices(board, now):
                if due > now:
                    soonest = min(soonest, due)
                elif best is None or worth > best[0]:
                    best = worth, fetch
        if best is None:
            return Idle(soonest)
        self._mark(best[1], now)
        return best[1]

    def _choices(self, board: BoardState, now: float) -> Iterator[tuple[float, float, Fetch]]:
        """Each possible request of a board, as (worth minus price, time when due, request)."""
        for file in board.files_to_ask_for():
            if not file.in_flight:
                worth, due = self._file(board, file, now)
                asked = max(file.asked_now, board.files["catalog"].asked_now)
                due = min(due, asked + 3600.0) if asked > NEVER else due  # in case the server's clock is wrong
                yield (
                    worth,
                    max(due, file.not_before, file.asked_now + self.index_interval),
                    Fetch(board.name, file.what),
                )
        for worth, due, thread in self._threads(board, now):
            if not thread.in_flight:
                ready = max(due, thread.not_before, thread.asked_now + self.thread_interval)
                yield worth, ready, Fetch(board.name, self._form(thread), thread.no)
                if ready <= now:
                    break  # the others are worth less
        if board.archived:
            due = board.archived_now + self._archive_pace(board)
            overdue = max(now - due, 0.0) * self.clock.speed
            yield STARVING * overdue - WORTHWHILE, due, Fetch(board.name, "thread", next(iter(board.archived)))

    def _file(self, board: BoardState, file: IndexFile, now: float) -> tuple[float, float]:
        speed = self.clock.speed
        at = self.clock.at(now)
        if file.what == "archive":
            if file.shown_at == NEVER:
                return 0.0, now if board.is_listed else math.inf
            return 0.0, now + (file.shown_at + 3600 - at) / speed
        shown = board.shown_at(file.what)
        if shown == NEVER:
            if file.what == "catalog":
                return math.inf, now
            stands_in = board.is_down("catalog") and (file.what in ("1", "threads") or board.is_down("threads"))
            return 1e9, now if stands_in else math.inf
        # threads.json replaces a catalog that cannot be read: it shows which posts are missing and which threads gone.
        gain = board.gain(board.files["catalog"] if file.what == "threads" and board.is_down("catalog") else file)
        price = file.price()
        extra = price - (board.files["1"].price() if file.what == "catalog" else 0.0)
        ripe = shown + math.sqrt(2 * WORTHWHILE * max(extra, 0.1) / (board.hazard() * gain))
        if file.rebuilt_every:
            ripe = max(ripe, file.modified + file.rebuilt_every)
        worth = board.hazard() * gain * (at - shown) ** 2 / 2
        if file.what == "catalog":
            for what in ("1", "2"):
                worth += board.hazard() * board.gain(board.files[what]) * (at - board.shown_at(what)) ** 2 / 2
        return worth - WORTHWHILE * price, now + (ripe - at) / speed

    def _threads(self, board: BoardState, now: float) -> list[tuple[float, float, TrackedThread]]:
        """The requests for a board's threads, best first. Computed again after each answer, and after 5 delays."""
        until, weighed = self._best_threads.get(board.name, (NEVER, []))
        if now >= until:
            at = self.clock.at(now)
            threads = board.threads if board.is_lagging else board.pending
            found = (self._thread(board, thread, at, now) for thread in threads.values())
            weighed = sorted((choice for choice in found if choice[1] < math.inf), key=lambda choice: -choice[0])
            self._best_threads[board.name] = now + 5 * self.delay, weighed
        return weighed

    def _thread(
        self, board: BoardState, thread: TrackedThread, at: float, now: float
    ) -> tuple[float, float, TrackedThread]:
        """The request for a thread, as (worth minus price, time when due, thread)."""
        waited = max(at - thread.pending_since, 0.0)
        size = 2_000 + 100 * (50 if self._form(thread) == "tail" else thread.replies)
        price = 1 + size / BYTES_PER_REQUEST
        worth = 0.0
        due = math.inf
        if thread.missing or thread.doubtful:
            fresh = thread.missing - thread.backlog if thread.missing else 0.05
            worth += board.hazard() * fresh * (FRESH + waited)
            if thread.backlog:
                danger = (
                    (FRESH + waited) / board.time_left(thread)
                ) ** 2  # grows, so that each thread is read some time
                young = min(30 * board.rate(thread, at), 1.0)  # unseen posts of a busy thread are new
                worth += max(thread.backlog * danger, WORTHWHILE * (0.5 + 1.5 * young))
            due = now
        if thread.excess:
            worth += DELETION * thread.excess * waited
            due = min(due, now + (WORTHWHILE * price / (DELETION * thread.excess) - waited) / self.clock.speed)
        if thread.gone_at is not None:
            fell_off = thread.position >= 0.8 * board.capacity
            worth += DELETION * (0.3 if fell_off else 3) * (at - thread.gone_at)
            due = min(due, now + max(thread.gone_at + GONE - at, 0.0) / self.clock.speed)
        elif board.is_lagging and (rate := board.rate(thread, at)) > 0:
            worth += board.hazard() * rate * max(at - thread.shown_at, 0.0) ** 2 / 2
            ripe = thread.shown_at + math.sqrt(2 * GUESS / (board.hazard() * rate))
            due = min(due, now + max(ripe - at, 0.0) / self.clock.speed)
        return worth - WORTHWHILE * price, due, thread

    def _form(self, thread: TrackedThread) -> str:
        few = thread.missing <= 40 and not (thread.backlog or thread.excess or thread.doubtful)
        return "tail" if thread.has_tail and few and thread.gone_at is None else "thread"

    def _archive_pace(self, board: BoardState) -> float:
        """Seconds between two threads of an archive: slow, but fast enough to read all before they expire."""
        return min(60.0, ARCHIVE_KEEPS.total_seconds() / 4 / len(board.archived)) / self.clock.speed

    def _mark(self, fetch: Fetch, now: float) -> None:
        board = self.boards[fetch.board]
        if not fetch.is_thread:
            board.file(fetch.what).sent(now)
            return
        if fetch.no in board.archived:
            board.archived_sent(fetch.no, now)
        thread = board.threads.get(fetch.no)
        if thread is not None:
            thread.sent(now)

    # --- results of requests

    def synchronise(self, now: float, at: float) -> None:
        """Set the clock from an answer: at local time `now` the server's time was `at`."""
        jump = self.clock.synchronise(now, at)
        if jump:
            for board in self.boards.values():
                board.shift(jump)

    def read(
        self,
        fetch: Fetch,
        now: float,
        at: float,
        modified: float | None,
        size: int | None,
        oldest_change: float | None = None,
    ) -> None:
        """An index file was answered with `size` bytes, or None for unchanged.

        `oldest_change` is the time of the first change since the file's last version, if the file shows one.
        """
        self.synchronise(now, at)
        board, file = self.boards[fetch.board], self.boards[fetch.board].file(fetch.what)
        modified = at if modified is None else modified
        catalog = board.files["catalog"]
        if catalog.rebuilt_every and fetch.what in ("1", "2") and modified < catalog.modified + 2:
            file.not_before = now + PROOF_HOLDS / self.clock.speed  # all are rebuilt at once; the catalog has more
        if size is None:
            file.unchanged(at, modified, self.index_interval * self.clock.speed / 2)
        else:
            file.changed(at, modified, size, oldest_change)
        board.index_read()
        self._best_threads.pop(board.name, None)

    def archived(self, board: BoardState, nos: Iterable[int], now: float) -> None:
        """Set the threads of an archive to read, the first to expire first."""
        board.begin_archive(nos)
        board.archived_now = max(board.archived_now, now - self._archive_pace(board)) if board.archived else NEVER

    def mark_pending(self, board: BoardState, thread: TrackedThread) -> None:
        """Update whether a thread is pending, and compute the worth of the board's threads again."""
        board.mark_pending(thread)
        self._best_threads.pop(board.name, None)

    def answered(self, fetch: Fetch, now: float, at: float) -> None:
        """A request for a thread was answered."""
        self.synchronise(now, at)
        thread = self.boards[fetch.board].threads.get(fetch.no)
        if thread is not None:
            thread.answered(now)
        self._best_threads.pop(fetch.board, None)

    def settled(self, fetch: Fetch) -> None:
        """A thread of the archive was read, or is known to be gone."""
        self.boards[fetch.board].archived_tries.pop(fetch.no, None)

    def not_there(self, fetch: Fetch) -> bool:
        """A thread that the archive lists was not there. Returns whether it will be requested again.

        An archive list that has not changed is not read again. Without these tries, a page that was missing for a
        moment would never be read.
        """
        board = self.boards[fetch.board]
        tries = board.archived_tries.pop(fetch.no, ARCHIVE_TRIES)
        if tries < ARCHIVE_TRIES:
            board.archived[fetch.no] = tries  # behind all others
        return tries < ARCHIVE_TRIES

    def put_off(self, fetch: Fetch, now: float) -> None:
        """The request or its answer could not be handled now. It is requested again and does not count as failed."""
        target = self._target(fetch)
        if target is not None:
            target.answered(now)
        elif fetch.is_thread:
            board = self.boards[fetch.board]
            board.archived[fetch.no] = board.archived_tries.pop(fetch.no, 1) - 1  # behind all others
        self._best_threads.pop(fetch.board, None)

    def refused(self, fetch: Fetch, now: float) -> None:
        """The site did not answer, or not with a file. A thread does not count as failed.

        An index file waits a little, so that others are requested first: perhaps only this file is not available.
        """
        self.put_off(fetch, now)
        if not fetch.is_thread:
            self._fail(fetch, now, longest=30 * self.delay)

    def failed(self, fetch: Fetch, now: float) -> bool:
        """An answer could not be used. The next request waits longer each time. Returns False if there is none."""
        target = self._target(fetch)
        if target is None:
            return self.not_there(fetch)
        self.put_off(fetch, now)
        self._fail(fetch, now, longest=(600 if fetch.is_thread else 60) * self.delay)
        return True

    def _fail(self, fetch: Fetch, now: float, longest: float) -> None:
        target = self._target(fetch)
        assert target is not None
        target.failed(now, self.thread_interval if fetch.is_thread else self.index_interval, longest)

    def _target(self, fetch: Fetch) -> Asked | None:
        board = self.boards[fetch.board]
        return board.threads.get(fetch.no) if fetch.is_thread else board.file(fetch.what)
