"""Reading feeds page by page: in which order, what is believed, what is left for the next run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from scrapy import Request

from chancrawl.items import Account, Feed, Item, Tweet
from chancrawl.x import reader as reader_module
from chancrawl.x.access import Access
from chancrawl.x.api import SEARCH, TIMELINE, id_at
from chancrawl.x.batched_search import BatchReader
from chancrawl.x.pagination import TRIES, FeedPager, Wants
from chancrawl.x.query_batches import QueryBatch
from chancrawl.x.rate_limits import Pool, ServerClock
from chancrawl.x.reader import Reader, Visit
from tests.x.stubs import Ledger, answer, credential, open_session, stub_crawler

NOW = datetime.now(UTC)
IDS = [id_at(NOW - timedelta(minutes=minutes)) for minutes in range(10, 100)]


@asynccontextmanager
async def reading(folder: Path, **settings: Any) -> AsyncIterator[Reader]:
    """A reader with two credentials, and without pauses."""
    crawler = stub_crawler(folder, X_PRICE_POST=0.005, **settings)
    async with open_session(crawler):
        access = Access.of(crawler)
        access.pool = Pool([credential(0), credential(1)], ServerClock(time.time(), time.monotonic()))
        access.budget.spending = Ledger()
        yield Reader(crawler)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "pause_before", lambda tries: 0.0)


def visit_of(number: int, urgency: float = 0.0, **raw: Any) -> Visit:
    account = Account(number, f"user{number}", metrics={"tweet_count": 1}, raw=raw)
    return Visit(FeedPager(Feed(f"timeline:{number}"), TIMELINE, Wants()), account=account, urgency=urgency)


def page(*ids: int, token: str | None = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"result_count": len(ids)} | ({"next_token": token} if token else {})
    return {"data": [{"id": str(number), "text": "x"} for number in ids], "meta": meta}


def refusal(kind: str) -> dict[str, Any]:
    """Why a timeline is not shown."""
    name = {"protected": "not-authorized-for-resource", "missing": "resource-not-found"}[kind]
    error = {"resource_type": "user", "parameter": "id", "type": f"https://api.twitter.com/2/problems/{name}"}
    return {"errors": [error]}


def next_page(reader: Reader) -> Request:
    request = reader.next_request()
    assert request is not None
    return request


def account_in(request: Request) -> int:
    return int(urlsplit(request.url).path.split("/")[3])


async def answered(reader: Reader, request: Request, status: int, payload: Any, key: str = "user:0") -> list[Item]:
    """Answer a request; the items that follow."""
    request.meta["x"].credential = key
    return [item async for item in reader.client.answered(answer(request, status, payload))]


def test_the_longest_feed_is_read_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path, CONCURRENT_REQUESTS=2) as reader:
            for number, urgency in ((1, 1), (2, 30), (3, 2)):
                reader.add(visit_of(number, urgency))
            requests = [next_page(reader), next_page(reader)]
            assert [account_in(request) for request in requests] == [2, 3]
            assert not reader.has_room() and reader.next_request() is None
            await answered(reader, requests[0], 200, page(IDS[0], token="t"))
            assert account_in(next_page(reader)) == 2  # it is still the longest one

    asyncio.run(run())


def test_pages_are_read_until_an_answer_says_that_there_is_no_next_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            visit = visit_of(1)
            reader.add(visit)
            items = await answered(reader, next_page(reader), 200, page(*IDS[:3], token="t"))
            assert [item.id for item in items if isinstance(item, Tweet)] == IDS[:3]
            request = next_page(reader)
            assert "pagination_token=t" in request.url and not reader.is_idle
            items = await answered(reader, request, 200, page(*IDS[3:5]))
            (feed,) = [item for item in items if isinstance(item, Feed)]
            assert feed.posts == 5 and feed.oldest_id == IDS[4] and feed.bottom_at is not None
            assert reader.is_idle and reader.stats.get_value("x/walks") == 1

    asyncio.run(run())


def test_an_author_who_is_not_sent_is_the_account_of_the_timeline(tmp_path: Path) -> None:
    """X16."""

    async def run() -> None:
        async with reading(tmp_path) as reader:
            reader.add(visit_of(7))
            payload = page(*IDS[:2])
            payload["data"][1]["author_id"] = "7"  # and `includes` has no users
            items = await answered(reader, next_page(reader), 200, payload)
            tweets = [item for item in items if isinstance(item, Tweet)]
            assert [(tweet.author_id, tweet.username) for tweet in tweets] == [(7, "user7")] * 2

    asyncio.run(run())


def test_a_feed_that_cannot_be_read_is_left_for_the_next_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            reader.add(visit_of(1))
            for _ in range(TRIES):
                await answered(reader, next_page(reader), 200, {"errors": [{"code": 34, "message": "no page"}]})
            assert reader.is_idle and reader.stats.get_value("x/walks_failed") == 1
            assert "The timeline of @user1 was not read to its end (no page)" in caplog.text

    asyncio.run(run())


def test_a_page_token_that_is_refused_is_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            reader.add(visit_of(1))
            await answered(reader, next_page(reader), 200, page(*IDS[:3], token="old"))
            wrong = {"errors": [{"parameters": {"pagination_token": ["old"]}, "message": "wrong token"}]}
            await answered(reader, next_page(reader), 400, wrong)
            request = next_page(reader)
            assert "pagination_token" not in request.url and f"until_id={IDS[2]}" in request.url

    asyncio.run(run())


def test_a_time_that_is_refused_is_corrected_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            reader.add(Visit(FeedPager(Feed("search:a", newest_id=IDS[-1]), SEARCH, Wants()), query="a"))
            wrong = {"errors": [{"parameters": {"since_id": ["1"]}, "message": "too old"}]}
            await answered(reader, next_page(reader), 400, wrong)
            await answered(reader, next_page(reader), 400, wrong)
            assert reader.is_idle and reader.stats.get_value("x/queries_failed") == 1

    asyncio.run(run())


@pytest.mark.parametrize("others_are_shown,statuses", [(True, {"missing"}), (False, set())])
def test_a_refusal_is_believed_while_other_timelines_are_shown(
    tmp_path: Path, others_are_shown: bool, statuses: set[str]
) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            reader.add(visit_of(1, urgency=9))
            reader.add(visit_of(2))
            first, other = next_page(reader), next_page(reader)
            items = await answered(reader, first, 200, refusal("missing"))
            if others_are_shown:
                await answered(reader, other, 200, page(IDS[0]))
            items += await answered(reader, next_page(reader), 200, refusal("missing"))
            assert {item.status for item in items if isinstance(item, Account)} == statuses

    asyncio.run(run())


def test_an_account_that_has_blocked_a_credential_is_asked_for_with_another(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            visit, blocked = visit_of(1, protected=False), list[Visit]()
            visit.on_blocked = blocked.append
            reader.add(visit)
            await answered(reader, next_page(reader), 200, refusal("protected"), "user:0")
            request = next_page(reader)
            assert request.meta["x"].avoid == {"user:0"} and blocked == []
            await answered(reader, request, 200, refusal("protected"), "user:1")
            assert blocked == [visit] and reader.is_idle

    asyncio.run(run())


def test_what_a_search_does_not_reach_is_a_gap_in_the_words_of_its_endpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            long_ago = id_at(NOW - timedelta(days=20))
            reader.add(Visit(FeedPager(Feed("search:a", newest_id=long_ago), SEARCH, Wants()), query="a"))
            await answered(reader, next_page(reader), 200, page(IDS[0]))
            assert "X shows no more than the latest seven days." in caplog.text
            assert reader.stats.get_value("x/gaps") == 1

    asyncio.run(run())


# --- several timelines in one search


def batch() -> tuple[QueryBatch, dict[int, Account]]:
    feeds = [Feed(f"timeline:{number}", newest_id=IDS[50], seen_id=IDS[50]) for number in (1, 2)]
    accounts = {number: Account(number, f"user{number}", metrics={"tweet_count": 10}) for number in (1, 2)}
    return QueryBatch(feeds, IDS[50]), accounts


async def first_request(searches: BatchReader) -> Request:
    return await anext(aiter(searches.requests()))


def test_an_account_with_more_posts_than_a_search_found_is_read_by_its_timeline(tmp_path: Path) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            searched, accounts = batch()
            searches = BatchReader(reader, accounts)
            searches.add(searched)
            request = await first_request(searches)
            assert "query=from%3A1+OR+from%3A2" in request.url and f"since_id={IDS[50]}" in request.url
            shown = page(IDS[0], IDS[1])
            for post, author in zip(shown["data"], "12", strict=True):
                post["author_id"] = author
            shown["includes"] = {"users": [  # of the first, two posts are new
                {"id": "1", "username": "user1", "public_metrics": {"tweet_count": 12}},
                {"id": "2", "username": "user2", "public_metrics": {"tweet_count": 11}},
            ]}  # fmt: skip
            items = await answered(reader, request, 200, shown)
            assert [item.found_in for item in items if isinstance(item, Tweet)] == [["timeline:1"], ["timeline:2"]]
            assert [feed.feed for feed in searches.incomplete()] == ["timeline:1"]
            assert reader.stats.get_value("x/searches") == 1

    asyncio.run(run())


def test_when_a_search_fails_its_timelines_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with reading(tmp_path) as reader:
            searched, accounts = batch()
            searches = BatchReader(reader, accounts)
            searches.add(searched)
            request = await first_request(searches)
            await answered(reader, request, 400, {"errors": [{"parameters": {"query": ["x"]}, "message": "too long"}]})
            assert searches.incomplete() == searched.feeds
            assert "A batched search failed (too long); reading its 2 timelines instead." in caplog.text

    asyncio.run(run())
