"""A real forwarding HTTP proxy, small enough to have on every loopback address one wants."""

from __future__ import annotations

import argparse
import asyncio
import base64
import socket
import subprocess
import sys

from aiohttp import ClientSession, TCPConnector, web


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Proxy:
    """Listens on an address and forwards from it. `banned`: the site refuses it; `password`: it lets in nobody else."""

    def __init__(self, host: str, banned: bool = False, password: str = "") -> None:
        self.host = host
        self.port = free_port(host)
        command = [
            sys.executable,
            "-m",
            "tests.support.proxies",
            host,
            str(self.port),
            *(["--banned"] if banned else []),
        ]
        command += ["--password", password]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def url(self, user: str = "") -> str:
        return f"http://{user + '@' if user else ''}{self.host}:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=10)


async def serve(host: str, port: int, banned: bool, password: str) -> None:
    async with ClientSession(connector=TCPConnector(local_addr=(host, 0)), auto_decompress=False) as session:

        async def forward(request: web.BaseRequest) -> web.Response:
            given = request.headers.get("Proxy-Authorization", "").removeprefix("Basic ")
            if password and base64.b64decode(given).partition(b":")[2] != password.encode():
                return web.Response(status=407, headers={"Proxy-Authenticate": 'Basic realm="proxy"'})
            if banned:
                page = "<!DOCTYPE html><title>Attention Required!</title>"
                return web.Response(status=403, text=page, content_type="text/html")
            headers = {
                k: v for k, v in request.headers.items() if k.lower() not in ("proxy-authorization", "connection")
            }
            async with session.get(
                request.raw_path if "://" in request.raw_path else request.url, headers=headers
            ) as answer:
                body = await answer.read()
                passed = {
                    k: v for k, v in answer.headers.items() if k.lower() not in ("transfer-encoding", "connection")
                }
                return web.Response(status=answer.status, body=body, headers=passed)

        runner = web.ServerRunner(web.Server(forward))
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--banned", action="store_true")
    parser.add_argument("--password", default="")
    options = parser.parse_args()
    asyncio.run(serve(options.host, options.port, options.banned, options.password))
