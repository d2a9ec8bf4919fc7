"""A crawl's own sandbox, what it remembers, and the options and the clock of a sandbox."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
from scrapy import signals
from scrapy.exceptions import CloseSpider

from chancrawl.errors import UserError
from chancrawl.sandbox import process
from chancrawl.sandbox.__main__ import add_options, bundled_credentials, serve
from chancrawl.sandbox.clock import Clock
from chancrawl.sandbox.x.gate import read_members
from tests.support.engines import crawl, in_loop, settings_of
from tests.support.items import post


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(given)


# --- the clock


def test_a_clock_stands_still_or_runs_at_its_speed() -> None:
    assert Clock(1000.0, 0).now() == 1000.0
    fast = Clock(1000.0, 1000.0)
    time.sleep(0.01)
    assert 1010.0 <= fast.now() < 2000.0
    fast.start += 60
    assert fast.now() >= 1070.0


# --- what a crawl's own sandbox remembers


def test_boards_live_on_from_where_they_were(tmp_path: Path) -> None:
    file = tmp_path / "data" / "sandbox.json"
    began, clock = process._remembered(file)
    assert began == clock == pytest.approx(time.time(), abs=5)
    ahead = time.time() + 10_000
    process._remember(file, 5.0, ahead)
    assert process._remembered(file) == (5.0, ahead), "its clock is never set back"
    process._remember(file, 5.0, 6.0)
    began, clock = process._remembered(file)
    assert began == 5.0 and clock == pytest.approx(time.time(), abs=5)
    assert [each.name for each in file.parent.iterdir()] == ["sandbox.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"began": 1}', '{"began": "x", "clock": 1}', "null"])
def test_a_memory_that_cannot_be_read_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    file = tmp_path / "sandbox.json"
    file.write_text(content)
    with pytest.raises(UserError, match="without it the sandbox is another one") as raised:
        process._remembered(file)
    assert isinstance(raised.value, CloseSpider) and file.read_text() == content


def test_a_memory_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "sandbox.json").mkdir()
    process._remember(tmp_path / "sandbox.json", 1.0, 2.0)
    assert "could not be written" in caplog.text and not (tmp_path / "sandbox.new").exists()


@in_loop
async def test_a_crawl_is_turned_to_its_sandbox_which_ends_with_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, SANDBOX_SPEED=0, SANDBOX_TRUTH=str(tmp_path / "truth"))
    async with crawl(tmp_path) as crawler:
        process.start_for(crawler, settings)
        url = settings["CHAN_API_URL"]
        assert url.startswith("http://127.0.0.1:") and settings["X_API_URL"] == url
        assert settings.getfloat("DOWNLOAD_DELAY") == 0.05
        credentials = Path(settings["X_CREDENTIALS"])
        assert await asyncio.to_thread(credentials.read_text) == bundled_credentials()
        with build_opener(ProxyHandler({})).open(f"{url}/sandbox/clock") as answer:
            assert json.load(answer)["now"] == pytest.approx(time.time(), abs=30)
        assert not (tmp_path / "sandbox.json").exists(), "nothing was read yet"
        crawler.signals.send_catch_log(signals.item_scraped, item=post(6, "a"))
        assert (tmp_path / "sandbox.json").exists()
    assert (tmp_path / "truth").exists()
    with pytest.raises(OSError, match="refused"):
        build_opener(ProxyHandler({})).open(f"{url}/sandbox/clock")
    gc.collect()


@in_loop
async def test_settings_that_were_given_stay_in_the_sandbox(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, DOWNLOAD_DELAY=3)
    async with crawl(tmp_path) as crawler:
        process.start_for(crawler, settings)
        assert settings.getfloat("DOWNLOAD_DELAY") == 3 and settings.getfloat("CHAN_INDEX_INTERVAL") == 0.25
    gc.collect()


# --- python -m chancrawl.sandbox


def test_the_bundled_credentials_are_those_of_its_x() -> None:
    members = read_members(bundled_credentials().splitlines())
    assert members and {member.state for member in members} == {"good"}


def served(*given: str) -> int:
    return asyncio.run(serve(options(*given)))


@pytest.mark.parametrize("given, words", [
    (("--recorded", "no such folder"), "There is no folder"),
    (("--port", "99999"), "Cannot listen on 127.0.0.1:99999"),
    (("--host", "203.0.113.1", "--port", "0"), "Cannot listen on 203.0.113.1:0"),
])  # fmt: skip
def test_a_sandbox_that_cannot_be_served_says_why(
    capsys: pytest.CaptureFixture[str], given: tuple[str, ...], words: str
) -> None:
    assert served(*given) == 1 and words in capsys.readouterr().err


def test_options_have_their_defaults() -> None:
    found: Any = options()
    assert (found.port, found.speed, found.site, found.limit, found.window) == (8044, 1.0, "small", [], 900.0)
    with pytest.raises(SystemExit):
        options("--site", "none")


def test_a_memory_below_a_file_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    process._remember(tmp_path / "file" / "sandbox.json", 1.0, 2.0)
    assert "could not be written" in caplog.text
