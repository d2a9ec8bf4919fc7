"""What crawls with the same credentials and budget share: windows, refusals and spending, in the store of their rows.

In PostgreSQL every call is taken from the shared row before it is sent, so that several processes together stay within
a window and within the budget. A folder of CSV files has one crawl at a time: its ledger only remembers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from chancrawl.storage.base import moment
from chancrawl.storage.session import Session
from chancrawl.text import first_line
from chancrawl.x.rate_limits import LONGEST_WINDOW, Limit, Pool

logger = logging.getLogger(__name__)

# After so long a refused credential is tried again: credits are bought, entitlements change.
FORGIVEN_AFTER = {
    "over its cap": timedelta(hours=1),
    "not entitled, as X says": timedelta(days=1),
    "out of credits": timedelta(hours=1),
    "not entitled": timedelta(days=1),
    "revoked": timedelta(days=30),
}

# While nothing is known of a window, `remaining` counts its calls downwards from 0.
TAKE = """
INSERT INTO credential_limits (credential, endpoint, remaining)
SELECT ?, ?, -1 WHERE NOT EXISTS
    (SELECT 1 FROM credential_limits WHERE credential = ? AND endpoint = '*' AND retired IS NOT NULL)
ON CONFLICT (credential, endpoint) DO UPDATE SET
    remaining = CASE WHEN credential_limits.reset_at NOT BETWEEN ? AND ? THEN credential_limits.call_limit - 1
                     ELSE credential_limits.remaining - 1 END,
    reset_at = CASE WHEN credential_limits.reset_at NOT BETWEEN ? AND ? THEN NULL ELSE credential_limits.reset_at END
WHERE credential_limits.retired IS NULL
  AND (credential_limits.remaining IS NULL OR credential_limits.remaining > 0
       OR credential_limits.reset_at IS NULL OR credential_limits.reset_at NOT BETWEEN ? AND ?)
