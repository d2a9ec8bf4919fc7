"""What the tests and the benchmarks share: real servers, crawls as a user starts them, items."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
