"""Shapes of small charts in SVG: paths from numbers. Sans I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The line of a chart without axes. `sentence` says in words what it shows."""

    width: int
    height: int
    line: str
    sentence: str


def sparkline(values: Sequence[float | None], what: str, width: int = 120, height: int = 24) -> Sparkline:
    """A chart of values in order; None leaves a hole.

    >>> sparkline([0, 2, None, 4], "posts an hour").line
    'M0.0 23.0 L40.0 12.0 M120.0 1.0 h0.1'
    """
    most = max((value for value in values if value is not None), default=0) or 1
    step = width / max(len(values) - 1, 1)
    parts: list[str] = []
    was_there = False
    for place, value in enumerate(values):
        if value is not None:
            is_alone = not was_there and (place + 1 == len(values) or values[place + 1] is None)
            parts.append(
                f"{'L' if was_there else 'M'}{place * step:.1f} {height - 1 - (height - 2) * value / most:.1f}"
            )
            parts += ["h0.1"] if is_alone else []
        was_there = value is not None
    return Sparkline(width, height, " ".join(parts), sentence(values, what))


def sentence(values: Sequence[float | None], what: str) -> str:
    """What a row of values shows, in words.

    >>> sentence([1, 3, None], "posts an hour")
    'posts an hour: between 1 and 3, 3 at last; 1 of 3 values is missing'
    """
    known = [value for value in values if value is not None]
    if not known:
        return f"{what}: nothing is known"
    holes = len(values) - len(known)
    rest = f"; {holes:,} of {len(values):,} values {'is' if holes == 1 else 'are'} missing" if holes else ""
    low, high, last = min(known), max(known), known[-1]
    span = f"{low:,.0f} throughout" if low == high else f"between {low:,.0f} and {high:,.0f}, {last:,.0f} at last"
    return f"{what}: {span}{rest}"


def bars(counts: Sequence[int], width: int = 240, height: int = 60) -> list[tuple[float, float, float, float]]:
    """The rectangles of a bar chart: x, y, width, height."""
    most = max(counts, default=0) or 1
    step = width / max(len(counts), 1)
    return [
        (round(place * step + 1, 1), round(height - height * count / most, 1), round(step - 2, 1),
         round(height * count / most, 1))
        for place, count in enumerate(counts)
    ]  # fmt: skip
