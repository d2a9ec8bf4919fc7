"""`scrapy sandbox`: serve the sandbox for people to look around."""

from __future__ import annotations

import argparse
import asyncio
import sys

from scrapy.commands import ScrapyCommand

from chancrawl.sandbox.__main__ import add_options, serve


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Serve a local 4chan to try things on, until Ctrl-C"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add_options(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        print(
            "Ctrl-C ends it. Try /boards.json, /po/threads.json, /po/catalog.json, /sandbox/truth under",
            file=sys.stderr,
        )
        self.exitcode = asyncio.run(serve(opts))
