"""The benchmarks run, and end with one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import ROOT, environment


def test_capture() -> None:
    command = [sys.executable, "benchmarks/capture.py", "--site", "small", "--minutes", "2", "--speed", "30"]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert set(result["collectors"]) == {"chancrawl", "vanished", "modified", "best"}
    ours, best = result["collectors"]["chancrawl"], result["collectors"]["best"]
    assert ours["requests_a_post"] > 0 and ours["peak_megabytes"] > 0
    assert best["captured"] >= ours["captured"] > 0.5
