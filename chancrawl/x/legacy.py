"""The older crawler's table tweet_articles_tweepy: its columns as CSV prints them, its rows as items. Sans I/O.

Lists stood there as PostgreSQL prints arrays, {a,"b c"}: see
https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO.
"""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from typing import Any

from chancrawl.items import Tweet
from chancrawl.text import clean, list_text
from chancrawl.x.api import time_of
from chancrawl.x.fields import id_of

COLUMNS = (
    "id tweet_from created_at hashtags urls user_mentions_id media user_mentions_name origin_device favorite_count "
    "text in_reply_to_screen_name in_reply_to_user_id in_reply_to_status_id retweet_count retweeted_status_text "
    "retweeted_status_url retweeted_status_id retweeted_status_user_name retweeted_status_user_handle sentiment"
).split()

_DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', re.DOTALL)


def row_of(tweet: Tweet) -> list[Any]:
    """A post's values for COLUMNS."""
    return [
        tweet.id,
        tweet.username,
        time_text(tweet.posted_at),
        list_text(tweet.hashtags),
        list_text(tweet.urls),
        list_text(tweet.mention_ids),
        list_text(tweet.media_urls),
        list_text(tweet.mention_usernames),
        tweet.source,
        tweet.metrics.get("like_count"),
        tweet.text,
        tweet.in_reply_to_username,
        tweet.in_reply_to_user_id,
        tweet.in_reply_to_id,
        tweet.metrics.get("retweet_count"),
        tweet.retweeted_text,
        list_text(tweet.retweeted_urls),
        tweet.retweeted_id,
        tweet.retweeted_name,
        tweet.retweeted_username,
        tweet.sentiment,
    ]


def time_text(time: datetime | None) -> str | None:
    """
    >>> time_text(datetime(2018, 10, 10, 20, 19, 24, tzinfo=UTC))
    'Wed Oct 10 20:19:24 +0000 2018'
    """
    if time is None:
        return None
    time = time.astimezone(UTC)
    return f"{_DAYS[time.weekday()]} {_MONTHS[time.month - 1]} {time:%d %H:%M:%S +0000} {time.year:04}"


# --- rows of the older table


def tweet_of(row: dict[str, Any]) -> Tweet:
    """A row, taken over. What a column cannot hold stays in `raw`, which is the row."""
    number = row["id"]
    row = {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}
    metrics = {
        name: int(row[column])
        for name, column in (("like_count", "favorite_count"), ("retweet_count", "retweet_count"))
        if row.get(column) is not None
    }
    mentions = parse_list(row.get("user_mentions_id")) or []
    return Tweet(
        id=number,
        author_id=None,
        username=row.get("tweet_from"),
        posted_at=parse_time(row.get("created_at")) or time_of(number),
        text=row.get("text"),
        hashtags=parse_list(row.get("hashtags")),  # type: ignore[arg-type]  # null stays null
        urls=parse_list(row.get("urls")),  # type: ignore[arg-type]
        mention_ids=None if row.get("user_mentions_id") is None else [n for n in map(id_of, mentions) if n],  # type: ignore[arg-type]
        mention_usernames=parse_list(row.get("user_mentions_name")),  # type: ignore[arg-type]
        media_urls=parse_list(row.get("media")),
        source=row.get("origin_device"),
        in_reply_to_id=row.get("in_reply_to_status_id"),
        in_reply_to_user_id=row.get("in_reply_to_user_id"),
        in_reply_to_username=row.get("in_reply_to_screen_name"),
        retweeted_id=row.get("retweeted_status_id"),
        retweeted_username=row.get("retweeted_status_user_handle"),
        retweeted_name=row.get("retweeted_status_user_name"),
        retweeted_text=row.get("retweeted_status_text"),
        retweeted_urls=parse_list(row.get("retweeted_status_url")),
        metrics=metrics,
        first_metrics=metrics,
        sentiment=row.get("sentiment"),
        found_in=["legacy"],
        raw={name: value if isinstance(value, int) else str(value) for name, value in row.items() if value is not None},
    )


def parse_list(text: str | list[Any] | None) -> list[str] | None:
    """A list as PostgreSQL printed it, or as Python did; anything else is a list of one.

    >>> parse_list('{a,"b c"}'), parse_list("{}"), parse_list("['a', 'b']"), parse_list("a"), parse_list(None)
    (['a', 'b c'], [], ['a', 'b'], ['a'], None)
    """
    if text is None:
        return None
    if isinstance(text, list):  # a table whose columns are arrays
        return [str(value) for value in text]
    if text.startswith("{") and text.endswith("}"):
        return [re.sub(r"\\(.)", r"\1", quoted) if quoted or not plain else plain
                for quoted, plain in _ELEMENT.findall(text[1:-1])]  # fmt: skip
    try:
        values = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        values = None
    return [str(value) for value in values] if isinstance(values, list) else [text]


def parse_time(text: str | None) -> datetime | None:
    """
    >>> parse_time("Wed Oct 10 20:19:24 +0000 2018").isoformat()
    '2018-10-10T20:19:24+00:00'
    """
    match (text or "").split():
        case [_, month, day, clock, offset, year] if month in _MONTHS:
            try:
                hour, minute, second = map(int, clock.split(":"))
                time = datetime(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC)
                sign = -1 if offset.startswith("-") else 1
                minutes = sign * (int(offset[1:3]) * 60 + int(offset[3:5]))
                return time if not minutes else datetime.fromtimestamp(time.timestamp() - minutes * 60, UTC)
            except ValueError:
                return None
    return None