RETURNING call_limit, remaining, reset_at
"""
LEARN = """
INSERT INTO credential_limits (credential, endpoint, call_limit, remaining, reset_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (credential, endpoint) DO UPDATE SET
    call_limit = excluded.call_limit,
    remaining = CASE WHEN credential_limits.call_limit IS NULL AND credential_limits.remaining < 0
                      AND excluded.call_limit + credential_limits.remaining < excluded.remaining
                     THEN excluded.call_limit + credential_limits.remaining
                     WHEN credential_limits.call_limit IS NULL THEN excluded.remaining
                     WHEN credential_limits.reset_at > excluded.reset_at THEN credential_limits.remaining
                     WHEN credential_limits.reset_at < excluded.reset_at THEN excluded.remaining
                     WHEN credential_limits.remaining < excluded.remaining THEN credential_limits.remaining
                     ELSE excluded.remaining END,
    reset_at = CASE WHEN credential_limits.reset_at > excluded.reset_at THEN credential_limits.reset_at
                    ELSE excluded.reset_at END
"""
RETIRE = """
INSERT INTO credential_limits (credential, endpoint, retired, retired_at) VALUES (?, ?, ?, ?)
ON CONFLICT (credential, endpoint) DO UPDATE SET
    retired = excluded.retired,
    retired_at = CASE WHEN credential_limits.retired = excluded.retired THEN credential_limits.retired_at
                      ELSE excluded.retired_at END
"""
SPEND = """
INSERT INTO spending (day, posts, users, trends, dollars) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (day) DO UPDATE SET
    posts = spending.posts + excluded.posts, users = spending.users + excluded.users,
    trends = spending.trends + excluded.trends, dollars = spending.dollars + excluded.dollars
WHERE excluded.dollars <= 0 OR spending.dollars + excluded.dollars <= ?
RETURNING dollars
"""


ROUNDING = 1e-9
"""Dollars by which a sum may be above a budget that it uses up exactly: as floats, 0.1 + 0.2 is above 0.3."""


@dataclass(slots=True)
class Reads:
    """Billable reads."""

    posts: int = 0
    users: int = 0
    trends: int = 0
    dollars: float = 0.0


class SharedLimits:
    """Windows, refusals and spending, in the store."""

    def __init__(self, session: Session, pool: Pool) -> None:
        self.session = session
        self.pool = pool
        self.store = session.store.another()
        self._shared: dict[tuple[str, str], tuple[int | None, float | None]] = {}  # calls left and reset, as last read
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shared-limits")
        self._unwritten: dict[date, Reads] = {}  # while there is no ledger yet
        self._written_at = 0.0
        self._is_out_of_reach = False

    async def open(self, is_bounded: bool) -> None:
        """Connect, and load what is known. With a budget, the store is there before the first request is paid."""
        if is_bounded:
            await self.session.call(self.session.prepare)
        if self.store is not None:
            await self.session.call(self.session.store.prepare)
            await self._in_thread(self.store.open)
        await self._load()

    async def close(self) -> None:
        """Write what is not written yet, and disconnect."""
        if self.store is None:
            await self._remember()
            if self.session.store.is_created:
                await self._write_unwritten()
        else:
            await self._in_thread(self.store.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _rows(self, sql: str, *parameters: Any) -> list[Any] | None:
        """The answer of the store; None while it is out of reach, when each crawl counts for itself."""
        if self.store is None:
            rows: list[Any] = await self.session.call(self.session.store.rows, sql, *parameters)
            return rows
        try:
            if self._is_out_of_reach:
                await self._in_thread(self.store.connect)
            rows = await self._in_thread(self.store.rows, sql, *parameters)
        except self.store.errors as error:
            if not self.store.is_outage(error):
                raise
            if not self._is_out_of_reach:
                logger.warning("The state of credentials is not shared for now: %s.", first_line(error))
            self._is_out_of_reach = True
            return None
        self._is_out_of_reach = False
        return rows

    # --- windows and refusals

    async def _load(self) -> None:
        sql = "SELECT credential, endpoint, call_limit, remaining, reset_at, retired, retired_at FROM credential_limits"
        for key, endpoint, limit, remaining, reset, retired, retired_at in await self._rows(sql) or ():
            if key not in self.pool.credentials:
                continue
            standing = self.pool.standing(key, endpoint)
            if reset is None or reset <= time.time() + 2 * LONGEST_WINDOW:  # else it was never a window
                standing.limit, standing.remaining, standing.reset = limit, remaining or 0, reset
            since = moment(retired_at)
            if retired and since and datetime.now(UTC) - since < FORGIVEN_AFTER.get(retired, timedelta(0)):
                standing.retired = retired
            elif retired:
                await self._rows(RETIRE, key, endpoint, None, None)

    async def take(self, key: str, endpoint: str, server_now: float) -> bool:
        """Take one call from a shared window. False if other crawls have used it up; the pool is told until when."""
        if self.store is None:
            return True
        ends = server_now, server_now + 2 * LONGEST_WINDOW  # a window that ends later was never one
        taken = await self._rows(TAKE, key, endpoint, key, *ends, *ends, *ends)
        if taken is None:
            return True
        standing = self.pool.standing(key, endpoint)
        if not taken:
            sql = (
                "SELECT endpoint, call_limit, remaining, reset_at, retired FROM credential_limits "
                "WHERE credential = ? AND endpoint IN (?, '*')"
            )
            for place, limit, remaining, reset, retired in await self._rows(sql, key, endpoint) or ():
                self.pool.standing(key, place).retired = retired
                if place == endpoint:
                    standing.limit, standing.remaining, standing.reset = limit, min(remaining or 0, 0), reset
            return False
        limit, remaining, reset = taken[0]
        self._shared[key, endpoint] = remaining, reset
        if standing.limit is None and limit is not None:
            standing.limit = limit
        if reset is not None and remaining is not None and (standing.reset is None or standing.reset <= reset):
            is_known = standing.reset == reset
            standing.reset = reset
            standing.remaining = min(standing.remaining, remaining) if is_known else remaining
        return True

    async def learned(self, key: str, endpoint: str, window: Limit) -> None:
        """Note what an answer said of a window."""
        if self.store is not None:
            remaining, reset = self._shared.get((key, endpoint), (None, None))
            if reset == window.reset and remaining is not None and remaining <= window.remaining:
                return  # nothing that the store does not know
            await self._rows(LEARN, key, endpoint, window.limit, window.remaining, window.reset)
        elif time.monotonic() > self._written_at + 2.0:
            await self._remember()

    async def _remember(self) -> None:
        self._written_at = time.monotonic()
        for (key, endpoint), standing in list(self.pool.standings.items()):
            if standing.limit is not None and standing.reset is not None:
                await self._rows(LEARN, key, endpoint, standing.limit, max(standing.remaining, 0), standing.reset)
            if standing.retired and not standing.for_now:
                await self.retired(key, endpoint, standing.retired)

    async def retired(self, key: str, endpoint: str, why: str) -> None:
        """Note a refusal. One that is noted already keeps its time, after which it is forgiven."""
        await self._rows(RETIRE, key, endpoint, why, datetime.now(UTC))

    # --- spending

    async def spend(self, day: date, reads: Reads, budget: float) -> bool:
        """Put reads (or, negative, what was not read after all) on a day's bill. False if the budget forbids it."""
        if self.store is None and not self.session.store.is_created:
            unwritten = self._unwritten.setdefault(day, Reads())
            if reads.dollars > 0 and unwritten.dollars + reads.dollars > budget + ROUNDING:
                return False
            _add(unwritten, reads)
            return True
        await self._write_unwritten()
        return await self._spend(day, reads, budget)

    async def _write_unwritten(self) -> None:
        if self._unwritten and not self._is_out_of_reach:
            unwritten, self._unwritten = self._unwritten, {}
            for day, reads in unwritten.items():
                await self._spend(day, reads, float("inf"))

    async def _spend(self, day: date, reads: Reads, budget: float) -> bool:
        if reads.dollars > budget + ROUNDING:
            return False
        values = (day.isoformat(), reads.posts, reads.users, reads.trends, round(reads.dollars, 6))
        rows = await self._rows(SPEND, *values, min(budget, 1e15) + ROUNDING)
        if rows is None:  # the store is out of reach: kept until it is back
            _add(self._unwritten.setdefault(day, Reads()), reads)
            return True
        return bool(rows)

    async def spent(self, day: date) -> float:
        """Dollars on a day's bill."""
        unwritten = self._unwritten.get(day, Reads()).dollars
        rows = await self._rows("SELECT dollars FROM spending WHERE day = ?", day.isoformat())
        return unwritten + (float(rows[0][0]) if rows else 0.0)


def _add(total: Reads, more: Reads) -> None:
    total.posts += more.posts
    total.users += more.users
    total.trends += more.trends
    total.dollars += more.dollars
