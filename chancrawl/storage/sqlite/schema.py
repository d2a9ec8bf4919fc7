"""The tables of schema.sql in SQLite's dialect: the same names, columns and meaning. Sans I/O.

SQLite knows INTEGER, REAL and TEXT here, and a CHECK for the type of each column. Times are ISO 8601 texts in UTC, all
of one width, so that their order is the order of time. Flags are 0 or 1. Lists and JSON are JSON texts. The comments of
schema.sql stand behind the columns, where `.schema` of the sqlite3 program shows them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from chancrawl.storage.sqlite.views import VIEWS

TIME_WIDTH = len("2026-11-26T20:37:05.123456Z")

NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
"""SQL for the time now, in the form of all times. SQLite's clock has milliseconds."""

TYPES = {
    "bigint": "INTEGER",
    "integer": "INTEGER",
    "boolean": "INTEGER",
    "double precision": "REAL",
    "numeric": "REAL",
    "text": "TEXT",
    "timestamptz": "TEXT",
    "date": "TEXT",
    "uuid": "TEXT",
    "json": "TEXT",
    "jsonb": "TEXT",
    "text[]": "TEXT",
    "bigint[]": "TEXT",
}
"""SQLite's types, by PostgreSQL's."""

DEFAULTS = {"gen_random_uuid()": "(lower(hex(randomblob(16))))", "now()": f"({NOW})"}

TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \((.*?)\)(?:;|\Z)(?=\s|\Z)", re.DOTALL)
INDEX = re.compile(r"^CREATE INDEX IF NOT EXISTS [^;]*;", re.MULTILINE)
VIEW = re.compile(r"^CREATE OR REPLACE VIEW (\w+) AS\n([^;]*);", re.MULTILINE)
COLUMN = re.compile(r"(\w+) +(double precision|\w+(?:\[\])?)(.*)", re.DOTALL)
COMMENT = re.compile(r"^COMMENT ON (?:COLUMN|TABLE) ([\w.]+) IS '((?:[^']|'')*)';", re.MULTILINE)


def tables_of(sql: str) -> dict[str, str]:
    """CREATE TABLE in SQLite's dialect for each table of a PostgreSQL schema, by name."""
    comments = {name: text.replace("''", "'") for name, text in COMMENT.findall(sql)}
    bodies = dict(TABLE.findall(sql))
    return {table: _table(table, bodies, comments) for table in bodies}


def indexes_of(sql: str) -> list[str]:
    """CREATE INDEX for the indexes that SQLite can have too."""
    return [index for index in INDEX.findall(sql) if " USING gin " not in index]


def statements_of(sql: str) -> list[str]:
    """The statements that create what a PostgreSQL schema creates, where it does not exist."""
    return [*tables_of(sql).values(), *indexes_of(sql)]


def additions_of(sql: str, table: str, there: Collection[str]) -> list[str]:
    """The statements that add the columns which a table of an earlier version lacks. `there` are those that it has."""
    bodies = dict(TABLE.findall(sql))
    columns = [_column(part) for part in _parts(bodies[table], bodies) if _is_column(part)]
    return [
        f"ALTER TABLE {table} ADD COLUMN {column.replace(' NOT NULL', '')}"
        for column in columns
        if column.split()[0] not in there
    ]


def views_of(sql: str) -> list[str]:
    """The statements that create the views anew: those of a PostgreSQL schema, or their form in SQLite's dialect."""
    return [text for name, query in (dict(VIEW.findall(sql)) | VIEWS).items() for text in (
        f"DROP VIEW IF EXISTS {name}", f"CREATE VIEW {name} AS\n{query.strip()}")]  # fmt: skip


def _table(table: str, bodies: dict[str, str], comments: dict[str, str]) -> str:
    lines: list[tuple[str, str]] = []
    for part in _parts(bodies[table], bodies):
        lines.append((_column(part), comments.get(f"{table}.{part.split()[0]}") or comments.get(
            f"posts.{part.split()[0]}" if table == "post_revisions" else "", "")))  # fmt: skip
    texts = [
        f"    {text}{',' if place < len(lines) - 1 else ''}{f'  -- {comment}' if comment else ''}"
        for place, (text, comment) in enumerate(lines)
    ]
    about = f" -- {comments[table]}" if table in comments else ""
    return f"CREATE TABLE IF NOT EXISTS {table} ({about}\n" + "\n".join(texts) + "\n)"


def _parts(body: str, bodies: dict[str, str]) -> Iterator[str]:
    """The columns and constraints of a table. Those that it takes over from another table are among them."""
    depth, part = 0, ""
    for sign in f"{body},":
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            part = part.strip()
            if part.startswith("LIKE "):
                yield from (other for other in _parts(bodies[part.split()[1]], bodies) if "PRIMARY KEY" not in other)
            elif part:
                yield part
            part = ""
        else:
            part += sign


def _is_column(part: str) -> bool:
    match = COLUMN.fullmatch(part)
    return match is not None and match[2] in TYPES


def _column(part: str) -> str:
    match = COLUMN.fullmatch(part)
    if match is None or not _is_column(part):
        return part  # a constraint, in words that both know
    name, kind, rest = match.groups()
    for word, default in DEFAULTS.items():
        rest = rest.replace(word, default)
    rest = rest.replace(" GENERATED ALWAYS AS IDENTITY", "").strip()
    if "PRIMARY KEY" in rest and TYPES[kind] == "INTEGER":
        return f"{name} INTEGER {rest}"
    if "PRIMARY KEY" in rest:
        rest = f"NOT NULL {rest}"
    return " ".join(filter(None, (f"{name} {TYPES[kind]}", rest, f"CHECK ({_check(name, kind)})")))


def _check(name: str, kind: str) -> str:
    if kind == "boolean":
        return f"{name} IN (0, 1)"
    types = f"typeof({name}) IN ('{TYPES[kind].lower()}', 'null')"
    return f"{types} AND length({name}) = {TIME_WIDTH}" if kind == "timestamptz" else types
