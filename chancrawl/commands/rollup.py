"""`scrapy rollup`: compares the sums of hours, which the pages show, with the rows, and counts them anew."""

from __future__ import annotations

import argparse

from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.errors import UserError
from chancrawl.storage.factory import store_of
from chancrawl.storage.hours import compared, recount
from chancrawl.text import counted

TABLES = ("posts", "tweets", "board_hours", "account_hours")
"""The tables that this command reads."""


class Command(StoreCommand):
    failure = "The sums cannot be compared"

    def syntax(self) -> str:
        return "--check | --rebuild"

    def short_desc(self) -> str:
        return "Compare the sums of each hour with the stored posts, or count them anew"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--check", action="store_true", help="compare them; exit code 1 if they differ")
        parser.add_argument("--rebuild", action="store_true", help="count them anew; crawls wait meanwhile")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args or opts.check == opts.rebuild:
            raise UsageError("name one: scrapy rollup --check, or scrapy rollup --rebuild")
        store = store_of(self.settings)
        try:
            store.open_to_read(TABLES)
            if opts.rebuild:
                store.close()
                store.open_beside()
                store.write([(store.sql_alone, ()), *((sql, ()) for sql in recount(store.sql_hour, store.sql_seconds))])
                print("The sums of all hours were counted anew.")
                return
            with store.snapshot():  # one state of the rows and of the sums
                hours = {name: list(store.stream(sql)) for name, sql in
                         compared(store.sql_hour, store.sql_seconds).items()}  # fmt: skip
            wrong = {name: rows for name, rows in hours.items() if rows}
            for name, rows in wrong.items():
                for row in rows[:10]:
                    print(f"{name}: {' '.join(map(str, row))}")
            if wrong:
                number = sum(map(len, wrong.values()))
                raise UserError(f"The sums of {counted(number, 'hour')} differ from the rows; scrapy rollup --rebuild "
                                "counts them anew.")  # fmt: skip
            print("The sums of all hours are those of the rows.")
        finally:
            store.close()
