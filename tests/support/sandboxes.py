"""The sandbox in a process of its own, as the tests and the benchmarks ask it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from tests.support import ROOT


class Sandbox:
    """A running sandbox; see chancrawl/sandbox/server.py for what may be asked of it."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "chancrawl.sandbox", "--port", "0", "--until-eof", *options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the sandbox did not start"

    def ask(self, path: str, method: str = "GET", /, **body: Any) -> bytes:
        data = json.dumps(body).encode() if method == "POST" else None
        request = Request(self.url + path, data=data, method=method)
        with build_opener(ProxyHandler({})).open(request) as answer:
            content: bytes = answer.read()
        return content

    def act(self, do: str, **more: Any) -> Any:
        return json.loads(self.ask("/sandbox/act", "POST", do=do, **more))

    def fault(self, kind: str, **more: Any) -> None:
        self.ask("/sandbox/faults", "POST", kind=kind, **more)

    def heal(self) -> None:
        self.ask("/sandbox/faults", "DELETE")

    def advance(self, seconds: float) -> None:
        self.ask("/sandbox/clock", "POST", advance=seconds)

    def truth(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ask("/sandbox/truth").splitlines()]

    def visible(self, board: str = "po", live_only: bool = False) -> set[int]:
        """Posts that a board shows now, those in its archive included."""
        return {
            post["no"] for post in self.truth()
            if post["board"] == board and post["gone_at"] is None and (not live_only or post["thread_fate"] == "live")
        }  # fmt: skip

    def shown(self, board: str = "po") -> set[int]:
        return {post["no"] for post in self.truth() if post["shown"] and post["board"] == board}

    def requests(self, start: int = 0) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = json.loads(self.ask("/sandbox/requests"))
        return requests[start:]

    def thread(self, no: int, board: str = "wsr") -> dict[str, Any]:
        """A thread as the API shows it, without leaving a mark in `requests`."""
        thread: dict[str, Any] = json.loads(self.ask(f"/{board}/thread/{no}.json"))
        return thread

    # --- its X

    def x_act(self, do: str, name: str, **more: Any) -> Any:
        answer = json.loads(self.ask("/sandbox/x/act", "POST", do=do, name=name, **more))
        assert "error" not in answer, answer
        return answer

    def x_credential(self, number: int, state: str) -> None:
        """Change the state of a credential, by its row; 0 for all of them."""
        self.ask("/sandbox/x/credential", "POST", number=number, state=state)

    def x_truth(self) -> dict[int, dict[str, Any]]:
        """Every post that can be reached, as the older table had it, by its id."""
        return {post["id"]: post for post in map(json.loads, self.ask("/sandbox/x/truth").splitlines())}

    def x_accounts(self) -> list[dict[str, Any]]:
        accounts: list[dict[str, Any]] = json.loads(self.ask("/sandbox/x/accounts"))
        return accounts

    def x_requests(self, start: int = 0) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = json.loads(self.ask("/sandbox/x/requests"))
        return requests[start:]

    def stop(self) -> None:
        self.process.communicate(timeout=10)  # the end of its standard input is its end
