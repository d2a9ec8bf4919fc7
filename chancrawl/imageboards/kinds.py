"""The kinds of rows that an imageboard yields. Sans I/O."""

from __future__ import annotations

from typing import Any

from chancrawl.imageboards.csv_files import BOARDS, DELETIONS, MOVED, POLLS, POSTS, THREADS
from chancrawl.imageboards.forgetting import (
    ABOUT,
    subjects_of_deletion,
    subjects_of_post,
    subjects_of_thread,
    thread_without,
)
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.items import Board, Deletion, Poll, Post, Thread, Validator, columns
from chancrawl.storage.kinds import Key, Kind

INDEX = "index"
"""The validators of a board's index files wait under (INDEX, board)."""


def _board(item: Any) -> str:
    """One crawl at a time writes the rows of a board."""
    return f"board {item.board}"


def _index(validator: Validator) -> str:
    return validator.path.strip("/").partition("/")[0]


def _thread_and_index(item: Post | Deletion) -> list[Key]:
    return [("thread", item.board, item.thread_no), (INDEX, item.board)]


KINDS = (
    Kind(
        Board,
        "boards",
        ("board",),
        later="coalesce(new.seen_at >= held.seen_at, true)",
        compared=[name for name in columns(Board) if name not in ("board", "seen_at")],
        csv=BOARDS,
        keeps_waiting=lambda board: [(INDEX, "boards.json")],
    ),
    Kind(
        Post,
        "posts",
        ("board", "no"),
        lock=_board,
        csv=(POSTS, MOVED),
        keeps_waiting=_thread_and_index,
        about=ABOUT,
        subjects=subjects_of_post,
        describe=FOURCHAN.describe,
    ),
    Kind(
        Deletion,
        "deletions",
        ("board", "no"),
        lock=_board,
        csv=DELETIONS,
        keeps_waiting=_thread_and_index,
        about=ABOUT,
        subjects=subjects_of_deletion,
    ),
    Kind(
        Thread,
        "threads",
        ("board", "no"),
        later="greatest(new.last_seen_at, new.gone_at) >= greatest(held.last_seen_at, held.gone_at)",
        merged={"first_seen_at": "least(new.first_seen_at, held.first_seen_at)"},
        lock=_board,
        csv=THREADS,
        is_state=True,
        waits_as=lambda thread: [("thread", thread.board, thread.no)],
        keeps_waiting=lambda thread: [(INDEX, thread.board)],
        about=ABOUT,
        subjects=subjects_of_thread,
        without=thread_without,
    ),
    Kind(
        Validator,
        "validators",
        ("path",),
        is_state=True,
        lock=lambda validator: f"board {_index(validator)}",
        waits_as=lambda validator: [(INDEX, _index(validator))],
    ),
    Kind(Poll, "board_polls", ("board", "polled_at"), lock=_board, csv=POLLS),
)
