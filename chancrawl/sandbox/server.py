"""The sandbox over HTTP: the files of the API, and what people and tests may ask of it under /sandbox.

GET  /sandbox/truth     every post ever made and its fate, JSON lines
GET  /sandbox/requests  every request: [{"at", "peer", "path", "status", "conditional", "bytes"}, …]
POST /sandbox/act       {"do": "reply", "board": "po", "no": 5, "count": 2}; world.ACTIONS
POST /sandbox/faults    {"kind": "503", "path": "/thread/", "times": 3}; faults.KINDS. DELETE ends them all
POST /sandbox/step      recorded payloads: on to the next versions
POST /sandbox/clock     {"advance": 60}: the clock goes ahead by so many seconds

The X API is beside it: chancrawl/sandbox/x/server.py.
"""

from __future__ import annotations

import json
import time
import zlib
from email.utils import formatdate
from typing import Any

from aiohttp import web

from chancrawl.sandbox import faults
from chancrawl.sandbox.clock import Clock
from chancrawl.sandbox.recorded import Recorded
from chancrawl.sandbox.world import World
from chancrawl.sandbox.x.gate import Gate
from chancrawl.sandbox.x.server import XServer
from chancrawl.sandbox.x.world import XWorld


class Server:
    def __init__(self, world: World | Recorded, clock: Clock, x: XWorld, gate: Gate) -> None:
        self.world = world
        self.clock = clock
        self.faults = faults.Faults()
        self.x = XServer(x, gate, clock, self.faults)
        self.requests: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/sandbox/truth", self.truth)
        app.router.add_get("/sandbox/requests", self.get_requests)
        app.router.add_post("/sandbox/act", self.act)
        app.router.add_post("/sandbox/faults", self.add_fault)
        app.router.add_delete("/sandbox/faults", self.end_faults)
        app.router.add_post("/sandbox/step", self.step)
        app.router.add_get("/sandbox/clock", self.get_clock)
        app.router.add_post("/sandbox/clock", self.set_clock)
        self.x.add_routes(app)
        app.router.add_get("/{path:.*}", self.file)
        return app

    # --- the API

    async def file(self, request: web.Request) -> web.StreamResponse:
        entry: dict[str, Any] = {
            "at": time.monotonic(),
            "peer": request.remote,
            "path": request.path,
            "conditional": request.headers.get("If-Modified-Since"),
            "status": None,  # not answered yet
            "bytes": 0,
        }
        self.requests.append(entry)
        response = await self._answer(request)
        entry["status"] = response.status
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            entry["bytes"] = len(response.body)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not request.headers.get("User-Agent"):
            return web.Response(status=429, text="Too Many Requests")
        fault = self.faults.pick(request.path, request.remote or "")
        if fault is not None and (refusal := await faults.refuse(fault, request)) is not None:
            return refusal
        now = self.clock.now()
        found = self.world.read(request.path, now)
        headers = {"Date": formatdate(now, usegmt=True), "Server": "chancrawl-sandbox", "Cache-Control": "public"}
        if found is None:
            return web.Response(status=404, text="404 Not Found", headers=headers, content_type="text/html")
        body, changed_at = found
        headers["Last-Modified"] = formatdate(int(changed_at), usegmt=True)
        # The real server compares for equality, not for order.
        if request.headers.get("If-Modified-Since") == headers["Last-Modified"]:
            return web.Response(status=304, headers=headers)
        if fault is not None:
            body = faults.spoil(fault, body)
            headers |= faults.headers(fault, now)
        headers |= {"Content-Type": "application/json", "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            packer = zlib.compressobj(5, wbits=31)
            body = packer.compress(body) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        if fault is not None and fault.kind == "truncated":
            body = body[: len(body) // 2]
        return web.Response(body=body, headers=headers)

    # --- addresses that only a sandbox has

    async def truth(self, request: web.Request) -> web.Response:
        lines = (json.dumps(post) + "\n" for post in self.world.truth(self.clock.now()))
        return web.Response(text="".join(lines), content_type="application/jsonl")

    async def get_requests(self, request: web.Request) -> web.Response:
        return web.json_response(self.requests)

    async def act(self, request: web.Request) -> web.Response:
        if not isinstance(self.world, World):
            return web.json_response({"error": "recorded boards do not live"}, status=400)
        try:
            return web.json_response(self.world.act(self.clock.now(), **await request.json()))
        except (ValueError, TypeError, KeyError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            self.faults.orders.append(faults.Fault(**await request.json()))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({})

    async def end_faults(self, request: web.Request) -> web.Response:
        self.faults.orders.clear()
        return web.json_response({})

    async def step(self, request: web.Request) -> web.Response:
        if isinstance(self.world, Recorded):
            self.world.step()
        return web.json_response({})

    async def get_clock(self, request: web.Request) -> web.Response:
        return web.json_response({"now": self.clock.now()})

    async def set_clock(self, request: web.Request) -> web.Response:
        self.clock.start += float((await request.json())["advance"])
        return web.json_response({"now": self.clock.now()})
