"""`scrapy dashboard`: web pages that show what is stored and how well, also while crawls run."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket

from aiohttp import web
from scrapy.exceptions import UsageError
from scrapy.utils.log import configure_logging

from chancrawl.command import StoreCommand
from chancrawl.dashboard.server import Dashboard
from chancrawl.errors import UserError

PORT = 8030
STOP_SECONDS = 3.0
"""How long answers under way have when the server stops."""


class Command(StoreCommand):
    failure = "The dashboard cannot be started"

    def syntax(self) -> str:
        return f"[--port {PORT}] [--address 127.0.0.1]"

    def short_desc(self) -> str:
        return "Serve web pages that show what is stored"

    def long_desc(self) -> str:
        return (
            "Serves pages that only read, also while crawls write: boards with their coverage, threads, accounts, "
            "search, crawls, and /metrics for Prometheus. Only this machine can reach it, unless you name another "
            "address and set DASHBOARD_PASSWORD."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0 takes a free one")
        parser.add_argument("--address", default="127.0.0.1", help="default 127.0.0.1: this machine alone")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args:
            raise UsageError("dashboard takes no arguments")
        configure_logging(self.settings)
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # malformed requests of strangers
        listener = _listening(opts.address, opts.port)
        port = listener.getsockname()[1]
        asyncio.run(_serve(Dashboard(self.settings, opts.address, port), listener, opts.address, port))


def _listening(address: str, port: int) -> socket.socket:
    """A socket at an address. UserError if it cannot be had."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: a number from 0 to 65535 is wanted.")
    try:
        family, _, _, _, place = socket.getaddrinfo(address.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise UserError(f"--address {address}: there is no such address.") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
    except OSError as error:
        listener.close()
        raise UserError(f"{address}:{port} cannot be used ({error.strerror}); name another --port.") from None
    return listener


async def _serve(dashboard: Dashboard, listener: socket.socket, address: str, port: int) -> None:
    runner = web.AppRunner(
        dashboard.app(), access_log=None, shutdown_timeout=STOP_SECONDS, handler_cancellation=True
    )  # a reader who leaves ends the query
    await runner.setup()
    await web.SockSite(runner, listener).start()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    host = f"[{address.strip('[]')}]" if ":" in address else address
    print(f"The dashboard is at http://{host}:{port}/ (Ctrl-C stops it).", flush=True)
    await stopped.wait()
    await runner.cleanup()
