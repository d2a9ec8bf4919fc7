"""Reads the status, headers and form of answers: refusals, times, error texts. It does not read payloads of sources."""

from __future__ import annotations

import html
import json
import logging
import re
from datetime import UTC, datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.text import visible

logger = logging.getLogger(__name__)


def header(response: Response, name: str) -> str | None:
    value = response.headers.get(name)
    return value.decode("latin-1") if value else None


def is_local(url: str) -> bool:
    """
    >>> is_local("http://127.0.0.1:8080"), is_local("https://a.4cdn.org")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def is_same_site(url: str, other: str) -> bool:
    """Whether two addresses of an API are the same, apart from the scheme and a slash at the end.

    >>> is_same_site("http://a.4cdn.org/", "https://a.4cdn.org"), is_same_site("https://a.4cdn.org", "https://8kun.top")
    (True, False)
    """
    host, path = urlsplit(url)[1:3]
    other_host, other_path = urlsplit(other)[1:3]
    return host.lower() == other_host.lower() and path.rstrip("/") == other_path.rstrip("/")


# --- times


def http_time(value: str | None) -> datetime | None:
    """A Last-Modified or Date header as a time; None if there is none or it cannot be read."""
    if not value:
        return None
    try:
        time = parsedate_to_datetime(value)
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError, TypeError):
        return None


def http_date(seconds: float) -> str:
    """
    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    return formatdate(seconds, usegmt=True)


class Dates:
    """The times in a source's headers, if they are plausible.

    If Date differs from the local clock by more than CLOCK_TOLERANCE, the local clock is used. A Last-Modified that is
    further in the future is ignored. Implausible times are not stored, because one in the future would make all later
    answers look like older copies.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.stats = crawler.stats
        self.tolerance = timedelta(seconds=crawler.settings.getfloat("CLOCK_TOLERANCE"))
        self._is_logged = False

    def told(self, response: Response) -> datetime | None:
        """The Date of an answer; None if it is missing or implausible."""
        time = http_time(header(response, "Date"))
        if time is not None and abs(time - datetime.now(UTC)) > self.tolerance:
            self._report(response, "Date", time)
            return None
        return time

    def now(self, response: Response) -> datetime:
        """The server's time of an answer, which payloads use too; without it, the local time."""
        return self.told(response) or datetime.now(UTC)

    def last_modified(self, response: Response) -> str | None:
        """The Last-Modified header of an answer, unchanged; None if it is missing or in the future."""
        value = header(response, "Last-Modified")
        time = http_time(value)
        if time is not None and time > self.now(response) + min(self.tolerance, timedelta(days=1)):
            self._report(response, "Last-Modified", time)
            return None
        return value

    def _report(self, response: Response, name: str, time: datetime) -> None:
        self.stats.inc_value("clock/not_believed")
        if not self._is_logged:
            self._is_logged = True
            logger.warning(
                "%s answered with %s: %s, which is implausible; this machine's clock is used. If every answer causes "
                "this message, set the clock of this machine.",
                urlsplit(response.url).netloc, name, f"{time:%Y-%m-%d %H:%M:%S}",
            )  # fmt: skip


# --- refusals


def is_json(response: Response) -> bool:
    return "json" in (header(response, "Content-Type") or "")


def problem_of(response: Response) -> dict[str, object]:
    """The JSON object of an error answer; empty if it has none."""
    if not is_json(response):
        return {}
    try:
        payload = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def is_of_the_api(response: Response) -> bool:
    """Whether an error comes from X itself, and not from the CDN in front of it.

    Since March 2026 the CDN sends its refusals as JSON to clients that accept JSON: `{"title": "Error 1010: …",
    "status": 403, "cloudflare_error": true, …}`.
    """
    return is_json(response) and not problem_of(response).get("cloudflare_error")


def refusal_of(request: Request, response: Response) -> str | None:
    """Why a response is a refusal, as a text; None if it is an answer.

    The sources answer 200, 304 and 404. `request.meta["own_statuses"]` are further statuses that the API itself sends,
    with JSON, about a wrong request or a credential. Everything else is a refusal, with any status, type or form: a
    redirection leads to a captcha, and an HTML page with status 200 is a captcha.
    """
    status = response.status
    if status == 304:
        return None if "If-Modified-Since" in request.headers else "304 to a request for the whole file"
    if status == 404:
        return None
    if status == 200:
        return f"an HTML page in place of JSON{_words(response)}" if _is_page(response) else None
    if status in request.meta.get("own_statuses", ()) and is_of_the_api(response):
        return None
    if 300 <= status < 400:
        place = visible(urljoin(response.url, header(response, "Location") or "").partition("?")[0])
        return f"{status}, a redirection to {place}"
    return f"{status}{_words(response)}"


def _is_page(response: Response) -> bool:
    return response.body[:100].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _words(response: Response) -> str:
    """The title and detail of an error, in brackets; empty if it has none."""
    problem = problem_of(response)
    texts = [text for key in ("title", "detail") if isinstance(text := problem.get(key), str)]
    if not texts and (title := re.search(rb"<title[^>]*>([^<]{1,200})", response.body[:5000], re.IGNORECASE)):
        texts = [html.unescape(title[1].decode("utf-8", "replace"))]
    text = visible(": ".join(dict.fromkeys(texts)))[:200]
    return f" ({text})" if text else ""


def reason_of(failure: Failure) -> str:
    """Why a request has failed, as a text."""
    response = getattr(failure.value, "response", None)
    if response is not None:
        request: Request = failure.request  # type: ignore[attr-defined]
        return f"answered {refusal_of(request, response) or response.status}"
    return failure.getErrorMessage() or type(failure.value).__name__
