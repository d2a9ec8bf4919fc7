"""The version of the PostgreSQL tables, and what brings those of an earlier one up to it.

schema.sql says what the tables are now. Where that is more than new tables, indexes and comments, MIGRATIONS says how
tables of the version before get there. All of it happens in one transaction, under a lock: of two crawls that start at
once the second finds it done.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from chancrawl.errors import UserError

SCHEMA = resources.files("chancrawl").joinpath("schema.sql").read_text(encoding="utf-8")
VERSION = int(re.findall(r"^-- Version: (\d+)$", SCHEMA, re.MULTILINE)[0])

SETTINGS = """
SET LOCAL transaction_isolation = 'read committed';
SET LOCAL TIME ZONE 'UTC';
SET LOCAL statement_timeout = '10min';
SET LOCAL lock_timeout = '30s';
SET LOCAL idle_in_transaction_session_timeout = '10min';
"""
"""Of every transaction. Nothing that a crawl asks takes so long, unless the server or a lock is stuck: then it is tried
again."""

COLUMNS: dict[str, set[str]] = {
    table: set(re.findall(r"^    ([a-z_]+) +[a-z]", body, re.MULTILINE))
    for table, body in re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+) \((.*?)^\);", SCHEMA, re.MULTILINE | re.DOTALL)
}
"""The columns of each table, as schema.sql has them."""
COLUMNS["post_revisions"] |= COLUMNS["posts"]

PRIVILEGES = [
    ("schema_version", "SELECT"),
    *((t, right) for t in sorted(COLUMNS.keys() - {"schema_version"}) for right in ("SELECT", "INSERT", "UPDATE")),
    ("board_polls", "DELETE"),
]
"""What a crawl's user needs on the tables. deploy/grants.sql grants it."""

MIGRATIONS = {
    # Version 1 was not written down in the database; its first tables did not know what a run had cost.
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
"""By the version to which they lead."""

LOCK = "SELECT pg_advisory_xact_lock(hashtext('chancrawl schema')), pg_advisory_xact_lock(hashtext('chancrawl write'))"
"""Nobody else changes the tables, or writes to them."""


def version_of(cursor: Any) -> int | None:
    """The version of the tables that are there; None if there are none. UserError if they are not ours, or of a version
    that this program does not know."""
    cursor.execute(
        "SELECT to_regclass('schema_version') IS NOT NULL, to_regclass('runs') IS NOT NULL AND EXISTS "
        "(SELECT FROM pg_attribute WHERE attrelid = to_regclass('posts') AND attname = 'digest')"
    )
    is_noted, is_there = cursor.fetchone()
    held = _columns(cursor)
    if is_noted and not held["schema_version"] >= COLUMNS["schema_version"]:
        raise _foreign(["schema_version"])
    if not is_noted and not is_there:
        if held:
            raise _foreign(sorted(held))
        return None
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
    if version == VERSION and (odd := sorted(name for name, columns in held.items() if not columns >= COLUMNS[name])):
        raise _foreign(odd)
    return version


def gone(cursor: Any) -> list[str]:
    """Tables of this version that are not there."""
    return sorted(COLUMNS.keys() - _columns(cursor).keys())


def _columns(cursor: Any) -> dict[str, set[str]]:
    """The columns of those of our tables that are there, or of what has their names."""
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
    """Create the tables, or bring them to VERSION; what they were before. In the transaction of the cursor.

    With `again`, schema.sql is applied to tables of this version, too: it brings back what somebody has dropped.
    """
    cursor.execute("SET LOCAL statement_timeout = 0")
    cursor.execute(LOCK)
    before = version_of(cursor)
    if before == VERSION and not again:
        return before
    for version in range((before or VERSION) + 1, VERSION + 1):
        cursor.execute(MIGRATIONS[version])
    cursor.execute(SCHEMA)
    cursor.execute("UPDATE schema_version SET version = %s, applied_at = now() WHERE version <> %s", (VERSION, VERSION))
    return before
