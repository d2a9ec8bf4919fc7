"""What the tests and the benchmarks share: real servers, crawls as a user starts them, items."""

from __future__ import annotations

from pathlib import Path

from chancrawl.imageboards.source import Imageboards
from chancrawl.storage.kinds import Kinds
from chancrawl.x.source import X

ROOT = Path(__file__).parents[2]

KINDS = Kinds([*Imageboards.kinds, *X.kinds])
