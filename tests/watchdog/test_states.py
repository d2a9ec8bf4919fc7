"""Which alarms are told, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from chancrawl.health.alarms import Alarm, Severity
from chancrawl.watchdog.states import REMINDER, STAYS_OVER, Event, State, closed, message, updated
from tests.support.items import START, minute

TARGETS = ("a", "b")
SILENT = Alarm("board_silent", "po", Severity.WARNING, START, "/po/ is silent.")
KILLED = Alarm("crawl_lost", "chan board=po", Severity.FAILURE, START, "The crawl ended.")
UNREAD = replace(SILENT, name="board_unread", cause=KILLED.key)


def told(states: list[State], number: int, dead: frozenset[str] = frozenset()) -> list[tuple[str, str, str]]:
    """Tell all targets but the dead ones what is due in that minute. Returns the target, the alarm and the event."""
    now = minute(number)
    assert now is not None
    found = []
    for place, state in enumerate(states):
        for target in TARGETS:
            event = state.event(target, now)
            if event is not None and target not in dead:
                found.append((target, state.alarm, event.value))
                state = state.after(target, event, now)
        states[place] = state
    states[:] = closed(states, now)
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
        log += [(number, alarm, event) for target, alarm, event in told(states, number) if target == "a"]
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


def test_a_dead_target_does_not_silence_the_others() -> None:
    states: list[State] = []
    log = []
    for number in range(3000):
        now = minute(number)
        assert now is not None
        states = updated(states, [SILENT] if number < 2000 else [], now)
        log += [(number, *each) for each in told(states, number, frozenset("b"))]
    assert log == [(0, "a", "board_silent", "began"), (1440, "a", "board_silent", "goes on"),
                   (2005, "a", "board_silent", "over")]  # fmt: skip
    assert states[0].closed_at is not None


def test_what_was_not_delivered_is_tried_again_with_those_who_lack_it() -> None:
    states = updated([], [SILENT], START)
    assert told(states, 0, frozenset("b")) == [("a", "board_silent", "began")]
    assert told(states, 1) == [("b", "board_silent", "began")]
    states = updated(states, [], START + timedelta(minutes=2))
    assert told(states, 8, frozenset("b")) == [("a", "board_silent", "over")]
    states = updated(states, [SILENT], START + timedelta(minutes=9))  # it is back before everybody was told
    assert told(states, 9) == [("a", "board_silent", "began")]
    assert states[0].closed_at is None


def test_who_does_not_answer_for_a_day_is_given_up() -> None:
    states = updated([], [SILENT], START)
    told(states, 0)
    states = updated(states, [], START + timedelta(minutes=1))
    later = START + REMINDER + 2 * STAYS_OVER
    (state,) = closed(states, later)
    assert state.closed_at == later


def test_what_nobody_was_told_of_ends_silently() -> None:
    states = updated([], [SILENT], START)
    states = updated(states, [], START + timedelta(minutes=1))
    (state,) = closed(updated(states, [], START + timedelta(minutes=9)), START + timedelta(minutes=9))
    assert state.closed_at is not None and state.event("a", START + timedelta(days=9)) is None


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
