"""The mistakes that are the user's to mend."""

from __future__ import annotations

import logging
from typing import Self

from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider

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


def store_failed(place: str, why: str) -> UserError:
    """The end of a crawl whose store, in words `place`, takes or gives no rows any more."""
    return UserError(
        f"The crawl stops because {place} cannot be used ({why}). What was stored before is whole; mend the cause and "
        "start again, and the rest is fetched.",
        reason="store_failed",
    )
