"""`scrapy spool`: shows the batches that wait on disk for the database. `scrapy spool drain` writes them to it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.configuration import WHICH_DATABASE
from chancrawl.storage.csv.sink import is_on
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.spool import Spool, apply_oldest, in_words, spools
from chancrawl.storage.postgres.upsert import BatchWriter
from chancrawl.storage.quarantine import keep_row


class Command(StoreCommand):
    failure = "The database of DATABASE_URL cannot be written to"

    def syntax(self) -> str:
        return "[drain]"

    def short_desc(self) -> str:
        return "Show what waits on disk for the database, or write it"

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args not in ([], ["drain"]):
            raise UsageError("spool takes no arguments, or drain")
        folder = Path(self.settings["CSV_FOLDER"])
        waiting = list(spools(folder / "spool", Kinds.from_settings(self.settings)))
        if args:
            self._drain(waiting, folder / "quarantine")
            return
        for spool in waiting:
            print(described(spool))
        if not waiting:
            print(f"Nothing waits in {folder / 'spool'}.")

    def _drain(self, waiting: list[Spool], quarantine: Path) -> None:
        assert self.settings is not None
        url = self.settings.get("DATABASE_URL")
        if not url:
            raise UsageError(WHICH_DATABASE)
        store = PostgresStore(url, Kinds.from_settings(self.settings))
        written = rejected = 0
        writer = BatchWriter(store.kinds)

        def set_aside(item: Any, reason: str) -> None:
            keep_row(quarantine, store.kinds.of(item), item, reason)

        try:
            store.open()
            for spool in waiting:
                if spool.is_in_use():
                    print(f"{spool.folder} belongs to a crawl that is running: it writes it itself.")
                elif spool.adopt(store.database_id):
                    while spool.numbers:
                        items, bad = apply_oldest(spool, store.connection, writer, set_aside)
                        written += len(items) - len(bad)
                        rejected += len(bad)
                spool.close()
        finally:
            store.close()
        print(f"Rows written to {store.place}: {written:,}.")
        if written and is_on(self.settings):
            print("The CSV files do not have these rows yet; `scrapy csv` writes them.")
        if rejected:
            self.exitcode = 1
            print(f"Rows that it rejects, set aside in {quarantine} (see scrapy quarantine): {rejected:,}.")


def described(spool: Spool) -> str:
    """The description of a spool, in a few lines."""
    heads = list(spool.heads())
    lines = [f"{spool.folder}"]
    if heads:
        rows = sum(head.items for head in heads)
        size = f"{spool.bytes / 1e6:,.1f} MB"
        lines.append(f"  {in_words(rows, len(heads))}, {size}, since {heads[0].spooled_at}")
        lines.append(f"  for {heads[0].place}")
    if bad := len(spool.numbers) - len(heads) + len(list(spool.folder.glob("*.damaged"))):
        lines.append(f"  {bad:,} batches are damaged")
    if spool.is_in_use():
        lines.append("  in use by a crawl, which writes what waits when the database is back")
    return "\n".join(lines)
