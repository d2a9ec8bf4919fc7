"""The files for Prometheus and Grafana fit the metrics."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chancrawl.dashboard.metrics import Metrics
from chancrawl.storage import runs
from chancrawl.storage.sqlite.store import SqliteStore
from tests.dashboard.test_metrics import full
from tests.support import KINDS, ROOT
from tests.support.dashboards import served
from tests.support.items import post, thread

PROMETHEUS, GRAFANA = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana"
NAME = re.compile(r"\bchancrawl_\w+")


def promtool(*arguments: str) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("left out: promtool is not installed (Debian: prometheus)")
    done = subprocess.run([program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", "chancrawl.rules.yml")
    promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", "chancrawl.test.yml")


def test_each_rule_has_a_failure_that_fires_it_and_an_end() -> None:
    rules = (PROMETHEUS / "chancrawl.rules.yml").read_text()
    tests = (PROMETHEUS / "chancrawl.test.yml").read_text()
    for name in re.findall(r"- alert: (\w+)", rules):
        checks = re.findall(rf"alertname: {name}\n( +exp_alerts:)?", tests)
        assert any(checks) and not all(checks), name


def test_the_metrics_exist() -> None:
    known = set(re.findall(r"^# TYPE (\w+)", Metrics().text(full(), True).decode(), re.MULTILINE))
    for file in (PROMETHEUS / "chancrawl.rules.yml", GRAFANA / "chancrawl.json"):
        assert set(NAME.findall(file.read_text())) <= known, file


def test_the_grafana_dashboard_can_be_provisioned() -> None:
    dashboard = json.loads((GRAFANA / "chancrawl.json").read_text())
    assert "__inputs" not in dashboard and dashboard["uid"] == "chancrawl"
    sources = {panel["datasource"]["uid"] for panel in dashboard["panels"]}
    sources |= {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel["targets"]}
    provisioned = (GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text()
    assert all(f"uid: {source}\n" in provisioned for source in sources)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.soak
def test_a_prometheus_scrapes_it_and_an_alarm_fires(tmp_path: Path) -> None:
    """A crawl that was killed is an alarm; it ends when another one has taken its place."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("left out: prometheus is not installed")
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open()
    store.prepare()
    store.take_in([post(5, "a"), thread(0)])
    run_id = runs.begin(store, "chan", {"board": "po"}, "", datetime.now(UTC), "/x")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    store.rows("UPDATE runs SET alive_at = ?, host = 'far' WHERE run_id = ?", hour_ago, run_id)
    with served(tmp_path / "data") as dashboard, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config = (PROMETHEUS / "prometheus.yml").read_text().replace("15s", "1s")
        (tmp_path / "prometheus.yml").write_text(config.replace("127.0.0.1:8030", f"127.0.0.1:{dashboard.port}"))
        rules = (PROMETHEUS / "chancrawl.rules.yml").read_text()
        short = re.sub(r"\[\d+m\]", "[3s]", re.sub(r"(for|keep_firing_for): \d+m", r"\1: 1s", rules))
        (tmp_path / "chancrawl.rules.yml").write_text(short)
        process = subprocess.Popen(
            [program, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}",
             f"--storage.tsdb.path={tmp_path / 'tsdb'}"], cwd=tmp_path, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            fired = _firing(port, lambda names: "ChancrawlCrawlLost" in names)
            assert "ChancrawlStoreAway" not in fired
            runs.begin(store, "chan", {"board": "po"}, "", datetime.now(UTC), "/x")
            dashboard.dashboard.watching.look()
            _firing(port, lambda names: "ChancrawlCrawlLost" not in names)
        finally:
            process.terminate()
            process.wait(20)
    store.close()


def _firing(port: int, is_wanted: Callable[[set[str]], bool]) -> set[str]:
    """The alarms that fire, when they are as wanted."""
    end = time.monotonic() + 60
    names: set[str] = set()
    while time.monotonic() < end:
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts", timeout=5) as answer:
                alerts = json.load(answer)["data"]["alerts"]
        except OSError:
            continue
        names = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
        if is_wanted(names):
            return names
    raise AssertionError(f"firing: {names}")
