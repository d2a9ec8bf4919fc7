"""`python -m chancrawl.sandbox`: serves the sandbox until stopped. The first line of its output is its address."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from importlib import resources
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `python -m chancrawl.sandbox` and `scrapy sandbox` share."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8044, help="port to listen on (default 8044; 0: any free one)")
    parser.add_argument("--seed", type=int, default=1, help="another number makes other boards (default 1)")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of its clock for one of ours (default 1)")
    parser.add_argument("--start", type=float, help="when its boards begin to live, seconds since 1970 (default now)")
    parser.add_argument("--clock", type=float, help="what its clock shows at first (default --start)")
    parser.add_argument(
        "--site",
        default="small",
        choices=("small", "fast", "four", "whole"),
        help="which boards: seven small ones, one fast and full, four full ones, or seventy (default small)",
    )
    parser.add_argument("--backlog", type=int, metavar="POSTS", help="instead: boards that hold so many posts")
    parser.add_argument(
        "--index-seconds", type=float, default=0.0, help="rebuild index files only so often (default 0)"
    )
    parser.add_argument(
        "--recorded", metavar="FOLDER", type=Path, help="serve the recorded payloads of a folder instead"
    )
    parser.add_argument("--accounts", type=int, default=24, help="accounts of its X (default 24)")
    parser.add_argument("--posts", type=int, default=3000, help="what they have posted before, in all (default 3000)")
    parser.add_argument("--credentials", metavar="FILE", type=Path, help="who may read its X (default: a bundled file)")
    parser.add_argument("--window", type=float, default=900.0, help="seconds of its X's rate limits (default 900)")
    parser.add_argument(
        "--limit", action="append", default=[], metavar="ENDPOINT=CALLS", help="timeline=30, for example"
    )
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that its X takes to answer (default 0)")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input ends")


def bundled_credentials() -> str:
    return resources.files("chancrawl.sandbox").joinpath("credentials.csv").read_text(encoding="utf-8")


async def serve(options: argparse.Namespace) -> int:
    """Serve until SIGINT, SIGTERM or the end of standard input. Returns the exit code."""
    # Imported here, because each `scrapy` command imports this module for its options, and only one needs a server.
    from aiohttp import web

    from chancrawl.sandbox.clock import Clock
    from chancrawl.sandbox.recorded import Recorded
    from chancrawl.sandbox.server import Server
    from chancrawl.sandbox.sites import SITES, backlog
    from chancrawl.sandbox.world import World
    from chancrawl.sandbox.x.gate import Gate, read_members
    from chancrawl.sandbox.x.world import XWorld

    start = time.time() if options.start is None else options.start
    world: World | Recorded
    if options.recorded is not None:
        if not options.recorded.is_dir():
            print(f"There is no folder {options.recorded}.", file=sys.stderr)
            return 1
        world = Recorded(options.recorded)
    else:
        boards = backlog(options.backlog) if options.backlog else SITES[options.site]
        world = World(options.seed, start, boards, options.index_seconds)
        if options.site != "small":
            world.begin()
    limits = {name: int(calls) for name, _, calls in (entry.partition("=") for entry in options.limit)}
    credentials = options.credentials.read_text(encoding="utf-8") if options.credentials else bundled_credentials()
    gate = Gate(read_members(credentials.splitlines()), options.window, limits)
    x = XWorld(options.seed, start, options.accounts, options.posts)
    server = Server(world, Clock(options.clock or start, options.speed), x, gate)
    server.x.latency = options.latency
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port)
        await site.start()
    except (OSError, OverflowError) as error:
        print(f"Cannot listen on {options.host}:{options.port} ({error}); give another --port.", file=sys.stderr)
        return 1
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)

    def read_input() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            stopped.set()

    if options.until_eof:
        loop.add_reader(sys.stdin.fileno(), read_input)
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await stopped.wait()
    await runner.cleanup()
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m chancrawl.sandbox", description="A local 4chan to try things on.")
    add_options(parser)
    sys.exit(asyncio.run(serve(parser.parse_args())))


if __name__ == "__main__":
    main()
