"""Where a PostgreSQL server has the files of a database."""

from __future__ import annotations

from pathlib import Path

from tests.support.databases import Database


def data_folder(url: str) -> Path:
    """The folder of the tables of a database of a server on this machine."""
    ((root, number),) = Database(url).rows(
        "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = current_database()"
    )
    return Path(root) / "base" / str(number)
