"""`scrapy spool`: what waits on disk for the database of DATABASE_URL; `scrapy spool drain` writes it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import psycopg2
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from chancrawl import merging
from chancrawl.configuration import check
from chancrawl.database import PostgresStore
from chancrawl.errors import UserError, first_line
from chancrawl.held_back import HeldBack
from chancrawl.quarantine import keep_row
from chancrawl.spool import Spool, apply_oldest, in_words, spools


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "[drain]"

    def short_desc(self) -> str:
        return "Show what waits on disk for the database, or write it"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args not in ([], ["drain"]):
            raise UsageError("spool takes no arguments, or drain")
        folder = Path(self.settings["CSV_FOLDER"])
        try:
            check(self.settings)
            waiting = list(spools(folder / "spool"))
            if args:
                self._drain(waiting, folder / "quarantine")
            else:
                for spool in waiting:
                    print(described(spool))
                if not waiting:
                    print(f"Nothing waits in {folder / 'spool'}.")
        except merging.RejectsAll as error:
            print(f"The database rejects every row ({error}); mend its tables, and try again.", file=sys.stderr)
            self.exitcode = 1
        except psycopg2.Error as error:
            print(f"The database of DATABASE_URL cannot be written to: {first_line(error)}.", file=sys.stderr)
            self.exitcode = 1
        except OSError as error:
            print(f"{error.filename or folder} cannot be used: {error.strerror}.", file=sys.stderr)
            self.exitcode = 1
        except UserError as error:
            print(error, file=sys.stderr)
            self.exitcode = 1

    def _drain(self, waiting: list[Spool], quarantine: Path) -> None:
        assert self.settings is not None
        url = self.settings.get("DATABASE_URL")
        if not url:
            raise UsageError("which database? Set DATABASE_URL=postgresql://user:password@host:5432/name")
        store = PostgresStore(url)
        written = rejected = 0
        held_back, streaks = HeldBack(), merging.Streaks()
        try:
            store.open()
            for spool in waiting:
                if spool.is_in_use():
                    print(f"{spool.folder} belongs to a crawl that is running: it writes it itself.")
                elif spool.adopt(store.database_id):
                    while spool.numbers:
                        items, bad = apply_oldest(
                            spool, store.connection, lambda item, reason: keep_row(quarantine, item, reason),
                            held_back, streaks,
                        )  # fmt: skip
                        written += len(items) - len(bad)
                        rejected += len(bad)
                spool.close()
        finally:
            store.close()
        print(f"Rows written to {store.place}: {written:,}.")
        if rejected:
            self.exitcode = 1
            print(f"Rows that it rejects, set aside in {quarantine} (see scrapy quarantine): {rejected:,}.")


def described(spool: Spool) -> str:
    """A spool in a few lines."""
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
