"""What one imageboard's API is, apart from how boards are followed. Sans I/O.

Another site of the kind is another `Site`: where its files are, what their payloads say, and its peculiarities. Paths
begin with a slash. Parsers raise `Malformed` for a payload that is none as a whole, and name what they leave out in the
list that they are given.
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

    # --- where its files are
    boards_path: str
    index_path: Callable[[str, str], str]
    """Of a board and threads, catalog, or the number of a page."""
    thread_path: Callable[[str, int], str]
    archive_path: Callable[[str], str] | None = None
    """None for a site without archives."""
    tail_path: Callable[[str, int], str] | None = None
    """The last posts of a long thread; None for a site without such a file."""
    list_names: Sequence[str] = ()
    """Files that only list threads or boards,"""
    most_bytes: int = 8 << 20
    """and their size above which they are not read."""

    # --- its peculiarities
    sticky_replies: int | None = None
    """Above so many replies a sticky sheds its oldest ones; None where stickies keep them."""
    no_version_keys: frozenset[str] = frozenset()
    """Keys of a post that make no new version of it."""

    # --- what its payloads say
    parse_boards: Callable[[Any, Problems], list[Board]]
    parse_index: Callable[[Any, Problems], dict[int, IndexEntry]]
    parse_board_page: Callable[..., dict[int, IndexEntry]]
    """Of a page of the board; `first` is the position of its first thread."""
    parse_archive: Callable[[Any, Problems], list[int]]
    parse_thread: Callable[[Any, str, int], Page]
    parse_tail: Callable[[Any, str, int], Page]
    glimpse: Callable[[IndexEntry, str], Page]
    """What an index file shows of a thread's posts."""
    describe: Callable[[Post], Sequence[str]]
    """Fills the columns of a post that follow from `raw`; what was odd in it."""

    def path(self, board: str, what: str, no: int = 0) -> str:
        """The path of a file of a board: thread or tail with their number, archive, or an index file."""
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
