"""What can go wrong between a site and its readers, on demand."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from random import Random
from typing import Any

from aiohttp import web

KINDS = (
    "429",
    "503",
    "html403",
    "truncated",
    "reset",
    "slow",
    "empty",
    "malformed",
    "wrong_types",
    "forgetful",
    "deep",
)
X_KINDS = ("401", "404", "nothing")
"""What only its X does besides: refuse everybody, find nobody, show nothing."""


@dataclass(slots=True)
class Fault:
    """An order to misbehave: `times` answers (None: from now on) whose path contains `path`, with some probability.

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
    """An answer in place of the file; None if the file is to be sent, spoilt or late."""
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
        case "html403":
            page = "<!DOCTYPE html><html><title>Just a moment...</title><body>Checking your browser</body></html>"
            return web.Response(status=403, text=page, content_type="text/html")
        case "reset":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        case "slow":
            await asyncio.sleep(fault.seconds or 2.0)
    return None


def spoil(fault: Fault, body: bytes) -> bytes:
    """A file's content, spoilt."""
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
    return body


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
