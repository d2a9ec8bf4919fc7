"""A dashboard over a real socket, in a thread of the test."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from chancrawl.dashboard.server import Dashboard
from tests.support.engines import settings_of


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Served:
    """A dashboard that is served."""

    dashboard: Dashboard
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """`headers` have _ for -. A Host of the dashboard's own is sent unless another one is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", given.pop("Host", f"127.0.0.1:{self.port}"))
            for name, value in given.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """The answer to a request of any bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


@contextmanager
def served(folder: Path, database_url: str | None = None, **settings: Any) -> Iterator[Served]:
    """A dashboard that has read its store once."""
    loop = asyncio.new_event_loop()
    started: dict[str, Any] = {}
    is_ready = threading.Event()

    async def serve() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        stopped = asyncio.Event()
        dashboard = Dashboard(settings_of(folder, database_url, **settings), "127.0.0.1", port)
        runner = web.AppRunner(dashboard.app(), access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        started.update(dashboard=dashboard, port=port, stopped=stopped)
        is_ready.set()
        await stopped.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert is_ready.wait(20)
    watching = started["dashboard"].watching
    end = time.monotonic() + 20
    while watching.snapshot is None and not watching.failure and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield Served(started["dashboard"], started["port"])
    finally:
        loop.call_soon_threadsafe(started["stopped"].set)
        thread.join(20)
        loop.close()
