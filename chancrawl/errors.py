"""The mistakes that are the user's to mend, and words for what users are told."""

from __future__ import annotations

import logging
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import CannotResolveHostError, CloseSpider, DownloadConnectionRefusedError

logger = logging.getLogger(__name__)


class UserError(CloseSpider):
    """Something that a person has to mend before the crawl can go on. Its text is one sentence that says what.

    Raised by spiders, pipelines and extensions. As a CloseSpider it ends the crawl in good order; the `crawl` command
    then exits with 1, without a traceback. `reason` is a Scrapy finish reason.
    """

    def __init__(self, sentence: str, reason: str = "refused") -> None:
        super().__init__(reason)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence

    def tell(self, crawler: Crawler) -> Self:
        """Say the sentence in the log, and note it in the stats. Returns the error, to be raised."""
        logger.error("%s", self.sentence)
        crawler.stats.set_value("failure", self.sentence)
        return self


class StoreAway(Exception):
    """The store is out of reach for now. Its text says why."""


UNREACHABLE = (CannotResolveHostError, DownloadConnectionRefusedError)
"""A source that does not even take a connection: its address is mistyped, or somebody is not online."""


def unreachable(source: str, setting: str, error: Exception, request: Request) -> UserError:
    """The end of a crawl whose first request met one of UNREACHABLE; `setting` is where the address comes from."""
    proxy = ", the proxies" if request.meta.get("proxy") else ""
    return UserError(f"{source} cannot be reached ({error}): check the network{proxy} and {setting}.", "unreachable")


def store_failed(place: str, why: str) -> UserError:
    """The end of a crawl whose store, in words `place`, takes or gives no rows any more."""
    return UserError(
        f"The crawl stops because {place} cannot be used ({why}). What was stored before is whole; mend the cause and "
        "start again, and the rest is fetched.",
        reason="store_failed",
    )
