"""The index of words in the embedded database: FTS5 tables without content (https://sqlite.org/fts5.html).

Triggers keep it in the transaction of each write. The number of a row in it begins with the row's time, so FTS5 returns
the newest rows first without sorting. The board of a post, or its account, is indexed as if it were a word, after a
sign for private use, which FTS5 takes for a letter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from chancrawl.find.index import Progress, Words
from chancrawl.find.texts import TEXTS, TWEETS, Texts
from chancrawl.storage.sqlite.hours import SECONDS
from chancrawl.storage.sqlite.store import SqliteStore
from chancrawl.storage.sqlite.values import time_text

OPTIONS = "content='', detail=none, columnsize=0, tokenize='unicode61 remove_diacritics 0'"
MARK = "\ue000"

AT_ONCE = 2_000
"""Rows that are indexed in one transaction. A crawl writes between them."""
PAUSE = 0.01
"""Seconds between two transactions."""
LARGEST_LOG = 200_000_000

LOW = (1 << 20) - 1
"""The part of a post's number that its number in the index has. In one second, numbers do not differ by so much."""

LATEST = (1 << 63) - 1


def _number(texts: Texts, row: str) -> str:
    """SQL for the number of a row in the index: a post's is made of its second, its number and its board."""
    if texts is TWEETS:
        return f"{row}id"
    board = f"(SELECT number FROM find_boards WHERE board = {row}board)"
    second = SECONDS.format(f"{row}posted_at")
    return f"(({second} << 30) | (({row}no & {LOW}) << 10) | {board})"


def _indexed(texts: Texts, row: str) -> str:
    """SQL for what is indexed of a row."""
    return f"{texts.content} || ' {MARK}' || coalesce({texts.owner}, '')".replace("{}", row)


def _triggers(texts: Texts) -> dict[str, str]:
    """The triggers that keep the index, by name."""
    table, index, names = texts.table, texts.index, ", ".join(texts.parts)
    old, new = (", ".join(f"{row}.{name}" for name in texts.parts) for row in ("old", "new"))
    board = "" if texts is TWEETS else "INSERT OR IGNORE INTO find_boards (board) VALUES (new.board); "
    done = f"WHERE {{}}.rowid > (SELECT below FROM find_state WHERE name = '{table}');"
    add = (f"{board}INSERT INTO {index} (rowid, text) SELECT {_number(texts, 'new.')}, {_indexed(texts, 'new.')} "
           f"{done.format('new')}")  # fmt: skip
    remove = (f"INSERT INTO {index} ({index}, rowid, text) SELECT 'delete', {_number(texts, 'old.')}, "
              f"{_indexed(texts, 'old.')} {done.format('old')}")  # fmt: skip
    return {
        f"{index}_added": f"INSERT ON {table} BEGIN {add} END",
        f"{index}_removed": f"DELETE ON {table} BEGIN {remove} END",
        f"{index}_changed": f"UPDATE OF {names} ON {table} WHEN ({old}) IS NOT ({new}) BEGIN {remove} {add} END",
    }


