"""The bill: prices, what a request may cost until it is answered, and the budget of a day.

A request is put on the bill of its day at the most that it can cost, before it is sent. Its answer, or its end without
one, settles that: then the bill says what was really read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import inf
from typing import Protocol

from scrapy.settings import BaseSettings
from scrapy.statscollectors import StatsCollector

from chancrawl.engine import Broadcast
from chancrawl.errors import UserError
from chancrawl.x.shared_limits import Reads

MOST_PER_POST = (3, 4)
"""Posts and users that one post can bring at most: comes with one that it answers and one that it quotes, and with
the authors of the three and whom it answers. (Earlier versions of an edited post can come besides.)"""


@dataclass(frozen=True, slots=True)
class Bill:
    """What an answer has brought that X charges for."""

    posts: int = 0
    users: int = 0
    trends: int = 0


@dataclass(slots=True)
class Reservation:
    """Reads that a request may bring, on the bill of its day until its answer says how many there were."""

    day: date
    reads: Reads


class Spending(Protocol):
    """Where a day's bill is kept; see `SharedLimits`."""

    async def spend(self, day: date, reads: Reads, budget: float) -> bool:
        """Put reads on a day's bill. False if the budget forbids it."""

    async def spent(self, day: date) -> float:
        """Dollars on a day's bill."""


class Budget:
    """The bill of a crawl, within the budget of the day that all crawls into one store share."""

    spending: Spending

    def __init__(self, settings: BaseSettings, stats: StatsCollector, answers: Broadcast) -> None:
        self.stats = stats
        self.answers = answers
        self.prices = {
            "posts": settings.getfloat("X_PRICE_POST"),
            "users": settings.getfloat("X_PRICE_USER"),
            "trends": settings.getfloat("X_PRICE_TRENDS"),
        }
        self.limit = settings.getfloat("X_DAILY_BUDGET") if settings.get("X_DAILY_BUDGET") else inf
        self.with_includes = settings.getbool("X_BILL_INCLUDES")
        self._billed: tuple[date | None, set[tuple[str, int]]] = (None, set())  # what `includes` had today
        self._open: dict[int, Reservation] = {}  # of requests that are under way, on the bill at their highest price

    async def reserve(self, kind: str, count: int, least: int = 1) -> tuple[Reservation, int]:
        """Put a request on the bill at the most that it can cost; less is asked for where the budget ends.

        UserError when not even `least` can be paid for, and nothing is under way that might turn out cheaper.
        """
        while True:
            day = datetime.now(UTC).date()
            granted = min(count, await self.affordable(kind))
            if granted >= least:
                reads = self._at_most(kind, granted)
                if await self.spending.spend(day, reads, self.limit):
                    self._count(reads)
                    reservation = Reservation(day, reads)
                    self._open[id(reservation)] = reservation
                    return reservation, granted
            if not self._open:
                raise UserError(
                    f"The budget of ${self.limit:g} for {day} is spent. What was read is stored; the crawl goes on "
                    "where it stopped when it is started tomorrow, or with a higher X_DAILY_BUDGET.",
                    reason="budget_spent",
                )
            await self.answers.wait(0.5)

    async def affordable(self, kind: str) -> int:
        """How many reads the budget still allows today."""
        price = self._at_most(kind, 1).dollars
        if self.limit == inf or not price:
            return 10**9
        return int((self.limit - await self.spending.spent(datetime.now(UTC).date())) / price + 1e-6)

    async def settle(self, reservation: Reservation, bill: Bill) -> None:
        """Put what a request has really read on the bill, in place of its reservation."""
        counts = {kind: getattr(bill, kind) - getattr(reservation.reads, kind) for kind in self.prices}
        back = self._reads(counts)
        await self.spending.spend(reservation.day, back, inf)
        self._open.pop(id(reservation), None)  # only now: who waits for it looks at the bill next
        self._count(back)
        self.answers.notify()

    async def settle_open(self) -> None:
        """Settle requests that were to be asked again when the crawl ended: they have read nothing."""
        for reservation in list(self._open.values()):
            await self.settle(reservation, Bill())

    def bill_included(self, posts: Iterable[int], users: Iterable[int]) -> tuple[int, int]:
        """How many of the posts and users in `includes` go on the bill: each once a day, if X bills them at all."""
        if not self.with_includes:
            return 0, 0
        today = datetime.now(UTC).date()
        if self._billed[0] != today:
            self._billed = today, set()
        billed = self._billed[1]
        new_posts = {("post", number) for number in posts} - billed
        new_users = {("user", number) for number in users} - billed
        billed |= new_posts | new_users
        return len(new_posts), len(new_users)

    def _at_most(self, kind: str, count: int) -> Reads:
        """What so many reads can cost at most, with what comes along."""
        counts = {kind: count}
        if kind == "posts" and self.with_includes:
            posts, users = MOST_PER_POST
            counts = {"posts": posts * count, "users": users * count}
        return self._reads(counts)

    def _reads(self, counts: Mapping[str, int]) -> Reads:
        return Reads(**counts, dollars=sum(count * self.prices[kind] for kind, count in counts.items()))

    def _count(self, reads: Reads) -> None:
        for kind in self.prices:
            if getattr(reads, kind):
                self.stats.inc_value(f"x/billed/{kind}", getattr(reads, kind))
        self.stats.set_value("x/dollars", round(self.stats.get_value("x/dollars", 0.0) + reads.dollars, 6))
