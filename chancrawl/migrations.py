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
}
"""By the version to which they lead."""

LOCK = "SELECT pg_advisory_xact_lock(hashtext('chancrawl schema')), pg_advisory_xact_lock(hashtext('chancrawl write'))"
"""Nobody else changes the tables, or writes to them."""


def version_of(cursor: Any) -> int | None:
    """The version of the tables that are there; None if there are none. UserError if this program does not know it."""
    cursor.execute(
        "SELECT to_regclass('schema_version') IS NOT NULL, to_regclass('runs') IS NOT NULL AND EXISTS "
        "(SELECT FROM pg_attribute WHERE attrelid = to_regclass('posts') AND attname = 'digest')"
    )
    is_noted, is_there = cursor.fetchone()
    if not is_noted:
        return 1 if is_there else None
    cursor.execute("SELECT max(version) FROM schema_version")
    (version,) = cursor.fetchone()
    if version is not None and version > VERSION:
        raise UserError(
            f"The tables in the database of DATABASE_URL are of version {version}, and this chancrawl knows them up to "
            f"version {VERSION}: update it, or name another database.",
            reason="store_unavailable",
        )
    return int(version or 1)


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
