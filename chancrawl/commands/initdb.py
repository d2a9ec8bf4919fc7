"""`scrapy initdb`: applies schema.sql to the database of DATABASE_URL, and imports the older crawler's table."""

from __future__ import annotations

import argparse
from typing import Any

from psycopg2.extras import RealDictCursor
from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.commands.progress import Shown
from chancrawl.configuration import WHICH_DATABASE
from chancrawl.errors import UserError
from chancrawl.find.search import index_of
from chancrawl.items import Tweet, columns
from chancrawl.storage.base import Store
from chancrawl.storage.factory import store_of
from chancrawl.storage.forgotten import Forgotten
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.postgres import copy, migrations
from chancrawl.storage.postgres.connection import LEGACY_TABLE, PostgresStore
from chancrawl.x import legacy


class Command(StoreCommand):
    failure = "The tables could not be created"

    def short_desc(self) -> str:
        return "Create the tables of DATABASE_URL, or bring them up to date"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "--import-legacy",
            action="store_true",
            help=f"take the rows of the older crawler's table {LEGACY_TABLE} into tweets, and keep it, renamed",
        )
        parser.add_argument("--find", action="store_true", help="build an index of words for `scrapy find`, also while "
                            "crawls write (in the embedded database too)")  # fmt: skip
        parser.add_argument("--no-find", action="store_true", help="drop that index")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args:
            raise UsageError("initdb takes no arguments")
        url = self.settings.get("DATABASE_URL")
        if opts.find or opts.no_find:
            if opts.import_legacy or (opts.find and opts.no_find):
                raise UsageError("name one of --import-legacy, --find and --no-find")
            print(change_index(store_of(self.settings), opts.find))
            return
        if not url:
            raise UsageError(WHICH_DATABASE)
        store = PostgresStore(url, Kinds.from_settings(self.settings))
        try:
            store.open_to_create()
            if opts.import_legacy:
                print(import_legacy(store))
            else:
                store.apply_schema(again=True)
            print(f"The tables of chancrawl are in {store.place}.")
        finally:
            store.close()


def change_index(store: Store, is_wanted: bool) -> str:
    """Build the index of words, or drop it. Returns a sentence for the user."""
    try:
        store.open_beside()
        index = index_of(store)
        if not is_wanted:
            index.drop()
            return f"There is no index of words in {store.place} any more; `scrapy find` reads all texts."
        with Shown() as shown:
            index.build(shown)
        return f"The index of words is in {store.place}; it has {index.size() / 1e6:,.1f} MB."
    finally:
        store.close()


# The posts are from the real site, so that later crawls of the sandbox into this database are refused.
NOTE_SOURCE = """
INSERT INTO runs (spider, arguments, source, started_at, finished_at, finish_reason)
VALUES ('initdb', '{"import_legacy": true}', 'https://api.x.com', now(), now(), 'finished')
"""
NAMES = ", ".join(columns(Tweet))
TAKE_OVER = f"INSERT INTO tweets ({NAMES}) SELECT {NAMES} FROM staged_tweets ORDER BY id ON CONFLICT DO NOTHING"


def import_legacy(store: PostgresStore) -> str:
    """Rename the older table, create the tables and a view with its name, and copy its rows, in one transaction.

    Posts that are already in `tweets` do not change. The older table is kept. Returns a sentence for the user.
    """
    with store.transaction() as cursor:
        if not store.legacy_table(cursor):
            raise UserError(f"There is no table {LEGACY_TABLE} in {store.place} to be taken over.")
        cursor.execute(f"SELECT * FROM {LEGACY_TABLE} LIMIT 0")
        names = [column.name for column in cursor.description]
        missing = [name for name in ("id", "text") if name not in names]
        if missing:
            raise UserError(f"The table {LEGACY_TABLE} has no column {missing[0]}: it is not the older crawler's.")
        kept = _free_name(cursor)
        cursor.execute(f"ALTER TABLE {LEGACY_TABLE} RENAME TO {kept}")
        migrations.bring_up_to_date(cursor)
        cursor.execute("SELECT count(*) FROM tweets")
        (before,) = cursor.fetchone()
        forgotten = Forgotten(store.kinds)
        forgotten.refresh(lambda sql: (cursor.execute(sql), cursor.fetchall())[1])
        read = _take_over(store.connection, cursor, kept, forgotten)
        cursor.execute(NOTE_SOURCE)
        cursor.execute("SELECT count(*) FROM tweets")
        taken = cursor.fetchone()[0] - before
    rest = read - taken
    left_out = f"; {rest:,} rows more were of posts that are there already, or had no id" if rest else ""
    return f"{taken:,} posts were taken over{left_out}. The older table is kept as {kept}."


def _free_name(cursor: Any) -> str:
    number = 1
    while True:
        name = f"{LEGACY_TABLE}_legacy" + (f"_{number}" if number > 1 else "")
        cursor.execute("SELECT to_regclass(%s)", (name,))
        if cursor.fetchone()[0] is None:
            return name
        number += 1


def _take_over(connection: Any, cursor: Any, table: str, forgotten: Forgotten) -> int:
    """Copy the rows that were not removed, some thousand at a time. Returns the number of all."""
    read = 0
    with connection.cursor(name="legacy", cursor_factory=RealDictCursor) as rows:
        rows.itersize = 5000
        rows.execute(f"SELECT * FROM {table}")
        while batch := rows.fetchmany(5000):
            read += len(batch)
            posts = forgotten.left([legacy.tweet_of(dict(row)) for row in batch if row["id"] is not None])
            if posts:
                copy.stage(cursor, "tweets", columns(Tweet), copy.rows_of(posts))
                cursor.execute(TAKE_OVER)
    return read
