"""The progress of a command that takes long."""

from __future__ import annotations

import sys
import time
from typing import Self


class Shown:
    """Shows the progress on a terminal."""

    def __init__(self) -> None:
        self.is_on = sys.stderr.isatty()
        self.next = time.monotonic()

    def __call__(self, name: str, rows: int) -> None:
        now = time.monotonic()
        if self.is_on and now >= self.next:
            self.next = now + 0.5
            print(f"\r{name}: {rows:,} rows\033[K", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_on:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
