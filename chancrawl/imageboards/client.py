"""Requests files of an imageboard's API: conditional requests, retries of unreadable files, and the quarantine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response

from chancrawl.errors import UNREACHABLE, unreachable
from chancrawl.http import Dates, header, http_time, refusal_of
from chancrawl.imageboards import conditional
from chancrawl.imageboards.diff import Observation
from chancrawl.imageboards.ledger import BoardLedger
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.imageboards.site import Site
from chancrawl.payload import Malformed, mended
from chancrawl.storage.quarantine import Quarantine
from chancrawl.storage.session import Session

logger = logging.getLogger(__name__)

Parser = Callable[[Any, list[str]], Any]

MALFORMED_RETRIES = 2
"""How often an unreadable payload is requested again. A file that was sent while it was written is whole later."""

FAR = timedelta(days=1)
"""A time in a payload that is more than this after the answer is wrong."""


class Unavailable(Exception):
    """A file is not available. `ChanClient.read` raises it when all retries are used up.

    `refusal` is set if the site refuses this IP address. Then no other file is available either.
    """

    def __init__(self, why: str, status: int = 0, refusal: str | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.refusal = refusal


@dataclass(slots=True)
class Reading:
    """One reading of an index file. `content` is None if nothing has changed since `validator`.

    `problems` describes the entries that could not be read, so `content` can be incomplete.
    """

    content: Any
    validator: str | None
    at: datetime
    problems: list[str] = field(default_factory=list)


class ChanClient:
    def __init__(self, crawler: Crawler, site: Site) -> None:
        self.crawler = crawler
        self.site = site
        self.source = source_of(crawler, site)
        self.session = Session.of(crawler)
        self.ledger = BoardLedger.of(crawler)
        self.quarantine = Quarantine.of(crawler)
        self.dates = Dates(crawler)

    def request(self, path: str, validator: str | None, **arguments: Any) -> Request:
        """A request for a file. Its callback also gets the answers 304 and 404."""
        headers = {"If-Modified-Since": validator} if validator else None
        meta = {"handle_httpstatus_list": [304, 404]} | arguments.pop("meta", {})
        if path.rpartition("/")[2] in self.site.list_names:
            meta["download_maxsize"] = self.site.most_bytes
        return Request(self.source + path, headers=headers, meta=meta, dont_filter=True, **arguments)

    async def read(
        self, path: str, parse: Parser, first: bool = False, tries: int | None = None, conditional: bool = True
    ) -> Reading:
        """Read an index file. Raises Unavailable if there is no usable answer, Malformed if the answer is unreadable.

        `parse` gets the payload and a list, to which it adds the entries that it leaves out. `first`: it is the first
        file of the crawl. `tries` limits the retries of a file that other files can replace.
        """
        validator = await self.ledger.validator(path) if conditional else None
        meta = {} if tries is None else {"max_retry_times": tries}
        for retries_left in reversed(range(1 + MALFORMED_RETRIES)):
            response = await (self._fetch_first if first else self._fetch)(self.request(path, validator, meta=meta))
            if response.status == 304:
                return Reading(None, validator, self.dates.now(response))
            try:
                content, problems = self.parse(response, parse)
            except Malformed:
                if not retries_left:
                    raise
                await asyncio.sleep(self.crawler.settings.getfloat("CHAN_INDEX_INTERVAL"))
            else:
                self.report(response, problems)
                return Reading(content, self.index_validator(response), self.dates.now(response), problems)
        raise AssertionError("not reached")

    def parse(self, response: Response, parse: Parser) -> tuple[Any, list[str]]:
        """The content of an answer, and the problems of its entries. An unreadable answer is set aside, and Malformed
        is raised. An answer that had to be repaired is set aside too."""
        problems: list[str] = []
        try:
            payload, mends = mended(response.body)
            content = parse(payload, problems)
        except Malformed as error:
            self.set_aside(response, str(error))
            raise
        if mends:
            self.set_aside(response, "; ".join(mends))
        return content, problems

    def report(self, response: Response, problems: Sequence[str]) -> None:
        """Set an answer aside if something in it could not be read."""
        if problems:
            self.set_aside(response, "; ".join(problems[:10]))

    def set_aside(self, response: Response, reason: str) -> None:
        self.quarantine.set_aside(response.url, response.body, reason)

    # --- times

    def index_validator(self, response: Response) -> str | None:
        """The If-Modified-Since of an index file's next fetch."""
        modified, date = self.dates.last_modified(response), header(response, "Date")
        if date is not None and self.dates.told(response) is None:
            date = modified  # the time of reading is not known: it can be the second of the last change
        return conditional.strong_validator(modified, date)

    def observation(self, response: Response, is_own: bool = True) -> Observation:
        """The observation that an answer is, for the comparison with what is stored. `is_own`: a thread's own page."""
        validator = self.dates.last_modified(response)
        body = f"{'' if is_own else urlsplit(response.url).path} {validator}".strip()
        return Observation(self.dates.now(response), http_time(validator), body, is_own, validator if is_own else None)

    # --- the network

    async def _fetch(self, request: Request) -> Response:
        try:
            response = await self.crawler.engine.download_async(request)
        except Exception as error:  # any error of the network or of a middleware, after all retries
            raise Unavailable(str(error) or type(error).__name__) from None
        return _usable(request, response)

    async def _fetch_first(self, request: Request) -> Response:
        """Fetch the first file of a crawl. If the source does not accept a connection, the crawl ends at once.

        The cause is usually a wrong address or a computer that is offline. Other errors are retried as usual.
        """
        once = request.replace(meta=request.meta | {"dont_retry": True})
        try:
            return _usable(once, await self.crawler.engine.download_async(once))
        except UNREACHABLE as error:
            raise unreachable(self.source, self.site.setting, error, once) from None
        except Exception as error:
            logger.info("The first request failed (%s); trying again.", error or type(error).__name__)
        return await self._fetch(request)


def _usable(request: Request, response: Response) -> Response:
    refusal = refusal_of(request, response)
    if refusal is not None or response.status not in (200, 304):
        raise Unavailable(f"answered {refusal or response.status}", response.status, refusal)
    return response


def plausible(entries: dict[int, IndexEntry], at: datetime) -> dict[int, IndexEntry]:
    """The entries of an index, without those times of modification that are in the future."""
    latest = (at + FAR).timestamp()
    return {
        no: entry if (entry.last_modified or 0) <= latest else replace(entry, last_modified=None)
        for no, entry in entries.items()
    }


def source_of(crawler: Crawler, site: Site) -> str:
    """The address of a site's API, without a slash at its end."""
    return str(crawler.settings[site.setting]).rstrip("/")
