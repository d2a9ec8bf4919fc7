"""A few hundred odd payloads; benchmarks/fuzz.py takes as many as one likes."""

from __future__ import annotations

from pathlib import Path

from tests.support.databases import Database
from tests.support.fuzzing import Trial, fuzz


def test_odd_payloads_crash_nothing_and_cost_no_good_post(tmp_path: Path, database: Database) -> None:
    trial = Trial(tmp_path, database.url)
    fuzz(trial, examples=100)
    large = {"time": 1, "com": "\U0001f4a9<br>" * 1_000_000}  # 10 MB
    trial.thread([({"time": 1}, {}), (large, {})], [], whole=True)
    trial.compare()
    assert trial.quarantined["payloads"] > 50 and list((tmp_path / "quarantine").glob("*.body"))
    trial.close()
