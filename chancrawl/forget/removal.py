"""Removes posts and people from a store and the files beside it, and leaves tombstones.

*Flow:* `remove` commits the tombstones, with the first rows that are removed → `_complete`: further rows, some at a
time → what others say of an account → the arguments of runs → the files → the end is noted. A removal that was
interrupted is completed by `settle`, at the start of the next crawl or removal. Everything can be repeated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

from chancrawl.forget.kept import Kept
from chancrawl.forget.subjects import is_of_x, masked, pattern_of, words_of
from chancrawl.imageboards import forgetting as imageboards
from chancrawl.items import Account, Tweet, columns
from chancrawl.storage.base import Step, Store, from_json, marks, parts, select
from chancrawl.storage.forgotten import CHANGED, KEYS, Forgotten, mark_of, new_key
from chancrawl.storage.kinds import IsForgotten, Kind, Query, Subject
from chancrawl.x import forgetting as x
from chancrawl.x.handles import is_file

UNFINISHED = "SELECT removal_id, token, subject FROM removals WHERE finished_at IS NULL AND subject IS NOT NULL"
BEGIN = "INSERT INTO removals (token, kind, reason, requested_at, subject) VALUES (?, ?, ?, ?, ?) RETURNING removal_id"
FINISH = "UPDATE removals SET finished_at = ?, rows = ?, subject = NULL WHERE removal_id = ?"
BURY = """
INSERT INTO tombstones (mark, kind, removal, is_lifted, changed_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (mark) DO UPDATE SET removal = excluded.removal, is_lifted = excluded.is_lifted,
    changed_at = excluded.changed_at WHERE tombstones.is_lifted
"""
ADD_KEY = "INSERT INTO tombstone_keys (key, changes) VALUES (?, 0) ON CONFLICT DO NOTHING"
LIFT = "UPDATE tombstones SET is_lifted = ?, changed_at = ? WHERE removal = ?"
AT_ONCE = 200
"""Posts that are read at a time, to take out what they say of others."""


class Cleaner(Protocol):
    """Takes what was removed out of the files beside a store."""

    def __call__(self, subjects: Sequence[Subject]) -> tuple[Counter[str], bool]:
        """Returns what was changed, and whether every file could be written."""


def no_files(subjects: Sequence[Subject]) -> tuple[Counter[str], bool]:
    return Counter(), True


def remove(
    store: Store, subject: Subject, reason: str, folder: Path, clean: Cleaner = no_files
) -> tuple[list[Subject], Counter[str]]:
    """Remove something, and keep it out. Returns all its names, and the numbers of changed rows and files."""
    subjects = all_names(store, subject)
    token = token_hex(8)
    first = next(_steps(store, subjects))
    with store.locked("chancrawl forget") as query:
        query(store.sql_alone)
        query(ADD_KEY, key_of(query))
        (number,) = query(BEGIN, token, subject[0], reason or None, datetime.now(UTC), json.dumps(subjects))[0]
        _bury(query, token, subjects)
        _execute(query, first, token)
    Kept(folder).note(store)
    return subjects, _complete(store, number, token, subjects, clean, first.counts)


def _complete(
    store: Store, number: int, token: str, subjects: Sequence[Subject], clean: Cleaner, done: Counter[str]
) -> Counter[str]:
    done = done + remove_rows(store, subjects, token)
    files, is_clean = clean(subjects)
    if is_clean:
        store.write([(FINISH, (datetime.now(UTC), json.dumps(done), number))])
    return done + files


def remove_rows(store: Store, subjects: Sequence[Subject], token: str = "") -> Counter[str]:
    """Remove everything under these names. With the token of a removal, what is removed also gets its tombstones.
    Returns the numbers of rows."""
    done: Counter[str] = Counter()
    for step in _steps(store, subjects):
        with store.locked("chancrawl forget") as query:
            query(store.sql_alone)
            _execute(query, step, token)
        done += step.counts
    if any(map(is_of_x, subjects)):
        with store.snapshot():  # a query without a time limit: it reads all texts
            numbers = {kind: list(_mentioning(store, kind, words_of(subjects))) for kind in (Tweet, Account)}
        done += _without_in_others(store, set(subjects).__contains__, numbers)
    done += _without_in_runs(store, subjects)
    return done


def _execute(query: Query, step: Step, token: str) -> None:
    if token:
        _bury(query, token, step.buried)
    for sql, parameters in step.statements:
        query(sql, *parameters)


def settle(store: Store, folder: Path, clean: Cleaner = no_files) -> list[Sequence[Subject]]:
    """Complete interrupted removals, and remove again what a restored backup has brought back. Returns what was
    removed."""
    if not store.is_created:
        return []
    found: list[Sequence[Subject]] = []
    for number, token, text in store.rows(UNFINISHED):
        subjects = [(kind, name) for kind, name in json.loads(text)]
        _complete(store, number, token, subjects, clean, Counter())
        found.append(subjects)
    if Kept(folder).restore(store):
        forgotten = Forgotten(store.kinds)
        forgotten.refresh(store.rows)
        for subject in sorted(_stored(store, forgotten)):
            subjects = all_names(store, subject)
            remove_rows(store, subjects)
            clean(subjects)
            found.append(subjects)
        with store.snapshot():
            tables = {kind: [number for (number,) in store.stream(f"SELECT id FROM {store.kinds[kind].table}")]
                      for kind in (Tweet, Account)}  # fmt: skip
        _without_in_others(store, forgotten.has, tables)
    Kept(folder).note(store)
    return found


def lift(store: Store, subject: Subject, folder: Path) -> bool:
    """Lift the tombstones of a removal, so that it is collected again. False if there is none."""
    names = [subject, ("name", subject[1])] if subject[0] == "handle" else [subject]
    buried = [mark_of(key, name) for key, _ in store.rows(KEYS) for name in names]
    sql = f"SELECT DISTINCT removal FROM tombstones WHERE mark IN ({marks(buried)}) AND NOT is_lifted"
    tokens = [token for (token,) in store.rows(sql, *buried)] if buried else []
    now = datetime.now(UTC)
    for token in tokens:
        store.write([
            (store.sql_alone, ()),
            (LIFT, (True, now, token)),
            ("UPDATE removals SET lifted_at = ? WHERE token = ?", (now, token)),
            (CHANGED, ()),
        ])  # fmt: skip
    Kept(folder).note(store)
    return bool(tokens)


def key_of(query: Query) -> str:
    """A key of the tombstones, or a new one."""
    rows = query(KEYS)
    return str(rows[0][0]) if rows else new_key()


def _bury(query: Query, token: str, subjects: Sequence[Subject]) -> None:
    """Leave tombstones, in a transaction."""
    key = key_of(query)
    for subject in subjects:
        query(BURY, mark_of(key, subject), subject[0], token, False, datetime.now(UTC))
    query(CHANGED)


def all_names(store: Store, subject: Subject) -> list[Subject]:
    """What was named, and other names of the same account or post. A handle whose account is known stands for that
    account, and not for whoever has the handle later."""
    others = x.relatives(store, subject) if is_of_x(subject) else set()
    if subject[0] == "handle" and ("name", subject[1]) in others:
        return sorted(others)
    return [subject, *sorted(others - {subject})]


def _steps(store: Store, subjects: Sequence[Subject]) -> Iterator[Step]:
    """The transactions of a removal. At least one."""
    return x.removal(store, subjects) if is_of_x(subjects[0]) else imageboards.removal(store, subjects[0])


def lists_of(store: Store) -> list[Path]:
    """The files of handles and queries that crawls were given."""
    found = set()
    for (arguments,) in store.rows("SELECT arguments FROM runs"):
        values = from_json(arguments)
        found |= {value for name in ("handles", "queries") if isinstance(value := values.get(name), str)}
    return [Path(value) for value in sorted(found) if is_file(value)]


def _stored(store: Store, forgotten: Forgotten) -> set[Subject]:
    """What has a tombstone and is stored all the same."""
    found = set()
    for kind in store.kinds:
        if kind.table == "deletions" or not kind.about:
            continue
        names = [name for name in kind.columns if name not in ("raw", "includes")]
        blank = dict.fromkeys(kind.columns)
        with store.snapshot():
            for row in store.stream(f"SELECT {', '.join(names)} FROM {kind.table}"):
                item = kind.item(**(blank | dict(zip(names, row, strict=True))))
                found |= set(filter(forgotten.has, kind.subjects(item)))
    return found


# --- what others say


def _without_in_others(store: Store, is_forgotten: IsForgotten, numbers: dict[type[Any], list[int]]) -> Counter[str]:
    """Take removed accounts and posts out of posts and descriptions of others, by the numbers of their rows."""
    done: Counter[str] = Counter()
    for item_class, ids in numbers.items():
        kind = store.kinds[item_class]
        for some in parts(ids, AT_ONCE):
            items = select(store, item_class, f"WHERE id IN ({marks(some)})", *some)
            change = _without(kind, is_forgotten)
            if naming := [item for item in items if change(item) is not item]:
                done[f"{kind.table} changed"] += store.rewrite(naming, change)
    return done


def _without(kind: Kind, is_forgotten: IsForgotten) -> Callable[[Any], Any]:
    return lambda item: kind.without(item, is_forgotten)


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
    for run_id, arguments, stats, reason in store.rows("SELECT run_id, arguments, stats, finish_reason FROM runs"):
        values = [from_json(arguments), from_json(stats)]
        new = masked([*values, reason], pattern)
        if new != [*values, reason]:
            texts = [None if value is None else json.dumps(value) for value in new[:2]]
            store.write([("UPDATE runs SET arguments = ?, stats = ?, finish_reason = ? WHERE run_id = ?",
                          (*texts, new[2], run_id))])  # fmt: skip
            done["runs changed"] += 1
    return done
