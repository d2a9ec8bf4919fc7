"""`scrapy sandbox`: serves the sandbox until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio

from scrapy.commands import ScrapyCommand

from chancrawl.sandbox.__main__ import add_options, serve


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Serve a local 4chan until Ctrl-C: /boards.json, /po/threads.json, /po/catalog.json, /sandbox/truth"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add_options(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        self.exitcode = asyncio.run(serve(opts))
