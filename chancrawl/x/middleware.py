"""The downloader middleware that signs requests to X, each with the credential that has most calls left."""

from __future__ import annotations

import time
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from w3lib.url import add_or_replace_parameters

from chancrawl.engine import end
from chancrawl.errors import UNREACHABLE, UserError, unreachable
from chancrawl.middlewares import BackoffMiddleware
from chancrawl.x import credentials
from chancrawl.x.access import Access
from chancrawl.x.api import source_of
from chancrawl.x.client import Exchange


class RotatingCredentials:
    """The downloader middleware: signs, counts, and asks again with another credential where one is refused.

    It handles requests of `XClient`: those with an `Exchange` in `request.meta["x"]`.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.access = Access.of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> Request | None:
        exchange: Exchange | None = request.meta.get("x")
        if exchange is None:
            return None
        endpoint = exchange.endpoint
        try:
            if exchange.reservation is None:
                exchange.reservation, granted = await self.access.budget.reserve(
                    endpoint.bills, exchange.reads, exchange.least
                )
                if granted < exchange.reads and endpoint.page_size_parameter:
                    exchange.reads = granted
                    smaller = {endpoint.page_size_parameter: str(granted)}
                    return request.replace(url=add_or_replace_parameters(request.url, smaller))
            if exchange.asked_at is None:
                exchange.asked_at = time.monotonic()
            call = await self.access.take(endpoint.name, exchange.avoid, exchange.asked_at)
        except UserError as error:
            end(self.crawler, error)
            raise IgnoreRequest(str(error)) from None
        exchange.call = call
        credential = self.access.pool.credentials[call.key]
        timestamp = self.access.pool.clock.at(time.monotonic())
        request.headers["Authorization"] = credentials.authorization(credential, request.url, timestamp)
        return None

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        exchange: Exchange | None = request.meta.get("x")
        if exchange is None or exchange.call is None:
            return response
        request.headers.pop("Authorization", None)
        call, exchange.call = exchange.call, None
        exchange.credential = call.key
        again = await self.access.answered(call, request, response)
        if again is None:
            return response
        backoff = self.crawler.get_downloader_middleware(BackoffMiddleware)
        if backoff is not None:
            backoff.welcome(request)  # which does not see this answer: it was the credential that was refused
        return request.replace(dont_filter=True, priority=request.priority + 1)

    async def process_exception(self, request: Request, exception: Exception) -> None:
        exchange: Exchange | None = request.meta.get("x")
        if exchange is None or exchange.call is None:
            return
        if isinstance(exception, UNREACHABLE) and not self.access.pool.clock.is_known:
            # Nothing was ever answered: somebody mistyped the address, or is not online.
            end(self.crawler, unreachable(source_of(self.crawler), "X_API_URL", exception, request))
        request.headers.pop("Authorization", None)
        call, exchange.call = exchange.call, None
        self.access.pool.failed(call)
        self.access.answers.notify()
