"""Which alarms are told, and when. Sans I/O.

An alarm is told when it is new, once a day while it lasts, and when it has stayed over for a while. An alarm that comes
and goes within that time is one alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from chancrawl.health.alarms import Alarm

STAYS_OVER = timedelta(minutes=5)
REMINDER = timedelta(days=1)


class Event(Enum):
    """What is told of an alarm."""

    BEGAN = "began"
    GOES_ON = "goes on"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class State:
    """An alarm that was found: a row of the table alarms."""

    alarm: str
    subject: str
    since: datetime
    sentence: str
    seen_at: datetime
    told_to: frozenset[str] = frozenset()
    told_at: datetime | None = None
    over_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.alarm, self.subject

    def event(self, now: datetime) -> Event | None:
        """What has to be told of it now."""
        if self.closed_at is not None:
            return None
        if self.over_at is not None:
            return Event.OVER if self.told_at is not None and now - self.over_at >= STAYS_OVER else None
        if self.told_at is None:
            return Event.BEGAN
        return Event.GOES_ON if now - self.told_at >= REMINDER else None

    def told(self, target: str, targets: Iterable[str], now: datetime) -> State:
        """The state after a message was delivered to a target, which is one of all `targets`."""
        event = self.event(now)
        if event is None:
            return self
        told_to = self.told_to | {target}
        if not told_to.issuperset(targets):
            return replace(self, told_to=told_to)
        if event is Event.OVER:
            return replace(self, told_to=frozenset(), closed_at=now)
        return replace(self, told_to=frozenset(), told_at=now)


def updated(known: Iterable[State], alarms: Sequence[Alarm], now: datetime) -> list[State]:
    """The states after a check. An alarm whose cause is another one is not told by itself."""
    found = {state.key: state for state in known}
    there = {alarm.key: alarm for alarm in alarms}
    for key, alarm in there.items():
        if alarm.cause in there:
            continue
        state = found.get(key)
        if state is None or state.closed_at is not None:
            found[key] = State(alarm.name, alarm.subject, alarm.since, alarm.sentence, now)
        else:
            told_to = state.told_to if state.over_at is None else frozenset()
            found[key] = replace(state, sentence=alarm.sentence, seen_at=now, over_at=None, told_to=told_to)
    for key, state in found.items():
        if key not in there and state.closed_at is None:
            if state.over_at is None:
                found[key] = replace(state, over_at=now, told_to=frozenset())
            elif state.told_at is None and now - state.over_at >= STAYS_OVER:
                found[key] = replace(state, closed_at=now)  # nobody was told of it
    return list(found.values())


def message(due: Sequence[tuple[Event, State]]) -> tuple[str, str]:
    """The title and the text of a message."""
    parts = []
    for event, heading in ((Event.BEGAN, "New:"), (Event.GOES_ON, "Still:"), (Event.OVER, "Over:")):
        lines = [f"- {state.sentence} Since {state.since:%Y-%m-%d %H:%M} UTC." for what, state in due if what is event]
        if lines:
            parts.append("\n".join([heading, *lines]))
    news = [state for event, state in due if event is not Event.OVER]
    title = "chancrawl: over" if not news else f"chancrawl: {news[0].sentence}"
    if len(news) > 1:
        title += f" (and {len(news) - 1} more)"
    return title[:200], "\n\n".join(parts)
