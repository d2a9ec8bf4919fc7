"""Monitors for Spidermon (https://spidermon.readthedocs.io): whether a pass did its work.

For jobs under Scrapyd that make one pass: `scrapy watchdog` tells of failed crawls too, but needs to run all the time.

    EXTENSIONS = {"spidermon.contrib.scrapy.extensions.Spidermon": 500}
    SPIDERMON_ENABLED = True
    SPIDERMON_SPIDER_CLOSE_MONITORS = ["chancrawl.monitors.OnePass"]
"""

from __future__ import annotations

from spidermon import Monitor, MonitorSuite, monitors

from chancrawl.outcome import incomplete


@monitors.name("The pass")
class PassMonitor(Monitor):  # type: ignore[misc]
    """Fails if the pass did not do its work, with the words of its summary."""

    @monitors.name("ended by itself")  # type: ignore[untyped-decorator]
    def test_reason(self) -> None:
        reason = self.data.stats.get("finish_reason")
        if reason != "finished":
            self.fail(f"it ended early: {reason}")

    @monitors.name("read and stored everything")  # type: ignore[untyped-decorator]
    def test_whole(self) -> None:
        missing = incomplete(dict(self.data.stats), True)
        if missing:
            self.fail("; ".join(missing))


class OnePass(MonitorSuite):  # type: ignore[misc]
    """What is checked when a pass ends. Add actions in a subclass to be told."""

    monitors = [PassMonitor]  # noqa: RUF012 - Spidermon takes a list
