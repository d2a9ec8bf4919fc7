"""The downloader middleware that signs requests to X, each with the credential that has most calls left."""

from __future__ import annotations

import time
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from w3lib.url import add_or_replace_parameters

from chancrawl.errors import UNREACHABLE, UserError, unreachable
from chancrawl.middlewares import BackoffMiddleware
from chancrawl.x import credentials
from chancrawl.x.access import Access
from chancrawl.x.client import source_of


class RotatingCredentials:
    """The downloader middleware: signs, counts, and asks again with another credential where one is refused.

    A request for X has `x_endpoint` in its meta, and `x_bills` (posts, users or trends) with `x_most` reads at most.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.access = Access.of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> Request | None:
        endpoint = request.meta.get("x_endpoint")
        if endpoint is None:
            return None
        try:
            if "x_reservation" not in request.meta:
                asked, least = request.meta["x_most"], request.meta.get("x_least", 1)
                reservation, granted = await self.access.reserve(request.meta["x_bills"], asked, least)
                request.meta["x_reservation"] = reservation
                if granted < asked and "max_results" in request.url:
                    request.meta["x_most"] = granted
                    return request.replace(url=add_or_replace_parameters(request.url, {"max_results": str(granted)}))
            asked_at = request.meta.setdefault("x_asked_at", time.monotonic())
            call = await self.access.take(endpoint, request.meta.get("x_avoid", ()), asked_at)
        except UserError as error:
            self.access.end(error)
            raise IgnoreRequest(str(error)) from None
        request.meta["x_call"] = call
        credential = self.access.pool.credentials[call.key]
        timestamp = self.access.pool.clock.at(time.monotonic())
        request.headers["Authorization"] = credentials.authorization(credential, request.url, timestamp)
        return None

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        if "x_call" not in request.meta:
            return response
        request.headers.pop("Authorization", None)
        again = await self.access.answered(request, response)
        request.meta["x_credential"] = request.meta.pop("x_call").key
        if again is None:
            return response
        backoff = self.crawler.get_downloader_middleware(BackoffMiddleware)
        if backoff is not None:
            backoff.welcome(request)  # which does not see this answer: it was the credential that was refused
        return request.replace(dont_filter=True, priority=request.priority + 1)

    async def process_exception(self, request: Request, exception: Exception) -> None:
        if "x_call" in request.meta:
            if isinstance(exception, UNREACHABLE) and not self.access.pool.clock.is_told:
                # Nothing was ever answered: somebody mistyped the address, or is not online.
                self.access.end(unreachable(source_of(self.crawler), "X_API_URL", exception, request))
            request.headers.pop("Authorization", None)
            self.access.pool.failed(request.meta.pop("x_call"))
            await self.access.tell_news()
