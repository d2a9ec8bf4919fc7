"""Spidermon's monitors say whether a pass did its work."""

from __future__ import annotations

from chancrawl import monitors
from tests.support.crawls import Crawler
from tests.support.sandboxes import Sandbox

ENABLED = (
    "-sSPIDERMON_ENABLED=1", '-sEXTENSIONS={"spidermon.contrib.scrapy.extensions.Spidermon": 500}',
    "-sSPIDERMON_SPIDER_CLOSE_MONITORS=chancrawl.monitors.OnePass",
)  # fmt: skip


def test_a_pass_that_did_its_work(crawler: Crawler) -> None:
    output = crawler("-aboard=po", "-asample=2", *ENABLED).output
    assert "The pass/ended by itself... OK" in output and "read and stored everything... OK" in output


def test_a_pass_that_did_not(crawler: Crawler, sandbox: Sandbox) -> None:
    sandbox.fault("malformed", path="archive.json")
    run = crawler("-aboard=po", *ENABLED)
    assert run.code == 1 and "read and stored everything... FAIL" in run.output
    assert "list of threads could not be read" in run.output.partition("[Spidermon]")[2]
    assert monitors.OnePass.monitors == [monitors.PassMonitor]
