"""What is an alarm, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chancrawl.health.alarms import NAMES, Severity, alarms_of, away, worst_first
from chancrawl.health.boards import BoardNumbers, HourSums
from chancrawl.health.snapshot import BoardState, LostRun, Reader, Snapshot, Standing
from chancrawl.items import Poll
from chancrawl.storage import runs
from chancrawl.storage.base import Store
from chancrawl.storage.runs import Ended, Run
from tests.support.engines import settings_of
from tests.support.items import post, thread
from tests.support.stores import replaced

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def hour(ago: int, posts: int = 100, missing: int | None = 0) -> HourSums:
    return HourSums(NOW.replace(minute=0) - timedelta(hours=ago), posts, missing=missing)


def board(hours: list[HourSums], polled: float | None = 1, followed: bool = True, expected: bool = True) -> BoardState:
    read_at = None if polled is None else NOW - timedelta(minutes=polled)
    newest = max((hour.start for hour in hours), default=None)
    posted_at = min(newest + timedelta(minutes=59), NOW) if newest else None
    numbers = BoardNumbers("po", hours, NOW - timedelta(days=9), read_at, posted_at)
    return BoardState("po", numbers, NOW - timedelta(days=2) if followed else None, expected)


def replaced_numbers(state: BoardState, **values: Any) -> BoardState:
    replaced(state.numbers, **values)
    return state


def run(**stats: Any) -> Run:
    return Run(1, "chan", {"board": "po"}, "", NOW, "far", 1, "/data", ["po"], 1.0, stats)


WELL = [hour(ago) for ago in range(5, -1, -1)]
CASES: list[tuple[str, Callable[[Snapshot], Any], str]] = [
    ("nothing", lambda s: s.boards.append(board(WELL)), ""),
    ("read by nobody", lambda s: s.boards.append(board(WELL, 25, followed=False)), "board_unread"),
    ("stopped by a person", lambda s: s.boards.append(board(WELL, 25, followed=False, expected=False)), ""),
    ("never read", lambda s: s.boards.append(board([], None, followed=False)), "board_unread"),
    ("followed and not read", lambda s: s.boards.append(board(WELL, 11)), "board_unread"),
    ("followed again since two minutes", lambda s: s.boards.append(
        replaced(board(WELL, 25), followed_since=NOW - timedelta(minutes=2))), ""),
    ("read nine minutes ago", lambda s: s.boards.append(board(WELL, 9)), ""),
    ("silent", lambda s: s.boards.append(board(WELL[:-1])), "board_silent"),
    ("silent for a while", lambda s: s.boards.append(
        replaced_numbers(board(WELL), posted_at=NOW - timedelta(minutes=9))), ""),
    ("slow", lambda s: s.boards.append(board([hour(5, 1), hour(3, 2), hour(2, 1)])), ""),
    ("missing", lambda s: s.boards.append(board([hour(2, 80, 20), hour(1, 80, 20), hour(0)])), "coverage_fell"),
    ("missing long ago", lambda s: s.boards.append(board([hour(9, 50, 500), *WELL])), ""),
    ("few missing", lambda s: s.boards.append(board([hour(1, 9, 5), hour(0)])), ""),
    ("killed", lambda s: s.lost.append(LostRun(3, "chan", {"board": "po"}, NOW, "far")), "crawl_lost"),
    ("failed", lambda s: s.ended.append(Ended("chan", {"board": "g"}, NOW, "store_failed", None)), "crawl_failed"),
    ("incomplete", lambda s: s.ended.append(Ended("chan", {}, NOW, "incomplete", None)), "crawl_failed"),
    ("failed long ago", lambda s: s.ended.append(
        Ended("chan", {"board": "g"}, NOW - timedelta(days=8), "store_failed", None)), ""),
    ("failed, and better since", lambda s: s.ended.extend(
        Ended("chan", {"board": "g"}, NOW, reason, None) for reason in ("finished", "store_failed")), ""),
    ("refused", lambda s: s.credentials.append(Standing("ab", "*", None, None, None, "401", NOW)),
     "credential_refused"),
    ("waits", lambda s: s.credentials.append(Standing("ab", "timeline", 5, 0, NOW, None, None)), ""),
    ("spent", lambda s: replaced(s, budget=10.0, dollars_today=9.5), "budget_near"),
    ("spent half", lambda s: replaced(s, budget=10.0, dollars_today=5.0), ""),
    ("spool", lambda s: s.alive.append(run(**{"spool/mb": 850.0})), "spool_fills"),
    ("disk", lambda s: replaced(s, disk_free=10**8, disk_size=10**12), "disk_fills"),
    ("a large disk", lambda s: replaced(s, disk_free=4 * 10**10, disk_size=10**12), ""),
    ("the disk of another machine",
     lambda s: s.alive.append(run(**{"disk/free_mb": 100, "disk/size_mb": 100_000})), "disk_fills"),
    ("log", lambda s: replaced(s, log_size=10**9), "log_grows"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "name"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_an_alarm(change: Callable[[Snapshot], Any], name: str) -> None:
    snapshot = Snapshot(NOW, "the database", spool_limit=1000)
    change(snapshot)
    assert [alarm.name for alarm in alarms_of(snapshot)] == ([name] if name else [])
    for alarm in alarms_of(snapshot):
        assert alarm.since <= NOW and alarm.sentence.endswith(".") and "\n" not in alarm.sentence


def test_each_name_has_a_case() -> None:
    assert {case[2] for case in CASES if case[2]} | {away("The store", NOW, "x").name} == set(NAMES)


def test_the_worst_is_first() -> None:
    snapshot = Snapshot(NOW, "the database", spool_limit=1000)
    snapshot.boards = [replaced(board(WELL), board="a"), replaced(board([hour(1, 9, 90)]), board="b"),
                       replaced(board(WELL, 30), board="c"), replaced(board([hour(1, 99, 1)]), board="d")]  # fmt: skip
    alarms = alarms_of(snapshot)
    assert [alarm.severity for alarm in alarms] == sorted((alarm.severity for alarm in alarms), reverse=True)
    assert alarms[0].severity is Severity.FAILURE
    assert [each.board for each in worst_first(snapshot.boards, alarms)] == ["c", "b", "d", "a"]


def test_a_snapshot_of_a_store(either: Store, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    lately = replaced(post(5, "a"), posted_at=now - timedelta(minutes=4), first_seen_at=now)
    either.take_in(
        [lately, thread(0), Poll("po", now - timedelta(hours=5), 1, 1, 1, None), Poll("po", now, 6, 1, 1, 5.0)]
    )
    reader = Reader(settings_of(tmp_path / "data", X_DAILY_BUDGET=5, EXPECT_BOARDS="g, /sci/"))
    first = runs.begin(either, "chan", {"board": "po"}, "", now, "/x")
    runs.beat(either, first, {"items/post": 5, "downloader/response_status_count/200": 7, "spool/rows": 3})
    runs.claim(either, first, ["po"])
    found = reader.read(either, now)
    assert {(each.board, each.is_followed, each.is_expected) for each in found.boards} == {
        ("po", True, True), ("g", False, True), ("sci", False, True)}  # fmt: skip
    po = next(each for each in found.boards if each.board == "po")
    assert sum(hour.posts for hour in po.numbers.hours) == 1 and po.posts_an_hour(now) >= 0.9
    assert found.spooled_rows == 3 and found.sums["posts"] == 5 and found.answers == {"200": 7} and found.budget == 5
    runs.finish(either, first, "finished", {"items/post": 9, "downloader/response_status_count/200": 8})
    second = runs.begin(either, "chan", {"board": "po"}, "", now, "/x")
    runs.beat(either, second, {"items/post": 1})
    for _ in range(2):  # sums are of all crawls, however often they are read
        again = reader.read(either, now)
        assert again.sums["posts"] == 10 and again.answers == {"200": 8}
    assert [each.is_expected for each in again.boards if each.board == "po"] == [False]
    either.rows("UPDATE runs SET alive_at = ? WHERE run_id = ?", now - timedelta(hours=1), second)
    assert [lost.run_id for lost in reader.read(either, now).lost] == [second]
    runs.begin(either, "chan", {"board": "po"}, "", now + timedelta(seconds=1), "/x")
    assert reader.read(either, now).lost == []
