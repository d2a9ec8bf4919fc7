"""Downloader middlewares: backing off, unpacking, and proxies."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from rotating_proxies.middlewares import BanDetectionMiddleware, RotatingProxyMiddleware
from rotating_proxies.utils import extract_proxy_hostport
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.httpproxy import HttpProxyMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.httpobj import urlparse_cached

from chancrawl.engine import end, pause, stays
from chancrawl.errors import UserError
from chancrawl.http import is_local, refusal_of
from chancrawl.storage.session import Session

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Egress:
    """The pauses of one address, this machine's or a proxy's. Times are monotonic seconds."""

    strikes: int = 0
    closed_until: float = 0.0
    probing: bool = False
    """After a pause, one request is sent alone, to check whether the site still refuses the address."""

    def wait(self, now: float) -> float:
        """The seconds that the next request has to wait at least; 0 if it is sent now."""
        if now < self.closed_until:
            return self.closed_until - now
        if self.probing:
            return 0.05
        self.probing = self.strikes > 0
        return 0.0

    def strike(self, now: float, delay: float, longest: float, retry_after: float = 0.0) -> float:
        """Record a refusal. Returns the pause in seconds, which doubles from `delay` with each successive refusal.

        Refusals of requests that were sent before a pause began do not count as further strikes.
        """
        self.probing = False
        if now >= self.closed_until:
            self.strikes += 1
        pause = max(min(delay * 2.0 ** min(self.strikes, 30), longest), retry_after)
        self.closed_until = max(self.closed_until, now + pause)
        return pause

    def welcome(self, now: float) -> None:
        """Record an answer that is no refusal."""
        self.probing = False
        if now >= self.closed_until:
            self.strikes = 0


class PauseMiddleware:
    """Delays requests while the store is full."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.session = Session.of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        while self.session.is_full:
            await pause(self.crawler, 0.2)


class BackoffMiddleware:
    """Sends no requests from an address for some time, if the site refuses it or does not answer.

    The pause begins at twice DOWNLOAD_DELAY and doubles with each successive refusal, up to BACKOFF_MAX. A longer
    Retry-After is respected. Scrapy's RetryMiddleware retries the refused requests. A crawl without `follow` ends after
    SOURCE_PATIENCE seconds without an answer.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.stats = crawler.stats
        self.delay = max(crawler.settings.getfloat("DOWNLOAD_DELAY"), 0.05)
        self.longest = crawler.settings.getfloat("BACKOFF_MAX")
        self.patience = crawler.settings.getfloat("SOURCE_PATIENCE")
        self.egresses: dict[str, Egress] = {}
        self.struck_since: float | None = None  # no address has got an answer since then
        self._logged: set[str] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def _egress(self, request: Request) -> Egress:
        slot = request.meta.get("download_slot") or urlparse_cached(request).hostname or ""
        return self.egresses.setdefault(slot, Egress())

    async def process_request(self, request: Request) -> None:
        egress = self._egress(request)
        while (seconds := egress.wait(time.monotonic())) > 0:
            await pause(self.crawler, seconds)

    def process_response(self, request: Request, response: Response) -> Response:
        refusal = refusal_of(request, response)
        if refusal is None:
            self.welcome(request)
        else:
            self.stats.inc_value("backoff/refusals")
            self.stats.set_value("backoff/refusal", refusal)
            self._strike(request, f"refused with {refusal}", _retry_after(response))
            if response.status in (200, 304):
                return response.replace(status=502)  # so that RetryMiddleware and the spiders treat it as a failure
        return response

    def welcome(self, request: Request) -> None:
        """The site has sent an answer that is no refusal."""
        self._egress(request).welcome(time.monotonic())
        self.struck_since = None

    def process_exception(self, request: Request, exception: Exception) -> None:
        if isinstance(exception, IgnoreRequest):
            self._egress(request).probing = False
        else:
            self._strike(request, f"not answered, {type(exception).__name__}")

    def _strike(self, request: Request, reason: str, retry_after: float = 0.0) -> None:
        now = time.monotonic()
        pause = self._egress(request).strike(now, self.delay, self.longest, retry_after)
        self.stats.inc_value("backoff/count")
        url = request.url.partition("?")[0]
        kind = reason.partition(" (")[0].partition(" to ")[0]  # titles and addresses can differ each time
        is_first = kind not in self._logged
        self._logged.add(kind)
        level = logging.WARNING if is_first and reason.startswith("refused") else logging.INFO
        logger.log(level, "%s: %s; no request for %.1f s", url, reason, pause)
        self.struck_since = now if self.struck_since is None else self.struck_since
        if now - self.struck_since + pause > self.patience and not stays(self.crawler):
            host = f"{urlparse_cached(request).scheme}://{urlparse_cached(request).netloc}"
            minutes = (now - self.struck_since) / 60
            end(self.crawler, UserError(
                f"{host} has given no answer for {minutes:.0f} minutes ({reason}): the crawl ends (SOURCE_PATIENCE). "
                "What was read is stored; the next run goes on from there.",
                reason="refused",
            ))  # fmt: skip


class Unpacking(HttpCompressionMiddleware):
    """Scrapy's middleware, placed before those that read the body. An answer that cannot be unpacked gets no body.

    JSON is in UTF-8 (RFC 8259, section 8.1). If the header lacks the charset, Scrapy would detect it, which is slow.
    """

    def process_response(self, request: Request, response: Response) -> Response:  # type: ignore[override]
        if response.headers.get(b"Content-Type") == b"application/json":
            response.headers[b"Content-Type"] = b"application/json; charset=utf-8"
        try:
            unpacked = super().process_response(request, response)
        except Exception as error:
            logger.warning("%s: the answer cannot be unpacked: %s", response.url.partition("?")[0], error)
            response.headers.pop(b"Content-Encoding", None)
            return response.replace(body=b"")
        assert isinstance(unpacked, Response)
        return unpacked


def _retry_after(response: Response) -> float:
    """The seconds of Retry-After, at most one hour; 0 for a date, and for an unreadable or missing value."""
    value = (response.headers.get(b"Retry-After") or b"").strip()
    return min(float(value), 3600.0) if value.isdigit() else 0.0


# --- proxies: https://github.com/TeamHG-Memex/scrapy-rotating-proxies


class HttpProxy(HttpProxyMiddleware):
    """Scrapy's middleware, but requests to this machine do not use the proxy of the environment (http_proxy), because
    127.0.0.1 would be the proxy's machine."""

    def process_request(self, request: Request) -> None:  # type: ignore[override]
        if "proxy" in request.meta or not is_local(request.url):
            super().process_request(request)


