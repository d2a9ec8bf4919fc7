"""The runs table: which crawls are running, where, and which boards they follow.

A crawl writes a sign of life every BEAT seconds (`runs.alive_at`). A crawl without one for DEAD_AFTER seconds counts as
ended. So does a crawl of this machine whose process does not exist any more.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chancrawl.storage.base import Store, from_json, moment
from chancrawl.text import visible

BEAT = 30.0
DEAD_AFTER = 100.0


def _host() -> str:
    """The name of this machine. In a container, the number of its process namespace is added: containers can share a
    host name, and a process number has a meaning only within its namespace."""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return socket.gethostname()
    return socket.gethostname() if space == INITIAL_NAMESPACE else f"{socket.gethostname()}/{space}"


INITIAL_NAMESPACE = 0xEFFFFFFC
"""The process namespace of the machine itself: PROC_PID_INIT_INO in Linux' include/linux/proc_ns.h."""

HOST = _host()

BEGIN = """
INSERT INTO runs (spider, arguments, source, started_at, host, pid, folder, alive_at)
VALUES (?, ?, ?, ?, ?, ?, ?, {now}) RETURNING run_id
"""
BEAT_OF = "UPDATE runs SET alive_at = {now}, stats = ? WHERE run_id = ? AND finished_at IS NULL"
FINISH = "UPDATE runs SET finished_at = ?, finish_reason = ?, stats = ?, dollars = ? WHERE run_id = ?"
FOLLOWS = "UPDATE runs SET boards = ? WHERE run_id = ?"
UNFINISHED = """
SELECT run_id, spider, arguments, source, started_at, host, pid, folder, boards, {age}, stats
FROM runs WHERE finished_at IS NULL AND alive_at IS NOT NULL AND {age} < ? ORDER BY run_id
"""

ENDS = (
    "SELECT spider, CAST(arguments AS text), finished_at, finish_reason FROM runs "
    "WHERE finished_at IS NOT NULL AND spider <> 'initdb' ORDER BY finished_at DESC LIMIT 1000"
)
SUCCESSES = ("finished", "shutdown")


@dataclass(slots=True)
class Ended:
    """How crawls with the same arguments ended: the last of them, and the last that did its work."""

    spider: str
    arguments: dict[str, str]
    finished_at: datetime
    reason: str
    succeeded_at: datetime | None


@dataclass(slots=True, frozen=True)
class Run:
    """A crawl whose end is not recorded. `age` is the number of seconds since its last sign of life."""

    run_id: int
    spider: str
    arguments: dict[str, str]
    source: str
    started_at: datetime
    host: str
    pid: int
    folder: str
    boards: list[str]
    age: float
    stats: dict[str, Any]

    @property
    def is_alive(self) -> bool:
        return self.age < DEAD_AFTER and not self._is_gone()

    def _is_gone(self) -> bool:
        """Whether its process was on this machine and has ended. False if it has the number of this process, because
        in a container each crawl can be process 1."""
        if self.host != HOST or self.pid == os.getpid():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False

    def __str__(self) -> str:
        return f"run {self.run_id} (process {self.pid} on {visible(self.host)}, folder {visible(self.folder)})"


def begin(store: Store, spider: str, arguments: dict[str, str], source: str, started_at: datetime, folder: str) -> int:
    """Insert the row of a crawl that has something to write. Returns its `run_id`."""
    values = (spider, json.dumps(arguments), source, started_at, HOST, os.getpid(), folder)
    run_id: int = store.rows(BEGIN.format(now=store.sql_now), *values)[0][0]
    return run_id


def beat(store: Store, run_id: int, stats: dict[str, Any]) -> None:
    """Write a sign of life."""
    store.rows(BEAT_OF.format(now=store.sql_now), _dumped(stats), run_id)


def finish(store: Store, run_id: int, reason: str, stats: dict[str, Any]) -> None:
    """Record the end of a crawl."""
    store.rows(FINISH, datetime.now(UTC), reason, _dumped(stats), stats.get("x/dollars"), run_id)


def alive(store: Store) -> list[Run]:
    """The crawls that are running, the oldest first."""
    return _alive(store.rows(_unfinished(store), DEAD_AFTER))


def ended(store: Store) -> list[Ended]:
    """The last crawl for each spider and its arguments. The one that ended last is first."""
    found: dict[tuple[str, str], Ended] = {}
    for spider, arguments, finished, reason in store.rows(ENDS):
        at = moment(finished)
        assert at is not None
        last = found.setdefault((spider, arguments), Ended(spider, json.loads(arguments), at, reason or "?", None))
        if last.succeeded_at is None and reason in SUCCESSES:
            last.succeeded_at = at
    return list(found.values())


def others(store: Store, run_id: int, boards: Collection[str]) -> list[Run]:
    """Other running crawls that follow at least one of `boards`."""
    return _others(alive(store), run_id, boards)


def claim(store: Store, run_id: int, boards: Collection[str]) -> list[Run]:
    """Record that a crawl follows `boards`. If other crawls follow one of them, return these and record nothing."""
    if store.is_exclusive:
        store.rows(FOLLOWS, ",".join(boards), run_id)
        return []
    with store.locked("chancrawl followers") as rows:
        found = _others(_alive(rows(_unfinished(store), DEAD_AFTER)), run_id, boards)
        if not found:
            rows(FOLLOWS, ",".join(boards), run_id)
    return found


def _unfinished(store: Store) -> str:
    return UNFINISHED.format(age=store.sql_age.format("alive_at"))


def _alive(rows: list[Any]) -> list[Run]:
    return [run for run in map(_run, rows) if run.is_alive]


def _others(alive: list[Run], run_id: int, boards: Collection[str]) -> list[Run]:
    return [run for run in alive if run.run_id != run_id and set(run.boards) & set(boards)]


def _run(row: Any) -> Run:
    run_id, spider, arguments, source, started_at, host, pid, folder, boards, age, stats = row
    started = moment(started_at)
    assert started is not None
    return Run(run_id, spider, _loaded(arguments), source, started, host or "?", pid or 0, folder or "?",
               boards.split(",") if boards else [], float(age), _loaded(stats))  # fmt: skip


def _dumped(stats: dict[str, Any]) -> str:
    return json.dumps(stats, default=str, sort_keys=True)


def _loaded(value: Any) -> dict[str, Any]:
    """A JSON object from either store: PostgreSQL returns it decoded, SQLite as text."""
    found = from_json(value)
    return found if isinstance(found, dict) else {}
