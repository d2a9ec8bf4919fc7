"""`scrapy report`: the dashboard's overview as one HTML file, without script, to send to somebody."""

from __future__ import annotations

import argparse
import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup
from scrapy.exceptions import UsageError

from chancrawl.arguments import home, well_formed
from chancrawl.command import StoreCommand
from chancrawl.dashboard.render import Templates
from chancrawl.dashboard.server import static_file
from chancrawl.dashboard.watching import rows_of
from chancrawl.errors import UserError
from chancrawl.health.alarms import alarms_of
from chancrawl.health.snapshot import TABLES, Reader
from chancrawl.storage.disk import replace_file
from chancrawl.storage.factory import store_of


class Command(StoreCommand):
    failure = "The store cannot be read"

    def syntax(self) -> str:
        return "--html FILE"

    def short_desc(self) -> str:
        return "Write the state of the archive to one HTML file"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--html", metavar="FILE", help="the file; an older report there is replaced")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args or not opts.html:
            raise UsageError("name the file: scrapy report --html report.html")
        path = Path(home(well_formed("--html", opts.html)))
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise UserError(f"--html {path}: name a file in a folder that exists.")
        store = store_of(self.settings)
        try:
            store.open_to_read(TABLES)
            snapshot = Reader(self.settings).read(store)
        finally:
            store.close()
        alarms = alarms_of(snapshot)
        style = static_file("dashboard.css").decode()
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        page = Templates().render("report.html", snapshot=snapshot, alarms=alarms, now=datetime.now(UTC),
                                  style=Markup(style), style_hash=digest, **rows_of(snapshot, alarms))  # fmt: skip
        replace_file(path.absolute(), page)
        print(f"{path}: {len(snapshot.boards)} boards, {len(alarms)} alarms.")
