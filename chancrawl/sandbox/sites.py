"""The sites that a sandbox can simulate: boards and their behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chancrawl.sandbox import words
from chancrawl.sandbox.board import Pace

Site = Sequence[tuple[dict[str, Any], Pace]]


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


def full(*names: str) -> Site:
    """Some of BOARDS as after months: with long threads and high numbers."""
    boards = {entry["board"]: (entry, pace) for entry, pace in BOARDS}
    return [(boards[name][0], replace(boards[name][1], replies_at_start=68)) for name in names]


def whole(boards: int = 70, posts_a_day: float = 725_000) -> Site:
    """As many boards as the real site has, with a similar distribution of paces. Every fourteenth has no archive."""
    shares = [(place + 1.5) ** -0.95 for place in range(boards)]
    return [
        (
            about(f"b{place}", f"Board {place}", bump_limit=300, **({} if place % 14 == 1 else {"is_archived": 1})),
            Pace(posts_a_day=posts_a_day * share / sum(shares), new_thread=0.012, replies_at_start=40),
        )
        for place, share in enumerate(shares)
    ]


def backlog(posts: int) -> Site:
    """Boards with `posts` posts or a few more, of which none was deleted."""
    pace = Pace(20_000, deleted=0, file_deleted=0, banned=0, thread_deleted=0, wiped=0, replies_at_start=140)
    a_page = 2_000
    boards = -(-posts // (10 * a_page))
    pages = -(-posts // (boards * a_page))
    return [(about(f"b{place}", f"Board {place}", is_archived=1, pages=pages), pace) for place in range(boards)]


SITES: dict[str, Site] = {"small": BOARDS, "fast": full("pol"), "four": full("pol", "b", "g", "wsr"), "whole": whole()}
