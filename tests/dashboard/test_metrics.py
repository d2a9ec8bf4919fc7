"""What Prometheus gets."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chancrawl.dashboard.metrics import ENDPOINTS, Metrics
from chancrawl.health.snapshot import FeedGroup, Snapshot, Standing
from chancrawl.items import Poll
from chancrawl.storage import runs
from chancrawl.storage.base import Store
from chancrawl.storage.runs import Ended
from chancrawl.x import api
from tests.health.test_alarms import NOW, WELL, board, run
from tests.support.dashboards import served
from tests.support.items import post, thread
from tests.support.stores import replaced


def full() -> Snapshot:
    found = Snapshot(NOW, "the database", budget=5.0, dollars_today=1.25, disk_free=1, disk_size=2, log_size=3)
    found.boards = [board(WELL)]
    found.feeds = [FeedGroup("timelines", 3, 1, NOW, 2, 0)]
    found.alive = [run(**{"spool/rows": 7, "report/backlog": 4})]
    found.ended = [Ended("chan", {}, NOW, "finished", NOW)]
    found.credentials = [Standing("x", "*", None, None, None, "401", NOW), Standing("y", "evil", 5, 1, NOW, None, None)]
    found.sums["posts"] = 9
    found.answers["200"] = 8
    found.answers["<x>"] = 1
    return found


def test_the_values() -> None:
    text = Metrics().text(full(), True).decode()
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text) for sample in family.samples
    }  # fmt: skip
    assert values["chancrawl_store_up",] == 1 and values["chancrawl_spool_rows",] == 7
    assert values["chancrawl_board_coverage_ratio", ("board", "po")] == 1
    assert values["chancrawl_posts_total",] == 9 and values["chancrawl_answers_total", ("status", "200")] == 8
    assert values["chancrawl_answers_total", ("status", "other")] == 1
    assert values["chancrawl_credentials", ("endpoint", "all"), ("state", "refused")] == 1
    assert values["chancrawl_credentials", ("endpoint", "other"), ("state", "free")] == 1
    assert values["chancrawl_last_success_timestamp_seconds", ("spider", "chan")] == NOW.timestamp()
    assert values["chancrawl_snapshot_age_seconds",] > 0 and values["chancrawl_backlog_threads",] == 4
    assert "_created" not in text
    labels = {label for family in text_string_to_metric_families(text) for s in family.samples for label in s.labels}
    assert labels == {"board", "kind", "spider", "status", "endpoint", "state"}


def test_a_store_that_was_never_read() -> None:
    assert Metrics().text(None, False).decode().count("\n") == 3


def test_promtool_accepts_it() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("left out: promtool is not installed (Debian: prometheus)")
    done = subprocess.run([promtool, "check", "metrics"], input=Metrics().text(full(), True), capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()


def test_a_scrape_makes_no_query(either: Store, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    lately = replaced(post(5, "a"), posted_at=now - timedelta(minutes=1), first_seen_at=now)
    either.take_in([lately, thread(0), Poll("po", now, 6, 1, 1, None)])
    run_id = runs.begin(either, "chan", {"board": "po"}, "", now, "/x")
    runs.claim(either, run_id, ["po"])
    with served(tmp_path / "data", getattr(either, "url", None)) as dashboard:
        first = dashboard.get("/metrics")
        assert 'chancrawl_board_followed{board="po"} 1.0' in first.text
        assert first.headers["content-type"].startswith("text/plain; version=0.0.4")
        either.take_in([replaced(post(6, "b"), posted_at=now, first_seen_at=now)])
        lines = [line for line in dashboard.get("/metrics").text.splitlines() if "age" not in line]
        assert lines == [line for line in first.text.splitlines() if "age" not in line]
        dashboard.dashboard.watching.look()
        assert "posts_held_day" in dashboard.get("/metrics").text
        assert 'posts_held_day{board="po"} 2.0' in dashboard.get("/metrics").text


def test_endpoints_are_those_of_x() -> None:
    assert set(ENDPOINTS) == {endpoint.name for endpoint in vars(api).values() if isinstance(endpoint, api.Endpoint)}
