"""What keeps the sums of each hour in the embedded database: board_hours and account_hours.

In PostgreSQL the triggers of schema.sql do it, for each statement. SQLite has triggers for each row only, which cost a
fifth of the time in which posts are inserted. So the writer counts new posts, a batch at a time; everything else is
counted by triggers.
"""

from __future__ import annotations

from collections.abc import Sequence

HOUR = "substr({}, 1, 13) || ':00:00.000000Z'"
"""SQL for the beginning of the hour of a time."""

SECONDS = "CAST(strftime('%s', {}) AS INTEGER)"
"""SQL for a time in seconds since 1970."""


_ADD = """
    ON CONFLICT (board, hour) DO UPDATE SET posts = posts + excluded.posts, deleted = deleted + excluded.deleted,
        delay_seconds = delay_seconds + excluded.delay_seconds, no_sum = no_sum + excluded.no_sum"""

LAST = "SELECT coalesce(max(rowid), 0) FROM posts"

COUNT_NEW = f"""
    INSERT INTO board_hours
    SELECT board, {HOUR.format("posted_at")}, count(*), count(deleted_at),
        sum({SECONDS.format("first_seen_at")} - {SECONDS.format("posted_at")}), sum(no)
    FROM posts WHERE rowid > ? GROUP BY 1, 2{_ADD}"""
"""Count the posts that were inserted after the one that LAST returned."""


def _count_post(row: str, sign: int) -> str:
    delay = f"{SECONDS.format(f'{row}.first_seen_at')} - {SECONDS.format(f'{row}.posted_at')}"
    return f"""
    INSERT INTO board_hours VALUES ({row}.board, {HOUR.format(f"{row}.posted_at")}, {sign},
        {sign} * ({row}.deleted_at IS NOT NULL), {sign} * ({delay}), {sign} * {row}.no){_ADD};"""


def _count_tweet(row: str, sign: int) -> str:
    return f"""
    INSERT INTO account_hours SELECT {row}.author_id, {HOUR.format(f"{row}.posted_at")}, {sign}
    WHERE {row}.author_id IS NOT NULL AND {row}.posted_at IS NOT NULL
    ON CONFLICT (account_id, hour) DO UPDATE SET posts = posts + excluded.posts;"""


def _changed(columns: Sequence[str]) -> str:
    old, new = (", ".join(f"{row}.{name}" for name in columns) for row in ("old", "new"))
    return f"UPDATE OF {', '.join(columns)} ON {{}} WHEN ({old}) IS NOT ({new})"


_POST = _changed(("board", "no", "posted_at", "first_seen_at", "deleted_at"))
_TWEET = _changed(("author_id", "posted_at"))

TRIGGERS = {
    "posts_removed": ("DELETE ON posts", _count_post("old", -1)),
    "posts_changed": (_POST.format("posts"), _count_post("old", -1) + _count_post("new", 1)),
    "tweets_added": ("INSERT ON tweets", _count_tweet("new", 1)),
    "tweets_removed": ("DELETE ON tweets", _count_tweet("old", -1)),
    "tweets_changed": (_TWEET.format("tweets"), _count_tweet("old", -1) + _count_tweet("new", 1)),
}


def trigger_statements() -> list[str]:
    """The statements that create the triggers anew."""
    return [text for name, (event, body) in TRIGGERS.items() for text in (
        f"DROP TRIGGER IF EXISTS {name}", f"CREATE TRIGGER {name} AFTER {event} BEGIN{body}\nEND")]  # fmt: skip
