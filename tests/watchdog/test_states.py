"""Which alarms are told, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from chancrawl.health.alarms import Alarm, Severity
from chancrawl.watchdog.states import REMINDER, STAYS_OVER, Event, State, message, updated
from tests.support.items import START, minute

SILENT = Alarm("board_silent", "po", Severity.WARNING, START, "/po/ is silent.")
KILLED = Alarm("crawl_lost", "chan board=po", Severity.FAILURE, START, "The crawl ended.")
UNREAD = replace(SILENT, name="board_unread", cause=KILLED.key)


def told(states: list[State], number: int, targets: tuple[str, ...] = ("a",)) -> list[tuple[str, str]]:
    """Tell everybody what is due in that minute. Returns what was told."""
    now = minute(number)
    assert now is not None
    found = []
    for place, state in enumerate(states):
        event = state.event(now)
        if event is not None:
            found.append((state.alarm, event.value))
            for target in targets:
                state = state.told(target, targets, now)
            states[place] = state
    return found


def run(checks: dict[int, list[Alarm]], until: int) -> list[tuple[int, str, str]]:
    """What is told if each check finds what the last entry of `checks` says."""
    states: list[State] = []
    there: list[Alarm] = []
    log = []
    for number in range(until):
        there = checks.get(number, there)
        now = minute(number)
        assert now is not None
        states = updated(states, there, now)
        log += [(number, *each) for each in told(states, number)]
    return log


def test_an_alarm_is_told_once_and_its_end_when_it_stays_over() -> None:
    assert run({0: [], 5: [SILENT], 30: []}, 60) == [(5, "board_silent", "began"), (35, "board_silent", "over")]


def test_an_alarm_that_comes_and_goes_is_one() -> None:
    flapping: dict[int, list[Alarm]] = {number: [SILENT] if number % 4 < 2 else [] for number in range(0, 100, 2)}
    log = run(flapping | {100: []}, 130)
    assert log == [(0, "board_silent", "began"), (103, "board_silent", "over")]


def test_it_is_told_again_every_day() -> None:
    log = run({0: [SILENT]}, 2 * 24 * 60 + 10)
    assert [event for _, _, event in log] == ["began", "goes on", "goes on"]


def test_it_can_come_back() -> None:
    log = run({0: [SILENT], 10: [], 20: [SILENT]}, 30)
    assert [event for _, _, event in log] == ["began", "over", "began"]


def test_what_has_a_cause_is_not_told_by_itself() -> None:
    log = run({0: [KILLED, UNREAD], 30: [UNREAD]}, 60)
    assert [each[1:] for each in log] == [("crawl_lost", "began"), ("board_unread", "began"), ("crawl_lost", "over")]


def test_what_was_not_delivered_is_tried_again_with_those_who_lack_it() -> None:
    (state,) = updated([], [SILENT], START)
    half = state.told("a", ("a", "b"), START)
    assert half.event(START) is Event.BEGAN and half.told_to == {"a"}
    whole = half.told("b", ("a", "b"), START)
    assert whole.event(START) is None and whole.told_to == set() and whole.told_at == START
    later = START + REMINDER
    assert whole.event(later) is Event.GOES_ON
    (over,) = updated([whole], [], later)
    assert over.event(later) is None and over.event(later + STAYS_OVER) is Event.OVER


def test_what_nobody_was_told_of_ends_silently() -> None:
    states = updated([], [SILENT], START)
    states = updated(states, [], START + timedelta(minutes=1))
    (state,) = updated(states, [], START + timedelta(minutes=9))
    assert state.closed_at is not None and state.event(START + timedelta(days=9)) is None


@given(st.lists(st.booleans(), max_size=80))
def test_beginnings_and_ends_alternate(found: list[bool]) -> None:
    checks: dict[int, list[Alarm]] = {number: [SILENT] if there else [] for number, there in enumerate(found)}
    events = [event for _, _, event in run(checks | {len(found): []}, len(found) + 10)]
    assert events == ["began", "over"] * (len(events) // 2)
    assert bool(events) == any(found)


def test_a_message() -> None:
    states = updated([], [KILLED, SILENT], START)
    title, body = message([(Event.BEGAN, state) for state in states] + [(Event.OVER, states[1])])
    assert title == "chancrawl: The crawl ended. (and 1 more)"
    assert body.startswith("New:\n- The crawl ended. Since 2026-11-21 00:00 UTC.") and "\n\nOver:\n" in body
    assert message([(Event.OVER, states[0])])[0] == "chancrawl: over"
