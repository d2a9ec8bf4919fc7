"""The numbers of a snapshot for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).

Rows that are held can become fewer, by removal: they are gauges. Names that end with _total are sums over all crawls,
which only grow. Labels have values from fixed lists: boards, endpoints, states, and never a handle.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from chancrawl.health.boards import coverage, delay
from chancrawl.health.snapshot import SUMMED, Snapshot
from chancrawl.imageboards.coverage import HOUR, hour_of

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
ENDPOINTS = ("users", "users_by_id", "timeline", "search", "trends")
SPIDERS = ("chan", "timeline", "search", "trending")


class Metrics(Collector):
    """The latest snapshot as metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._snapshot: Snapshot | None = None
        self._is_up = False

    def text(self, snapshot: Snapshot | None, is_up: bool) -> bytes:
        """The text of a scrape."""
        self._snapshot, self._is_up = snapshot, is_up
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield _gauge("store_up", "Whether the store could be read last.", float(self._is_up))
        found = self._snapshot
        if found is None:
            return
        now = datetime.now(UTC)
        yield _gauge("snapshot_age_seconds", "Seconds since the numbers were read.", (now - found.at).total_seconds())
        yield from _boards(found)
        yield from _feeds(found)
        yield from _crawls(found)
        yield from _of_x(found)
        yield from _disks(found)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"chancrawl_{name}", about, value=value)


BOARDS = {
    "expected": "Whether a crawl should follow the board.",
    "followed": "Whether a crawl follows the board.",
    "posts_last_hour": "About how many posts the board had in the last hour.",
    "posts_held_day": "Stored posts of the last 24 hours.",
    "posts_missing_day": "Missing posts of the last 24 hours, as far as it is known.",
    "coverage_ratio": "Share of the posts of this hour and the one before that is stored.",
    "coverage_day_ratio": "Share of the posts of the last 24 hours that is stored.",
    "lag_seconds": "Mean time from a post until it was seen, in this hour and the one before.",
    "last_contact_timestamp_seconds": "When the board was read last.",
}


def _boards(found: Snapshot) -> Iterator[Metric]:
    families = {name: GaugeMetricFamily(f"chancrawl_board_{name}", about, labels=["board"])
                for name, about in BOARDS.items()}  # fmt: skip
    for board in found.boards:
        hours = board.numbers.hours
        lately = board.numbers.since(hour_of(found.at) - HOUR)
        values = (
            board.is_expected, board.is_followed, board.posts_an_hour(found.at), sum(hour.posts for hour in hours),
            sum(hour.missing or 0 for hour in hours), coverage(lately), coverage(hours), delay(lately),
            _seconds(board.numbers.polled_at),
        )  # fmt: skip
        for family, value in zip(families.values(), values, strict=True):
            if value is not None:
                family.add_metric([board.board], float(value))
    yield from families.values()


def _feeds(found: Snapshot) -> Iterator[Metric]:
    families = {name: GaugeMetricFamily(f"chancrawl_feeds{name}", about, labels=["kind"]) for name, about in (
        ("", "Feeds of X that are known."), ("_incomplete", "Feeds of X that were not read to their beginning."),
        ("_read_day", "Feeds of X that were read in the last 24 hours."), ("_gaps", "Intervals that were not read."),
        ("_last_contact_timestamp_seconds", "When one of them was read last."))}  # fmt: skip
    for group in found.feeds:
        values = (group.feeds, group.incomplete, group.read_lately, group.gaps, _seconds(group.read_at))
        for family, value in zip(families.values(), values, strict=True):
            if value is not None:
                family.add_metric([group.kind], float(value))
    yield from families.values()


def _crawls(found: Snapshot) -> Iterator[Metric]:
    alive = GaugeMetricFamily("chancrawl_crawls_alive", "Crawls that are alive.", labels=["spider"])
    success = GaugeMetricFamily("chancrawl_last_success_timestamp_seconds",
                                "When a crawl of this spider last ended as it should.", labels=["spider"])  # fmt: skip
    numbers = Counter(run.spider for run in found.alive)
    for spider in SPIDERS:
        alive.add_metric([spider], numbers[spider])
        ends = [end.succeeded_at for end in found.ended if end.spider == spider and end.succeeded_at]
        if ends:
            success.add_metric([spider], max(ends).timestamp())
    yield from (alive, success)
    backlog = sum(int(run.stats.get("report/backlog") or 0) for run in found.alive)
    yield _gauge("backlog_threads", "Threads that running crawls know of and have not read.", backlog)
    yield _gauge("spool_rows", "Rows that wait on the disks of crawls for the database.", found.spooled_rows)
    yield _gauge("crawls_lost", "Crawls that ended without a word and that none has followed.", len(found.lost))
    for name in SUMMED.values():
        yield CounterMetricFamily(f"chancrawl_{name}", f"Number of {name}, of all crawls together.",
                                  value=found.sums[name])  # fmt: skip
    answers = CounterMetricFamily("chancrawl_answers", "Answers, of all crawls together.", labels=["status"])
    for status, number in sorted(found.answers.items()):
        answers.add_metric([status if status.isdigit() and len(status) == 3 else "other"], number)
    yield answers


def _of_x(found: Snapshot) -> Iterator[Metric]:
    states: Counter[tuple[str, str]] = Counter()
    now = time.time()
    for each in found.credentials:
        is_spent = each.remaining is not None and each.remaining <= 0 and (each.reset_at or found.at).timestamp() > now
        endpoint = "all" if each.endpoint == "*" else each.endpoint if each.endpoint in ENDPOINTS else "other"
        states[endpoint, "refused" if each.retired else "waiting" if is_spent else "free"] += 1
    family = GaugeMetricFamily("chancrawl_credentials", "Credentials at an endpoint, by their state.",
                               labels=["endpoint", "state"])  # fmt: skip
    for labels, number in sorted(states.items()):
        family.add_metric(list(labels), number)
    yield family
    yield _gauge("spent_today_dollars", "What all crawls into this store spent on this UTC day.", found.dollars_today)
    if found.budget is not None:
        yield _gauge("budget_dollars", "X_DAILY_BUDGET of the dashboard.", found.budget)


def _disks(found: Snapshot) -> Iterator[Metric]:
    for name, about, value in (
        ("disk_free_bytes", "Free space on the disk of CSV_FOLDER, where the dashboard runs.", found.disk_free),
        ("disk_size_bytes", "Size of that disk.", found.disk_size),
        ("log_bytes", "Size of the write-ahead log of the embedded database.", found.log_size),
    ):
        if value is not None:
            yield _gauge(name, about, value)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