class RotatingProxies(RotatingProxyMiddleware):  # type: ignore[misc]
    """Chooses a random working proxy for each request. DOWNLOAD_DELAY applies to each proxy host separately.

    A proxy that answers 407 (wrong user or password) is not used any more, because waiting would not help.
    """

    def __init__(self, *arguments: Any, crawler: Crawler, **more: Any) -> None:
        super().__init__(*arguments, crawler=crawler, **more)
        self.crawler = crawler

    def process_request(self, request: Request, spider: Spider | None = None) -> None:
        super().process_request(request, spider)
        request.meta["chosen_proxy"] = request.meta.get("proxy")  # with its user, which Scrapy removes later

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        if response.status == 407 and self._retire(request):
            return self._retry(request, spider) or response
        result: Request | Response = super().process_response(request, response, spider)
        return result

    def process_exception(self, request: Request, exception: Exception, spider: Spider | None = None) -> Request | None:
        result: Request | None
        if "'status': 407" in str(exception) and self._retire(request):  # a TunnelError
            result = self._retry(request, spider)
        else:
            result = super().process_exception(request, exception, spider)
        return result

    def _retire(self, request: Request) -> bool:
        """Remove the proxy of a request for the rest of the crawl. Returns whether another one is left."""
        proxy = request.meta.get("chosen_proxy")
        if proxy in self.proxies.proxies:
            address = urlsplit(str(proxy))
            user = f"{address.username}@" if address.username else ""
            place = f"{user}{address.hostname}:{address.port}"
            self.proxies.proxies.pop(proxy)
            for listed in (self.proxies.unchecked, self.proxies.good, self.proxies.dead):
                listed.discard(proxy)
            # Proxies with the same host and port but another user stay.
            self.proxies.proxies_by_hostport = {extract_proxy_hostport(url): url for url in self.proxies.proxies}
            self.stats.inc_value("proxies/refused")
            logger.warning(
                "The proxy %s refuses us (407: its user or password is wrong); it is not used any more.", place
            )
        if not self.proxies.proxies:
            end(self.crawler, UserError(
                "No proxy is left, because all refuse us (407): mend their users and passwords in the list of proxies.",
                reason="refused",
            ))  # fmt: skip
        return bool(self.proxies.proxies)


class BanDetection(BanDetectionMiddleware):  # type: ignore[misc]
    """Marks answers that are bans, for RotatingProxies."""

    def process_response(self, request: Request, response: Response, spider: Spider | None = None) -> Response:
        result: Response = super().process_response(request, response, spider)
        return result

    def process_exception(self, request: Request, exception: Exception, spider: Spider | None = None) -> None:
        super().process_exception(request, exception, spider)


class BanPolicy:
    """ROTATING_PROXY_BAN_POLICY: decides which answers and errors are bans."""

    def response_is_ban(self, request: Request, response: Response) -> bool:
        return refusal_of(request, response) is not None

    def exception_is_ban(self, request: Request, exception: Exception) -> bool:
        return not isinstance(exception, IgnoreRequest)
