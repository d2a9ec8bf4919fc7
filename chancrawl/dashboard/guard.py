"""Who may see the pages: the Host header, other sites, the password.

The Host header is compared with a list before anything else, so that a web page of somebody else cannot read the
dashboard of a visitor by a name that leads to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Collection
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.helpers import BasicAuth
from scrapy.settings import BaseSettings

from chancrawl.errors import UserError

COOKIE = "chancrawl_session"
SESSION_SECONDS = 12 * 3600
MOST_SESSIONS = 1_000
MOST_ADDRESSES = 10_000
LONGEST_DELAY = 30.0
MOST_WAITING = 5
"""Attempts of one address that wait at a time."""
ATTEMPTS_A_SECOND = 5.0
"""Passwords that are tried in all."""

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(\d{1,5}))?", re.IGNORECASE)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send the login with the Origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Robots-Tag": "noindex, nofollow",
}


def is_loopback(address: str) -> bool:
    """
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address == "localhost"


def hosts_of(address: str, port: int, others: Collection[str]) -> frozenset[str]:
    """The values of the Host header that are answered. UserError for one of `others` that is no host.

    >>> sorted(hosts_of("127.0.0.1", 8030, ["archive.example.org"]))
    ['127.0.0.1:8030', '[::1]:8030', 'archive.example.org', 'localhost:8030']
    """
    for other in others:
        if not HOST.fullmatch(other):
            raise UserError(f"DASHBOARD_HOSTS has {other!r}; write hosts as archive.example.org or 10.0.0.5:8030.")
    names = {"127.0.0.1", "localhost", "[::1]"}
    try:
        own = ip_address(address.strip("[]"))
        if not own.is_unspecified:
            names.add(f"[{own}]" if own.version == 6 else str(own))
    except ValueError:
        names.add(address.lower())
    found = {f"{name}:{port}" for name in names} | (names if port == 80 else set())  # browsers leave :80 out
    return frozenset(found | {other.lower() for other in others})


class Password:
    """A password, of which only a hash is in memory. Each attempt takes a tenth of a second of one core."""

    def __init__(self, password: str) -> None:
        self._salt = secrets.token_bytes(16)
        self._hash = self._hashed(password)

    def _hashed(self, password: str) -> bytes:
        text = password.encode("utf-8", "surrogatepass")
        return hashlib.scrypt(text, salt=self._salt, n=2**15, r=8, p=1, maxmem=64 * 2**20)

    def matches(self, attempt: str) -> bool:
        return hmac.compare_digest(self._hashed(attempt), self._hash)


class Delays:
    """How long an attempt waits: longer after each wrong one from the same address, and in turn with all others.

    Nobody is locked out. Attempts that cannot be made within a minute are refused, and can be made again.
    """

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, int] = OrderedDict()
        self._waiting: Counter[str] = Counter()
        self._next = 0.0

    def enter(self, address: str, now: float) -> float | None:
        """Seconds until an attempt may be made; None if too many wait already. `leave` has to follow."""
        if self._waiting[address] >= MOST_WAITING or self._next - now > LONGEST_DELAY:
            return None
        self._waiting[address] += 1
        self._next = max(self._next, now) + 1 / ATTEMPTS_A_SECOND
        own = 0.25 * 2.0 ** min(self._wrong.get(address, 0), 10) - 0.25
        return min(own, LONGEST_DELAY) + self._next - now

    def leave(self, address: str) -> None:
        self._waiting[address] -= 1
        if not self._waiting[address]:
            del self._waiting[address]

    def wrong(self, address: str) -> None:
        self._wrong[address] = self._wrong.pop(address, 0) + 1
        while len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        self._wrong.pop(address, None)


