"""Fixtures: the sandbox over sockets, a PostgreSQL of the test session's own, crawls of one into the other."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import settings

from chancrawl.storage.base import Store
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS, ROOT
from tests.support.crawls import STARTED, Crawler
from tests.support.databases import Database, Server
from tests.support.sandboxes import Sandbox

FIXTURES = Path(os.environ.get("FIXTURES_DIR") or ROOT.parent / "shared" / "fixtures")

csv.field_size_limit(10**9)

# No deadlines: the machine may be busy. In CI the same examples every time; elsewhere new ones are looked for.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("default", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of recorded payloads, which is not part of the project."""
    if not FIXTURES.is_dir():
        pytest.skip(f"left out: no recorded payloads at {FIXTURES} (set FIXTURES_DIR)")
    return FIXTURES


# --- the sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Boards whose clock stands still: nothing happens that the test does not ask for."""
    sandbox = Sandbox("--speed", "0", "--start", "1795000000")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def recorded(fixtures: Path) -> Iterator[Sandbox]:
    """The recorded threads, served."""
    sandbox = Sandbox("--recorded", str(fixtures / "fourchan"), "--speed", "0", "--start", "1795000000")
    yield sandbox
    sandbox.stop()


# --- PostgreSQL


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of this test session's own."""
    server = Server(tmp_path_factory.mktemp("pg") / "data")
    yield server.url
    server.stop()


@pytest.fixture
def database(postgres: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database."""
    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    admin = psycopg2.connect(postgres)
    admin.autocommit = True
    admin.cursor().execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    yield Database(postgres.replace("/postgres?", f"/{name}?"))
    admin.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An open store of each kind, with its tables; the embedded one is in `data`."""
    store: Store = SqliteStore(tmp_path / "data", KINDS)
    if request.param == "postgres":
        store = PostgresStore(request.getfixturevalue("database").url, KINDS)
    store.open()
    store.prepare()
    yield store
    store.close()


# --- crawls


@pytest.fixture(autouse=True)
def no_orphans() -> Iterator[None]:
    """No crawl outlives its test, even if that fails."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def store(database: Database) -> Iterator[PostgresStore]:
    """A database with its tables, as the ledger sees it."""
    store = PostgresStore(database.url, KINDS)
    store.open()
    store.prepare()
    yield store
    store.close()


@pytest.fixture
def crawler(tmp_path: Path, sandbox: Sandbox) -> Crawler:
    """Crawls of the sandbox into CSV files."""
    return Crawler(tmp_path / "data", sandbox.url)


@pytest.fixture(params=["csv", "postgres"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Crawler:
    """Crawls of the sandbox into either store."""
    database_url = request.getfixturevalue("database").url if request.param == "postgres" else None
    return Crawler(tmp_path / "data", sandbox.url, database_url)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any]], None]:
    def wait(condition: Callable[[], Any], timeout: float = 30) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    return wait
