"""All boards of the sandbox. Pure: time is an argument, in seconds since 1970."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chancrawl.sandbox import files, words
from chancrawl.sandbox.board import Board, Pace


def about(board: str, title: str, **more: Any) -> dict[str, Any]:
    """An entry of boards.json."""
    return {
        "board": board,
        "title": title,
        "ws_board": 1,
        "per_page": 15,
        "pages": 10,
        "max_filesize": 4194304,
        "max_webm_filesize": 3145728,
        "max_comment_chars": 2000,
        "max_webm_duration": 120,
        "bump_limit": 310,
        "image_limit": 150,
        "cooldowns": {"threads": 600, "replies": 60, "images": 60},
        "meta_description": f"&quot;/{board}/ - {title}&quot; is a board of the sandbox.",
        **more,
    }


BOARDS = (
    (about("po", "Papercraft &amp; Origami", is_archived=1, spoilers=1), Pace()),
    (about("g", "Gardening", is_archived=1, code_tags=1), Pace(posts_a_day=22_000, new_thread=0.01)),
    (
        about("pol", "Post Office Lobby", is_archived=1, per_page=20, bump_limit=300, user_ids=1, country_flags=1,
              board_flags=dict(words.FLAGS)),
        Pace(posts_a_day=150_000, new_thread=0.008),
    ),
    (about("b", "Bakery", per_page=15, bump_limit=300, forced_anon=1), Pace(posts_a_day=90_000, new_thread=0.012)),
    (about("int", "Interrail", is_archived=1, country_flags=1), Pace(posts_a_day=18_000, new_thread=0.01)),
    (about("qst", "Quilting", sjis_tags=1), Pace(posts_a_day=900)),
    (about("wsr", "Window Sill Recipes", is_archived=1, pages=2), Pace(posts_a_day=90)),
)  # fmt: skip


class World:
    """All boards of the sandbox, made when they are first asked for.

    `index_seconds`: index files are rebuilt only so often, as they may be on the real site.
    """

    def __init__(self, seed: int = 1, start: float = 0.0, boards: Any = BOARDS, index_seconds: float = 0.0) -> None:
        self.seed = seed
        self.start = start
        self.index_seconds = index_seconds
        self.descriptions = {entry["board"]: (entry, pace) for entry, pace in boards}
        self.boards: dict[str, Board] = {}
        self._built: dict[str, tuple[float, tuple[bytes, float] | None]] = {}

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
        """A file of the API by its path (`/po/threads.json`), with its time of change; None if there is none."""
        name, _, file = path.strip("/").partition("/")
        if name == "boards.json":
            return json.dumps({"boards": [entry for entry, _ in self.descriptions.values()]}).encode(), self.start
        board = self.board(name, now)
        if board is None or not file.endswith(".json"):
            return None
        if not self.index_seconds or file.startswith("thread/"):
            return files.read(board, file)
        built_at, answer = self._built.get(path, (0.0, None))
        if now >= built_at + self.index_seconds:
            answer = files.read(board, file)
            self._built[path] = now, answer
        return answer

    def truth(self) -> Iterator[dict[str, Any]]:
        for board in self.boards.values():
            yield from board.truth()

    # --- moderation by hand, for tests and for the curious

    def act(self, now: float, do: str, board: str, no: int = 0, count: int = 1) -> dict[str, Any]:
        """Make something happen now. `no` is a post or, for reply and delete_thread, a thread; see ACTIONS."""
        found = self.board(board, now)
        if found is None or do not in ACTIONS:
            raise ValueError(f"there is no board {board}, or no action {do} (there are {', '.join(ACTIONS)})")
        if do == "new_thread":
            return {"no": found.new_thread().no}
        if do in ("reply", "delete_thread", "fall_off"):
            thread = found.threads[no]
            if do == "reply":
                return {"nos": [found.reply(thread).no for _ in range(count)]}
            (found.delete_thread if do == "delete_thread" else found.fall_off)(thread)
        else:
            getattr(found, do)(found.posts[no])
        return {"no": no}


ACTIONS = ("new_thread", "reply", "delete", "restore", "delete_file", "ban", "delete_thread", "fall_off")