class Guard:
    """Decides about each request before it is answered."""

    def __init__(self, settings: BaseSettings, address: str, port: int) -> None:
        others = _listed(settings.get("DASHBOARD_HOSTS"))
        self.hosts = hosts_of(address, port, others)
        password = settings.get("DASHBOARD_PASSWORD") or ""
        if not password and not is_loopback(address):
            raise UserError(
                f"The address {address} can be reached from other machines: set DASHBOARD_PASSWORD (or "
                "DASHBOARD_PASSWORD_FILE), or leave --address out to serve this machine alone."
            )
        self.password = Password(password) if password else None
        try:
            self.proxies = [ip_network(proxy) for proxy in _listed(settings.get("DASHBOARD_PROXIES"))]
        except ValueError as error:
            raise UserError(f"DASHBOARD_PROXIES: {error}; write addresses as 10.0.0.5 or 10.0.0.0/24.") from None
        self._delays = Delays()
        self._hashing = asyncio.Semaphore(2)
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._scrapers: set[bytes] = set()  # hashes of Authorization headers that were right

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request that is not for this host, or that another site makes."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not HOST.fullmatch(hosts[0]) or hosts[0].lower() not in self.hosts:
            return _plain(421, "This host name is not served here; DASHBOARD_HOSTS lists those that are.")
        if request.method not in ("GET", "HEAD", "POST"):
            return _plain(405, "This page can only be read.")
        origins = request.headers.getall("Origin", [])
        if origins and (len(origins) != 1 or not self._is_own(origins[0])):
            return _plain(403, "Another site asked for this page.")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in ("none", "same-origin") and request.headers.get("Sec-Fetch-Mode") != "navigate":
            return _plain(403, "Another site asked for this page.")
        return None

    def _is_own(self, origin: str) -> bool:
        try:
            parts = urlsplit(origin)
            return parts.scheme in ("http", "https") and parts.netloc.lower() in self.hosts
        except ValueError:
            return False

    # --- who is logged in

    def is_known(self, request: web.Request) -> bool:
        """Whether a request may see data."""
        if self.password is None:
            return True
        until = self._sessions.get(request.cookies.get(COOKIE, ""))
        return until is not None and until > time.monotonic()

    async def is_scraper(self, request: web.Request) -> bool:
        """Whether a request gives the password as HTTP Basic authentication, which programs can do."""
        header = request.headers.get("Authorization", "")
        if not header or self.password is None:
            return False
        mark = hashlib.sha256(header.encode("utf-8", "surrogatepass")).digest()
        if mark in self._scrapers:
            return True
        try:
            attempt = BasicAuth.decode(header, "utf-8").password
        except ValueError:
            return False
        if not await self.check(request, attempt):
            return False
        self._scrapers.add(mark)
        return True

    async def check(self, request: web.Request, attempt: str) -> bool:
        """Whether a password is right. It waits, longer after wrong ones."""
        assert self.password is not None
        address = self.address_of(request)
        wait = self._delays.enter(address, time.monotonic())
        if wait is None:
            raise web.HTTPTooManyRequests(text="Too many attempts; try again in a minute.\n")
        try:
            await asyncio.sleep(wait)
            async with self._hashing:
                is_right = await asyncio.to_thread(self.password.matches, attempt[:1000])
        finally:
            self._delays.leave(address)
        (self._delays.right if is_right else self._delays.wrong)(address)
        return is_right

    def begin(self, request: web.Request, response: web.StreamResponse) -> None:
        """Log in."""
        token = secrets.token_urlsafe(32)
        self._sessions[token] = time.monotonic() + SESSION_SECONDS
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        response.set_cookie(COOKIE, token, max_age=SESSION_SECONDS, httponly=True, samesite="Strict", path="/",
                            secure=self._is_secure(request))  # fmt: skip

    def end(self, request: web.Request, response: web.StreamResponse) -> None:
        """Log out."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")

    # --- proxies in front

    def address_of(self, request: web.Request) -> str:
        """The address of who asks. X-Forwarded-For is read from right to left, as far as our own proxies wrote it."""
        address = request.remote or ""
        for other in reversed(_listed(",".join(request.headers.getall("X-Forwarded-For", [])))):
            if not self._is_proxy(address):
                break
            try:
                address = str(ip_address(other))
            except ValueError:
                break
        return address

    def _is_proxy(self, address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in self.proxies)
        except ValueError:
            return False

    def _is_secure(self, request: web.Request) -> bool:
        return self._is_proxy(request.remote or "") and request.headers.get("X-Forwarded-Proto") == "https"


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _plain(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n")