class SqliteIndex:
    """The index of both tables. `find_state.below`: rows up to this one are not indexed yet."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store

    def is_complete(self) -> bool:
        return self._exists("find_state") and not any(
            below for (below,) in self.store.rows("SELECT below FROM find_state")
        )

    def _exists(self, table: str) -> bool:
        return bool(self.store.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", table))

    def size(self) -> int:
        sql = "SELECT coalesce(sum(length(block)), 0) FROM {}_data"
        return sum(self.store.rows(sql.format(texts.index))[0][0] for texts in TEXTS)

    def build(self, progress: Progress) -> None:
        if not self._exists("find_state"):
            self.store.write((statement, ()) for statement in self._creation())
        for texts in TEXTS:
            done = 0
            state = "SELECT below FROM find_state WHERE name = ?"
            while below := self.store.rows(state, texts.table)[0][0]:
                earlier = self.store.rows(
                    f"SELECT rowid FROM {texts.table} WHERE rowid <= ? ORDER BY rowid DESC LIMIT 1 OFFSET ?",
                    below, AT_ONCE,
                )  # fmt: skip
                self._index(texts, earlier[0][0] if earlier else 0, below)
                done += AT_ONCE
                progress(texts.table, done)
                if self.store.log.stat().st_size > LARGEST_LOG:
                    self.store.empty_log()
                time.sleep(PAUSE)

    def _creation(self) -> Iterator[str]:
        yield "CREATE TABLE find_state (name TEXT PRIMARY KEY, below INTEGER NOT NULL)"
        yield "CREATE TABLE find_boards (number INTEGER PRIMARY KEY, board TEXT NOT NULL UNIQUE)"
        yield "INSERT INTO find_boards (board) SELECT DISTINCT board FROM board_hours"
        for texts in TEXTS:
            yield f"CREATE VIRTUAL TABLE {texts.index} USING fts5(text, {OPTIONS})"
            yield f"INSERT INTO find_state SELECT '{texts.table}', coalesce(max(rowid), 0) FROM {texts.table}"
            for name, text in _triggers(texts).items():
                yield f"CREATE TRIGGER {name} AFTER {text}"

    def _index(self, texts: Texts, start: int, below: int) -> None:
        row = f"{texts.table}."
        self.store.write([
            (f"INSERT INTO {texts.index} (rowid, text) SELECT {_number(texts, row)}, {_indexed(texts, row)} "
             f"FROM {texts.table} WHERE rowid > ? AND rowid <= ? ORDER BY 1", (start, below)),
            ("UPDATE find_state SET below = ? WHERE name = ?", (start, texts.table)),
        ])  # fmt: skip

    def drop(self) -> None:
        triggers = [name for texts in TEXTS for name in _triggers(texts)]
        tables = [*(texts.index for texts in TEXTS), "find_state", "find_boards"]
        self.store.write([
            *((f"DROP TRIGGER IF EXISTS {name}", ()) for name in triggers),
            *((f"DROP TABLE IF EXISTS {name}", ()) for name in tables),
        ])  # fmt: skip

    def tokens(self, text: str) -> list[str]:
        execute = self.store.connection.execute
        execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.term USING fts5(text, {OPTIONS})")
        execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.term_words USING fts5vocab('temp', 'term', 'row')")
        execute("INSERT INTO temp.term (term) VALUES ('delete-all')")
        execute("INSERT INTO temp.term (rowid, text) VALUES (1, ?)", (text,))
        return [word for (word,) in execute("SELECT term FROM temp.term_words")]

    def rows(
        self, texts: Texts, words: Words, places: Sequence[str] | None, since: datetime | None, until: datetime | None
    ) -> Iterator[Any]:
        needed = [f"{_quoted(word)}{' *' * is_prefix}" for word, is_prefix in words]
        if places is not None:
            needed.append(f"({' OR '.join(_quoted(MARK + place) for place in places)})")
        first, last = 0, LATEST
        if texts is not TWEETS:
            first = int(since.timestamp()) << 30 if since else first
            last = (int(until.timestamp()) + 1) << 30 if until else last
        boards = dict(self.store.rows("SELECT number, board FROM find_boards"))
        for (number,) in self.store.stream(
            f"SELECT rowid FROM {texts.index} WHERE {texts.index} MATCH ? AND rowid BETWEEN ? AND ? "
            "ORDER BY rowid DESC", " AND ".join(needed), first, last,
        ):  # fmt: skip
            yield from self._row(texts, number, boards)

    def _row(self, texts: Texts, number: int, boards: dict[int, str]) -> list[Any]:
        select = f"SELECT {texts.selected} FROM {texts.table} WHERE"
        if texts is TWEETS:
            return self.store.rows(f"{select} id = ?", number)
        second = datetime.fromtimestamp(number >> 30, UTC)
        return self.store.rows(
            f"{select} board = ? AND posted_at >= ? AND posted_at < ? AND no & {LOW} = ?",
            boards[number & 1023], time_text(second), time_text(second + timedelta(seconds=1)), number >> 10 & LOW,
        )  # fmt: skip


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
