"""Asking the X API: its requests, and the JSON of its answers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlencode

import orjson
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response

from chancrawl.http import Dates
from chancrawl.payload import Malformed, mended
from chancrawl.storage.quarantine import Quarantine
from chancrawl.x import api


class BadRequest(Malformed):
    """X refuses a request as wrong (400), in its own words. `parameters` are the ones it names."""

    def __init__(self, detail: str, parameters: set[str]) -> None:
        super().__init__(detail)
        self.parameters = parameters

    @property
    def is_ours(self) -> bool:
        """Whether it is about what every request of ours has: then no request can be answered."""
        return bool(self.parameters & OURS)


OURS = {*api.POST_PARAMETERS, "post.fields", "max_results", "max_trends"}
TIMES = {"since_id", "until_id", "start_time", "end_time"}
TOKENS = {"next_token", "pagination_token"}


class XClient:
    """Asks the API for what spiders want to know."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.source = source_of(crawler)
        self.dates = Dates(crawler)

    def request(
        self,
        endpoint: api.Endpoint,
        parameters: dict[str, str],
        callback: Callable[..., Any],
        errback: Callable[..., Any],
        bills: tuple[str, int],
        argument: str = "",
        least: int = 1,
        avoid: Collection[str] = (),
        **cb_kwargs: Any,
    ) -> Request:
        """A request; 400 and 404 come to its callback as answers.

        `bills` is what it may cost, at most; `least` the smallest page that the endpoint allows, where the budget ends.
        `avoid` are credentials to which the target is closed.
        """
        kind, most = bills
        meta = {
            "x_endpoint": endpoint.name,
            "x_bills": kind,
            "x_most": most,
            "x_least": least,
            "x_avoid": frozenset(avoid),
            "handle_httpstatus_list": [400, 404],
        }
        return Request(
            f"{self.source}{endpoint.path.format(argument)}?{urlencode(parameters)}",
            callback=callback,
            errback=errback,
            cb_kwargs=cb_kwargs,
            meta=meta,
            dont_filter=True,
        )


def payload_of(response: Response, quarantine: Quarantine) -> Any:
    """The JSON of an answer; Malformed if it is none, BadRequest for a 400. What had to be mended is set aside too."""
    try:
        payload = orjson.loads(response.body)  # ids are texts there: no number is too long for it
    except orjson.JSONDecodeError:
        payload, problems = mended(response.body)
        if problems:
            quarantine.set_aside(response.url, response.body, "; ".join(problems))
    if response.status == 400:
        raise BadRequest(api.said(payload) or str(payload)[:300], api.named_parameters(payload))
    return payload


def source_of(crawler: Crawler) -> str:
    return str(crawler.settings["X_API_URL"]).rstrip("/")
