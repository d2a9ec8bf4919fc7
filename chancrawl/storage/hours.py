"""The sums of each hour, board_hours and account_hours, counted anew from the posts. Sans I/O.

They are kept while rows are written: by the triggers of schema.sql in PostgreSQL, by sqlite/hours.py in SQLite.
"""

from __future__ import annotations


def recount(hour: str, seconds: str) -> list[str]:
    """The statements that count all posts anew.

    `hour` and `seconds` are a store's SQL for the beginning of an hour and for seconds since 1970; {} is the time.
    """
    delay = f"{seconds.format('first_seen_at')} - {seconds.format('posted_at')}"
    posted = hour.format("posted_at")
    return [
        "DELETE FROM board_hours",
        "INSERT INTO board_hours (board, hour, posts, deleted, delay_seconds, no_sum) "
        f"SELECT board, {posted}, count(*), count(deleted_at), sum({delay}), sum(no) FROM posts GROUP BY 1, 2",
        "DELETE FROM account_hours",
        f"INSERT INTO account_hours (account_id, hour, posts) SELECT author_id, {posted}, count(*) FROM tweets "
        "WHERE author_id IS NOT NULL AND posted_at IS NOT NULL GROUP BY 1, 2",
    ]
