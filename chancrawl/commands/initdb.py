"""`scrapy initdb`: apply schema.sql to the database of DATABASE_URL."""

from __future__ import annotations

import argparse
import sys

import psycopg2
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from chancrawl.configuration import check
from chancrawl.errors import UserError
from chancrawl.stores import PostgresStore, first_line


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Create the tables of DATABASE_URL, or bring them up to date"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args:
            raise UsageError("initdb takes no arguments")
        url = self.settings.get("DATABASE_URL")
        if not url:
            raise UsageError("which database? Set DATABASE_URL=postgresql://user:password@host:5432/name")
        store = PostgresStore(url)
        try:
            check(self.settings)
            store.open()
            store.apply_schema()
            print(f"The tables of chancrawl are in {store.place}.")
        except psycopg2.Error as error:
            print(f"The tables could not be created: {first_line(error)}.", file=sys.stderr)
            self.exitcode = 1
        except UserError as error:
            print(error, file=sys.stderr)
            self.exitcode = 1
        finally:
            store.close()
