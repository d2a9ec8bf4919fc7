"""The kinds of rows that X yields. Sans I/O."""

from __future__ import annotations

from typing import Any

from chancrawl.items import Account, Feed, Gap, Handle, Trend, Tweet
from chancrawl.storage.kinds import CsvFile, EmbeddedTable, Key, Kind
from chancrawl.storage.sqlite.upsert import upsert
from chancrawl.x import tweet_columns
from chancrawl.x.csv_files import COLUMNS, OF_ACCOUNT, older_values, placed

LEDGER_TWEET = ["id", "retweeted_username", "metrics", "first_seen_at", "last_seen_at", "found_in"]


def _feed(item: Any) -> list[Key]:
    return [("feed", item.feed)]


KINDS = (
    Kind(
        Tweet,
        "tweets",
        ("id",),
        csv=CsvFile(lambda tweet: OF_ACCOUNT, COLUMNS, older_values, placed),
        embedded=EmbeddedTable(
            """
CREATE TABLE IF NOT EXISTS account_files (author_id INTEGER PRIMARY KEY, stem TEXT UNIQUE COLLATE NOCASE);
CREATE TABLE IF NOT EXISTS tweets (id INTEGER PRIMARY KEY, retweeted_username TEXT, metrics TEXT, first_seen_at TEXT,
    last_seen_at TEXT, found_in TEXT);
""",
            LEDGER_TWEET,
            upsert("tweets", LEDGER_TWEET, ("id",)),
        ),
        is_paid=True,
        keeps_waiting=lambda tweet: [("feed", feed) for feed in tweet.found_in],
        describe=tweet_columns.describe,
    ),
    Kind(Trend, "trends", ("woeid", "seen_at", "rank"), csv=CsvFile(lambda trend: "twitter/trends.csv")),
    Kind(
        Account,
        "accounts",
        ("id",),
        later="coalesce(new.last_seen_at >= held.last_seen_at, true)",
        merged={
            "first_seen_at": "least(new.first_seen_at, held.first_seen_at)",
            "first_metrics": "coalesce(held.first_metrics, new.first_metrics)",
        },
        csv=CsvFile(lambda account: "twitter/x.accounts.csv"),
        keeps_waiting=lambda account: [("account", account.id), ("feed", f"timeline:{account.id}")],
    ),
    Kind(
        Handle,
        "handles",
        ("handle",),
        later="new.checked_at >= held.checked_at",
        csv=CsvFile(lambda handle: "twitter/x.handles.csv"),
        is_state=True,
        waits_as=lambda handle: [("account", handle.account_id)],
    ),
    Kind(
        Gap,
        "gaps",
        ("feed", "before_id"),
        compared=["after_id"],
        csv=CsvFile(lambda gap: "twitter/x.gaps.csv"),
        keeps_waiting=_feed,
    ),
    Kind(
        Feed,
        "feeds",
        ("feed",),
        later="new.pages >= held.pages",
        order="pages",  # a page's state can come behind that of the next page
        embedded_later="feeds.pages <= excluded.pages",
        is_state=True,
        waits_as=_feed,
    ),
)
