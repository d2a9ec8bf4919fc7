"""Which posts are new, which are noted again, and what counts as stored: in either store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from scrapy.crawler import Crawler

from chancrawl.items import Account, Feed, Handle, Tweet
from chancrawl.storage.session import Session
from chancrawl.x.ledger import XLedger
from tests.x.stubs import open_session

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def tweet(number: int, feed: str = "timeline:1", likes: int = 0, seen_at: datetime = NOW) -> Tweet:
    metrics = {"like_count": likes}
    return Tweet(
        number, 1, "a", NOW, metrics=metrics, first_metrics=metrics, found_in=[feed], raw={"id": str(number)},
        first_seen_at=seen_at, last_seen_at=seen_at,
    )  # fmt: skip


async def stored(crawler: Crawler, *tweets: Tweet) -> None:
    """Have posts stored, as another crawl would."""
    session = Session.of(crawler)
    await session.call(session.prepare)
    await session.call(session.store.take_in, [replace(each) for each in tweets])


def ids(tweets: list[Tweet]) -> list[int]:
    return [each.id for each in tweets]


def test_what_was_never_seen_is_new_once(crawler: Crawler) -> None:
    async def run() -> None:
        async with open_session(crawler):
            ledger = XLedger.of(crawler)
            new, changed, read_today = await ledger.sift([tweet(1), tweet(2), tweet(1)])
            assert (ids(new), changed, read_today) == ([1, 2], [], {1})
            new, changed, read_today = await ledger.sift([tweet(1), tweet(3)])  # while the first are on their way
            assert (ids(new), changed, read_today) == ([3], [], {1})

    asyncio.run(run())


def test_a_post_on_its_way_that_another_feed_shows_is_noted_again(crawler: Crawler) -> None:
    async def run() -> None:
        async with open_session(crawler):
            ledger = XLedger.of(crawler)
            await ledger.sift([tweet(1)])
            new, changed, _ = await ledger.sift([tweet(1, "search:a")])
            assert new == [] and ids(changed) == [1] and changed[0].is_seen_again
            assert (await ledger.sift([tweet(1, "search:a")]))[1] == []

    asyncio.run(run())


def test_what_is_stored_is_noted_when_its_counts_or_feeds_have_changed(crawler: Crawler) -> None:
    async def run() -> None:
        async with open_session(crawler):
            yesterday = NOW - timedelta(days=1)
            await stored(crawler, *(tweet(number, seen_at=yesterday) for number in (1, 2, 3)), tweet(4))
            ledger = XLedger.of(crawler)
            page = [tweet(1), tweet(2, likes=5), tweet(3, "search:a"), tweet(4)]
            new, changed, read_today = await ledger.sift(page)
            assert new == [] and ids(changed) == [2, 3] and read_today == {4}
            assert changed[0].first_metrics == {"like_count": 0} and changed[0].first_seen_at == yesterday
            assert changed[1].found_in == ["timeline:1", "search:a"]

    asyncio.run(run())


def test_a_post_that_was_rejected_is_new_again_and_one_that_is_committed_is_not(crawler: Crawler) -> None:
    async def run() -> None:
        async with open_session(crawler):
            ledger = XLedger.of(crawler)
            (first, second), _, _ = await ledger.sift([tweet(1), tweet(2)])
            assert ledger.accept(first) == ledger.accept(second) == "tweet"
            ledger.reject(first)
            await stored(crawler, second)
            ledger.committed(second)
            new, changed, _ = await ledger.sift([tweet(1), tweet(2)])
            assert ids(new) == [1] and changed == []

    asyncio.run(run())


def test_state_on_its_way_counts_as_stored_until_it_is_rejected(crawler: Crawler) -> None:
    async def run() -> None:
        async with open_session(crawler):
            ledger = XLedger.of(crawler)
            handle, feed = Handle("nasa", 7, "active", NOW), Feed("timeline:7", newest_id=5, pages=2)
            account = Account(7, "NASA", status="active")
            assert [ledger.accept(item) for item in (handle, feed, account)] == ["handle", "feed", "account"]
            assert await ledger.handles(["nasa", "esa"]) == {"nasa": handle}
            assert await ledger.accounts([7]) == {7: account}
            assert (await ledger.feeds(["timeline:7", "timeline:8"]))["timeline:8"] == Feed("timeline:8")
            ledger.accept(Feed("timeline:7", newest_id=1, pages=1))  # the page before comes later
            assert (await ledger.feeds(["timeline:7"]))["timeline:7"].newest_id == 5
            ledger.committed(account)
            ledger.reject(handle)
            assert await ledger.handles(["nasa"]) == {} and await ledger.accounts([7]) == {}

    asyncio.run(run())


def test_a_feed_that_is_asked_for_is_a_copy(crawler: Crawler) -> None:
    async def run() -> None:
        async with open_session(crawler):
            ledger = XLedger.of(crawler)
            ledger.accept(Feed("timeline:7", pages=2))
            (await ledger.feeds(["timeline:7"]))["timeline:7"].pages = 99
            assert (await ledger.feeds(["timeline:7"]))["timeline:7"].pages == 2

    asyncio.run(run())
