"""The sandbox's X over a socket of the test's own: what it shows, and what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import make_mocked_request

from chancrawl.sandbox.clock import Clock
from chancrawl.sandbox.faults import Faults
from chancrawl.sandbox.x.gate import Gate, Member, token_of
from chancrawl.sandbox.x.parameters import BadRequest, check_fields, from_token, number_of, time_of
from chancrawl.sandbox.x.parameters import token_of as page_token
from chancrawl.sandbox.x.server import XServer
from chancrawl.sandbox.x.world import ACTIONS, SEARCH_SECONDS, XWorld
from tests.support.engines import in_loop

START = 1_795_000_000.0
MEMBER = Member(1, "key", "secret", "token", "token secret")


class Asker:
    """A session with the server."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def __call__(self, path: str, status: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {token_of(MEMBER)}"}
        async with self.session.get(self.url + path, headers=headers) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


@asynccontextmanager
async def x_of(posts: int = 300) -> AsyncIterator[tuple[Asker, XWorld, XServer]]:
    world = XWorld(1, START, 6, posts)
    server = XServer(world, Gate([MEMBER]), Clock(START, 0), Faults())
    app = web.Application()
    server.add_routes(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with ClientSession() as session:
            yield Asker(session, f"http://127.0.0.1:{runner.addresses[0][1]}"), world, server
    finally:
        await runner.cleanup()


@in_loop
async def test_a_timeline_is_read_page_by_page_to_its_end() -> None:
    async with x_of() as (ask, world, server):
        account = max(world.accounts.values(), key=lambda account: (account.status == "active", len(account.ids)))
        path = f"/2/users/{account.id}/tweets?max_results=5"
        found, token = [], ""
        while True:
            page = await ask(path + token)
            found += [int(post["id"]) for post in page.get("data", [])]
            assert page["meta"]["result_count"] <= 5
            if "next_token" not in page["meta"]:
                break
            token = f"&pagination_token={page['meta']['next_token']}"
        assert found == account.shown()[::-1]
        assert [number for request in server.requests for number in request["ids"]] == found
        since = await ask(f"{path}&since_id={found[2]}")
        assert [int(post["id"]) for post in since["data"]] == found[:2]


@in_loop
async def test_accounts_are_found_by_name_and_missing_ones_are_named() -> None:
    async with x_of() as (ask, world, _):
        name = next(account.username for account in world.accounts.values() if account.status == "active")
        found = await ask(f"/2/users/by?usernames={name},nobody_here")
        assert [user["username"] for user in found["data"]] == [name]
        assert [error["value"] for error in found["errors"]] == ["nobody_here"]
        single = await ask(f"/2/users/by/username/{name.lower()}")
        assert single["data"]["username"] == name


@in_loop
async def test_a_search_shows_posts_of_the_last_seven_days_and_no_retweets() -> None:
    async with x_of() as (ask, world, _):
        account = max(world.accounts.values(), key=lambda each: (each.status == "active", each.ids[-1]))
        ids = world.act(START, "post", account.username, count=3)["ids"]
        world.act(START, "retweet", account.username)
        found = await ask(f"/2/tweets/search/recent?query=from:{account.username}&max_results=100")
        shown = {int(post["id"]) for post in found["data"]}
        assert set(ids) <= shown <= set(account.ids)
        assert world.search(lambda post: True, 0, 2**63 - 1, 10_000)[0] and SEARCH_SECONDS == 7 * 86_400


@pytest.mark.parametrize("path", [
    "/2/users/by?usernames=a&user.fields=nothing",
    "/2/tweets/search/recent?query=from:a&max_results=5000",
    "/2/tweets/search/recent?query=(",
])  # fmt: skip
@in_loop
async def test_what_is_wrong_in_a_request_is_named(path: str) -> None:
    async with x_of() as (ask, *_):
        answer = await ask(path, status=400)
        assert "errors" in answer or answer.get("title")


@in_loop
async def test_without_a_token_nothing_is_shown() -> None:
    async with x_of() as (ask, *_), ask.session.get(f"{ask.url}/2/users/1") as answer:
        assert answer.status == 401


# --- query parameters


def asked(query: str) -> web.Request:
    return make_mocked_request("GET", f"/x?{query}")


def problem_of(error: BadRequest) -> Any:
    """The first of the errors that an answer names."""
    problem: dict[str, Any] = {**error.problem}
    return problem["errors"][0]


def test_numbers_and_times_of_a_query() -> None:
    assert number_of(asked("n=5"), "n", 10) == 5 and number_of(asked(""), "n", 10) == 10
    assert time_of(asked("t=2026-11-21T00:00:00Z"), "t") == datetime(2026, 11, 21, tzinfo=UTC).timestamp()
    assert time_of(asked(""), "t") == 0.0
    for query in ("n=x", "n=-1", "n=101", "n="):
        with pytest.raises(BadRequest):
            number_of(asked(query), "n", 10, 1, 100)
    with pytest.raises(BadRequest) as raised:
        time_of(asked("t=yesterday"), "t")
    assert problem_of(raised.value)["parameters"] == {"t": ["yesterday"]}


def test_fields_that_x_does_not_know_are_refused() -> None:
    check_fields(asked("tweet.fields=text,id&user.fields=&other=x"))
    with pytest.raises(BadRequest) as raised:
        check_fields(asked("tweet.fields=text,nothing"))
    assert problem_of(raised.value)["parameters"] == {"tweet.fields": ["nothing"]}


def test_the_token_of_a_page_comes_back() -> None:
    assert from_token(page_token(2**60), "pagination_token") == 2**60
    with pytest.raises(BadRequest):
        from_token("none", "pagination_token")


# --- what people do


def test_what_has_happened_by_a_time_does_not_depend_on_who_looked_when() -> None:
    once, often = XWorld(1, START, 4, 100), XWorld(1, START, 4, 100)
    once.advance(START + 86_400)
    for hour in range(25):
        often.advance(START + 3600 * hour)
    assert [account.ids for account in once.accounts.values()] == [account.ids for account in often.accounts.values()]
    assert once.recent == often.recent and list(once.truth()) == list(often.truth())


def test_an_account_that_is_renamed_deletes_and_leaves() -> None:
    world = XWorld(1, START, 4, 100)
    account = next(each for each in world.accounts.values() if each.status == "active")
    former = account.username
    newest = account.shown()[-1]
    world.act(START, "rename", former, to="Renamed")
    assert world.find(former) is None and world.find("renamed") is account
    world.act(START, "delete", "Renamed")
    assert newest not in account.shown()
    world.act(START, "suspend", "Renamed")
    assert account.status == "suspended" and account.id not in {row["author_id"] for row in world.truth()}
    world.act(START, "return", "Renamed")
    assert account.status == "active"
    with pytest.raises(ValueError, match=", ".join(ACTIONS)[:20]):
        world.act(START, "explode", "Renamed")
