"""Where posts of X go in CSV files: the file of their account, and what changes later to files beside it.

In twitter/, names with a dot cannot be a handle's; an account called trends gets one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chancrawl.items import Tweet
from chancrawl.payload import dumps, loads
from chancrawl.storage.csv.rows import Line, text_of
from chancrawl.storage.sqlite.store import CsvStore
from chancrawl.x import legacy
from chancrawl.x.api import HANDLE

COLUMNS = [*legacy.COLUMNS, "author_id"]

OF_ACCOUNT = "twitter/*.csv"
"""Stands for the file of a post until it is known which one is its account's."""

METRICS = "twitter/x.metrics.csv"
METRICS_COLUMNS = ["id", "last_seen_at", "metrics"]
FOUND = "twitter/x.found.csv"
FOUND_COLUMNS = ["id", "last_seen_at", "found_in"]

RESERVED = {"trends", "con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""Handles that are no names of files: ours, or devices of Windows."""

STORED = "SELECT id, metrics, found_in FROM tweets WHERE id IN ({})"
NAME_FILE = "INSERT OR IGNORE INTO account_files VALUES (?, ?)"


def older_values(tweet: Tweet) -> dict[str, str]:
    """The texts of COLUMNS: those of the older crawler's table, and the number of the account."""
    values = dict(zip(legacy.COLUMNS, legacy.row_of(tweet), strict=True)) | {"author_id": tweet.author_id}
    return {name: text_of(value) for name, value in values.items()}


def placed(store: CsvStore, lines: Sequence[Line]) -> list[Line]:
    """The lines of a batch: new posts in the files of their accounts, and what is new about those that are stored."""
    ids = {line.item.id for line in lines if isinstance(line.item, Tweet)}
    if not ids:
        return list(lines)
    stored: dict[int, tuple[str | None, set[str]]] = {
        number: (metrics, set(loads(feeds.encode()) if feeds else ()))
        for number, metrics, feeds in store.rows_in(STORED, ids)
    }
    names = FileNames(dict(store.rows("SELECT author_id, stem FROM account_files")))
    found: list[Line] = []
    for line in lines:
        item = line.item
        if not isinstance(item, Tweet):
            found.append(line)
            continue
        metrics, feeds = stored.get(item.id, (None, set()))
        found += _new(names, line) if metrics is None else _again(store, item, metrics, feeds)
        stored[item.id] = dumps(item.metrics), feeds | set(item.found_in)
    return found


def _new(names: FileNames, line: Line) -> list[Line]:
    tweet: Tweet = line.item
    stem, is_new = names.of(tweet)
    line.path = f"twitter/{stem}.csv"
    if is_new:
        line.before = (NAME_FILE, (tweet.author_id, stem))
    return [line]


def _again(store: CsvStore, tweet: Tweet, metrics: str, feeds: set[str]) -> list[Line]:
    """What is new about a stored post. In its account's file it stays as it was first; the ledger knows all of it."""
    new_feeds = [feed for feed in tweet.found_in if feed not in feeds]
    line = store.line_of(replace(tweet, found_in=[*sorted(feeds), *new_feeds]))
    counts = dumps(tweet.metrics)
    seen_at = text_of(tweet.last_seen_at)
    line.path = METRICS if counts != metrics else None
    line.columns = METRICS_COLUMNS
    line.values = {"id": str(tweet.id), "last_seen_at": seen_at, "metrics": counts}
    values: dict[str, Any] = {"id": str(tweet.id), "last_seen_at": seen_at}
    return [line, *(Line(tweet, FOUND, FOUND_COLUMNS, values | {"found_in": feed}) for feed in new_feeds)]


class FileNames:
    """The names of accounts' files: the name of the account when it was first met.

    A name that another account has, or had, or that differs only in its case, gets a number.
    """

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names

    def of(self, tweet: Tweet) -> tuple[str, bool]:
        """The name of the file of a post's account, and whether it is a new one."""
        if tweet.author_id is None:
            return "x.unknown", False
        stem = self._names.get(tweet.author_id)
        if stem is not None:
            return stem, False
        stem = tweet.username if tweet.username and HANDLE.fullmatch(tweet.username) else f"x.{tweet.author_id}"
        stem = f"x.{stem}" if stem.lower() in RESERVED else stem
        if stem.lower() in {name.lower() for name in self._names.values()}:
            stem = f"{stem}.{tweet.author_id}"
        self._names[tweet.author_id] = stem
        return stem, True
