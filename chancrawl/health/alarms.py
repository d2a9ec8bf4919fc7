"""What is wrong, in words, the worst first. Sans I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from math import log
from typing import Any

from chancrawl.frames import duration
from chancrawl.health.boards import coverage
from chancrawl.health.snapshot import BoardState, Snapshot, Standing
from chancrawl.imageboards.coverage import HOUR, hour_of
from chancrawl.storage import runs
from chancrawl.storage.sqlite.connection import WAL_LIMIT
from chancrawl.text import visible

UNREAD = timedelta(minutes=10)
"""A board that should be followed and was not read for so long is an alarm."""

SURPRISE = -log(1e-6)
"""So many posts are expected in the longest silence that is still chance: it is one in a million."""

FEWEST_MISSING = 20
LOWEST_COVERAGE = 0.95
FULLEST_SPOOL = 0.8
FULLEST_DISK = 0.95
SMALLEST_FREE = 1_000_000_000
NEAR_BUDGET = 0.9


class Severity(IntEnum):
    """How bad it is."""

    NOTE = 1
    WARNING = 2
    FAILURE = 3


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong: of which kind, with what, since when."""

    name: str
    subject: str
    severity: Severity
    since: datetime
    sentence: str
    cause: tuple[str, str] | None = None
    """The key of the alarm that explains this one."""

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.subject


NAMES = (
    "board_unread", "board_silent", "coverage_fell", "crawl_lost", "crawl_failed", "credential_refused", "budget_near",
    "spool_fills", "disk_fills", "log_grows", "store_away",
)  # fmt: skip
"""All kinds of alarms."""


def alarms_of(snapshot: Snapshot) -> list[Alarm]:
    """What is wrong, the worst first."""
    crawls = list(_of_crawls(snapshot))
    causes = {board: alarm.key for alarm, boards in crawls for board in map(str.strip, boards.split(","))}
    found = [
        *(alarm for board in snapshot.boards for alarm in _of_board(board, snapshot.at, causes)),
        *(alarm for alarm, _ in crawls),
        *_of_credentials(snapshot),
        *_of_money(snapshot),
        *_of_disks(snapshot),
    ]
    return sorted(found, key=lambda alarm: (-alarm.severity, alarm.cause is not None, alarm.since, alarm.key))


def away(place: str, since: datetime, reason: str) -> Alarm:
    """The alarm for a store that cannot be read."""
    return Alarm("store_away", "", Severity.FAILURE, since, f"{place} cannot be read: {reason}.")


def worst_first(boards: list[BoardState], alarms: list[Alarm]) -> list[BoardState]:
    """Boards in the order of what is wrong with them, then of what they miss."""
    severity: dict[str, int] = {}
    for alarm in alarms:
        if alarm.name in ("board_unread", "board_silent", "coverage_fell"):
            severity[alarm.subject] = max(severity.get(alarm.subject, 0), alarm.severity)

    def rank(board: BoardState) -> tuple[float, ...]:
        share = coverage(board.numbers.hours)
        return -severity.get(board.board, 0), not board.is_followed, 1.0 if share is None else share

    return sorted(boards, key=lambda board: (*rank(board), board.board))


def _of_board(board: BoardState, now: datetime, causes: Mapping[str, tuple[str, str]]) -> Iterator[Alarm]:
    numbers = board.numbers
    if board.is_expected:
        read_at = numbers.polled_at
        since = max(filter(None, (read_at, board.followed_since)), default=None)  # a crawl that began just now reads it
        if since is None or now - since > UNREAD:
            since = read_at or board.followed_since or now
            cause = None if board.is_followed else causes.get(board.board, causes.get("all"))
            what = f"has not been read for {_ago(now - since)}" if read_at else "has never been read"
            why = "the crawl that followed it ended" if cause else "no crawl follows it"
            sentence = f"/{board.board}/ {what}{'' if board.is_followed else f': {why}'}."
            yield Alarm("board_unread", board.board, Severity.FAILURE, since, sentence, cause)
        elif silence := _silence(board, now):
            yield Alarm("board_silent", board.board, Severity.WARNING, now - silence,
                        f"/{board.board}/ is read, and had no new post for {_ago(silence)}, longer than its pace "
                        "explains.")  # fmt: skip
    if board.is_followed:
        lately = [hour for hour in numbers.since(hour_of(now) - 2 * HOUR) if hour.start < hour_of(now)]
        share, missing = coverage(lately), sum(hour.missing or 0 for hour in lately)
        if share is not None and share < LOWEST_COVERAGE and missing >= FEWEST_MISSING:
            yield Alarm("coverage_fell", board.board, Severity.WARNING, lately[0].start,
                        f"/{board.board}/: {missing:,} of the posts of the last hours are missing; {share:.0%} are "
                        "stored.")  # fmt: skip


def _silence(board: BoardState, now: datetime) -> timedelta | None:
    """How long a board has had no post, if that is longer than its slowest hour of the day explains."""
    hours = [hour.posts for hour in board.numbers.hours if hour.posts and hour.start < hour_of(now)]
    if not hours or board.numbers.posted_at is None:
        return None
    silence = now - board.numbers.posted_at
    return silence if silence > UNREAD and min(hours) * (silence / HOUR) > SURPRISE else None


