"""Which alarms are told, and when. Sans I/O.

An alarm is told when it is new, once a day while it lasts, and when it has stayed over for a while. An alarm that comes
and goes within that time is one alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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


Told = Mapping[str, tuple[Event, datetime]]
"""What each target was told last, and when, by its fingerprint."""


@dataclass(frozen=True, slots=True)
class State:
    """An alarm that was found: a row of the table alarms."""

    alarm: str
    subject: str
    since: datetime
    sentence: str
    seen_at: datetime
    told: Told = field(default_factory=dict)
    over_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.alarm, self.subject

    def event(self, target: str, now: datetime) -> Event | None:
        """What a target has to be told of it now."""
        last, at = self.told.get(target, (Event.OVER, now))
        if self.closed_at is not None:
            return None
        if self.over_at is not None:
            return Event.OVER if last is not Event.OVER and now - self.over_at >= STAYS_OVER else None
        if last is Event.OVER:
            return Event.BEGAN
        return Event.GOES_ON if now - at >= REMINDER else None

    def after(self, target: str, event: Event, now: datetime) -> State:
        """The state after a target was told."""
        return replace(self, told={**self.told, target: (event, now)})

    def is_done(self, now: datetime) -> bool:
        """Whether it is over, and everybody who was told of it was told that, or could not be for a day."""
        if self.over_at is None or now - self.over_at < STAYS_OVER:
            return False
        return now - self.over_at > REMINDER or all(event is Event.OVER for event, _ in self.told.values())


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
            found[key] = replace(state, sentence=alarm.sentence, seen_at=now, over_at=None)
    for key, state in found.items():
        if key not in there and state.over_at is None:
            found[key] = replace(state, over_at=now)
    return list(found.values())


def closed(states: Iterable[State], now: datetime) -> list[State]:
    """The states, those that are done closed."""
    return [
        replace(state, closed_at=now) if state.closed_at is None and state.is_done(now) else state for state in states
    ]


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
