"""The benchmarks run, and end with one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.crawls import environment

pytestmark = pytest.mark.soak


def result_of(benchmark: str, *arguments: str) -> Any:
    command = [sys.executable, f"benchmarks/{benchmark}.py", *arguments]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_ingest() -> None:
    result = result_of("ingest", "--posts", "2000")
    assert {"raw_copy", "pipeline", "reingest_unchanged", "row_by_row", "executemany"} <= result[
        "rows_per_second"
    ].keys()
    assert result["rows"] == 2000 and result["rows_written_by_reingest"] == 0


def test_crawl() -> None:
    result = result_of("crawl", "--posts", "3000")
    assert result["csv"]["captured"] == result["postgres"]["captured"] == 1 and result["posts"] >= 3000


def test_timeline_quota() -> None:
    result = result_of("timeline", "quota", "--accounts", "30", "--posts", "3000", "--window", "2", "--calls", "3")
    backfill = result["backfill"]
    assert (
        backfill["captured"] == 1 and backfill["stored_twice"] == backfill["served_twice"] == backfill["limited"] == 0
    )
    assert backfill["calls_to_least"] == 1 and len(backfill["refused"]) <= 4
    # On a slow machine a post can come after the last visit.
    assert result["later, plan=timeline"]["captured"] > 0.98
    assert result["later, plan=search"]["captured_without_retweets"] > 0.98  # a search shows no retweets


def test_capture() -> None:
    result = result_of("capture", "--site", "small", "--minutes", "2", "--speed", "30")
    assert set(result["collectors"]) == {"chancrawl", "vanished", "modified", "best"}
    ours, best = result["collectors"]["chancrawl"], result["collectors"]["best"]
    assert ours["requests_a_post"] > 0 and ours["peak_megabytes"] > 0
    assert best["captured"] >= ours["captured"] > 0.5
