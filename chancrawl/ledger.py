"""What is already stored, and the one connection to the store.

The store is PostgreSQL, or a folder of CSV files with a small SQLite ledger beside them. Either is used by one thread
of its own, which takes reads and writes in the order they are asked for: the reactor never waits for a disk or a
database, and a read sees every write before it. Nothing is created before there is something to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import sqlite3
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, ParamSpec, Protocol, Self, TypeVar

import psycopg2
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings

from chancrawl.changes import Held, Known
from chancrawl.errors import UserError
from chancrawl.items import Board, Deletion, Item, Post, Thread, columns

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

KNOWN_POSTS_IN_MEMORY = 250_000
"""Above this many posts, what is held of the threads asked for longest ago leaves the memory."""


class Store(Protocol):
    """A store as the ledger sees it. All calls come from one thread, and block."""

    place: str
    """Where the data goes, in words."""

    connection: Any
    """The DB-API connection of PostgreSQL, or of the SQLite ledger; None before the first `prepare` of a new folder."""

    outages: tuple[type[Exception], ...]
    """Errors after which the same call is worth another try once `connect` has worked."""

    def connect(self) -> None:
        """Connect (again), or raise one of `outages`."""

    def open(self) -> None:
        """Connect, without creating anything. UserError if that cannot be."""

    def prepare(self) -> None:
        """Create what is missing."""

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """The answer to a query with `?` for parameters; empty while nothing is created."""

    def close(self) -> None: ...


class PostgresStore:
    """The database of DATABASE_URL."""

    outages = (psycopg2.OperationalError, psycopg2.InterfaceError)

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Any = None
        self.ready = False
        self.place = "PostgreSQL"

    def open(self) -> None:
        try:
            self.connect()
        except psycopg2.Error as error:
            raise UserError(
                f"The database of DATABASE_URL cannot be used: {first_line(error)}. Start it, or mend DATABASE_URL "
                "(postgresql://user:password@host:5432/name), or leave it out to write CSV files.",
                reason="store_unavailable",
            ) from None
        parameters = self.connection.info.dsn_parameters
        self.place = f"the database {parameters.get('dbname')} on {parameters.get('host') or 'this machine'}"

    def connect(self) -> None:
        self.close()
        self.connection = psycopg2.connect(
            self.url, connect_timeout=10, application_name="chancrawl", options="-c timezone=UTC"
        )
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('runs') IS NOT NULL")
            self.ready = cursor.fetchone()[0]

    def prepare(self) -> None:
        if not self.ready:
            self.apply_schema()

    def apply_schema(self) -> None:
        """Apply schema.sql; under a lock, because two crawls may start at once."""
        schema = resources.files("chancrawl").joinpath("schema.sql").read_text(encoding="utf-8")
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('chancrawl schema'))")
            cursor.execute(schema)
        self.ready = True

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        if not self.ready:
            return []
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


class CsvStore:
    """The SQLite ledger of a folder of CSV files: CSV_FOLDER/ledger.sqlite."""

    outages: tuple[type[Exception], ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = f"the folder {folder}"
        self.connection: Any = None
        self._lock: Any = None

    def open(self) -> None:
        parent = next((p for p in (self.folder, *self.folder.absolute().parents) if p.exists()), Path("/"))
        if not parent.is_dir():
            raise UserError(f"CSV_FOLDER is {self.folder}, but {parent} is a file; name a folder.")
        try:
            tempfile.TemporaryFile(dir=parent).close()
        except OSError as error:
            raise UserError(
                f"CSV_FOLDER is {self.folder}, but {parent} cannot be written to ({error.strerror}); name a folder of "
                "your own (-s CSV_FOLDER=…) or change its permissions."
            ) from None
        if (self.folder / "ledger.sqlite").exists():
            self.connect()

    def connect(self) -> None:
        self._lock = (self.folder / "ledger.lock").open("ab")
        try:
            if fcntl:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"Another crawl is writing to {self.folder}; wait for it, or name another CSV_FOLDER."
            ) from None
        try:
            self.connection = sqlite3.connect(self.folder / "ledger.sqlite", isolation_level=None)
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = FULL")
            self.connection.executescript(LEDGER_SCHEMA)
        except sqlite3.Error as error:
            raise UserError(
                f"The ledger {self.folder / 'ledger.sqlite'} cannot be used: {first_line(error)}."
            ) from None

    def prepare(self) -> None:
        if self.connection is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.connect()

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        return [] if self.connection is None else self.connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        if self._lock is not None:
            self._lock.close()


def store_of(settings: BaseSettings) -> PostgresStore | CsvStore:
    """The store that the settings name: DATABASE_URL's, or else CSV_FOLDER's."""
    url = settings.get("DATABASE_URL")
    return PostgresStore(url) if url else CsvStore(Path(settings["CSV_FOLDER"]))


# The part of schema.sql that the ledger needs, and the committed length of every CSV file. SQLite has no types for
# times and booleans: times are ISO 8601 texts.
LEDGER_SCHEMA = """
CREATE TABLE IF NOT EXISTS boards (board TEXT PRIMARY KEY, {boards});
CREATE TABLE IF NOT EXISTS threads (board TEXT, no INTEGER, {threads}, PRIMARY KEY (board, no)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posts (board TEXT, thread_no INTEGER, no INTEGER, digest INTEGER, revision INTEGER,
    first_seen_at TEXT, deleted_at TEXT, deletion_confirmed_at TEXT, PRIMARY KEY (board, thread_no, no)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS validators (path TEXT PRIMARY KEY, last_modified TEXT);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, bytes INTEGER);
CREATE TABLE IF NOT EXISTS runs (run_id INTEGER PRIMARY KEY, spider TEXT, arguments TEXT, source TEXT, started_at TEXT,
    finished_at TEXT, finish_reason TEXT, stats TEXT);
""".format(boards=", ".join(columns(Board)[1:]), threads=", ".join(columns(Thread)[2:]))


class Ledger:
    """The extension through which spiders ask what is held, and pipelines write it."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.store = store_of(crawler.settings)
        self.started_at = datetime.now(UTC)
        self.run_id: int | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._held: OrderedDict[tuple[str, int], Held] = OrderedDict()  # the thread asked for last at the end
        self._uncommitted: dict[tuple[str, int], int] = {}  # items on their way to the store
        self._known_posts = 0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        ledger = cls(crawler)
        crawler.signals.connect(ledger.spider_closed, signals.spider_closed)
        return ledger

    @classmethod
    def of(cls, crawler: Crawler) -> Ledger:
        """The ledger of a crawl."""
        ledger = crawler.get_extension(cls)
        assert ledger is not None, "chancrawl.ledger.Ledger is not among the EXTENSIONS"
        return ledger

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in the store's thread; wait and try again while the store is out of reach."""
        pause = 1.0
        while True:
            try:
                return await self._in_thread(functools.partial(function, *args, **kwargs))
            except self.store.outages as error:
                if not self.crawler.crawling:
                    raise
                logger.warning("The store is out of reach, trying again in %.0f s: %s", pause, first_line(error))
                self.crawler.stats.inc_value("store/outages")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 30.0)
            with contextlib.suppress(*self.store.outages):
                await self._in_thread(self.store.connect)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def open(self) -> None:
        await self._in_thread(self.store.open)

    async def spider_closed(self, reason: str) -> None:
        await self.call(self._end_run, reason)
        await self._in_thread(self.store.close)
        self._thread.shutdown(wait=False)

    def prepare(self) -> None:
        """Get the store ready for the first row. Blocks; called in the store's thread."""
        self.store.prepare()
        if self.run_id is None:
            spider = self.crawler.spider
            assert spider is not None
            arguments, source = getattr(spider, "arguments", {}), getattr(spider, "source", "")
            run = (spider.name, json.dumps(arguments), source, self.started_at.isoformat())
            sql = "INSERT INTO runs (spider, arguments, source, started_at) VALUES (?, ?, ?, ?) RETURNING run_id"
            self.run_id = self.store.rows(sql, *run)[0][0]

    def _end_run(self, reason: str) -> None:
        if self.run_id is None:
            return
        stats = json.dumps(self.crawler.stats.get_stats(), default=str, sort_keys=True)
        sql = "UPDATE runs SET finished_at = ?, finish_reason = ?, stats = ? WHERE run_id = ?"
        try:
            self.store.rows(sql, datetime.now(UTC).isoformat(), reason, stats, self.run_id)
        except (psycopg2.Error, sqlite3.Error) as error:
            logger.warning("The end of the run could not be noted: %s", first_line(error))

    # --- what is held

    async def boards(self) -> dict[str, Board]:
        rows = await self._select(Board)
        return {board.board: board for board in rows}

    async def threads(self, board: str) -> dict[int, Thread]:
        """The threads of a board that can still change or be read again: live and archived ones."""
        threads = await self._select(Thread, "WHERE board = ? AND fate IN ('live', 'archived')", board)
        return {thread.no: thread for thread in threads}

    async def validator(self, path: str) -> str | None:
        rows = await self.call(self.store.rows, "SELECT last_modified FROM validators WHERE path = ?", path)
        return rows[0][0] if rows else None

    async def thread(self, board: str, no: int) -> Held:
        """What is held of a thread, items on their way to the store included. The same object at every call."""
        held = self._held.get((board, no))
        if held is None:
            held = Held()
            threads = await self._select(Thread, "WHERE board = ? AND no = ?", board, no)
            held.thread = threads[0] if threads else None
            posts = await self.call(self.store.rows, KNOWN_POSTS, board, no)
            held.posts = {row[0]: Known(row[1], row[2], *map(aware, row[3:])) for row in posts}
            self._known_posts += len(held.posts)
            held = self._held.setdefault((board, no), held)
            self._forget()
        self._held.move_to_end((board, no))
        return held

    async def sources(self) -> list[str]:
        """The addresses of the APIs that this store was filled from."""
        return [source for (source,) in await self.call(self.store.rows, "SELECT DISTINCT source FROM runs")]

    # --- items on their way to the store

    def accept(self, item: Item) -> bool:
        """Take note of an item that goes to the store. False if it says nothing that is not held already."""
        if isinstance(item, Post | Deletion | Thread):
            key = (item.board, item.thread_no if not isinstance(item, Thread) else item.no)
            held = self._held.get(key)
            if held is not None:
                before = len(held.posts)
                if not held.apply(item):
                    return False
                self._known_posts += len(held.posts) - before
            self._uncommitted[key] = self._uncommitted.get(key, 0) + 1
        return True

    def committed(self, batch: Iterable[Item]) -> None:
        """The batch is stored."""
        for item in batch:
            if isinstance(item, Post | Deletion | Thread):
                key = (item.board, item.thread_no if not isinstance(item, Thread) else item.no)
                self._uncommitted[key] -= 1
                if not self._uncommitted[key]:
                    del self._uncommitted[key]

    def _forget(self) -> None:
        """Keep memory bounded: drop what can be read again from the store."""
        for key in list(self._held):
            if self._known_posts <= KNOWN_POSTS_IN_MEMORY or len(self._held) <= 100:
                return
            if key not in self._uncommitted:
                self._known_posts -= len(self._held.pop(key).posts)

    async def _select(self, item_class: type[T], where: str = "", *parameters: Any) -> list[T]:
        names = [f.name for f in fields(item_class)]  # type: ignore[arg-type]
        sql = f"SELECT {', '.join(names)} FROM {item_class.__name__.lower()}s {where}"
        rows = await self.call(self.store.rows, sql, *parameters)
        return [restore(item_class, row) for row in rows]


KNOWN_POSTS = """
SELECT no, digest, revision, first_seen_at, deleted_at, deletion_confirmed_at
FROM posts WHERE board = ? AND thread_no = ?
"""


def restore(item_class: type[T], row: Sequence[Any]) -> T:
    """An item from its row, in PostgreSQL's types or in SQLite's."""
    values = {}
    for field, value in zip(fields(item_class), row, strict=True):  # type: ignore[arg-type]
        if value is not None:
            if "datetime" in str(field.type):
                value = aware(value)
            elif "bool" in str(field.type):
                value = bool(value)
            elif "Raw" in str(field.type) and isinstance(value, str):
                value = json.loads(value)
        values[field.name] = value
    return item_class(**values)


def aware(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def first_line(error: BaseException) -> str:
    """What an error says, without the hints and positions on its further lines."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
