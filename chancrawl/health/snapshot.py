"""The numbers of an archive at a moment: boards, feeds of X, crawls, credentials, money, disk."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scrapy.settings import BaseSettings

from chancrawl.arguments import board_names
from chancrawl.health.boards import BoardNumbers, BoardReader
from chancrawl.imageboards.coverage import HOUR, hour_of
from chancrawl.imageboards.stored_coverage import boards_of
from chancrawl.storage import runs
from chancrawl.storage.base import Store, from_json, moment, time_of
from chancrawl.storage.disk import space
from chancrawl.storage.runs import Ended, Run
from chancrawl.storage.sqlite.store import SqliteStore

TABLES = (
    "boards", "posts", "board_polls", "board_hours", "board_coverage", "removed_hours", "feeds", "gaps",
    "account_hours", "runs", "credential_limits", "spending",
)  # fmt: skip
"""The tables that a snapshot reads."""

SPAN = timedelta(hours=24)
"""How far back it goes."""

CLAIMS = "SELECT boards, finished_at, finish_reason FROM runs WHERE boards IS NOT NULL ORDER BY run_id DESC LIMIT 500"
FEEDS = """
SELECT count(*), sum(CASE WHEN complete_since IS NULL THEN 1 ELSE 0 END), max(visited_at),
    sum(CASE WHEN visited_at >= ? THEN 1 ELSE 0 END), (SELECT count(*) FROM gaps WHERE gaps.feed LIKE ?)
FROM feeds WHERE feed LIKE ?
"""
ACCOUNT_HOURS = "SELECT hour, sum(posts) FROM account_hours WHERE hour >= ? GROUP BY hour ORDER BY hour"
LIMITS = """
SELECT credential, endpoint, call_limit, remaining, reset_at, retired, retired_at FROM credential_limits
ORDER BY credential, endpoint
"""
SPENT = "SELECT dollars FROM spending WHERE day = ?"
STATS = "SELECT run_id, stats, finished_at, alive_at FROM runs WHERE run_id > ? ORDER BY run_id"
LATELY = """
SELECT run_id, spider, arguments, alive_at, finished_at, host FROM runs WHERE started_at >= ? AND spider <> 'initdb'
ORDER BY run_id
"""
FEED_KINDS = {"timelines": "timeline:%", "searches": "search:%", "trends": "trend:%"}

SUMMED = {
    "items/post": "posts", "items/tweet": "tweets", "items/deletion": "deletions", "items/revision": "revisions",
    "backoff/refusals": "refusals", "store/outages": "outages",
}  # fmt: skip
"""Stats of crawls that are summed over all of them."""

ANSWERS = "downloader/response_status_count/"


@dataclass(slots=True)
class BoardState:
    """A board: its numbers of the last 24 hours, whether a crawl follows it, and whether one should."""

    board: str
    numbers: BoardNumbers
    followed_since: datetime | None
    """When the crawl began that follows it."""
    is_expected: bool

    @property
    def is_followed(self) -> bool:
        return self.followed_since is not None

    def posts_an_hour(self, now: datetime) -> float:
        """About how many posts it had in the last hour: of the hour before, only what is left of it."""
        by_hour = {hour.start: hour.posts for hour in self.numbers.hours}
        passed = (now - hour_of(now)) / HOUR
        return by_hour.get(hour_of(now), 0) + (1 - passed) * by_hour.get(hour_of(now) - HOUR, 0)


@dataclass(frozen=True, slots=True)
class FeedGroup:
    """The feeds of one kind: how many there are, are not read to their beginning, were read in the last day."""

    kind: str
    feeds: int
    incomplete: int
    read_at: datetime | None
    read_lately: int
    gaps: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A credential at an endpoint."""

    credential: str
    endpoint: str
    limit: int | None
    remaining: int | None
    reset_at: datetime | None
    retired: str | None
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class LostRun:
    """A crawl that ended without notice: it was killed, or its machine is off."""

    run_id: int
    spider: str
    arguments: Mapping[str, Any]
    alive_at: datetime
    host: str


@dataclass(slots=True)
class Snapshot:
    """The numbers at `at`, the time of this machine."""

    at: datetime
    place: str
    boards: list[BoardState] = field(default_factory=list)
    feeds: list[FeedGroup] = field(default_factory=list)
    account_hours: list[tuple[datetime, int]] = field(default_factory=list)
    alive: list[Run] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    lost: list[LostRun] = field(default_factory=list)
    credentials: list[Standing] = field(default_factory=list)
    dollars_today: float = 0.0
    budget: float | None = None
    sums: Counter[str] = field(default_factory=Counter)
    """What all crawls together did, by SUMMED; these numbers never shrink."""
    answers: Counter[str] = field(default_factory=Counter)
    """Answers that they got, by the status."""
    spool_limit: int = 0
    """Megabytes that may wait on disk for the database."""
    disk_free: int | None = None
    disk_size: int | None = None
    log_size: int | None = None
    """Bytes of the write-ahead log of the embedded database."""

    @property
    def spooled_rows(self) -> int:
        """Rows that wait on disk for the database, of all crawls that are alive."""
        return sum(int(run.stats.get("spool/rows") or 0) for run in self.alive)


