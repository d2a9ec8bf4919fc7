"""Wipes what was removed from the files of a database: removed rows stay in unused pages until they are overwritten."""

from __future__ import annotations

import psycopg2

from chancrawl.errors import UserError
from chancrawl.find.search import index_of
from chancrawl.storage.base import Store
from chancrawl.storage.disk import free_space
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.connection import checkpoint, readers_of
from chancrawl.storage.sqlite.store import SqliteStore
from chancrawl.text import first_line


def wipe(store: Store) -> list[str]:
    """Write the database anew, without what was removed. Returns sentences on what was not reached. UserError if there
    is no space, or if a crawl uses the embedded database."""
    index = index_of(store)
    if index.is_complete():
        index.drop()
        index.build(lambda table, rows: None)
    if isinstance(store, SqliteStore):
        return _wipe_sqlite(store)
    assert isinstance(store, PostgresStore)
    return _wipe_postgres(store)


def _wipe_sqlite(store: SqliteStore) -> list[str]:
    size = store.file.stat().st_size
    if free_space(store.folder) < 2 * size:
        raise UserError(f"Wiping needs {2 * size / 1e6:,.1f} MB in {store.folder} for a while, and there is less.")
    _empty_log(store)
    store.connection.execute("VACUUM")
    _empty_log(store)
    return ["The disk itself: file systems and flash memory keep old blocks; encrypt the disk if that matters."]


def _empty_log(store: SqliteStore) -> None:
    if not checkpoint(store.connection):
        reader = readers_of(store.file) or "another program"
        raise UserError(f"{store.file} is not wiped: {reader} reads it. End that, and try again.")


def _wipe_postgres(store: PostgresStore) -> list[str]:
    """VACUUM FULL writes each table and its indexes anew. Crawls wait meanwhile, and spool what they read."""
    left = ["The write-ahead log (pg_wal) and its archives, until the server reuses them.",
            "Replicas, base backups and dumps."]  # fmt: skip
    connection = store.connection
    tables = [*(kind.table for kind in store.kinds if kind.table != "deletions"), "post_revisions", "runs", "removals",
              "tombstones", "account_hours", "board_hours"]  # fmt: skip
    connection.rollback()
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for table in tables:
                connection.notices.clear()
                cursor.execute(f"VACUUM (FULL, ANALYZE) {table}")
                if denied := [notice for notice in connection.notices if "permission denied" in notice]:
                    raise UserError(
                        f"Not wiped: {denied[0].partition(':')[2].strip()}. Run it as the owner of the tables."
                    )
            for command, what in (("VACUUM FULL pg_statistic", "The planner's statistics (pg_statistic)"),
                                  ("CHECKPOINT", "A checkpoint")):  # fmt: skip
                try:
                    cursor.execute(command)
                except psycopg2.Error as error:
                    left.append(f"{what}: {first_line(error)}; have a superuser execute {command}.")
    finally:
        connection.autocommit = False
    return left
