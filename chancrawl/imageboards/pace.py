"""The server's clock, and rates of events. Sans I/O.

`now` is the local monotonic clock, `at` the server's. Both are in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


class Clock:
    """The server's clock, computed from the local one. It can run faster, and it can jump."""

    def __init__(self) -> None:
        self.speed = 1.0
        self.is_measured = False
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)

    def synchronise(self, now: float, at: float) -> float:
        """Takes the Date of an answer that has just arrived. Returns the seconds by which the clock has jumped."""
        jump = at - self.at(now) if self._first is not None else 0.0
        if abs(jump) <= (60 * max(self.speed, 1.0) if self.is_measured else 600):
            jump = 0.0
        if self._first is None or jump:
            self._first = now, at
        since, then = self._first
        if at - then >= 20 and now > since:  # Date counts in whole seconds
            self.speed = (at - then) / (now - since)
            self.is_measured = True
        self._last = now, at
        return jump

    def at(self, now: float) -> float:
        """The server's time."""
        return self._last[1] + (now - self._last[0]) * self.speed


@dataclass(slots=True)
class Rate:
    """Events per second, with recent events weighted more."""

    events: float = 0.0
    seconds: float = 0.0

    MEMORY = 900.0

    def count(self, events: float, seconds: float) -> None:
        if seconds > self.MEMORY:
            events, seconds = events * self.MEMORY / seconds, self.MEMORY
        keep = math.exp(-seconds / self.MEMORY)
        self.events = self.events * keep + events
        self.seconds = self.seconds * keep + seconds

    def __call__(self, prior: float, weight: float = 60.0) -> float:
        """The rate. `prior` is an initial estimate that counts as much as `weight` seconds of observation."""
        return (self.events + prior * weight) / (self.seconds + weight)


def pace_of(numbers: Mapping[int, int], at: float) -> tuple[int, float]:
    """How many posts were made in how many seconds lately. `numbers` are the numbers and times of some of them."""
    newest = max(numbers)
    recent = {no: time for no, time in numbers.items() if at - 600 <= time <= at}
    first = min(recent or {newest: numbers[newest]})
    if first == newest:
        first = max((no for no in numbers if no != newest), default=newest)
    return newest - first, max(at - numbers[first], 1.0)
