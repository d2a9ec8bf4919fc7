"""The quarantine, CSV_FOLDER/quarantine: examples of payloads that could not be read, and all rows that could not be
stored.

A payload becomes NAME.body, with the same bytes, and NAME.json with its URL, time and reason. The name begins with the
day and ends with a hash of URL and body, so that the same payload is kept once. An API that changes one key could fill
the disk, so at most EXAMPLES payloads a day are kept for each kind of problem, and QUARANTINE_MB in all. The others are
only counted.

A row is data that exists nowhere else, so each row is kept: a line of rows-DAY.jsonl, which `scrapy quarantine take-in`
reads.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from scrapy import signals
from scrapy.crawler import Crawler

from chancrawl.engine import PerCrawl
from chancrawl.items import Post
from chancrawl.storage.item_json import decoded, encoded
from chancrawl.storage.kinds import Kind, Kinds
from chancrawl.text import visible

logger = logging.getLogger(__name__)

EXAMPLES = 5
"""Number of payloads with one kind of problem that are kept on one day."""


class Quarantine(PerCrawl):
    """The extension that writes the quarantine, in a separate thread."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        crawler.signals.connect(self.spider_closed, signals.spider_closed)
        self.folder = Path(crawler.settings["CSV_FOLDER"]) / "quarantine"
        self.kinds = Kinds.from_settings(crawler.settings)
        self.stats = crawler.stats
        self.most_bytes = int(crawler.settings.getfloat("QUARANTINE_MB") * 1_000_000)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="quarantine")
        self._day = ""
        self._kept: Counter[str] = Counter()  # by kind of problem, on that day
        self._names: set[str] = set()
        self._rows: set[str] | None = None  # versions of rows that are kept; None until the folder is read
        self._bytes = 0
        self._is_full = False

    def spider_closed(self) -> None:
        self._thread.shutdown(wait=True)

    def set_aside(self, url: str, body: bytes, reason: str) -> None:
        """Keep a payload that was read from `url`. If the disk is full, only this copy is lost."""
        self.stats.inc_value("quarantine/payloads")
        self._thread.submit(self._keep, url, body, reason)

    def keep_row(self, item: Any, reason: str) -> None:
        """Keep a row that cannot be stored. The same row is kept once, also if it is rejected again."""
        self.stats.inc_value("store/rejected")
        self._thread.submit(self._keep_row, item, reason)

    def has_row(self, item: Any) -> bool:
        """Whether a row is kept already. Blocks."""
        return self._thread.submit(lambda: self._version_of(item) in self._kept_rows()).result()

    def _version_of(self, item: Any) -> str:
        return version_of(self.kinds.of(item), item)

    def _keep_row(self, item: Any, reason: str) -> None:
        if (version := self._version_of(item)) not in self._kept_rows():
            if keep_row(self.folder, self.kinds.of(item), item, reason):
                self._kept_rows().add(version)
            else:
                self.stats.inc_value("quarantine/not_kept")

    def _kept_rows(self) -> set[str]:
        if self._rows is None:
            self._rows = set()
            with contextlib.suppress(OSError):
                kept = kept_rows(self.folder, self.kinds)
                self._rows |= {self._version_of(row.item) for _, rows in kept for row in rows}
        return self._rows

    def _keep(self, url: str, body: bytes, reason: str) -> None:
        try:
            now = datetime.now(UTC)
            self._begin(f"{now:%Y-%m-%d}")
            name, kind = name_of(now, url, body), kind_of(reason)
            if name in self._names or self._kept[kind] >= EXAMPLES:
                return
            if self._bytes + len(body) > self.most_bytes:
                self.stats.inc_value("quarantine/not_kept")
                if not self._is_full:
                    self._is_full = True
                    logger.warning("%s holds %.0f MB, and QUARANTINE_MB allows no more: payloads that cannot be read "
                                   "are only counted.", self.folder, self._bytes / 1e6)  # fmt: skip
                return
            keep(self.folder, url, body, reason)
            self._names.add(name)
            self._kept[kind] += 1
            self._bytes += len(body)
            rest = "" if self._kept[kind] < EXAMPLES else "; more of this kind are only counted today"
            logger.warning("Set aside as %s in %s: %s: %s%s", name, self.folder, url, visible(reason)[:1000], rest)
        except OSError as error:
            self.stats.inc_value("quarantine/not_kept")
            logger.error("Could not keep what %s answered: %s", url, error)

    def _begin(self, day: str) -> None:
        """Read once a day what is kept, so that the limits also hold for crawls that are started every few minutes."""
        if day == self._day:
            return
        self._day, self._kept, self._names = day, Counter(), set()
        files = list(self.folder.glob("*.*")) if self.folder.is_dir() else []
        self._bytes = sum(file.stat().st_size for file in files if file.suffix == ".body")
        for file in files:
            if file.suffix == ".json" and file.name.startswith(day):
                self._names.add(file.stem)
                self._kept[kind_of(report_of(file).get("reason", ""))] += 1


