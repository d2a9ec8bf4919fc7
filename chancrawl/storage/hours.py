"""The sums of each hour, board_hours and account_hours, counted anew from the posts. Sans I/O.

They are kept while rows are written: by the triggers of schema.sql in PostgreSQL, by sqlite/hours.py in SQLite.
"""

from __future__ import annotations


def compared(hour: str, seconds: str) -> dict[str, str]:
    """The queries, by table, for the hours whose sums are not those of the rows: the owner, the hour, the number of
    rows and the sum; `hour` and `seconds` as in `recount`."""
    delay = f"{seconds.format('first_seen_at')} - {seconds.format('posted_at')}"
    posted = hour.format("posted_at")
    return {
        "board_hours": f"""
WITH counted AS (SELECT board, {posted} AS hour, count(*) AS posts, count(deleted_at) AS deleted,
    sum({delay}) AS delay_seconds, sum(no) AS no_sum FROM posts GROUP BY 1, 2)
SELECT counted.board, counted.hour, counted.posts, coalesce(kept.posts, 0) FROM counted
LEFT JOIN board_hours AS kept ON kept.board = counted.board AND kept.hour = counted.hour
WHERE kept.board IS NULL OR kept.posts <> counted.posts OR kept.deleted <> counted.deleted
    OR kept.delay_seconds <> counted.delay_seconds OR kept.no_sum <> counted.no_sum
UNION ALL SELECT kept.board, kept.hour, 0, kept.posts FROM board_hours AS kept
LEFT JOIN counted ON kept.board = counted.board AND kept.hour = counted.hour
WHERE counted.board IS NULL AND kept.posts <> 0""",
        "account_hours": f"""
WITH counted AS (SELECT author_id, {posted} AS hour, count(*) AS posts FROM tweets
    WHERE author_id IS NOT NULL AND posted_at IS NOT NULL GROUP BY 1, 2)
SELECT counted.author_id, counted.hour, counted.posts, coalesce(kept.posts, 0) FROM counted
LEFT JOIN account_hours AS kept ON kept.account_id = counted.author_id AND kept.hour = counted.hour
WHERE kept.account_id IS NULL OR kept.posts <> counted.posts
UNION ALL SELECT kept.account_id, kept.hour, 0, kept.posts FROM account_hours AS kept
LEFT JOIN counted ON kept.account_id = counted.author_id AND kept.hour = counted.hour
WHERE counted.author_id IS NULL AND kept.posts <> 0""",
    }


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
