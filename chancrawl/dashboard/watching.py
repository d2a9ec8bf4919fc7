"""Reads the store every 15 seconds for the overview, the alarms and the metrics, so that none of them makes queries."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime
from typing import Any

from scrapy.settings import BaseSettings

from chancrawl.dashboard import downloads
from chancrawl.dashboard.charts import sparkline
from chancrawl.dashboard.metrics import Metrics
from chancrawl.dashboard.queries import Desk, Late
from chancrawl.errors import UserError
from chancrawl.health.alarms import Alarm, alarms_of, away, worst_first
from chancrawl.health.boards import coverage, delay
from chancrawl.health.snapshot import SPAN, BoardState, Reader, Snapshot
from chancrawl.imageboards.coverage import HOUR, hour_of, hours_between
from chancrawl.storage.factory import store_of
from chancrawl.text import capitalized, first_line

logger = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds between two snapshots."""

LONGEST = 60.0
"""Seconds after which a snapshot is given up."""


class Watching:
    """The latest snapshot, and what is wrong."""

    def __init__(self, settings: BaseSettings) -> None:
        self.settings = settings
        self.snapshot: Snapshot | None = None
        self.alarms: list[Alarm] = []
        self.failure = ""
        """Why the store could not be read last; empty if it could."""
        self._errors = store_of(settings).errors
        self._desk = Desk(settings)
        self._reader = Reader(settings)
        self._metrics = Metrics()
        self._task: asyncio.Task[None] | None = None
        self._away_since: datetime | None = None

    def is_error_of_store(self, error: Exception) -> bool:
        return isinstance(error, self._errors)

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._go_on())

    async def stop(self) -> None:
        self._desk.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._desk.close)

    async def _go_on(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.to_thread(self.look)
            await asyncio.sleep(max(EVERY - (time.monotonic() - began), 1.0))

    def look(self) -> None:
        """Read the store once. Blocks."""
        try:
            self.snapshot = self._desk.run(lambda desk: self._reader.read(desk.store), LONGEST)
            self.alarms = alarms_of(self.snapshot)
            if self.failure:
                logger.info("%s can be read again.", capitalized(self.snapshot.place))
            self.failure, self._away_since = "", None
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Late):
            reason = f"it did not answer within {LONGEST:.0f} seconds"
        elif isinstance(error, UserError) or self.is_error_of_store(error):
            reason = first_line(error)
        else:
            reason = f"{type(error).__name__}: {first_line(error)}"
            logger.exception("The snapshot failed.")
        if reason != self.failure:
            logger.warning("The store cannot be read: %s.", reason)
        self.failure = reason
        self._away_since = self._away_since or datetime.now(UTC)
        alarms = [alarm for alarm in self.alarms if alarm.name != "store_away"]
        self.alarms = [away("The store", self._away_since, reason), *alarms]

    def board(self, name: str) -> BoardState | None:
        boards = self.snapshot.boards if self.snapshot else []
        return next((board for board in boards if board.board == name), None)

    def metrics(self) -> bytes:
        """The text for Prometheus."""
        return self._metrics.text(self.snapshot, self.snapshot is not None and not self.failure)

    def overview(self) -> dict[str, Any]:
        """What the overview shows."""
        if self.snapshot is None:
            return {"boards": [], "download": None, "series": None}
        since = hour_of(self.snapshot.at - SPAN)
        download = downloads.download("coverage", since=f"{since:%Y-%m-%dT%H:%M}")
        return {"download": download, **rows_of(self.snapshot, self.alarms)}


def rows_of(snapshot: Snapshot, alarms: list[Alarm]) -> dict[str, Any]:
    """The rows of the overview's table, and the line of the accounts."""
    starts = hours_between(hour_of(snapshot.at - SPAN), snapshot.at)
    of_accounts = dict(snapshot.account_hours)
    boards = []
    for board in worst_first(snapshot.boards, alarms):
        hours = {hour.start: hour.posts for hour in board.numbers.hours}
        boards.append({
            "board": board, "posts": board.posts_an_hour(snapshot.at), "coverage": coverage(board.numbers.hours),
            "delay": delay(board.numbers.since(hour_of(snapshot.at) - HOUR)), "polled_at": board.numbers.polled_at,
            "spark": sparkline([hours.get(start, 0) for start in starts], "posts an hour"),
        })  # fmt: skip
    series = sparkline([of_accounts.get(start, 0) for start in starts], "posts of accounts an hour")
    return {"boards": boards, "series": series}
