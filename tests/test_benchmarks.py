"""The benchmarks run, and end with one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import ROOT, environment


def test_timeline_quota() -> None:
    command = [sys.executable, "benchmarks/timeline.py", "quota", "--accounts", "30", "--posts", "3000"]
    command += ["--window", "2", "--calls", "3"]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    backfill = result["backfill"]
    assert (
        backfill["captured"] == 1 and backfill["stored_twice"] == backfill["served_twice"] == backfill["limited"] == 0
    )
    assert backfill["calls_to_least"] == 1 and len(backfill["refused"]) <= 4
    assert all(later["captured"] == 1 for name, later in result.items() if name != "backfill")


def test_capture() -> None:
    command = [sys.executable, "benchmarks/capture.py", "--site", "small", "--minutes", "2", "--speed", "30"]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert set(result["collectors"]) == {"chancrawl", "vanished", "modified", "best"}
    ours, best = result["collectors"]["chancrawl"], result["collectors"]["best"]
    assert ours["requests_a_post"] > 0 and ours["peak_megabytes"] > 0
    assert best["captured"] >= ours["captured"] > 0.5
