"""A round over timelines: which accounts of a list are read, and how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scrapy import Request

from chancrawl.items import Account, Feed, Handle, Item
from chancrawl.x.api import id_at
from chancrawl.x.handles import Handles
from chancrawl.x.pagination import Wants
from chancrawl.x.reader import Reader
from chancrawl.x.timelines import TimelineRound, write_next_level
from tests.x.test_reader import IDS, answered, page, reading

NOW = datetime.now(UTC)


@asynccontextmanager
async def round_over(folder: Path, handles: str, *known: Item, **options: Any) -> AsyncIterator[TimelineRound]:
    """A round over a list, where some items are stored already."""
    async with reading(folder, CONCURRENT_REQUESTS=4) as reader:
        for item in known:
            reader.ledger.accept(item)
        yield TimelineRound(reader, Handles(handles, reader.stats), Wants(), **options)


def known(number: int, name: str, visited: timedelta = timedelta(days=2), status: str = "active") -> list[Item]:
    """An account whose timeline was read before."""
    at = NOW - visited
    newest = id_at(at)
    account = Account(number, name, status=status, metrics={"tweet_count": 5}, first_seen_at=at, last_seen_at=at)
    feed = Feed(f"timeline:{number}", newest_id=newest, seen_id=newest, oldest_id=newest - 5, pages=1, posts=5,
                posts_per_day=1.0, visited_at=at, timeline_at=at, complete_since=at, bottom_at=at)  # fmt: skip
    return [account, Handle(name.lower(), number, status, at), feed]


def asked_for(request: Request) -> str:
    """What a request asks for: names, a search, or the account of a timeline."""
    parts, query = urlsplit(request.url), parse_qs(urlsplit(request.url).query)
    return (query.get("usernames") or query.get("query") or [parts.path])[0]


async def read(round_: TimelineRound, users: list[dict[str, Any]] | None = None) -> list[str]:
    """Answer every request of a round, timelines and searches with one post; what was asked for."""
    asked: list[str] = []
    reader: Reader = round_.reader
    async for request in round_.requests():
        asked.append(asked_for(request))
        is_look_up = "usernames=" in request.url
        await answered(reader, request, 200, {"data": users or []} if is_look_up else page(IDS[0]))
    return asked


def user(number: int, name: str, posts: int = 5) -> dict[str, Any]:
    return {"id": str(number), "username": name, "public_metrics": {"tweet_count": posts}}


def test_unknown_names_are_looked_up_and_then_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with round_over(tmp_path, "NASA,esa") as round_:
            asked = await read(round_, [user(1, "NASA"), user(2, "esa", posts=0)])
            assert asked == ["NASA,esa", "/2/users/1/tweets"]  # an account without posts has nothing to read

    asyncio.run(run())


def test_known_accounts_are_read_without_a_look_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with round_over(tmp_path, "NASA", *known(1, "NASA")) as round_:
            assert await read(round_) == ["/2/users/1/tweets"]

    asyncio.run(run())


def test_an_account_that_is_protected_is_passed_over_until_it_is_asked_about_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with round_over(tmp_path, "NASA", *known(1, "NASA", status="protected")) as round_:
            assert await read(round_) == []
            assert round_.stats.get_value("x/handles_passed_over") == 1

    asyncio.run(run())


def test_a_sample_bounds_the_accounts(tmp_path: Path) -> None:
    async def run() -> None:
        async with round_over(tmp_path, "a1,b1", *known(1, "a1"), *known(2, "b1"), sample=1) as round_:
            assert await read(round_) == ["/2/users/1/tweets"]

    asyncio.run(run())


def test_a_follower_comes_again_when_a_post_is_to_be_expected(tmp_path: Path) -> None:
    async def run() -> None:
        lately = known(1, "a1", visited=timedelta(hours=2))  # a post a day
        async with round_over(tmp_path, "a1,b1", *lately, *known(2, "b1"), follow=timedelta(minutes=15)) as round_:
            assert await read(round_) == ["/2/users/2/tweets"]

    asyncio.run(run())


def test_known_accounts_share_a_search(tmp_path: Path) -> None:
    async def run() -> None:
        async with round_over(tmp_path, "a1,b1", *known(1, "a1"), *known(2, "b1"), by_search=True) as round_:
            first, *_ = await read(round_)
            assert set(first.split(" OR ")) == {"from:1", "from:2"}

    asyncio.run(run())


def test_the_next_level_is_written_beside_the_list(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path / "data") as reader:
            handles = tmp_path / "handle.txt"
            handles.write_text("nasa\n")
            await write_next_level(reader.crawler, str(handles))
            assert (tmp_path / "handle.next.txt").read_text() == ""  # nobody was retweeted

    asyncio.run(run())
