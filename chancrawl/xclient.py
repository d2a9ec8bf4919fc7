"""Asking the X API: its requests, and the JSON of its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import orjson
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response

from chancrawl import twitter
from chancrawl.payload import Malformed, loads


class XClient:
    """Asks the API for what spiders want to know."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.source = source_of(crawler)

    def request(
        self,
        endpoint: twitter.Endpoint,
        parameters: dict[str, str],
        callback: Callable[..., Any],
        errback: Callable[..., Any],
        bills: tuple[str, int],
        argument: str = "",
        least: int = 1,
        **cb_kwargs: Any,
    ) -> Request:
        """A request; 400 and 404 come to its callback as answers.

        `bills` is what it may cost, at most; `least` the smallest page that the endpoint allows, where the budget ends.
        """
        kind, most = bills
        meta = {
            "x_endpoint": endpoint.name,
            "x_bills": kind,
            "x_most": most,
            "x_least": least,
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


def payload_of(response: Response) -> Any:
    """The JSON of an answer, a problem's too. Malformed if it is none."""
    try:
        payload = orjson.loads(response.body)  # ids are texts there: no number is too long for it
    except orjson.JSONDecodeError:
        payload = loads(response.body)
    if response.status == 400:
        raise Malformed(f"refused as wrong: {str(payload)[:300]}")
    return payload


def source_of(crawler: Crawler) -> str:
    return str(crawler.settings["X_API_URL"]).rstrip("/")
