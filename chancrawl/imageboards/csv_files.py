"""Where rows of posts go in CSV files, and what has to be known of the posts that are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from chancrawl.items import Deletion, Post
from chancrawl.storage.base import moment
from chancrawl.storage.csv.rows import Line, text_of
from chancrawl.storage.sqlite.store import CsvStore

STORED = "SELECT no, thread_no, revision, first_seen_at, deleted_at FROM posts WHERE board = ? AND no IN ({})"
MOVED = "DELETE FROM posts WHERE board = ? AND no = ? AND thread_no <> ?"


def placed(store: CsvStore, lines: Sequence[Line]) -> list[Line]:
    """The lines of a batch: a post that was moved to another thread is a revision there, not a deletion."""
    asked: defaultdict[str, set[int]] = defaultdict(set)
    for line in lines:
        if isinstance(line.item, Deletion) or (isinstance(line.item, Post) and line.item.revision == 1):
            asked[line.item.board].add(line.item.no)
    stored = {(board, row[0]): row[1:] for board, nos in asked.items() for row in store.rows_in(STORED, nos, board)}
    found: list[Line] = []
    for line in lines:
        item = line.item
        if not isinstance(item, Post | Deletion):
            found.append(line)
            continue
        known = stored.get((item.board, item.no))
        if known is not None and known[0] != item.thread_no:
            if isinstance(item, Deletion):
                continue
            moved = replace(item, revision=known[1] + 1, first_seen_at=moment(known[2]) or item.first_seen_at)
            found.append(store.line_of(moved))
            if known[3] is not None:
                found.append(store.line_of(Deletion(item.board, item.thread_no, item.no, item.last_seen_at, None)))
            stored[item.board, item.no] = (item.thread_no, moved.revision, known[2], None)
            continue
        if isinstance(item, Post):
            stored[item.board, item.no] = (item.thread_no, item.revision, text_of(item.first_seen_at), None)
        elif known is not None:
            stored[item.board, item.no] = (*known[:3], item.deleted_at)
        found.append(line)
    return _without_former_places(found)


def _without_former_places(lines: Sequence[Line]) -> list[Line]:
    """The ledger has a post in the thread where it is now, and in no other."""
    place = {(line.item.board, line.item.no): line.item.thread_no for line in lines if isinstance(line.item, Post)}
    for line in lines:
        item = line.item
        if isinstance(item, Post):
            line.before = (MOVED, (item.board, item.no, item.thread_no))
        if isinstance(item, Post | Deletion) and place.get((item.board, item.no), item.thread_no) != item.thread_no:
            line.row = ()  # a later line of the batch has the post in another thread
    return list(lines)