def kind_of(reason: str) -> str:
    """The kind of a problem: its text without numbers and values.

    >>> kind_of("post 5: sub is [1]; post 6: sub is [2]")
    'post #: sub is …'
    """
    return re.sub(r" is .*", " is …", re.sub(r"\d+", "#", reason.partition("; ")[0]))[:200]


def keep(folder: Path, url: str, body: bytes, reason: str) -> str:
    """Write a payload to the quarantine. Returns its name. Blocks."""
    now = datetime.now(UTC)
    name = name_of(now, url, body)
    report = {"url": url, "time": now.isoformat(timespec="seconds"), "reason": reason, "bytes": len(body)}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.body").open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return name


def name_of(now: datetime, url: str, body: bytes) -> str:
    return f"{now:%Y-%m-%d}-{sha256(url.encode(errors='replace') + body).hexdigest()[:16]}"


def report_of(file: Path) -> dict[str, str]:
    """The report of a payload, NAME.json; empty if it cannot be read."""
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


# --- rows


@dataclass(slots=True, frozen=True)
class KeptRow:
    """A row that could not be stored. `line` is its item as JSON; see item_json.py."""

    what: str
    reason: str
    line: str
    item: Any


def name_of_row(kind: Kind, item: Any) -> str:
    """The kind of a row and its key, for example `post po/570368`."""
    return f"{kind.name} {'/'.join(str(getattr(item, name)) for name in kind.key)}"


def version_of(kind: Kind, item: Any) -> str:
    """The name of a row, with the digest if it is a post."""
    return f"{name_of_row(kind, item)} {item.digest}" if isinstance(item, Post) else name_of_row(kind, item)


def keep_row(folder: Path, kind: Kind, item: Any, reason: str) -> bool:
    """Write a row to the quarantine. If that fails, log the row and return False. Blocks."""
    what = name_of_row(kind, item)
    now = datetime.now(UTC)
    line = repr(item)
    try:
        line = encoded(item)
        kept = {"time": now.isoformat(timespec="seconds"), "what": what, "reason": reason, "row": line}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"rows-{now:%Y-%m-%d}.jsonl"
        with file.open("ab") as stream:
            stream.write(json.dumps(kept).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except Exception as error:  # a row that cannot be written here either must not stop the others
        logger.error("%s cannot be stored (%s), and it cannot be set aside in %s (%s). This is the row: %s",
                     visible(what), visible(reason), folder, error, line[:100_000])  # fmt: skip
        return False
    logger.warning("%s cannot be stored (%s); it is set aside in %s.", visible(what), visible(reason)[:500], file)
    return True


TAKING = ".taking"
"""Suffix of a file of rows that is being taken in. A crawl that rejects a row meanwhile starts another file."""


def begin_taking(folder: Path) -> None:
    """Add the suffix TAKING to all files of rows. Files of an interrupted take-in have it already."""
    for file in folder.glob("rows-*.jsonl"):
        file.rename(file.with_name(f"{file.name}.{time.time_ns()}{TAKING}"))


def kept_rows(folder: Path, kinds: Kinds, pattern: str = "rows-*") -> Iterator[tuple[Path, list[KeptRow]]]:
    """The files of rows and their rows, each row once. Unreadable lines are left out."""
    for file in sorted(folder.glob(pattern)):
        rows: dict[str, KeptRow] = {}
        for line in file.read_bytes().splitlines():
            try:
                kept = json.loads(line)
                text = str(kept["row"])
                row = KeptRow(str(kept["what"]), str(kept["reason"]), text, decoded(text.encode(), kinds))
            except (ValueError, KeyError, TypeError, AttributeError, LookupError):
                continue
            rows[row.line] = row
        yield file, list(rows.values())


def end_taking(file: Path, rows: list[KeptRow]) -> None:
    """Append the rows that were rejected again to a rows-DAY.jsonl file, and remove the file that was taken in.

    Blocks.
    """
    lines = [json.dumps({"what": row.what, "reason": row.reason, "row": row.line}) + "\n" for row in rows]
    if lines:
        with file.with_name(file.name.partition(".jsonl")[0] + ".jsonl").open("ab") as stream:
            stream.write("".join(lines).encode())
            stream.flush()
            os.fsync(stream.fileno())
    file.unlink()
