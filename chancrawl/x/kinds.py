"""The kinds of rows that X yields. Sans I/O."""

from __future__ import annotations

from typing import Any

from chancrawl.items import Account, Feed, Gap, Handle, Trend, Tweet
from chancrawl.storage.kinds import Key, Kind
from chancrawl.x import forgetting, tweet_columns
from chancrawl.x.csv_files import ACCOUNTS, GAPS, HANDLES, TRENDS, TWEETS, from_older_row


def _platform(item: Any) -> str:
    """One crawl at a time writes the rows of X: a post can be in any feed, and an account be named by any post."""
    return "x"


def _feed(item: Any) -> list[Key]:
    return [("feed", item.feed)]


KINDS = (
    Kind(
        Tweet,
        "tweets",
        ("id",),
        lock=_platform,
        csv=TWEETS,
        from_older=from_older_row,
        is_paid=True,
        keeps_waiting=lambda tweet: [("feed", feed) for feed in tweet.found_in],
        about=forgetting.ABOUT,
        subjects=forgetting.subjects_of_tweet,
        without=forgetting.tweet_without,
        describe=tweet_columns.describe,
    ),
    Kind(
        Trend,
        "trends",
        ("woeid", "seen_at", "rank"),
        lock=_platform,
        csv=TRENDS,
        about=forgetting.ABOUT,
        subjects=forgetting.subjects_of_trend,
    ),
    Kind(
        Account,
        "accounts",
        ("id",),
        later="coalesce(new.last_seen_at >= held.last_seen_at, true)",
        merged={
            "first_seen_at": "least(new.first_seen_at, held.first_seen_at)",
            "first_metrics": "coalesce(held.first_metrics, new.first_metrics)",
        },
        lock=_platform,
        csv=ACCOUNTS,
        keeps_waiting=lambda account: [("account", account.id), ("feed", f"timeline:{account.id}")],
        about=forgetting.ABOUT,
        subjects=forgetting.subjects_of_account,
        without=forgetting.account_without,
    ),
    Kind(
        Handle,
        "handles",
        ("handle",),
        later="new.checked_at >= held.checked_at",
        lock=_platform,
        csv=HANDLES,
        is_state=True,
        waits_as=lambda handle: [("account", handle.account_id)],
        about=forgetting.ABOUT,
        subjects=forgetting.subjects_of_handle,
    ),
    Kind(
        Gap,
        "gaps",
        ("feed", "before_id"),
        compared=["after_id"],
        lock=_platform,
        csv=GAPS,
        keeps_waiting=_feed,
        about=forgetting.ABOUT,
        subjects=forgetting.subjects_of_feed,
    ),
    Kind(
        Feed,
        "feeds",
        ("feed",),
        later="new.pages >= held.pages",
        lock=_platform,
        order="pages",  # a page's state can come behind that of the next page
        is_state=True,
        waits_as=_feed,
        about=forgetting.ABOUT,
        subjects=forgetting.subjects_of_feed,
    ),
)
