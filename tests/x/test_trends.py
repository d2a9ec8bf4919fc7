"""A round over places: their trends, and searches for posts about them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scrapy import Request

from chancrawl.items import Feed, Item, Trend
from chancrawl.x.reader import Reader
from chancrawl.x.trends import TrendingRound, query_of
from tests.x.test_reader import answered, reading

NOW = datetime.now(UTC)
EMPTY = {"meta": {"result_count": 0}}


def trends(*names: str) -> dict[str, Any]:
    return {"data": [{"trend_name": name, "tweet_count": 5} for name in names]}


async def run_round(reader: Reader, round_: TrendingRound, place: dict[str, Any]) -> tuple[list[str], list[Item]]:
    """Answer every request of a round: what was asked for, and the items."""
    asked: list[str] = []
    items: list[Item] = []
    async for request in round_.requests():
        asked.append(name_of(request))
        payload = place if "/trends/" in request.url else EMPTY
        items += await answered(reader, request, 200, payload)
    return asked, items


def name_of(request: Request) -> str:
    parts = urlsplit(request.url)
    return parse_qs(parts.query).get("query", [parts.path])[0]


def test_each_trend_of_a_place_is_searched_for_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            asked, items = await run_round(reader, TrendingRound(reader, [1], 100), trends("#a", "b c", "#A"))
            assert asked == ["/2/trends/by/woeid/1", "#a", '"b c"']
            assert [item.name for item in items if isinstance(item, Trend)] == ["#a", "b c", "#A"]
            assert reader.stats.get_value("x/places") == 1

    asyncio.run(run())


def test_without_posts_the_trends_alone_are_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            asked, _ = await run_round(reader, TrendingRound(reader, [1, 5], 0), trends("#a"))
            assert asked == ["/2/trends/by/woeid/1", "/2/trends/by/woeid/5"]

    asyncio.run(run())


def test_a_sample_bounds_the_trends_of_a_place(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            asked, _ = await run_round(reader, TrendingRound(reader, [1], 100, sample=1), trends("#a", "#b"))
            assert asked == ["/2/trends/by/woeid/1", "#a"]

    asyncio.run(run())


def test_a_trend_that_was_searched_for_within_the_window_is_not_searched_for_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            visited_at = datetime.now(UTC) - timedelta(minutes=5)
            reader.ledger.accept(Feed("trend:#a", visited_at=visited_at, pages=1))
            asked, _ = await run_round(reader, TrendingRound(reader, [1], 100), trends("#a", "#b"))
            assert asked == ["/2/trends/by/woeid/1", "#b"]
            assert reader.stats.get_value("x/trends_held") == 1

    asyncio.run(run())


def test_a_place_that_x_refuses_is_asked_for_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            wrong = {"title": "Invalid Request", "errors": [{"parameters": {"woeid": ["1"]}, "message": "no place"}]}
            requests = [request async for request in one_answer(reader, TrendingRound(reader, [1], 100), 400, wrong)]
            assert len(requests) == 1 and reader.stats.get_value("x/places_failed") == 1

    asyncio.run(run())


async def one_answer(reader: Reader, round_: TrendingRound, status: int, payload: Any) -> Any:
    async for request in round_.requests():
        yield request
        await answered(reader, request, status, payload)


def test_a_hashtag_is_searched_for_as_it_is_and_words_as_a_phrase() -> None:
    assert [query_of(name) for name in ("#a", "$b", "a b", '#a "b')] == ["#a", "$b", '"a b"', '"#a b"']
