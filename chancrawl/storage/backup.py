"""Copies of a store in one file, made while others write to it: checked, synced, and then renamed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from psycopg2.extensions import parse_dsn

from chancrawl.errors import UserError
from chancrawl.storage.base import Store
from chancrawl.storage.disk import free_space, sync, sync_folder
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore

ENVIRONMENT = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD",
    "dbname": "PGDATABASE", "options": "PGOPTIONS", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "target_session_attrs": "PGTARGETSESSIONATTRS",
}  # fmt: skip
"""Parts of DATABASE_URL, and the variables by which pg_dump gets them: its command line is visible to others.

https://www.postgresql.org/docs/current/libpq-envars.html
"""


def back_up(store: Store, file: Path) -> int:
    """Copy an open store into a file that does not exist. Returns its size. UserError if the copy is not sound."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    try:
        if isinstance(store, SqliteStore):
            _copy_sqlite(store, new)
        elif isinstance(store, PostgresStore):
            _dump_postgres(store, new)
        sync(new)
        new.rename(file)
    finally:
        new.unlink(missing_ok=True)
    sync_folder(file.absolute().parent)
    return file.stat().st_size


def _copy_sqlite(store: SqliteStore, new: Path) -> None:
    needed = store.file.stat().st_size
    if free_space(new.absolute().parent) < needed:
        raise UserError(
            f"A backup can need {needed / 1e6:,.1f} MB, and there is less space in {new.absolute().parent}."
        )
    store.connection.execute("VACUUM INTO ?", (str(new),))
    with closing(sqlite3.connect(f"{new.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
        (problem,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if problem != "ok":
        raise UserError(f"{store.file} is damaged ({problem}); put back an earlier backup. No backup was written.")


def _dump_postgres(store: PostgresStore, new: Path) -> None:
    for program in ("pg_dump", "pg_restore"):
        if shutil.which(program) is None:
            raise UserError(f"{program} was not found; install PostgreSQL's client programs (postgresql-client).")
    parts = parse_dsn(store.url)
    variables = {ENVIRONMENT[name]: value for name, value in parts.items() if name in ENVIRONMENT}
    schema = store.rows("SELECT quote_ident(current_schema())")[0][0]
    _run(["pg_dump", "--format=custom", f"--schema={schema}", f"--file={new}"], variables)
    _run(["pg_restore", "--list", str(new)], {})


def _run(command: list[str], variables: dict[str, str]) -> None:
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise UserError(f"No backup was written: {reason}.")
