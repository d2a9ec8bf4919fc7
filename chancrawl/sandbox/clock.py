"""The sandbox's time."""

from __future__ import annotations

import time


class Clock:
    """The sandbox's time, in seconds since 1970. It advances `speed` seconds per real second; 0 stops it."""

    def __init__(self, start: float, speed: float = 1.0) -> None:
        self.start = start
        self.speed = speed
        self._began = time.monotonic()

    def now(self) -> float:
        return self.start + (time.monotonic() - self._began) * self.speed
