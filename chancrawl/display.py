"""Shows on a terminal how a crawl gets on, once a second, below the log.

*Flow:* `Display.spider_opened` starts a `Live` of rich and puts it below the log → `show` each second → `end` takes it
away. The cursor stays visible all the time, so that no exit can leave it hidden.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import sys
import time
from types import FrameType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.settings import BaseSettings
from scrapy.utils.asyncio import AsyncioLoopingCall, create_looping_call
from scrapy.utils.log import get_scrapy_root_handler
from twisted.internet.task import LoopingCall

from chancrawl.extensions import Report
from chancrawl.frames import duration, lines_of
from chancrawl.text import visible

EVERY = 1.0
"""Seconds between two frames."""


def is_on(settings: BaseSettings) -> bool:
    """Whether a crawl is shown: PROGRESS=on, or PROGRESS=auto and standard error is a terminal that can move its
    cursor. Scrapyd's jobs, pipes and journals are none."""
    if settings.get("PROGRESS") == "auto":
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")
    return bool(settings.get("PROGRESS") == "on")


class PlainConsole(Console):
    """A console that never hides the cursor."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


class Above:
    """The stream of the log: what is written to it appears above the frame."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._text = ""

    def write(self, text: str) -> int:
        self._text += text
        return len(text)

    def flush(self) -> None:
        if self._text:
            self.console.print(Text(self._text.rstrip("\n")), soft_wrap=True)
            self._text = ""


class Display:
    """The extension that shows it."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.report = Report(crawler)
        self.began = time.monotonic()
        self.live: Live | None = None
        self._task: AsyncioLoopingCall | LoopingCall | None = None
        self._stream: Any = None  # that of the log, before

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not is_on(crawler.settings):
            raise NotConfigured
        display = cls(crawler)
        crawler.signals.connect(display.spider_opened, signals.spider_opened)
        crawler.signals.connect(display.end, signals.spider_closed)
        return display

    def spider_opened(self) -> None:
        self._begin()
        self._task = create_looping_call(self.show)
        self._task.start(EVERY, now=False)
        atexit.register(self.end)
        if hasattr(signal, "SIGTSTP"):
            signal.signal(signal.SIGTSTP, self._on_suspension)

    def _begin(self) -> None:
        console = PlainConsole(file=sys.stderr, force_terminal=True, highlight=False, markup=False, emoji=False)
        self.live = Live(
            Text(), console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self.live.start()
        handler = get_scrapy_root_handler()
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            self._stream = handler.setStream(Above(console))

    def show(self) -> None:
        """Draw a frame."""
        if self.live is not None:
            text = Text("\n".join(map(visible, self.lines())), no_wrap=True, overflow="ellipsis")
            self.live.update(text, refresh=True)

    def lines(self) -> list[str]:
        heads = [f"{self.report.spider}  {duration(time.monotonic() - self.began)}", *self.report.numbers()]
        source = self.report.source
        return lines_of(heads, source.boards() if source else ())

    def end(self) -> None:
        """Take the frame away, and give the log its own stream back."""
        if self._task is not None and self._task.running:
            self._task.stop()
        self._take_away()
        atexit.unregister(self.end)

    def _take_away(self) -> None:
        handler = get_scrapy_root_handler()
        if self._stream is not None and isinstance(handler, logging.StreamHandler):
            handler.setStream(self._stream)
            self._stream = None
        if self.live is not None:
            self.live.stop()
            self.live = None

    # --- Ctrl-Z

    def _on_suspension(self, number: int, frame: FrameType | None) -> None:
        asyncio.get_running_loop().call_soon_threadsafe(self._suspend)

    def _suspend(self) -> None:
        """Leave the terminal as it was, stop until the shell continues this process, and begin again."""
        was_shown = self.live is not None
        self._take_away()
        os.kill(os.getpid(), signal.SIGSTOP)
        if was_shown:
            self._begin()
