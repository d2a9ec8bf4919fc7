"""The sandbox's boards in the process of a test: served over a real socket in its event loop, or read without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

from aiohttp import web
from scrapy.http import Response

from chancrawl.sandbox.clock import Clock
from chancrawl.sandbox.faults import Fault
from chancrawl.sandbox.server import Server
from chancrawl.sandbox.world import World
from chancrawl.sandbox.x.gate import Gate
from chancrawl.sandbox.x.world import XWorld

START = 1_795_000_000.0
OVER_SOCKETS: dict[str, Any] = {
    "DOWNLOAD_HANDLERS": {},
    "DOWNLOADER_MIDDLEWARES": {
        "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": 350,
        "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": 500,
        "chancrawl.middlewares.Unpacking": 660,
    },
    "DOWNLOAD_DELAY": 0,
    "DOWNLOAD_TIMEOUT": 10_000,  # of the quick clock
    "CLOCK_TOLERANCE": 10**8,
}
"""Settings of a crawl that asks a site."""


def new_server() -> Server:
    """Boards whose clock stands still, and an X with one account."""
    return Server(World(1, START), Clock(START, 0), XWorld(1, START, 1, 1), Gate([]))


@asynccontextmanager
async def site() -> AsyncIterator[tuple[str, Server]]:
    """A server and its address."""
    server = new_server()
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", server
    finally:
        await runner.cleanup()


def fail(server: Server, kind: str, path: str, times: int | None = None) -> None:
    server.faults.orders.append(Fault(kind, path, times))


def answer_of(world: World, path: str, at: float = START, status: int = 200) -> Response:
    """What a site would answer."""
    found = world.read(path, at) if status == 200 else None
    headers: dict[str, Any] = {"Date": formatdate(at, usegmt=True)}
    if found is None:
        return Response(f"https://a.4cdn.org{path}", status=404 if status == 200 else status, headers=headers)
    headers["Last-Modified"] = formatdate(int(found[1]), usegmt=True)
    return Response(f"https://a.4cdn.org{path}", headers=headers, body=found[0])
