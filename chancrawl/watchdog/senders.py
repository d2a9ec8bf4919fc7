"""Sends messages: to a webhook, or to anything that apprise reaches. An address is a secret: no message shows it."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from chancrawl.errors import UserError

TIMEOUT = 15.0
"""Seconds that a webhook may take."""


class Sender(Protocol):
    """A way to somebody. `name` says of what kind, and `fingerprint` which one, without its address."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def send(self, title: str, body: str, alarms: Sequence[Mapping[str, Any]]) -> str:
        """Send a message. Returns why it could not be delivered; empty if it was."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A web address that takes JSON. The keys `text` and `content` are those that chat programs show."""

    url: str = field(repr=False)
    fingerprint: str
    name: str = "webhook"

    def send(self, title: str, body: str, alarms: Sequence[Mapping[str, Any]]) -> str:
        text = f"{title}\n{body}"
        payload = {"title": title, "body": body, "text": text, "content": text[:1900], "alarms": alarms}
        headers = {"Content-Type": "application/json", "User-Agent": "chancrawl"}
        request = urllib.request.Request(self.url, json.dumps(payload).encode(), headers)  # noqa: S310 - http or https
        return failure_of(request)


@dataclass(frozen=True, slots=True)
class ByApprise:
    """Anything that apprise reaches: mail, chats, telephones (https://github.com/caronc/apprise/wiki)."""

    service: Any = field(repr=False)
    fingerprint: str
    name: str

    def send(self, title: str, body: str, alarms: Sequence[Mapping[str, Any]]) -> str:
        return "" if self.service.notify(title=title, body=body) else "it was not delivered"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirection is a failure: it would turn the message into a request without a body."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def called(url: str) -> str:
    """Call an address. Returns why that failed; empty if it did not."""
    return failure_of(urllib.request.Request(url, headers={"User-Agent": "chancrawl"}))  # noqa: S310 - http or https


def failure_of(request: urllib.request.Request) -> str:
    """Make a request. Returns why it failed, without its address; empty if it did not."""
    try:
        with _opener.open(request, timeout=TIMEOUT):
            return ""
    except urllib.error.HTTPError as error:
        return f"it answered {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return "it does not answer" if isinstance(error, TimeoutError) else _reason(error)


def checked_address(name: str, url: str) -> str:
    """A web address. UserError if it is none, which does not show it."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if url and (not is_good or re.search(r"[\s\x00-\x1f\x7f]", url)):
        raise UserError(f"{name} is no web address: write https://…, without spaces.")
    return url


def _reason(error: Exception) -> str:
    """Why an address cannot be reached, in words that do not show it."""
    reason = getattr(error, "reason", error)
    return (reason.strerror if isinstance(reason, OSError) else "") or type(reason).__name__


def listed(text: str | None) -> list[str]:
    """The addresses, which commas or line breaks separate. A comma within one stays."""
    return [url.strip(" ,") for url in re.split(r"[,\s]+(?=[A-Za-z][A-Za-z0-9+.-]*:)", (text or "").strip()) if url]


def senders_of(text: str | None) -> list[Sender]:
    """The senders of ALARM_URLS. UserError for one that is not understood, which does not show it."""
    return [_sender(url, number) for number, url in enumerate(listed(text), 1)]


def _sender(url: str, number: int) -> Sender:
    fingerprint = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    if re.match("https?:", url, re.IGNORECASE):
        return Webhook(checked_address(f"ALARM_URLS: address {number}", url), fingerprint)
    try:
        import apprise
    except ImportError:
        raise UserError(
            f"ALARM_URLS: address {number} needs apprise, which is not installed: pip install 'apprise>=1.9,<3'."
        ) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages show addresses
    service = apprise.Apprise()
    if not service.add(url):
        raise UserError(
            f"ALARM_URLS: address {number} is none that can be used: write https://… for a webhook, or an address of "
            "apprise, for example mailtos://user:password@example.org."
        )
    return ByApprise(service, fingerprint, url.partition(":")[0][:20])
