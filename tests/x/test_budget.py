"""The bill of a day: what is reserved, what is granted where the budget ends, what is billed."""

from __future__ import annotations

import asyncio
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.exceptions import IgnoreRequest

from chancrawl.engine import Broadcast
from chancrawl.errors import UserError
from chancrawl.x.budget import Bill, Budget, Reservation
from tests.x.stubs import Ledger, stub_crawler

PRICES = {"X_PRICE_POST": 0.005, "X_PRICE_USER": 0.01, "X_PRICE_TRENDS": 0.01}


def budget_of(folder: Path, **settings: Any) -> tuple[Budget, Ledger]:
    crawler = stub_crawler(folder, **PRICES | settings)
    budget, ledger = Budget(crawler.settings, crawler.stats, Broadcast(crawler)), Ledger()
    budget.spending = ledger
    return budget, ledger


def test_a_request_is_reserved_at_its_highest_price_and_settled_at_its_true_one(tmp_path: Path) -> None:
    async def run() -> None:
        budget, ledger = budget_of(tmp_path)
        reservation, granted = await budget.reserve("posts", 100)
        assert granted == 100 and sum(ledger.entries) == pytest.approx(0.5)
        await budget.settle(reservation, Bill(posts=7))
        assert sum(ledger.entries) == pytest.approx(0.035)
        assert budget.stats.get_value("x/dollars") == pytest.approx(0.035)
        assert budget.stats.get_value("x/billed/posts") == 7

    asyncio.run(run())


@pytest.mark.parametrize(
    "kind,count,settings,dollars",
    [
        ("posts", 10, {}, 0.05),
        ("users", 10, {}, 0.1),
        ("trends", 1, {}, 0.01),
        # each post can bring two others, and four users
        ("posts", 10, {"X_BILL_INCLUDES": True}, 0.005 * 30 + 0.01 * 40),
        ("users", 10, {"X_BILL_INCLUDES": True}, 0.1),
    ],
)
def test_prices(tmp_path: Path, kind: str, count: int, settings: dict[str, Any], dollars: float) -> None:
    budget, ledger = budget_of(tmp_path, **settings)
    asyncio.run(budget.reserve(kind, count))
    assert ledger.entries == [pytest.approx(dollars)]


def test_where_the_budget_ends_less_is_granted_and_then_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        budget, _ = budget_of(tmp_path, X_DAILY_BUDGET="0.7")
        first, granted = await budget.reserve("posts", 100, 5)
        assert granted == 100
        second, granted = await budget.reserve("posts", 100, 5)
        assert granted == 40
        await budget.settle(first, Bill(posts=100))
        await budget.settle(second, Bill(posts=39))
        with pytest.raises(UserError, match=r"The budget of \$0\.7"):
            await budget.reserve("posts", 100, 5)
        assert (await budget.reserve("posts", 1))[1] == 1  # one post can still be paid for

    asyncio.run(run())


def test_who_cannot_pay_waits_for_a_request_that_turns_out_cheaper(tmp_path: Path) -> None:
    async def run() -> None:
        budget, _ = budget_of(tmp_path, X_DAILY_BUDGET="0.5")
        first, _ = await budget.reserve("posts", 100)
        waiting = asyncio.ensure_future(budget.reserve("posts", 60, 60))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await budget.settle(first, Bill(posts=40))
        assert (await asyncio.wait_for(waiting, 5))[1] == 60

    asyncio.run(run())


def test_who_waits_for_money_hears_that_the_crawl_is_stopping(tmp_path: Path) -> None:
    async def run() -> None:
        crawler = stub_crawler(tmp_path, X_DAILY_BUDGET="0.5", **PRICES)
        budget = Budget(crawler.settings, crawler.stats, Broadcast(crawler))
        budget.spending = Ledger()
        await budget.reserve("posts", 100)
        crawler.crawling = False
        with pytest.raises(IgnoreRequest):
            await budget.reserve("posts", 100)

    asyncio.run(run())


def test_what_comes_along_is_billed_once_a_day_if_at_all(tmp_path: Path) -> None:
    budget, _ = budget_of(tmp_path, X_BILL_INCLUDES=True)
    assert budget.bill_included([1, 2], [1]) == (2, 1)
    assert budget.bill_included([2, 3], [1]) == (1, 0)
    assert budget_of(tmp_path)[0].bill_included([1, 2], [1]) == (0, 0)


def test_without_a_budget_everything_is_affordable(tmp_path: Path) -> None:
    budget, _ = budget_of(tmp_path)
    assert budget.limit == inf and asyncio.run(budget.affordable("posts")) == 10**9


@given(
    st.floats(0.01, 2.0),
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 100), st.booleans()), max_size=20),
)
def test_a_budget_is_never_overspent(limit: float, requests: list[tuple[int, int, bool]]) -> None:
    async def run() -> None:
        budget, ledger = budget_of(Path(), X_DAILY_BUDGET=str(limit))
        is_open: list[Reservation] = []
        for asked, brought, stays_open in requests:
            if is_open and await budget.affordable("posts") < 1:
                await budget.settle(is_open.pop(), Bill())
            try:
                reservation, granted = await budget.reserve("posts", asked)
            except UserError:
                break
            if stays_open:
                is_open.append(reservation)
            else:
                await budget.settle(reservation, Bill(posts=min(granted, brought)))
            assert sum(ledger.entries) <= limit + 1e-6
        await budget.settle_open()
        assert budget.stats.get_value("x/dollars", 0.0) == pytest.approx(sum(ledger.entries), abs=1e-5)

    asyncio.run(run())