def _of_crawls(snapshot: Snapshot) -> Iterator[tuple[Alarm, str]]:
    """The alarms of crawls, each with the boards of the crawl."""
    told = {subject_of(run.spider, run.arguments) for run in snapshot.alive}
    for run in snapshot.lost:
        subject = subject_of(run.spider, run.arguments)
        told.add(subject)
        sentence = (f"The crawl {described(run.spider, run.arguments)} (run {run.run_id} on {visible(run.host)}) ended "
                    "without notice: it was killed, or the machine is off. Start it again.")  # fmt: skip
        yield (
            Alarm("crawl_lost", subject, Severity.FAILURE, run.alive_at, sentence),
            str(run.arguments.get("board", "")),
        )
    for end in snapshot.ended:  # the last crawl with the same arguments decides
        subject = subject_of(end.spider, end.arguments)
        is_good = end.reason in runs.SUCCESSES or snapshot.at - end.finished_at > 7 * 24 * HOUR
        if not is_good and subject not in told:
            severity = Severity.NOTE if end.reason == "incomplete" else Severity.FAILURE
            sentence = (
                f"The crawl {described(end.spider, end.arguments)} ended with {visible(end.reason)}; its log says why."
            )
            yield (
                Alarm("crawl_failed", subject, severity, end.finished_at, sentence),
                str(end.arguments.get("board", "")),
            )
        told.add(subject)


def described(spider: str, arguments: Mapping[str, Any]) -> str:
    """A crawl in words, without names of people.

    >>> described("chan", {"board": "po", "follow": "1"}), described("timeline", {"handles": "nasa"})
    ('chan board=po', 'timeline')
    """
    board = arguments.get("board")
    return f"{spider} board={visible(str(board))[:60]}" if board else spider


def subject_of(spider: str, arguments: Mapping[str, Any]) -> str:
    """A crawl as the subject of an alarm: different for other arguments, of which it shows no name of a person."""
    text = json.dumps(arguments, sort_keys=True, default=str)
    return f"{described(spider, arguments)} {hashlib.sha256(text.encode()).hexdigest()[:4]}"


def _of_credentials(snapshot: Snapshot) -> Iterator[Alarm]:
    refused: dict[str, list[Standing]] = {}
    for standing in snapshot.credentials:
        if standing.retired:
            refused.setdefault(standing.credential, []).append(standing)
    for key, standings in refused.items():
        places = [each.endpoint for each in standings]
        where = "for all requests" if "*" in places else f"for {', '.join(places)}"
        since = min((each.retired_at for each in standings if each.retired_at), default=snapshot.at)
        why = visible(standings[0].retired or "")
        yield Alarm("credential_refused", key, Severity.WARNING, since,
                    f"X refuses the credential {visible(key)} {where}: {why}. Replace it in "
                    "X_CREDENTIALS.")  # fmt: skip


def _of_money(snapshot: Snapshot) -> Iterator[Alarm]:
    if snapshot.budget and snapshot.dollars_today >= NEAR_BUDGET * snapshot.budget:
        midnight = snapshot.at.replace(hour=0, minute=0, second=0, microsecond=0)
        yield Alarm("budget_near", "", Severity.WARNING, midnight,
                    f"${snapshot.dollars_today:,.2f} of today's budget of ${snapshot.budget:g} are spent.")  # fmt: skip


def _of_disks(snapshot: Snapshot) -> Iterator[Alarm]:
    for run in snapshot.alive:
        size = float(run.stats.get("spool/mb") or 0)
        if snapshot.spool_limit and size >= FULLEST_SPOOL * snapshot.spool_limit:
            yield Alarm("spool_fills", run.host, Severity.FAILURE, snapshot.at,
                        f"On {visible(run.host)}, {size:,.0f} MB of {snapshot.spool_limit:,} MB wait on disk for the "
                        "database; when they are full, the crawl stops reading.")  # fmt: skip
    if snapshot.disk_free is not None and snapshot.disk_size and _is_full(snapshot.disk_free, snapshot.disk_size):
        yield Alarm("disk_fills", "", Severity.FAILURE, snapshot.at,
                    f"The disk of CSV_FOLDER has {snapshot.disk_free / 1e9:,.1f} GB left.")  # fmt: skip
    for run in snapshot.alive:
        free, size = (float(run.stats.get(f"disk/{name}_mb") or 0) * 1e6 for name in ("free", "size"))
        if size and _is_full(free, size) and run.host != runs.HOST:
            yield Alarm("disk_fills", run.host, Severity.FAILURE, snapshot.at,
                        f"The disk of {visible(run.folder)} on {visible(run.host)} has {free / 1e9:,.1f} GB "
                        "left.")  # fmt: skip
    if snapshot.log_size is not None and snapshot.log_size > WAL_LIMIT:
        grown = f"{snapshot.log_size / 1e6:,.0f} MB"
        yield Alarm("log_grows", "", Severity.WARNING, snapshot.at,
                    f"The write-ahead log of the database has {grown}: a program reads on and on, and keeps it from "
                    "being emptied.")  # fmt: skip


def _is_full(free: float, size: float) -> bool:
    return free < SMALLEST_FREE or (free < (1 - FULLEST_DISK) * size and free < 20 * SMALLEST_FREE)


def _ago(time: timedelta) -> str:
    return duration(time.total_seconds())
