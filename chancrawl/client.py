"""Asking 4chan's API for a file: conditionally, once more if it cannot be read, and aside with what never can."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl import conditional
from chancrawl.changes import Look
from chancrawl.errors import UNREACHABLE, UserError, unreachable
from chancrawl.ledger import Ledger
from chancrawl.payload import Malformed, loads
from chancrawl.quarantine import Quarantine

logger = logging.getLogger(__name__)

Parser = Callable[[Any], Any]

MALFORMED_RETRIES = 2
"""How often a payload that could not be read is asked for again: a torn file is whole the next time."""


class Unavailable(Exception):
    """A file cannot be had. Raised by `ChanClient.read` when all retries are used up."""


@dataclass(slots=True)
class Reading:
    """One reading of an index file. `content` is None if nothing has changed since `validator`."""

    content: Any
    validator: str | None
    at: datetime | None = None


class ChanClient:
    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.source = source_of(crawler)
        self.ledger = Ledger.of(crawler)
        self.quarantine = Quarantine.of(crawler)

    def request(self, path: str, validator: str | None, **arguments: Any) -> Request:
        """A request for a file; 304 and 404 come to its callback as answers."""
        headers = {"If-Modified-Since": validator} if validator else None
        meta = {"handle_httpstatus_list": [304, 404]} | arguments.pop("meta", {})
        return Request(self.source + path, headers=headers, meta=meta, dont_filter=True, **arguments)

    async def read(self, path: str, parse: Parser, first: bool = False) -> Reading:
        """A file that the crawl cannot do without. Unavailable if it cannot be had, Malformed if it cannot be read."""
        validator = await self.ledger.validator(path)
        for retries_left in reversed(range(1 + MALFORMED_RETRIES)):
            response = await (self._fetch_first if first else self._fetch)(self.request(path, validator))
            if response.status == 304:
                return Reading(None, validator, seen_at(response))
            try:
                content = self.parse(response, parse)
                return Reading(content, index_validator(response), seen_at(response))
            except Malformed:
                if not retries_left:
                    raise
                await asyncio.sleep(self.crawler.settings.getfloat("CHAN_INDEX_INTERVAL"))
        raise AssertionError("not reached")

    def parse(self, response: Response, parse: Parser) -> Any:
        """The content of an answer; Malformed, and the answer set aside, if it has none."""
        try:
            return parse(loads(response.body))
        except Malformed as error:
            self.set_aside(response, str(error))
            raise

    def set_aside(self, response: Response, reason: str) -> None:
        self.quarantine.set_aside(urlsplit(response.url).path, response.body, reason)

    async def _fetch(self, request: Request) -> Response:
        try:
            response = await self.crawler.engine.download_async(request)
        except Exception as error:  # whatever the network or a middleware came up with, when all retries are used up
            raise Unavailable(str(error) or type(error).__name__) from None
        if response.status not in (200, 304):
            raise Unavailable(f"answered {response.status}")
        return response

    async def _fetch_first(self, request: Request) -> Response:
        """The first file of a crawl. A source that does not even take a connection is not waited for.

        Somebody mistyped its address, or is not online. Whatever else goes wrong is retried as everywhere.
        """
        once = request.replace(meta=request.meta | {"dont_retry": True})
        try:
            response = await self.crawler.engine.download_async(once)
            if response.status in (200, 304):
                return response
        except UNREACHABLE as error:
            raise unreachable(self.source, "CHAN_API_URL", error, once) from None
        except Exception as error:
            logger.info("The first request failed (%s); trying again.", error or type(error).__name__)
        return await self._fetch(request)


def source_of(crawler: Crawler) -> str:
    """The address of the API, without a slash at its end."""
    return str(crawler.settings["CHAN_API_URL"]).rstrip("/")


def header(response: Response, name: str) -> str | None:
    value = response.headers.get(name)
    return value.decode("latin-1") if value else None


def http_last_modified(response: Response) -> str | None:
    return header(response, "Last-Modified")


def index_validator(response: Response) -> str | None:
    """The If-Modified-Since of an index file's next fetch."""
    return conditional.strong_validator(http_last_modified(response), header(response, "Date"))


def seen_at(response: Response) -> datetime:
    """The server's time at an answer; its payload speaks of that clock. Ours if it does not tell."""
    return conditional.http_time(header(response, "Date")) or datetime.now(UTC)


def look_at(response: Response, is_own: bool = True) -> Look:
    """How an answer is compared with what is held; `is_own` for a thread's own page."""
    validator = http_last_modified(response)
    body = f"{'' if is_own else urlsplit(response.url).path} {validator}".strip()
    return Look(seen_at(response), conditional.http_time(validator), body, is_own, validator if is_own else None)


async def refuse_mixed_sources(ledger: Ledger, source: str) -> None:
    """UserError where posts of a sandbox and of a real site would come into one store."""
    for earlier in await ledger.sources():
        if is_local(earlier) != is_local(source):
            place = ledger.store.place
            raise UserError(
                f"{place[0].upper() + place[1:]} holds posts from {earlier}, and this crawl reads {source}: "
                "name another CSV_FOLDER or DATABASE_URL, so that they are not mixed."
            )


def is_local(url: str) -> bool:
    """
    >>> is_local("http://127.0.0.1:8080"), is_local("https://a.4cdn.org")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def reason_of(failure: Failure) -> str:
    """Why a request came to nothing, in words."""
    return failure.getErrorMessage() or type(failure.value).__name__
