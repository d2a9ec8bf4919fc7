"""Removes posts and people from a store, and leaves tombstones.

*Flow:* `remove` commits the tombstones, with the first rows that are removed → further rows, some at a time → what
others say of an account → the arguments of runs → the end is noted. A removal that was interrupted is completed by
`settle`, at the start of the next crawl or removal. Everything can be repeated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chancrawl.forget.kept import Kept
from chancrawl.forget.subjects import is_of_x, masked, pattern_of, words_of
from chancrawl.imageboards import forgetting as imageboards
from chancrawl.items import Account, Tweet, columns
from chancrawl.storage.base import Statement, Store, marks, parts, select
from chancrawl.storage.forgotten import KEY, MARKS, mark_of, new_key
from chancrawl.storage.kinds import Subject
from chancrawl.x import forgetting as x
from chancrawl.x.handles import is_file

UNFINISHED = "SELECT removal_id, subject FROM removals WHERE finished_at IS NULL AND subject IS NOT NULL"
BEGIN = "INSERT INTO removals (kind, reason, requested_at, subject) VALUES (?, ?, ?, ?)"
FINISH = "UPDATE removals SET finished_at = ?, rows = ?, subject = NULL WHERE removal_id = ?"
BURY = """
INSERT INTO tombstones (mark, removal_id) SELECT ?, max(removal_id) FROM removals WHERE true ON CONFLICT DO NOTHING
"""
SET_KEY = """
INSERT INTO tombstone_keys (key, changes) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET changes = tombstone_keys.changes + 1
"""
RUNS = "SELECT run_id, arguments, stats, finish_reason FROM runs"
Step = tuple[list[Statement], Counter[str]]
"""The statements of one transaction, and the numbers of removed rows by table."""

AT_ONCE = 200
"""Posts that are read at a time, to take out what they say of others."""


def remove(store: Store, subject: Subject, reason: str, folder: Path) -> tuple[list[Subject], Counter[str]]:
    """Remove something, and keep it out. Returns all its names, and the numbers of changed rows by table."""
    subjects = _all_names(store, subject)
    key, _ = key_of(store)
    first, counts = next(_steps(store, subjects))
    store.write([
        (store.sql_alone, ()),
        (BEGIN, (subject[0], reason or None, datetime.now(UTC), json.dumps(subjects))),
        (SET_KEY, (key, 1)),
        *((BURY, (mark_of(key, each),)) for each in subjects),
        *first,
    ])  # fmt: skip
    Kept(folder).note(store)
    ((number,),) = store.rows("SELECT max(removal_id) FROM removals")
    counts += remove_rows(store, subjects)  # asked for again: rows may have come before the tombstones were there
    store.write([(FINISH, (datetime.now(UTC), json.dumps(counts), number))])
    return subjects, counts


def remove_rows(store: Store, subjects: Sequence[Subject]) -> Counter[str]:
    """Remove everything under these names, without tombstones. Returns the numbers of rows."""
    done: Counter[str] = Counter()
    for statements, counts in _steps(store, subjects):
        store.write(statements)
        done += counts
    if any(map(is_of_x, subjects)):
        done += _without_in_others(store, subjects)
    done += _without_in_runs(store, subjects)
    return done


def settle(store: Store, folder: Path) -> list[Sequence[Subject]]:
    """Go on with interrupted removals, and remove again what a restored backup has brought back. Returns what was
    removed."""
    if not store.is_created:
        return []
    found: list[Sequence[Subject]] = []
    for number, text in store.rows(UNFINISHED):
        subjects = [(kind, name) for kind, name in json.loads(text)]
        done = remove_rows(store, subjects)
        store.write([(FINISH, (datetime.now(UTC), json.dumps(done), number))])
        found.append(subjects)
    kept = Kept(folder)
    if kept.is_ahead_of(store):
        kept.restore(store)
        for subject in sorted(_stored(store)):
            subjects = _all_names(store, subject)
            remove_rows(store, subjects)
            found.append(subjects)
    kept.note(store)
    return found


def lift(store: Store, subject: Subject, folder: Path) -> bool:
    """Lift the tombstones of a removal, so that it is collected again. False if there is none."""
    key, _ = key_of(store)
    rows = store.rows("SELECT removal_id FROM tombstones WHERE mark = ?", mark_of(key, subject))
    if not rows:
        return False
    ((number,),) = rows
    store.write([
        (store.sql_alone, ()),
        ("DELETE FROM tombstones WHERE removal_id = ?", (number,)),
        ("UPDATE removals SET lifted_at = ? WHERE removal_id = ?", (datetime.now(UTC), number)),
        (SET_KEY, (key, 1)),
    ])  # fmt: skip
    Kept(folder).note(store)
    return True


def key_of(store: Store) -> tuple[str, int]:
    """The key of the tombstones, or a new one, and how often they were changed."""
    rows = store.rows(KEY)
    return (rows[0][0], rows[0][1]) if rows else (new_key(), 0)


def _all_names(store: Store, subject: Subject) -> list[Subject]:
    return sorted({subject} | (x.relatives(store, subject) if is_of_x(subject) else set()))


def _steps(store: Store, subjects: Sequence[Subject]) -> Iterator[Step]:
    """The statements of each transaction, with the numbers of rows. At least one."""
    return x.removal(store, subjects) if is_of_x(subjects[0]) else imageboards.removal(store, subjects[0])


def lists_of(store: Store) -> list[Path]:
    """The files of handles and queries that crawls were given."""
    found = set()
    for (arguments,) in store.rows("SELECT arguments FROM runs"):
        values = json.loads(arguments) if isinstance(arguments, str) else arguments
        found |= {value for name in ("handles", "queries") if isinstance(value := values.get(name), str)}
    return [Path(value) for value in sorted(found) if is_file(value)]


def _stored(store: Store) -> set[Subject]:
    """What has a tombstone and is stored all the same."""
    key, _ = key_of(store)
    buried = {mark for (mark,) in store.rows(MARKS)}
    found = set()
    for kind in store.kinds:
        if kind.table == "deletions":
            continue  # marks on posts
        names = [name for name in kind.columns if name not in ("raw", "includes")]
        blank = dict.fromkeys(kind.columns)
        for row in store.stream(f"SELECT {', '.join(names)} FROM {kind.table}"):
            item = kind.item(**(blank | dict(zip(names, row, strict=True))))
            found |= {subject for subject in kind.subjects(item) if mark_of(key, subject) in buried}
    return found


# --- what others say


def _without_in_others(store: Store, subjects: Sequence[Subject]) -> Counter[str]:
    """Take removed accounts and posts out of the posts and descriptions of others."""
    is_forgotten = set(subjects).__contains__
    done: Counter[str] = Counter()
    for item_class in (Tweet, Account):
        kind = store.kinds[item_class]
        with store.snapshot():  # a query without a time limit: it reads all texts
            numbers = list(_mentioning(store, item_class, words_of(subjects)))
        for some in parts(numbers, AT_ONCE):
            items = select(store, item_class, f"WHERE id IN ({marks(some)})", *some)
            changed = [new for item in items if (new := kind.without(item, is_forgotten)) is not item]
            if changed:
                store.replace(changed)
                done[f"{kind.table} changed"] += len(changed)
    return done


def _mentioning(store: Store, item_class: type[Any], words: Collection[str]) -> Iterator[int]:
    """The numbers of the rows that have a word in any column."""
    values = (f"coalesce(lower(CAST({name} AS text)), '')" for name in columns(item_class))
    row = " || ' ' || ".join(values)
    like = " OR ".join("row_text LIKE ?" for _ in words)
    sql = f"SELECT id FROM (SELECT id, {row} AS row_text FROM {store.kinds[item_class].table}) AS texts WHERE {like}"
    return (number for (number,) in store.stream(sql, *(f"%{word}%" for word in words)))


def _without_in_runs(store: Store, subjects: Sequence[Subject]) -> Counter[str]:
    """Take the words of what was removed out of the arguments and the reports of runs."""
    pattern = pattern_of(subjects)
    done: Counter[str] = Counter()
    for run_id, *texts in store.rows(RUNS):
        values = [json.loads(text) if isinstance(text, str) and text[:1] in "{[" else text for text in texts]
        new = masked(values, pattern)
        if new != values:
            arguments, stats = (None if value is None else json.dumps(value) for value in new[:2])
            store.write([("UPDATE runs SET arguments = ?, stats = ?, finish_reason = ? WHERE run_id = ?",
                          (arguments, stats, new[2], run_id))])  # fmt: skip
            done["runs changed"] += 1
    return done
