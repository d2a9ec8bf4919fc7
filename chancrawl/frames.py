"""What a crawl shows of itself while it runs: numbers, rates, and the boards that lag most. Sans I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil

MOST_LINES = 12
"""Lines of a frame on a terminal."""

SPAN = 60.0
"""Seconds over which rates are taken."""


@dataclass(frozen=True, slots=True)
class BoardProgress:
    """How far a followed board is read. `lag` is the number of seconds since something of it was read last."""

    name: str
    lag: float
    backlog: int
    """Threads that are to be read."""


@dataclass(slots=True)
class Rate:
    """The rate of a number that grows, over the last SPAN seconds."""

    points: deque[tuple[float, float]] = field(default_factory=deque)

    def at(self, now: float, value: float) -> float:
        """Note a value. Returns how much it has grown in a minute.

        >>> rate = Rate()
        >>> [rate.at(0, 100), rate.at(30, 400)]
        [0.0, 600.0]
        """
        self.points.append((now, value))
        while len(self.points) > 2 and self.points[1][0] <= now - SPAN:
            self.points.popleft()
        (start, first) = self.points[0]
        return 60 * (value - first) / (now - start) if now > start else 0.0


def lines_of(heads: Sequence[str], boards: Iterable[BoardProgress], most: int = MOST_LINES) -> list[str]:
    """The lines of a frame: the heads, then the boards that lag most.

    >>> lines_of(["a"], [BoardProgress("/po/", 3, 1), BoardProgress("/g/", 90, 0), BoardProgress("/b/", 2, 0)], most=3)
    ['a', '/g/      1 min 30 s behind', '+ 2 more']
    """
    ordered = sorted(boards, key=lambda board: (-board.lag, -board.backlog, board.name))
    room = most - len(heads)
    shown = ordered if len(ordered) <= room else ordered[: max(room - 1, 0)]
    lines = [*heads, *map(_line, shown)]
    if len(shown) < len(ordered):
        lines.append(f"+ {len(ordered) - len(shown)} more")
    return lines[:most]


def _line(board: BoardProgress) -> str:
    backlog = f"  {board.backlog:,} threads to read" if board.backlog else ""
    return f"{board.name:8} {duration(board.lag)} behind{backlog}"


def duration(seconds: float) -> str:
    """
    >>> duration(4.2), duration(90), duration(7300)
    ('4 s', '1 min 30 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {ceil(whole % 3600 / 60)} min"
