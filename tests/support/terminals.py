"""Crawls in a terminal: a pseudo-terminal, and a screen that shows what its escape sequences do."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyte

from tests.support import ROOT
from tests.support.crawls import STARTED, environment


@dataclass
class Terminal:
    """A command in a terminal of 24 lines. `raw` is everything that it has written."""

    command: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    columns: int = 100
    raw: bytes = b""

    def __post_init__(self) -> None:
        self.master, slave = pty.openpty()
        self.resize(self.columns)
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=environment() | {"TERM": "xterm"} | self.variables, stdin=slave, stdout=slave,
            stderr=slave, text=True, start_new_session=True,
        )  # fmt: skip
        STARTED.append(self.process)
        os.close(slave)
        self.screen: Any = pyte.Screen(self.columns, 24)
        self.stream: Any = pyte.ByteStream(self.screen)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        if hasattr(self, "screen"):
            self.screen.resize(24, columns)

    def read(self, until: Callable[[str], bool], seconds: float = 30) -> str:
        """Read until the screen's text fulfils a condition. Returns the text."""
        end = time.monotonic() + seconds
        while not until(self.text):
            assert time.monotonic() < end, f"waited in vain:\n{self.text}\n{self.raw[-2000:]!r}"
            self._read_some()
        return self.text

    def read_to_the_end(self, seconds: float = 30) -> str:
        end = time.monotonic() + seconds
        while self._read_some() or self.process.poll() is None:
            assert time.monotonic() < end, self.text
        self.process.wait()
        return self.text

    def _read_some(self) -> bool:
        if not select.select([self.master], [], [], 0.1)[0]:
            return False
        try:
            part = os.read(self.master, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += part
        self.stream.feed(part)
        return bool(part)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def is_whole(self) -> bool:
        """Whether the cursor is visible, at the beginning of a line below all text, and nothing of a frame is left."""
        cursor = self.screen.cursor
        return not cursor.hidden and cursor.x == 0 and "behind" not in self.text and b"\x1b[?25l" not in self.raw
