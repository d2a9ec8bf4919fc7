"""Look-ups: what becomes of names, and what is known of accounts afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from chancrawl.items import Account, Feed, Handle, Item
from chancrawl.x.access import Access
from chancrawl.x.accounts import LookUps, merge
from chancrawl.x.client import XClient
from chancrawl.x.ledger import XLedger
from tests.x.stubs import Ledger, answer, open_session, stub_crawler

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class Asking:
    """Look-ups, and the accounts that they have found: number, and whether the list means it."""

    look_ups: LookUps
    ledger: XLedger
    found: list[tuple[int, bool]] = field(default_factory=list)

    async def answered(self, status: int, payload: Any) -> tuple[list[str], list[Item]]:
        """Send the next look-up, and answer it: the names in it, and the items that follow."""
        request = await self.look_ups.next_request()
        query = parse_qs(urlsplit(request.url).query)
        items = [item async for item in self.look_ups.client.answered(answer(request, status, payload))]
        return (query.get("usernames") or query["ids"])[0].split(","), items


@asynccontextmanager
async def asking(folder: Path, *names: str, by_name: bool = False) -> AsyncIterator[Asking]:
    crawler = stub_crawler(folder)
    async with open_session(crawler):
        Access.of(crawler).budget.spending = Ledger()

        def note(account: Account, feed: Feed, is_meant: bool) -> list[Item]:
            state.found.append((account.id, is_meant))
            return []

        state = Asking(LookUps(XClient(crawler), XLedger.of(crawler), by_name, note), XLedger.of(crawler))
        for name in names:
            state.look_ups.ask_for(name)
        yield state


def user(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "username": name, "name": name, **more}


def missing(name: str) -> dict[str, Any]:
    kind = "https://api.twitter.com/2/problems/resource-not-found"
    return {"value": name, "resource_type": "user", "type": kind, "parameter": "usernames"}


def test_names_become_accounts_and_those_without_one_are_noted(tmp_path: Path) -> None:
    async def run() -> None:
        async with asking(tmp_path, "NASA", "nobody") as state:
            asked, items = await state.answered(200, {"data": [user(1, "NASA")], "errors": [missing("nobody")]})
            assert asked == ["NASA", "nobody"] and state.found == [(1, True)]
            handles = {item.handle: (item.account_id, item.status) for item in items if isinstance(item, Handle)}
            assert handles == {"nasa": (1, "active"), "nobody": (None, "missing")}
            assert not state.look_ups.names

    asyncio.run(run())


def test_a_name_is_asked_for_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with asking(tmp_path) as state:
            assert state.look_ups.ask_for("NASA") and not state.look_ups.ask_for("nasa")
            assert state.look_ups.names == ["NASA"]

    asyncio.run(run())


def test_names_and_numbers_go_into_requests_of_their_own(tmp_path: Path) -> None:
    async def run() -> None:
        async with asking(tmp_path, "a", "id:7", "b") as state:
            assert (await state.answered(200, {"data": [user(1, "a"), user(2, "b")]}))[0] == ["a", "b"]
            assert (await state.answered(200, {"data": [user(7, "c")]}))[0] == ["7"]

    asyncio.run(run())


def test_names_that_an_answer_passes_over_are_asked_for_again(tmp_path: Path) -> None:
    async def run() -> None:
        began = time.monotonic()
        async with asking(tmp_path, "a", "b") as state:
            await state.answered(200, {"data": [user(1, "a")]})
            assert state.look_ups.names == ["b"] and state.look_ups._paused_until > began  # after a pause

    asyncio.run(run())


def test_an_answer_by_which_nobody_is_there_is_an_outage(tmp_path: Path) -> None:
    async def run() -> None:
        names = ["a", "b", "c", "d", "e"]
        async with asking(tmp_path, *names) as state:
            _, items = await state.answered(200, {"errors": [missing(name) for name in names]})
            assert items == [] and state.look_ups.names == names

    asyncio.run(run())


def test_a_name_that_x_refuses_costs_itself_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        wrong = {"errors": [{"parameters": {"usernames": ["?"]}, "message": "not valid"}]}
        async with asking(tmp_path, "a", "b") as state:
            await state.answered(400, wrong)
            assert (await state.answered(400, wrong))[0] == ["a"]
            assert (await state.answered(200, {"data": [user(2, "b")]}))[0] == ["b"]
            assert "@a could not be looked up: not valid." in caplog.text
            assert state.look_ups.stats.get_value("x/handles_failed") == 1

    asyncio.run(run())


@pytest.mark.parametrize("by_name", [False, True])
def test_a_name_stands_for_the_account_that_had_it_first(
    tmp_path: Path, by_name: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with asking(tmp_path, "nasa", by_name=by_name) as state:
            state.ledger.accept(Handle("nasa", 1, "active", NOW))
            _, items = await state.answered(200, {"data": [user(2, "nasa")]})
            assert state.found == [(2, by_name)]
            (handle,) = [item for item in items if isinstance(item, Handle)]
            assert handle.account_id == (2 if by_name else 1)
            assert ("@nasa now belongs to another account: id:2." in caplog.text) == (not by_name)

    asyncio.run(run())


def test_a_name_that_nobody_has_any_more_stands_for_its_account(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with asking(tmp_path, "nasa") as state:
            state.ledger.accept(Handle("nasa", 1, "active", NOW))
            await state.answered(200, {"errors": [missing("nasa")]})
            assert "No account has the name @nasa now (missing); the account that had it, id:1" in caplog.text

    asyncio.run(run())


def test_a_known_account_that_is_still_not_there_is_noted(tmp_path: Path) -> None:
    async def run() -> None:
        async with asking(tmp_path) as state:
            state.look_ups.ask_about(Account(1, "NASA", status="suspended"))
            _, items = await state.answered(200, {"errors": [missing("NASA")]})
            assert [(item.id, item.status) for item in items if isinstance(item, Account)] == [(1, "missing")]

    asyncio.run(run())


# --- what is known of an account


def test_what_a_timeline_does_not_show_of_an_account_stays() -> None:
    held = Account(1, "a", name="A", description="long", metrics={"tweet_count": 4, "listed_count": 2}, raw={"x": 1})
    merged = merge(held, Account(1, "b", metrics={"tweet_count": 5}))
    assert merged is not None and (merged.username, merged.former_usernames) == ("b", ["a"])
    assert (merged.name, merged.description, merged.raw) == ("A", "long", {"x": 1})
    assert merged.metrics == {"tweet_count": 5, "listed_count": 2}


def test_nothing_new_is_no_change() -> None:
    held = Account(1, "a", name="A", last_seen_at=NOW)
    assert merge(held, replace(held, last_seen_at=datetime.now(UTC))) is None


def test_an_account_that_takes_its_old_name_back_has_one_former_name() -> None:
    merged = merge(Account(1, "b", former_usernames=["a"]), Account(1, "a"))
    assert merged is not None and merged.former_usernames == ["b"]
