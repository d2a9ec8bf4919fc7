"""Faults that the sandbox makes on demand."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from random import Random
from typing import Any

from aiohttp import web

KINDS = (
    "429",
    "503",
    "html403",
    "html200",
    "json403",
    "302",
    "stub",
    "holey",
    "bad_byte",
    "date2099",
    "date1970",
    "modified2099",
    "truncated",
    "reset",
    "slow",
    "empty",
    "malformed",
    "wrong_types",
    "forgetful",
    "deep",
    "crowd",
    "multitude",
)
X_KINDS = (
    *("401", "404", "nothing", "code34", "unavailable", "usage_capped"),
    *("circle", "no_meta", "surrogate_token", "reset_ms"),
)
"""Further faults of its X: refuse all users, find no user, show no posts, send several forms of an error, send a page
token that was sent before, and send the end of a window in milliseconds."""


@dataclass(slots=True)
class Fault:
    """An order for faults: of `times` answers (None: all from now on) whose path contains `path`, with a probability.

    `peer` limits it to requests from one address; `seconds` is how slow slow is, and the Retry-After of 429 if not 0.
    """

    kind: str
    path: str = ""
    times: int | None = None
    probability: float = 1.0
    peer: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS + X_KINDS:
            raise ValueError(f"no fault {self.kind}; there are {', '.join(KINDS + X_KINDS)}")


class Faults:
    def __init__(self, seed: int = 1) -> None:
        self.orders: list[Fault] = []
        self.random = Random(seed)

    def pick(self, path: str, peer: str) -> Fault | None:
        """The fault of the next answer, if it gets one."""
        for fault in self.orders:
            if fault.path in path and fault.peer in ("", peer) and self.random.random() < fault.probability:
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.orders.remove(fault)
                return fault
        return None


async def refuse(fault: Fault, request: web.Request) -> web.StreamResponse | None:
    """An answer that replaces the file; None if the file is sent, damaged or late."""
    match fault.kind:
        case "429":
            headers = {"Retry-After": str(int(fault.seconds))} if fault.seconds else {}
            return web.Response(status=429, text="Too Many Requests", headers=headers)
        case "401":
            problem = {"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"}
            return web.json_response(problem, status=401)
        case "404":
            return web.json_response({"title": "Not Found", "type": "about:blank", "status": 404}, status=404)
        case "503":
            return web.Response(status=503, text="Service Unavailable")
        case "json403":
            problem = {
                "title": "Error 1010: Access denied",
                "status": 403,
                "detail": "The site owner has blocked access based on your client's signature.",
                "error_code": 1010,
                "cloudflare_error": True,
                "retryable": False,
            }
            return web.json_response(problem, status=403)
        case "302":
            return web.Response(status=302, headers={"Location": "https://www.example.org/captcha?from=here"})
        case "code34":
            problem34 = {"errors": [{"message": "Sorry, that page does not exist", "code": 34}]}
            return web.json_response(problem34, status=404)
        case "unavailable":
            return web.json_response({"errors": [{"title": "Service Unavailable", "status": 503}]})
        case "usage_capped":
            capped = {
                "account_id": "1",
                "product_name": "standard-basic",
                "title": "UsageCapExceeded",
                "period": "Monthly",
                "scope": "Product",
                "detail": "Usage cap exceeded: Monthly product cap",
                "type": "https://api.twitter.com/2/problems/usage-capped",
            }
            return web.json_response(capped, status=429)
        case "stub":
            stub = {"resto": 0, "name": "Anonymous", "replies": 0, "images": 0, "unique_ips": 1, "semantic_url": None}
            return web.json_response({"posts": [stub]})
        case "html403" | "html200":
            page = "<!DOCTYPE html><html><title>Just a moment...</title><body>Checking your browser</body></html>"
            return web.Response(status=int(fault.kind[4:]), text=page, content_type="text/html")
        case "reset":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        case "slow":
            await asyncio.sleep(fault.seconds or 2.0)
    return None


def spoil(fault: Fault, body: bytes) -> bytes:
    """The damaged content of a file."""
    match fault.kind:
        case "empty":
            return b"[]" if body[:1] == b"[" else b"{}"
        case "forgetful":
            return json.dumps(_without_last(json.loads(body))).encode()
        case "deep":
            before, no, after = body.rpartition(b'"no":')
            return before + b'"x": ' + b"[" * 960 + b"]" * 960 + b"," + no + after
        case "malformed":
            return body[: len(body) * 2 // 3]
        case "wrong_types":
            return json.dumps(_mistype(json.loads(body))).encode()
        case "crowd":
            return _crowded(body, 3_000)
        case "multitude":
            return _crowded(body, 300_000)
        case "holey":
            return json.dumps(_without_a_number(json.loads(body))).encode()
        case "bad_byte":
            return body.replace(b'"com": "', b'"com": "\xff\x01', 1)
        case "circle":
            return re.sub(rb'"next_token":"[^"]*"', b'"next_token":"7140dibdnow9c7btw0"', body)
        case "surrogate_token":
            return re.sub(rb'"next_token":"[^"]*"', b'"next_token":"\\ud800"', body)
        case "no_meta":
            payload = json.loads(body)
            return json.dumps({key: value for key, value in payload.items() if key != "meta"}).encode()
    return body


def _crowded(body: bytes, number: int) -> bytes:
    """A list of threads or of the archive, with many more threads that do not exist."""
    if body[:2] == b"[{":
        more = b",".join(b'{"no":%d,"last_modified":1,"replies":1}' % (900_000_000 + n) for n in range(number))
        return body[:-1] + b',{"page":11,"threads":[' + more + b"]}]"
    if body[:1] == b"[":
        return b"[" + b",".join(b"%d" % (900_000_000 + n) for n in range(40 * number)) + b"]"
    return body


def headers(fault: Fault, now: float) -> dict[str, str]:
    """Headers with implausible times."""
    match fault.kind:
        case "date2099":
            return {"Date": "Fri, 20 Nov 2099 00:00:00 GMT"}
        case "date1970":
            return {"Date": "Thu, 01 Jan 1970 00:00:10 GMT"}
        case "modified2099":
            return {"Last-Modified": "Fri, 20 Nov 2099 00:00:00 GMT"}
        case "reset_ms":
            return {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(int(now * 1000))}
    return {}


def _without_a_number(value: Any) -> Any:
    """An index whose first thread has no number, and an archive with something else in it."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and value[0].get("threads"):
        first = {key: item for key, item in value[0]["threads"][0].items() if key != "no"}
        return [value[0] | {"threads": [first, *value[0]["threads"][1:]]}, *value[1:]]
    return [None, *value[1:]] if isinstance(value, list) and value else value


def _without_last(value: Any) -> Any:
    """An index that has lost the last threads of its pages; a thread, its last post."""
    if isinstance(value, list):
        return [_without_last(page) for page in value]
    lists = {key: items[:-1] for key, items in value.items() if key in ("threads", "posts", "boards")}
    return value | lists


def _mistype(value: Any) -> Any:
    """Numbers become texts and texts become lists, all the way down."""
    if isinstance(value, dict):
        return {key: _mistype(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mistype(item) for item in value]
    return [value] if isinstance(value, str) else str(value)
