"""A 4chan made of recorded payloads: a folder of BOARD.thread.NO[.WHAT].json and boards[.WHAT].json files.

Several recordings of one thread are its versions, in the order of their names; `step` goes on to the next ones. A
NAME.headers.json beside a recording tells its Last-Modified; else the last post does. The index and the archive are
those of the recorded threads.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any


class Recorded:
    def __init__(self, folder: Path) -> None:
        self.versions: dict[tuple[str, int], list[tuple[bytes, float]]] = defaultdict(list)
        self.boards = b'{"boards": []}'
        self.shown: set[tuple[str, int]] = set()
        self.steps = 0
        for file in sorted(folder.glob("*.json")):
            match file.name.split("."):
                case [*_, "headers", "json"]:
                    continue
                case ["boards", *_]:
                    self.boards = max(self.boards, file.read_bytes(), key=len)
                case [board, "thread", no, *_]:
                    self.versions[board, int(no)].append(_recording(file))

    def _version(self, board: str, no: int) -> tuple[bytes, float] | None:
        versions = self.versions.get((board, no))
        return versions[min(self.steps, len(versions) - 1)] if versions else None

    def step(self) -> None:
        """Change to the next version of each thread."""
        self.steps += 1

    def read(self, path: str, now: float) -> tuple[bytes, float] | None:
        """A file of the API by its path, with the time of its last change; None if it does not exist."""
        if path == "/boards.json":
            return self.boards, 0.0
        match path.strip("/").removesuffix(".json").split("/"):
            case [board, "thread", no] if no.isdigit():
                if (found := self._version(board, int(no))) is not None:
                    self.shown |= {(board, post["no"]) for post in json.loads(found[0])["posts"]}
                return found
            case [board, "threads"]:
                return self._index(board, lambda opening: not opening.get("archived"), self._threads)
            case [board, "archive"]:
                return self._index(board, lambda opening: bool(opening.get("archived")), self._archive)
        return None

    def _index(self, board: str, belongs: Any, render: Any) -> tuple[bytes, float] | None:
        entries = []
        for name, no in self.versions:
            if name == board and (version := self._version(board, no)) is not None:
                opening = json.loads(version[0])["posts"][0]
                if belongs(opening):
                    entries.append((version[1], opening))
        if not any(name == board for name, _ in self.versions):
            return None
        entries.sort(key=lambda entry: entry[0], reverse=True)
        return json.dumps(render(entries)).encode(), max((time for time, _ in entries), default=0.0)

    @staticmethod
    def _threads(entries: list[tuple[float, dict[str, Any]]]) -> list[dict[str, Any]]:
        threads = [
            {"no": opening["no"], "last_modified": int(time), "replies": opening["replies"]}
            for time, opening in entries
        ]
        return [{"page": 1, "threads": threads}]

    @staticmethod
    def _archive(entries: list[tuple[float, dict[str, Any]]]) -> list[int]:
        return sorted(opening["no"] for _, opening in entries)

    def truth(self, now: float) -> Iterator[dict[str, Any]]:
        for board, no in sorted(self.shown):
            yield {"board": board, "no": no, "shown": True}


def _recording(file: Path) -> tuple[bytes, float]:
    body = file.read_bytes()
    headers = file.with_name(file.name.removesuffix(".json") + ".headers.json")
    if headers.exists():
        last_modified = json.loads(headers.read_bytes())["headers"].get("last-modified")
        if last_modified:
            return body, parsedate_to_datetime(last_modified).timestamp()
    return body, float(max(post["time"] for post in json.loads(body)["posts"]))
