"""The version of the PostgreSQL tables, and the migrations from earlier versions.

schema.sql creates the tables of the current version. It also adds new tables, indexes and comments to older databases;
all other changes are in MIGRATIONS. Everything happens in one transaction under a lock, so that of two crawls that
start at the same time, the second finds the tables up to date.
"""

from __future__ import annotations

from typing import Any

from chancrawl.errors import UserError
from chancrawl.storage.hours import recount
from chancrawl.storage.schema import COLUMNS, SCHEMA, VERSION

SETTINGS = """
SET LOCAL transaction_isolation = 'read committed';
SET LOCAL TIME ZONE 'UTC';
SET LOCAL statement_timeout = '10min';
SET LOCAL lock_timeout = '30s';
SET LOCAL idle_in_transaction_session_timeout = '10min';
"""
"""The settings of each transaction. A statement of a crawl reaches these timeouts only if the server or a lock is
stuck; then it is tried again."""

PRIVILEGES = [
    ("schema_version", "SELECT"),
    *((t, right) for t in sorted(COLUMNS.keys() - {"schema_version"}) for right in ("SELECT", "INSERT", "UPDATE")),
    ("board_polls", "DELETE"),
]
"""The privileges that the user of a crawl needs. deploy/grants.sql grants them."""

HOUR, SECONDS = "date_trunc('hour', {}, 'UTC')", "floor(extract(epoch FROM {}))::bigint"
"""SQL for the beginning of the hour of a time, and for a time in seconds since 1970."""

MIGRATIONS = {
    # The database did not record version 1. Its first tables did not have the cost of a run.
    2: "ALTER TABLE runs ADD COLUMN IF NOT EXISTS dollars numeric",
    3: """
ALTER TABLE boards ADD COLUMN gone_at timestamptz;
ALTER TABLE feeds ADD COLUMN timeline_at timestamptz, ADD COLUMN bottom_at timestamptz;
UPDATE feeds SET timeline_at = visited_at WHERE feed LIKE 'timeline:%';
-- Version 2 took the end of what can be had for the end of the feed.
UPDATE feeds SET bottom_at = visited_at WHERE complete_since < '1971-01-01';
UPDATE feeds SET complete_since = to_timestamp(((oldest_id >> 22) + 1288834974657) / 1000.0)
    WHERE complete_since < '1971-01-01' AND oldest_id >= 29700859247
    AND (feed NOT LIKE 'timeline:%' OR posts >= 3104);
ALTER TABLE tweets ALTER COLUMN found_in TYPE text[]
    USING CASE WHEN found_in IS NOT NULL THEN ARRAY[found_in] END;
ALTER TABLE tweets ADD COLUMN community_id bigint, ADD COLUMN article_title text, ADD COLUMN article_text text;
ALTER TABLE handles DROP CONSTRAINT IF EXISTS handles_status_check;
ALTER TABLE handles ADD CONSTRAINT handles_status_check
    CHECK (status IN ('active', 'protected', 'suspended', 'missing', 'blocked'));
ALTER TABLE accounts DROP CONSTRAINT IF EXISTS accounts_status_check;
ALTER TABLE accounts ADD CONSTRAINT accounts_status_check
    CHECK (status IN ('active', 'protected', 'suspended', 'missing', 'blocked'));
""",
    4: """
ALTER TABLE runs ADD COLUMN host text, ADD COLUMN pid integer, ADD COLUMN folder text, ADD COLUMN boards text,
    ADD COLUMN alive_at timestamptz;
""",
}
"""SQL by the version that it leads to, to execute before schema.sql."""

FILLS = {5: ({"board_hours", "account_hours"}, "; ".join(recount(HOUR, SECONDS)))}
"""Tables, and SQL that fills them after schema.sql, by the version that has them first. They are also filled if
somebody has dropped them."""

WRITE = "chancrawl write"
"""The lock that each writer shares, and that a change of the tables has for itself."""

LOCK = f"SELECT pg_advisory_xact_lock(hashtext('chancrawl schema')), pg_advisory_xact_lock(hashtext('{WRITE}'))"
"""Locks, so that nobody else changes the tables or writes to them."""


def version_of(cursor: Any) -> int | None:
    """The version of the tables in the database; None if there are none. UserError if they are not chancrawl's, or of a
    later version."""
    present = _columns(cursor)
    if not present:  # asked first: another process may be creating the tables at this moment
        return None
    cursor.execute(
        "SELECT to_regclass('schema_version') IS NOT NULL, to_regclass('runs') IS NOT NULL AND EXISTS "
        "(SELECT FROM pg_attribute WHERE attrelid = to_regclass('posts') AND attname = 'digest')"
    )
    is_noted, is_there = cursor.fetchone()
    if is_noted and not present["schema_version"] >= COLUMNS["schema_version"]:
        raise _foreign(["schema_version"])
    if not is_noted and not is_there:
        raise _foreign(sorted(present))
    if not is_noted:
        return 1
    cursor.execute("SELECT max(version) FROM schema_version")
    version = int(cursor.fetchone()[0] or 1)
    if version > VERSION:
        raise UserError(
            f"The tables in the database of DATABASE_URL are of version {version}, and this chancrawl knows them up to "
            f"version {VERSION}: update it, or name another database.",
            reason="store_unavailable",
        )
    if version == VERSION and (
        odd := sorted(name for name, columns in present.items() if not columns >= COLUMNS[name])
    ):
        raise _foreign(odd)
    return version


def gone(cursor: Any) -> list[str]:
    """The tables of this version that do not exist."""
    return sorted(COLUMNS.keys() - _columns(cursor).keys())


def _columns(cursor: Any) -> dict[str, set[str]]:
    """The columns of the existing tables that have the names of chancrawl's tables."""
    cursor.execute(
        "SELECT name, array_agg(attname::text) FROM unnest(%s) AS name "
        "JOIN pg_attribute ON attrelid = to_regclass(name) AND attnum > 0 AND NOT attisdropped GROUP BY name",
        (list(COLUMNS),),
    )
    return {name: set(columns) for name, columns in cursor.fetchall()}


def _foreign(tables: list[str]) -> UserError:
    few = ", ".join(tables[:3]) + (f" and {len(tables) - 3} more" if len(tables) > 3 else "")
    return UserError(
        f"The database of DATABASE_URL has tables of another program under names of chancrawl's, or some that lack "
        f"columns ({few}): name another database, or give chancrawl a schema of its own (CREATE SCHEMA chancrawl, and "
        "?options=-csearch_path%3Dchancrawl at the end of DATABASE_URL).",
        reason="store_unavailable",
    )


def bring_up_to_date(cursor: Any, again: bool = False) -> int | None:
    """Create the tables, or migrate them to VERSION, in the transaction of the cursor. Returns the earlier version.

    With `again`, schema.sql is also applied to tables of this version, to create again what somebody has dropped.
    """
    cursor.execute("SET LOCAL statement_timeout = 0")
    cursor.execute(LOCK)
    before = version_of(cursor)
    if before == VERSION and not again:
        return before
    for version in range((before or VERSION) + 1, VERSION + 1):
        if version in MIGRATIONS:
            cursor.execute(MIGRATIONS[version])
    lacking = gone(cursor)
    cursor.execute(SCHEMA)
    for version, (tables, fill) in FILLS.items():
        if (before or VERSION) < version or tables & set(lacking):
            cursor.execute(fill)
    cursor.execute("UPDATE schema_version SET version = %s, applied_at = now() WHERE version <> %s", (VERSION, VERSION))
    return before
