"""The live numbers on a terminal: there, whole after every kind of end, and nowhere else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scrapy.settings import Settings

from chancrawl.display import is_on
from chancrawl.frames import MOST_LINES, BoardProgress, Rate, lines_of
from tests.support.crawls import Crawler
from tests.support.sandboxes import Sandbox
from tests.support.terminals import Terminal

Start = Callable[..., Terminal]


@pytest.fixture
def start(sandbox: Sandbox, tmp_path: Path) -> Start:
    """Starts a crawl that follows two boards, in a terminal."""
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.05)

    def started(*arguments: str, **variables: str) -> Terminal:
        return Terminal(crawler.command("-aboard=po,wsr", "-afollow=1", *arguments), variables)

    return started


def is_shown(text: str) -> bool:
    return "posts and" in text and "/po/" in text.splitlines()[-2] and "/wsr/" in text.splitlines()[-1]


def test_numbers_move_below_the_log(start: Start) -> None:
    terminal = start()
    first = terminal.read(is_shown)
    assert "Following /po/, /wsr/" in first  # the log is above
    later = terminal.read(lambda text: is_shown(text) and text.splitlines()[-4:] != first.splitlines()[-4:])
    assert later.count("posts and") == 1 and terminal.text.count("Following") == 1
    os.kill(terminal.process.pid, signal.SIGINT)
    assert "Stopped; what was fetched is stored." in terminal.read_to_the_end()
    assert terminal.process.returncode == 0 and terminal.is_whole


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM], [signal.SIGTERM] * 2])
def test_the_screen_is_whole_after_every_end(start: Start, signals: list[int]) -> None:
    terminal = start()
    terminal.read(is_shown)
    for number in signals:
        os.kill(terminal.process.pid, number)
        time.sleep(0.05)
    terminal.read_to_the_end()
    assert terminal.is_whole


def test_a_terminal_that_changes_its_width(start: Start) -> None:
    terminal = start()
    terminal.read(is_shown)
    terminal.resize(60)
    os.kill(terminal.process.pid, signal.SIGWINCH)
    terminal.read(lambda text: "…" in text)  # the longer lines are cut, not wrapped
    os.kill(terminal.process.pid, signal.SIGTERM)
    terminal.read_to_the_end()
    assert terminal.process.returncode == 0 and not terminal.screen.cursor.hidden


def test_suspended_and_continued(start: Start) -> None:
    terminal = start()
    terminal.read(is_shown)
    os.kill(terminal.process.pid, signal.SIGTSTP)
    state = Path(f"/proc/{terminal.process.pid}/stat")
    terminal.read(lambda text: state.read_text().rpartition(")")[2].split()[0] == "T")
    terminal.read(lambda text: "posts and" not in text, 2)  # the frame is gone while the shell has the terminal
    assert not terminal.screen.cursor.hidden
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.read(is_shown)
    os.kill(terminal.process.pid, signal.SIGTERM)
    terminal.read_to_the_end()
    assert terminal.process.returncode == 0 and terminal.is_whole


def test_an_exception_leaves_the_screen_whole(sandbox: Sandbox, tmp_path: Path) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url)
    terminal = Terminal(crawler.command("-aboard=nosuchboard"))
    assert "nosuchboard" in terminal.read_to_the_end()
    assert terminal.process.returncode == 1 and terminal.is_whole


def test_a_finite_crawl_tells_what_is_left(sandbox: Sandbox, tmp_path: Path) -> None:
    terminal = Terminal(Crawler(tmp_path / "data", sandbox.url, delay=0.1).command("-aboard=po"))
    terminal.read(lambda text: "threads asked for, about" in text)
    os.kill(terminal.process.pid, signal.SIGTERM)
    terminal.read_to_the_end()
    assert terminal.is_whole


@pytest.mark.parametrize("arguments, variables", [((), {"TERM": "dumb"}), (("-sPROGRESS=off",), {})])
def test_nothing_moves_where_it_is_not_wanted(start: Start, arguments: tuple[str, ...], variables: Any) -> None:
    terminal = start(*arguments, "-sLOGSTATS_INTERVAL=1", **variables)
    terminal.read(lambda text: "So far:" in text and "boards followed" in text)  # the same numbers, as plain lines
    os.kill(terminal.process.pid, signal.SIGTERM)
    terminal.read_to_the_end()
    assert b"\x1b[" not in terminal.raw


def test_nothing_of_it_is_in_a_pipe(sandbox: Sandbox, tmp_path: Path) -> None:
    run = Crawler(tmp_path / "data", sandbox.url)("-aboard=po", "-asample=3").ok()
    assert "\x1b" not in run.output


def test_where_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_on(Settings({"PROGRESS": "on"})) and not is_on(Settings({"PROGRESS": "off"}))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for term, expected in (("xterm", True), ("dumb", False), ("", False)):
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert is_on(Settings({"PROGRESS": "auto"})) is expected


def test_a_frame_has_few_lines() -> None:
    boards = [BoardProgress(f"/{number}/", number, 0) for number in range(70)]
    lines = lines_of(["a", "b", "c"], boards)
    assert len(lines) == MOST_LINES and lines[3].startswith("/69/") and lines[-1] == "+ 62 more"
    assert lines_of(["a"] * 20, boards) == ["a"] * 12 and lines_of([], boards[:2])[0].startswith("/1/")


def test_rates_forget() -> None:
    rate = Rate()
    assert [round(rate.at(now, 10 * now)) for now in (0, 30, 60, 90, 300, 301)][1:] == [600] * 5
    assert rate.at(600, 3010) < 100
