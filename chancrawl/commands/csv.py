"""`scrapy csv`: writes all CSV files anew from the store."""

from __future__ import annotations

import argparse

from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.storage.csv.sink import CsvSink
from chancrawl.text import counted


class Command(StoreCommand):
    failure = "The store cannot be read"

    def short_desc(self) -> str:
        return "Write all CSV files anew from the database"

    def long_desc(self) -> str:
        return (
            "Writes the CSV files of CSV_FOLDER anew from the database, so that columns that were known later than the "
            "row (deletions, for example) are right. A file that another program has changed is kept as FILE.edited."
        )

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args:
            raise UsageError("csv takes no arguments")
        written = CsvSink(self.settings).rebuild_all()
        print(f"Written in {self.settings['CSV_FOLDER']}: {counted(len(written), 'file')}, "
              f"{counted(written.total(), 'row')}.")  # fmt: skip
