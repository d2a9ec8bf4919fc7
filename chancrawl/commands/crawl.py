"""`scrapy crawl`, but that a mistake of the user ends in one sentence and exit code 1, not in a traceback."""

from __future__ import annotations

import argparse
import asyncio
import logging
from typing import cast

from scrapy.commands import crawl
from scrapy.exceptions import UsageError

from chancrawl.errors import UserError

logger = logging.getLogger(__name__)

GOOD_ENDS = ("finished", "shutdown")

# Scrapy's accounts of its own start-up; they come back with `-L DEBUG`.
TALKATIVE = ("scrapy.addons", "scrapy.crawler", "scrapy.middleware", "scrapy.utils.log")


class Command(crawl.Command):
    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            raise UsageError("name one spider: scrapy crawl chan -a board=po")
        assert self.crawler_process is not None and self.settings is not None
        if self.settings["LOG_LEVEL"] != "DEBUG":
            for name in TALKATIVE:
                logging.getLogger(name).setLevel(logging.WARNING)
        try:
            crawler = self._create_crawler(args[0])
        except KeyError:
            spiders = ", ".join(sorted(self.crawler_process.spider_loader.list()))
            raise UsageError(f"there is no spider {args[0]}; there are {spiders}") from None
        task = cast("asyncio.Task[None]", self.crawler_process.crawl(crawler, **opts.spargs))
        self.crawler_process.start()
        error = task.exception() if task.done() and not task.cancelled() else None
        if isinstance(error, UserError):
            logger.error("%s", error)
        elif error is not None:
            logger.error("The crawl ended with an error", exc_info=error)
        stats = crawler.stats.get_stats() if error is None else {}
        good = stats.get("finish_reason", "").startswith(("closespider_", *GOOD_ENDS))
        self.exitcode = 0 if good and "failure" not in stats else 1
