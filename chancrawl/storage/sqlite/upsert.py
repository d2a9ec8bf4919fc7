"""The statements and tables of the SQLite ledger, derived from kinds. Sans I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args, get_type_hints

from chancrawl.storage.kinds import Kind


def upsert(table: str, names: Sequence[str], key: Sequence[str], later: str = "") -> str:
    """An INSERT that replaces the row with the same key, if the condition `later` is true or empty.

    >>> upsert("validators", ["path", "last_modified"], ["path"]).partition(" ON ")[2]
    'CONFLICT (path) DO UPDATE SET last_modified = excluded.last_modified'
    """
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({', '.join(key)}) DO " + (f"UPDATE SET {updates}" if updates else "NOTHING")
    ) + (f" WHERE {later}" if later else "")


def statement_of(kind: Kind) -> tuple[str, Sequence[str]]:
    """The statement that writes a row of a kind, and the columns that are its parameters."""
    if kind.embedded is not None:
        return kind.embedded.statement, kind.embedded.columns
    return upsert(kind.table, kind.columns, kind.key, kind.embedded_later), kind.columns


def schema_of(kinds: Iterable[Kind]) -> str:
    """CREATE TABLE for all kinds. SQLite has no types for times and flags: times are ISO 8601 texts."""
    return "".join(kind.embedded.schema if kind.embedded is not None else _table(kind) for kind in kinds)


def _table(kind: Kind) -> str:
    hints = get_type_hints(kind.item)
    typed = []
    for name in kind.columns:
        types = {hints[name], *get_args(hints[name])}
        typed.append(name if name not in kind.key else f"{name} INTEGER" if int in types else f"{name} TEXT")
    return (
        f"CREATE TABLE IF NOT EXISTS {kind.table} ({', '.join(typed)}, PRIMARY KEY ({', '.join(kind.key)})) "
        "WITHOUT ROWID;\n"
    )
