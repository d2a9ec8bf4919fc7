"""`scrapy show`, as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chancrawl.commands import show
from chancrawl.imageboards.thread_html import POLICY
from tests.support.crawls import Crawler
from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, handles_of


@pytest.fixture
def collected(any_store: Crawler) -> Crawler:
    any_store("-aboard=wsr", "-asample=5").ok()
    return any_store


def test_a_thread_in_the_terminal_and_as_a_file(collected: Crawler, tmp_path: Path) -> None:
    no = collected.held("wsr")[0]
    run = collected.other("show", f"wsr/{no}").ok()
    assert f"No. {no}" in run.output and "there, 0 gone, 0 not known" in run.output
    for form in (f"/wsr/{no}", f"https://boards.4chan.org/wsr/thread/{no}#p{no}"):
        assert collected.other("show", form).ok().output == run.output
    file = tmp_path / "thread.html"
    assert "thread.html" in collected.other("show", f"wsr/{no}", "--html", str(file)).ok().output
    html = file.read_text(encoding="utf-8")
    assert f'id="p{no}"' in html and "<script" not in html and POLICY.replace("'", "&#x27;") in html
    collected.other("show", f"wsr/{no}", "--html", str(file)).refused("exists")
    early = collected.other("show", f"wsr/{no}", "--at", "2000-01-01").ok()
    assert "0 there, 0 gone, 0 not known" in early.output and "No. " not in early.output


def test_what_is_not_there_is_said(collected: Crawler) -> None:
    collected.other("show", "wsr/1").refused("holds nothing of /wsr/1")
    collected.other("show", "@nobody").refused("holds nothing of @nobody")
    collected.other("show", "9999999999999999999").refused("is no thread")
    collected.other("show", "12345").refused("holds no post 12345 of X")
    collected.other("show", "a b").refused("is no thread")
    collected.other("show", "@nasa", "--at", "2026-01-01").refused("are for threads")
    assert collected.other("show").code == 2 and show.Command().short_desc()


def test_an_account_and_a_post_of_x(sandbox: Sandbox, tmp_path: Path) -> None:
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    name = handles_of(sandbox)[0]
    crawler.timeline(name, "-a", "limit=30").ok()
    run = crawler.other("show", f"@{name}").ok()
    assert f"@{name}" in run.output and "30 posts stored" in run.output
    number = max(crawler.ids())
    run = crawler.other("show", str(number)).ok()
    assert f"{number}  " in run.output and "found in: timeline:" in run.output and "counts: {" in run.output
