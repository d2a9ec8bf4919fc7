"""Sets up a process: file permissions, standard streams, signals, and log records without control characters."""

from __future__ import annotations

import codecs
import logging
import os
import re
import signal
import sys
from types import FrameType
from typing import Any

from chancrawl.text import visible

# --- files


def keep_private(umask: str) -> None:
    """Set the umask so that only the owner can read new files and folders, or to the setting UMASK."""
    before = os.umask(0o077)
    os.umask(int(umask, 8) if umask else before | 0o077)


# --- terminals

PLAIN = {"…": "...", "–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "×": "x", "≥": ">=", "≤": "<="}


def _plain(error: UnicodeError) -> tuple[str, int]:
    """An error handler for encoding: it replaces characters that a terminal lacks by similar ones or by escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    escaped = (PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in signs)
    return "".join(escaped), error.end


def plain_streams() -> None:
    """Make standard output and standard error accept every text, in any locale."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plain")


def text_of(value: str) -> str:
    """A text from the environment or the command line. In an ASCII locale, its bytes are decoded as UTF-8.

    >>> text_of("caf\\udcc3\\udca9")
    'café'
    """
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return value


# --- signals


def stop_quietly() -> None:
    """Make Ctrl-C before the start of a crawl print a line instead of a traceback."""

    def stop(number: int, frame: FrameType | None) -> None:
        os.write(2, b"\nStopped before the start; nothing was fetched.\n")
        os._exit(128 + number)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def stop_when_hung_up() -> None:
    """Treat the first SIGHUP (a terminal that is closed) as SIGTERM, unless it is ignored, as by nohup."""
    if not hasattr(signal, "SIGHUP") or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a second SIGTERM would end the crawl at once
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGHUP, stop)


# --- the log

OURS = ("chancrawl", "spiders", "pipelines")
_USERINFO = re.compile(r"(?<=://)(?!user:password@)\S*@")  # but not in an explanation of the form
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class CleanRecord(logging.LogRecord):
    """A log record without passwords in addresses, and without control characters from foreign texts.

    Names, titles and addresses come from other people. In messages of this project they cannot begin a new line.
    """

    def getMessage(self) -> str:
        arguments: Any = self.args
        if self.name.partition(".")[0] in OURS and isinstance(arguments, tuple):
            arguments = tuple(_on_its_line(argument) for argument in arguments)
        text = str(self.msg) % arguments if arguments else str(self.msg)
        if "@" in text and "://" in text:
            text = _USERINFO.sub("***@", text)
        return _CONTROLS.sub(lambda sign: visible(sign[0]), text) if _CONTROLS.search(text) else text


def _on_its_line(argument: Any) -> Any:
    if isinstance(argument, int | float):
        return argument
    text = str(argument)
    return visible(text) if _CONTROLS.search(text) or "\n" in text or "\t" in text else argument


def clean_log() -> None:
    """Make every log record of this process a CleanRecord."""
    logging.setLogRecordFactory(CleanRecord)
