"""All boards of the sandbox. Sans I/O: time is an argument, in seconds since 1970."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chancrawl.sandbox import files
from chancrawl.sandbox.board import Board
from chancrawl.sandbox.sites import SITES, Site


class World:
    """All boards of the sandbox, made when they are first asked for.

    `index_seconds`: a board's index files are rebuilt only so often, all at once, as they may be on the real site.
    """

    def __init__(
        self, seed: int = 1, start: float = 0.0, boards: Site = SITES["small"], index_seconds: float = 0.0
    ) -> None:
        self.seed = seed
        self.start = start
        self.index_seconds = index_seconds
        self.descriptions = {entry["board"]: (entry, pace) for entry, pace in boards}
        self.boards: dict[str, Board] = {}
        self.boards_changed_at = start
        self._built: dict[str, tuple[float, dict[str, tuple[bytes, float] | None]]] = {}

    def begin(self) -> None:
        """Create all boards now, instead of each at its first request."""
        for name in self.descriptions:
            self.board(name, self.start)

    def board(self, name: str, now: float) -> Board | None:
        if name not in self.descriptions:
            return None
        if name not in self.boards:
            entry, pace = self.descriptions[name]
            self.boards[name] = Board(entry, pace, self.seed, self.start, list(self.descriptions))
        board = self.boards[name]
        board.advance(now)
        return board

    def read(self, path: str, now: float) -> tuple[bytes, float] | None:
        """A file of the API by its path (`/po/threads.json`), with its last change; None if there is none."""
        name, _, file = path.strip("/").partition("/")
        if name == "boards.json":
            boards = [entry for entry, _ in self.descriptions.values()]
            return json.dumps({"boards": boards}).encode(), self.boards_changed_at
        board = self.board(name, now)
        if board is None or not file.endswith(".json"):
            return None
        if not self.index_seconds or file.startswith("thread/"):
            return files.read(board, file)
        tick = (now - self.start) // self.index_seconds
        built_in, built = self._built.get(name, (-1.0, {}))
        if tick > built_in:
            pages = [f"{number}.json" for number in range(1, len(files.index_entries(board)) + 1)]
            built = {file: files.read(board, file) for file in ("threads.json", "catalog.json", "archive.json", *pages)}
            self._built[name] = tick, built
        return built.get(file)

    def truth(self, now: float) -> Iterator[dict[str, Any]]:
        for board in self.boards.values():
            board.advance(now)
            yield from board.truth()

    # --- moderation on demand, for tests

    def act(self, now: float, do: str, board: str, no: int = 0, count: int = 1, to: int = 0) -> dict[str, Any]:
        """Make something happen now. `no` is a post or, for reply and delete_thread, a thread; see ACTIONS."""
        found = self.board(board, now)
        if found is None or do not in ACTIONS:
            raise ValueError(f"there is no board {board}, or no action {do} (there are {', '.join(ACTIONS)})")
        if do == "drop_board":
            del self.descriptions[board]
            self.boards_changed_at = now
            return {}
        if do == "move":
            if to > no:
                raise ValueError(f"post {no} cannot be moved to thread {to}, which is younger")
            found.move(found.posts[no], found.threads[to])
            return {"no": no}
        if do == "new_thread":
            return {"no": found.new_thread().no}
        if do in ("reply", "delete_thread", "fall_off", "expire"):
            thread = found.threads[no]
            if do == "reply":
                return {"nos": [found.reply(thread).no for _ in range(count)]}
            {"delete_thread": found.delete_thread, "fall_off": found.fall_off, "expire": found.expire}[do](thread)
        else:
            getattr(found, do)(found.posts[no])
        return {"no": no}


ACTIONS = (
    *("new_thread", "reply", "delete", "restore", "delete_file", "ban", "move"),
    *("delete_thread", "fall_off", "expire", "drop_board"),
)
