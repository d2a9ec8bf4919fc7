"""The credentials of the sandbox's X, their signatures, states and rate limits."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from urllib.parse import parse_qsl, unquote

from oauthlib.common import Request as OAuthRequest
from oauthlib.oauth1.rfc5849 import signature

PROBLEMS = "https://api.twitter.com/2/problems/"

# Calls in a window, for a user and for an app: https://docs.x.com/x-api/fundamentals/rate-limits
LIMITS = {
    "users": (900, 300),
    "users_by_id": (900, 300),
    "user": (900, 300),
    "timeline": (900, 10_000),
    "search": (300, 450),
    "trends": (0, 75),
}


@dataclass(slots=True)
class Member:
    """A row of credentials. `state` is good, revoked, unentitled (to timelines) or depleted (out of credits)."""

    number: int
    consumer_key: str
    consumer_secret: str
    access_token: str
    access_token_secret: str
    bearer_token: str = ""
    state: str = "good"


@dataclass(slots=True)
class Window:
    """Calls of one credential to one endpoint since a time."""

    began: float = 0.0
    calls: int = 0


@dataclass(slots=True)
class Refusal:
    status: int
    problem: dict[str, Any]


@dataclass(slots=True)
class Pass:
    """A call that is accepted or refused. `headers` describe its window, if it has one."""

    member: Member | None
    is_app: bool
    headers: dict[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None


def read_members(lines: Iterable[str]) -> list[Member]:
    return [
        Member(number, **{name: value for name, value in row.items() if name in Member.__slots__ and value})
        for number, row in enumerate(csv.DictReader(lines), 1)
    ]


class Gate:
    def __init__(self, members: list[Member], window: float = 900.0, limits: dict[str, int] | None = None) -> None:
        self.members = members
        self.window = window
        self.limits = limits or {}
        self.windows: dict[tuple[str, str], Window] = {}
        self._nonces: set[str] = set()

    def check(self, method: str, url: str, authorization: str, endpoint: str, now: float) -> Pass:
        """Whether a call is accepted. An accepted call is counted."""
        passed = self._identify(method, url, authorization, now)
        member = passed.member
        if member is None or member.state == "revoked":
            return Pass(member, passed.is_app, refusal=Refusal(401, _problem("Unauthorized", 401)))
        if endpoint == "trends" and not passed.is_app:
            detail = (
                "Authenticating with OAuth 1.0a User Context is forbidden for this endpoint. Supported authentication "
                "types are [OAuth 2.0 Application-Only]."
            )
            problem = {"title": "Unsupported Authentication", "detail": detail, "status": 403}
            return Pass(
                member, False, refusal=Refusal(403, problem | {"type": PROBLEMS + "unsupported-authentication"})
            )
        if member.state == "unentitled" and endpoint == "timeline":
            problem = {
                "client_id": str(1000 + member.number),
                "detail": "You currently have access to a subset of X API V2 endpoints. If you need access to this "
                "endpoint, you may need a different access level.",
                "title": "Client Forbidden",
                "required_enrollment": "Appropriate Level of API Access",
                "reason": "client-not-enrolled",
                "type": PROBLEMS + "client-forbidden",
            }
            return Pass(member, passed.is_app, refusal=Refusal(403, problem))
        if member.state == "depleted":
            detail = "Your enrolled account does not have any credits to fulfill this request."
            problem = {"account_id": 1, "title": "CreditsDepleted", "detail": detail, "type": PROBLEMS + "credits"}
            return Pass(member, passed.is_app, refusal=Refusal(402, problem))
        return self._count(passed, endpoint, now)

    def _count(self, passed: Pass, endpoint: str, now: float) -> Pass:
        member = passed.member
        assert member is not None
        limit = self.limits.get(endpoint) or LIMITS[endpoint][passed.is_app]
        owner = f"app {member.consumer_key}" if passed.is_app else f"user {member.number}"
        window = self.windows.setdefault((owner, endpoint), Window())
        if now >= ceil(window.began + self.window):
            window.began, window.calls = now, 0
        window.calls += 1
        passed.headers = {
            "x-rate-limit-limit": str(limit),
            "x-rate-limit-remaining": str(max(limit - window.calls, 0)),
            "x-rate-limit-reset": str(ceil(window.began + self.window)),
        }
        if window.calls > limit:
            passed.refusal = Refusal(429, _problem("Too Many Requests", 429))
        return passed

    def _identify(self, method: str, url: str, authorization: str, now: float) -> Pass:
        kind, _, rest = authorization.partition(" ")
        if kind == "Bearer":
            owners = (member for member in self.members if rest in (member.bearer_token, token_of(member)) and rest)
            return Pass(next(owners, None), True)
        if kind != "OAuth":
            return Pass(None, False)
        given = {}
        for part in rest.split(","):
            name, _, value = part.strip().partition("=")
            given[name] = unquote(value.strip('"'))
        owners = (member for member in self.members if member.access_token == given.get("oauth_token"))
        member = next(owners, None)
        if member is None or not self._is_signed(method, url, given, member, now):
            return Pass(None, False)
        return Pass(member, False)

    def _is_signed(self, method: str, url: str, given: dict[str, str], member: Member, now: float) -> bool:
        nonce = given.get("oauth_nonce", "")
        if given.get("oauth_consumer_key") != member.consumer_key or nonce in self._nonces:
            return False
        if abs(now - float(given.get("oauth_timestamp", "0"))) > 300:
            return False
        self._nonces.add(nonce)
        if len(self._nonces) > 100_000:
            self._nonces.clear()
        base, _, query = url.partition("?")
        parameters = parse_qsl(query, keep_blank_values=True)
        parameters += [
            (name, value) for name, value in given.items() if name.startswith("oauth_") and name != "oauth_signature"
        ]
        request: Any = OAuthRequest(base, "GET")
        request.http_method, request.params = method, parameters
        request.signature = given.get("oauth_signature", "")
        valid: bool = signature.verify_hmac_sha1(request, member.consumer_secret, member.access_token_secret)
        return valid

    def token(self, consumer_key: str, consumer_secret: str) -> str | None:
        """The bearer token of an app, for its consumer pair."""
        for member in self.members:
            if (member.consumer_key, member.consumer_secret) == (consumer_key, consumer_secret):
                return None if member.state == "revoked" else token_of(member)
        return None


def token_of(member: Member) -> str:
    return member.bearer_token or f"AAAAbearer-of-{member.consumer_key}"


def _problem(title: str, status: int) -> dict[str, Any]:
    return {"title": title, "type": "about:blank", "status": status, "detail": title}
