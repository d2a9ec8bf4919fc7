"""CSV rows of posts that moved to another thread."""

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
    """The lines to write for a batch. A post that was moved to another thread becomes a revision, not a deletion."""
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
        row = stored.get((item.board, item.no))
        if row is not None and row[0] != item.thread_no:
            if isinstance(item, Deletion):
                continue
            moved = replace(item, revision=row[1] + 1, first_seen_at=moment(row[2]) or item.first_seen_at)
            found.append(store.line_of(moved))
            if row[3] is not None:
                found.append(store.line_of(Deletion(item.board, item.thread_no, item.no, item.last_seen_at, None)))
            stored[item.board, item.no] = (item.thread_no, moved.revision, row[2], None)
            continue
        if isinstance(item, Post):
            stored[item.board, item.no] = (item.thread_no, item.revision, text_of(item.first_seen_at), None)
        elif row is not None:
            stored[item.board, item.no] = (*row[:3], item.deleted_at)
        found.append(line)
    return _without_former_places(found)


def _without_former_places(lines: Sequence[Line]) -> list[Line]:
    """The lines, changed so that the ledger has each post only in the thread where it is now."""
    place = {(line.item.board, line.item.no): line.item.thread_no for line in lines if isinstance(line.item, Post)}
    for line in lines:
        item = line.item
        if isinstance(item, Post):
            line.before = (MOVED, (item.board, item.no, item.thread_no))
        if isinstance(item, Post | Deletion) and place.get((item.board, item.no), item.thread_no) != item.thread_no:
            line.row = ()  # a later line of the batch has the post in another thread
    return list(lines)
