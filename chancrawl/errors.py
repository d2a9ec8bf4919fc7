"""The errors that a user can fix, and the sentences for some of them."""

from __future__ import annotations

import logging
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import CannotResolveHostError, CloseSpider, DownloadConnectionRefusedError

logger = logging.getLogger(__name__)


class UserError(CloseSpider):
    """An error that a person has to fix before the crawl can continue. Its text is one sentence with the remedy.

    Spiders, pipelines and extensions raise it. It is a CloseSpider, so the crawl closes normally; then the `crawl`
    command exits with 1, without a traceback. `reason` is a Scrapy finish reason.
    """

    def __init__(self, sentence: str, reason: str = "refused") -> None:
        super().__init__(reason)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence

    def tell(self, crawler: Crawler) -> Self:
        """Log the sentence, and put it into the stats as `failure`. Returns the error, so that it can be raised."""
        logger.error("%s", self.sentence)
        crawler.stats.set_value("failure", self.sentence)
        return self


class StoreAway(Exception):
    """The store is out of reach at the moment. The text is the reason."""


UNREACHABLE = (CannotResolveHostError, DownloadConnectionRefusedError)
"""The errors of a source that does not accept a connection: its address is wrong, or the computer is offline."""


def unreachable(source: str, setting: str, error: Exception, request: Request) -> UserError:
    """The error of a crawl whose first request failed with one of UNREACHABLE. `setting` has the address."""
    proxy = ", the proxies" if request.meta.get("proxy") else ""
    return UserError(f"{source} cannot be reached ({error}): check the network{proxy} and {setting}.", "unreachable")


def store_failed(place: str, why: str) -> UserError:
    """The error of a crawl whose store can no longer be read or written. `place` is its name for messages."""
    return UserError(
        f"The crawl stops because {place} cannot be used ({why}). What was stored before is whole; mend the cause and "
        "start again, and the rest is fetched.",
        reason="store_failed",
    )