class Reader:
    """Reads snapshots of one store. What does not change any more is read once."""

    def __init__(self, settings: BaseSettings) -> None:
        self.folder = Path(settings["CSV_FOLDER"])
        self.expected = frozenset(board_names("EXPECT_BOARDS", settings.get("EXPECT_BOARDS", "")))
        self.budget = settings.getfloat("X_DAILY_BUDGET") if settings.get("X_DAILY_BUDGET") else None
        self.spool_limit = int(settings.getfloat("SPOOL_MB"))
        self.board_reader = BoardReader()
        self._runs_read = 0
        self._sums: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._account_hours: dict[datetime, int] = {}

    def read(self, store: Store, now: datetime | None = None) -> Snapshot:
        now = now or datetime.now(UTC)
        found = Snapshot(now, store.place, budget=self.budget, spool_limit=self.spool_limit)
        found.alive = runs.alive(store)
        found.ended = runs.ended(store)
        found.lost = self._lost(store, found, now)
        found.boards = self._boards(store, found.alive, now)
        found.feeds = [group for kind in FEED_KINDS if (group := _feeds(store, kind, now)).feeds]
        found.account_hours = self._hours_of_accounts(store, now)
        found.credentials = [_standing(row) for row in store.rows(LIMITS)]
        for (dollars,) in store.rows(SPENT, now.date().isoformat()):
            found.dollars_today = float(dollars)
        self._add_up(store, found)
        self._look_at_disk(store, found)
        return found

    def _boards(self, store: Store, alive: Sequence[Run], now: datetime) -> list[BoardState]:
        followed = {board: run.started_at for run in alive for board in run.boards}
        expected = set(self.expected)
        decided: set[str] = set()
        for boards, finished_at, reason in store.rows(CLAIMS):  # the latest crawl of a board decides
            for board in set(boards.split(",")) - decided:
                decided.add(board)
                if finished_at is None or reason not in runs.SUCCESSES:
                    expected.add(board)
        since = hour_of(now - SPAN)
        return [
            BoardState(board, self.board_reader.read(store, board, since), followed.get(board), board in expected)
            for board in sorted({*boards_of(store), *expected, *followed} - {""})
        ]

    def _lost(self, store: Store, found: Snapshot, now: datetime) -> list[LostRun]:
        """Crawls of the last week that were killed, and that no crawl with the same arguments has followed."""
        alive = {run.run_id for run in found.alive}
        lost: dict[str, LostRun | None] = {}
        for run_id, spider, arguments, alive_at, finished_at, host in store.rows(LATELY, now - timedelta(days=7)):
            values = from_json(arguments)
            is_lost = finished_at is None and alive_at is not None and run_id not in alive
            key = json.dumps([spider, values], sort_keys=True)
            lost[key] = LostRun(run_id, spider, values, time_of(alive_at), host or "?") if is_lost else None
        return [run for run in lost.values() if run is not None]

    def _hours_of_accounts(self, store: Store, now: datetime) -> list[tuple[datetime, int]]:
        since = hour_of(now - SPAN)
        known = {start: posts for start, posts in self._account_hours.items() if start >= since}
        again = max(known, default=since) - HOUR if known else since
        known |= {time_of(start): int(posts) for start, posts in store.rows(ACCOUNT_HOURS, max(again, since))}
        self._account_hours = known
        return sorted(known.items())

    def _add_up(self, store: Store, found: Snapshot) -> None:
        """Add up the stats of all crawls: those that ended are read once, the others each time."""
        found.sums, found.answers = Counter(self._sums), Counter(self._answers)
        is_settled = True
        for run_id, stats, finished_at, alive_at in store.rows(STATS, self._runs_read):
            values = from_json(stats) if stats is not None else {}
            sums = Counter({name: int(values.get(stat) or 0) for stat, name in SUMMED.items()})
            answers = Counter({
                stat.removeprefix(ANSWERS): int(number) for stat, number in values.items() if stat.startswith(ANSWERS)
            })  # fmt: skip
            found.sums += sums
            found.answers += answers
            is_killed = (moment(alive_at) or found.at) < found.at - timedelta(days=1)
            is_settled = is_settled and (finished_at is not None or is_killed)
            if is_settled:
                self._runs_read = run_id
                self._sums += sums
                self._answers += answers

    def _look_at_disk(self, store: Store, found: Snapshot) -> None:
        with contextlib.suppress(OSError):
            found.disk_size, found.disk_free = space(self.folder)
        if isinstance(store, SqliteStore):
            found.log_size = 0
            with contextlib.suppress(FileNotFoundError):  # it goes when a crawl ends
                found.log_size = store.log.stat().st_size


def _feeds(store: Store, kind: str, now: datetime) -> FeedGroup:
    like = FEED_KINDS[kind]
    ((feeds, incomplete, read_at, lately, gaps),) = store.rows(FEEDS, now - SPAN, like, like)
    return FeedGroup(kind, feeds, incomplete or 0, moment(read_at), lately or 0, gaps)


def _standing(row: Sequence[Any]) -> Standing:
    credential, endpoint, limit, remaining, reset_at, retired, retired_at = row
    reset = datetime.fromtimestamp(reset_at, UTC) if reset_at is not None and 0 < reset_at < 4e9 else None
    return Standing(credential, endpoint, limit, remaining, reset, retired, moment(retired_at))
