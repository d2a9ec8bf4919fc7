"""`scrapy backup FILE`: a copy of the database, also while a crawl writes to it."""

from __future__ import annotations

import argparse
from pathlib import Path

from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.errors import UserError
from chancrawl.storage.backup import back_up
from chancrawl.storage.factory import store_of


class Command(StoreCommand):
    failure = "The database cannot be backed up"

    def syntax(self) -> str:
        return "FILE"

    def short_desc(self) -> str:
        return "Copy the database into a file, also while a crawl runs"

    def long_desc(self) -> str:
        return (
            "Writes one consistent copy of the database. Of the embedded database it is a file that takes the place of "
            "CSV_FOLDER/chancrawl.sqlite; of PostgreSQL it is a dump for pg_restore, and pg_dump has to be installed. "
            "The copy is checked before it gets its name."
        )

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if len(args) != 1:
            raise UsageError("name the file to write: scrapy backup FILE")
        file = Path(args[0]).expanduser()
        if file.exists():
            raise UserError(f"{file} exists; name another file, or move it away.")
        if not file.absolute().parent.is_dir():
            raise UserError(f"There is no folder {file.absolute().parent} for the backup.")
        store = store_of(self.settings)
        try:
            store.open_to_read([])
            size = back_up(store, file)
        finally:
            store.close()
        print(f"Backed up {store.place} in {file}: {size / 1e6:,.1f} MB, checked.")
