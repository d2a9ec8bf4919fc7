"""The CSV files of X: those of accounts with the older crawler's columns, and those with all columns.

In twitter/, names with a dot cannot be a handle's; an account called trends gets one too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

from chancrawl.items import Tweet
from chancrawl.storage.kinds import CsvFile
from chancrawl.x import legacy
from chancrawl.x.api import HANDLE

COLUMNS = [*legacy.COLUMNS, "author_id"]

NUMBERS = (
    "id",
    "favorite_count",
    "retweet_count",
    "in_reply_to_user_id",
    "in_reply_to_status_id",
    "retweeted_status_id",
)

RESERVED = {"trends", "con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""Handles that are no names of files: ours, or devices of Windows."""


def _account(tweet: Tweet) -> tuple[int, str] | None:
    """The account whose file has a post, and the name for the file. A name can pass to another account."""
    if tweet.author_id is None:
        return None
    stem = tweet.username if tweet.username and HANDLE.fullmatch(tweet.username) else f"x.{tweet.author_id}"
    return tweet.author_id, f"x.{stem}" if stem.lower() in RESERVED else stem


def _older_row(tweet: Tweet) -> Iterator[dict[str, Any]]:
    """The columns of the older crawler's table, and the number of the account."""
    yield dict(zip(legacy.COLUMNS, legacy.row_of(tweet), strict=True)) | {"author_id": tweet.author_id}


def from_older_row(row: Mapping[str, str]) -> Tweet:
    """The post of a row of an account's file."""
    values: dict[str, Any] = {name: text or None for name, text in row.items()}
    for name in NUMBERS:
        values[name] = int(values[name]) if values.get(name) else None
    values["sentiment"] = float(row["sentiment"]) if row.get("sentiment") else None
    author = values.pop("author_id", None)
    return replace(legacy.tweet_of(values), author_id=int(author) if author else None)


def _is_new(tweet: Tweet) -> bool:
    return not tweet.known_in and not tweet.is_seen_again


def _day_file(tweet: Tweet) -> str:
    """The file of the day on which the post was first read."""
    seen_at = tweet.first_seen_at or tweet.last_seen_at or tweet.posted_at
    return f"twitter/x.tweets-{seen_at.astimezone(UTC).date()}.csv" if seen_at else "twitter/x.tweets-older.csv"


def _counts(tweet: Tweet) -> Iterator[dict[str, Any]]:
    if tweet.metrics != tweet.first_metrics:
        yield {"id": tweet.id, "last_seen_at": tweet.last_seen_at, "metrics": tweet.metrics}


def _feeds(tweet: Tweet) -> Iterator[dict[str, Any]]:
    """The feeds that showed a post again, besides the first one."""
    known = tweet.known_in or tweet.found_in[:1]
    for feed in tweet.found_in or ():
        if feed not in known:
            yield {"id": tweet.id, "last_seen_at": tweet.last_seen_at, "found_in": feed}


TWEETS = (
    CsvFile(
        lambda tweet: "twitter/x.unknown.csv",
        COLUMNS,
        pattern="twitter/*.csv",
        rows=_older_row,
        is_appended=_is_new,
        owner=_account,
        path_of_owner=lambda stem: f"twitter/{stem}.csv",
    ),
    CsvFile(_day_file, pattern="twitter/x.tweets-*.csv", is_appended=_is_new),
    CsvFile(lambda tweet: "twitter/x.metrics.csv", ["id", "last_seen_at", "metrics"], "twitter/x.metrics.csv", _counts),
    CsvFile(lambda tweet: "twitter/x.found.csv", ["id", "last_seen_at", "found_in"], "twitter/x.found.csv", _feeds),
)
TRENDS = CsvFile(lambda trend: "twitter/trends.csv", pattern="twitter/trends.csv")
ACCOUNTS = CsvFile(lambda account: "twitter/x.accounts.csv", pattern="twitter/x.accounts.csv")
HANDLES = CsvFile(lambda handle: "twitter/x.handles.csv", pattern="twitter/x.handles.csv")
GAPS = CsvFile(lambda gap: "twitter/x.gaps.csv", pattern="twitter/x.gaps.csv")
