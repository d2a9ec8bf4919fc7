"""`scrapy crawl`, in which a mistake of the user causes one sentence and exit code 1, and no traceback."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
from pathlib import Path
from typing import cast

from scrapy.commands import crawl
from scrapy.crawler import Crawler
from scrapy.exceptions import UsageError
from scrapy.settings import Settings

from chancrawl.addon import read
from chancrawl.command import WHERE_HELP_IS, begin
from chancrawl.errors import UserError
from chancrawl.outcome import incomplete
from chancrawl.setting_rows import SETTINGS
from chancrawl.surroundings import stop_when_hung_up

logger = logging.getLogger(__name__)

USED_UP = ("budget_spent", "credentials_exhausted")
"""The finish reasons with exit code 3. To start again at once would have the same result."""

GOOD_ENDS = ("finished", "shutdown", "closespider_")

# Loggers of Scrapy's start-up. `-L DEBUG` shows them.
TALKATIVE = ("scrapy.addons", "scrapy.middleware", "scrapy.utils.log")


def be_quick() -> None:
    """Set Python's garbage collector and thread switching for a crawl."""
    # Payloads are trees of small objects without cycles. To search for cycles after every 700 objects finds nothing.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    # After each answer of the database, the store's thread waits for the reactor's thread, by default up to 5 ms. A
    # batch has many answers.
    sys.setswitchinterval(0.0005)


class Command(crawl.Command):
    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.epilog = WHERE_HELP_IS

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        super().process_options(args, opts)
        assert self.settings is not None
        self._check_log(self.settings)
        begin(self.settings, opts.set, has_log=True)

    def _check_log(self, settings: Settings) -> None:
        """UsageError for a log that cannot be opened. All other mistakes are logged."""
        try:
            for name in ("LOG_LEVEL", "LOG_FILE"):
                read(settings, SETTINGS[name])
        except UserError as error:
            raise UsageError(str(error)) from None
        if not settings["LOG_FILE"]:
            return
        file = Path(settings["LOG_FILE"]).absolute()
        if not file.parent.is_dir():
            raise UsageError(f"there is no folder {file.parent} for the log")
        if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise UsageError(f"the log {file} cannot be written to")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            raise UsageError("name one spider: scrapy crawl chan -a board=po")
        assert self.crawler_process is not None and self.settings is not None
        if self.settings["LOG_LEVEL"] != "DEBUG":
            for name in TALKATIVE:
                logging.getLogger(name).setLevel(logging.WARNING)
            logging.getLogger("scrapy.crawler").addFilter(lambda record: "Overridden settings" not in str(record.msg))
        try:
            crawler = self._create_crawler(args[0])
        except KeyError:
            spiders = ", ".join(sorted(self.crawler_process.spider_loader.list()))
            raise UsageError(f"there is no spider {args[0]}; there are {spiders}") from None
        be_quick()
        stop_when_hung_up()
        task = cast("asyncio.Task[None]", self.crawler_process.crawl(crawler, **opts.spargs))
        self.crawler_process.start()
        self.exitcode = self._exit_code(crawler, task)

    def _exit_code(self, crawler: Crawler, task: asyncio.Task[None]) -> int:
        """0 if the crawl did its work, or was stopped by a person, and has stored everything."""
        if not task.done() or task.cancelled():
            return 1  # stopped before it began, or by a second Ctrl-C
        error = task.exception()
        if isinstance(error, UserError):
            logger.error("%s", error)
        elif error is not None:
            logger.error("The crawl ended with an error", exc_info=error)
        if error is not None:
            return 1
        stats = crawler.stats.get_stats()
        reason = stats.get("finish_reason", "")
        if reason in USED_UP:
            return 3
        is_good = reason.startswith(GOOD_ENDS) and "failure" not in stats
        return 0 if is_good and not incomplete(stats, reason == "finished") else 1
