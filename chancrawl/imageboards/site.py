"""Describes the API of one imageboard: its paths, its parsers and its peculiarities. Sans I/O.

To add another imageboard, define another `Site`. Paths begin with a slash. Parsers raise `Malformed` if the payload as
a whole is unreadable. They add a text for each entry that they leave out to the list that they get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chancrawl.imageboards.pages import IndexEntry, Page
from chancrawl.items import Board, Post

Problems = list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    name: str
    setting: str
    """The setting that holds the address of its API."""

    # --- paths
    boards_path: str
    index_path: Callable[[str, str], str]
    """Takes a board, and "threads", "catalog" or the number of a page."""
    thread_path: Callable[[str, int], str]
    archive_path: Callable[[str], str] | None = None
    """None for a site without archives."""
    tail_path: Callable[[str, int], str] | None = None
    """The last posts of a long thread; None for a site without such a file."""
    list_names: Sequence[str] = ()
    """The names of files that only list threads or boards."""
    most_bytes: int = 8 << 20
    """The largest size of these files. Larger ones are not read."""

    # --- peculiarities
    sticky_replies: int | None = None
    """Above this number of replies, a sticky drops its oldest ones; None if stickies keep them."""
    no_version_keys: frozenset[str] = frozenset()
    """Keys of a post whose changes make no new version of it."""

    # --- parsers
    parse_boards: Callable[[Any, Problems], list[Board]]
    parse_index: Callable[[Any, Problems], dict[int, IndexEntry]]
    parse_board_page: Callable[..., dict[int, IndexEntry]]
    """Reads a page of the board; `first` is the position of its first thread."""
    parse_archive: Callable[[Any, Problems], list[int]]
    parse_thread: Callable[[Any, str, int], Page]
    parse_tail: Callable[[Any, str, int], Page]
    glimpse: Callable[[IndexEntry, str], Page]
    """Reads the posts of a thread that an index file shows."""
    describe: Callable[[Post], Sequence[str]]
    """Fills the columns of a post from its `raw`. Returns the keys that could not be read."""

    def path(self, board: str, what: str, no: int = 0) -> str:
        """The path of a file of a board. `what` is "thread" or "tail" (with `no`), "archive", or an index file."""
        match what:
            case "thread":
                return self.thread_path(board, no)
            case "tail":
                assert self.tail_path is not None, f"{self.name} has no tails"
                return self.tail_path(board, no)
            case "archive":
                assert self.archive_path is not None, f"{self.name} has no archives"
                return self.archive_path(board)
        return self.index_path(board, what)
