"""`scrapy watchdog`: tells a webhook, a mailbox or a chat when something is wrong."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from datetime import UTC, datetime

from scrapy.exceptions import UsageError
from scrapy.utils.log import configure_logging

from chancrawl.command import StoreCommand
from chancrawl.errors import UserError
from chancrawl.text import capitalized
from chancrawl.watchdog.watch import Watchdog, example, send

logger = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two checks."""


class Command(StoreCommand):
    failure = "The store cannot be read"

    def syntax(self) -> str:
        return "[--once | --test]"

    def short_desc(self) -> str:
        return "Tell somebody when a board is silent, a disk fills, a crawl dies, …"

    def long_desc(self) -> str:
        return (
            "Checks the store once a minute, until you stop it. ALARM_URLS names those who are told; ALARM_HEARTBEAT "
            "is an address that is called after each check, so that somebody else notices if this machine is off. Of "
            "several watchdogs of one store, one sends."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--once", action="store_true", help="check once and end, for cron")
        parser.add_argument("--test", action="store_true", help="send a message to everybody in ALARM_URLS, and end")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args:
            raise UsageError("watchdog takes no arguments")
        watchdog = Watchdog(self.settings)
        if opts.test:
            self._test(watchdog)
            return
        if not watchdog.senders:
            raise UserError("ALARM_URLS is not set: it says who is told, by the address of a webhook or of apprise.")
        if opts.once:
            try:
                if failure := watchdog.check():
                    raise UserError(f"{capitalized(failure)}.")
            finally:
                watchdog.close()
            return
        self._watch(watchdog)

    def _test(self, watchdog: Watchdog) -> None:
        if not watchdog.senders:
            raise UserError("ALARM_URLS is not set: there is nobody to send to.")
        failures = 0
        for number, sender in enumerate(watchdog.senders, 1):
            failure = send(sender, example(datetime.now(UTC)))
            failures += bool(failure)
            print(f"{number}. {sender.name}: {failure or 'sent'}")
        if failures:
            raise UserError(f"{failures} of {len(watchdog.senders)} could not be reached.")

    def _watch(self, watchdog: Watchdog) -> None:
        assert self.settings is not None
        configure_logging(self.settings)
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        logger.info("Watching; %d to tell. Ctrl-C ends it.", len(watchdog.senders))
        before = ""
        while not stopped.is_set():
            failure = watchdog.check()
            if failure != before:
                logger.info("%s.", capitalized(failure or "checks can be made"))
            before = failure
            stopped.wait(EVERY)
        watchdog.close()
