"""Which credential a request gets, how long it waits for one, and what answers teach."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import TextResponse

from chancrawl.errors import UserError
from chancrawl.x.access import Access
from chancrawl.x.rate_limits import EVERYWHERE, Call, Pool, ServerClock
from tests.x.stubs import NothingShared, answer, credential, stub_crawler


def access_of(folder: Path, credentials: int = 2, is_clock_known: bool = True, **settings: Any) -> Access:
    access = Access.of(stub_crawler(folder, **settings))
    clock = ServerClock(time.time(), time.monotonic())
    clock.is_known = is_clock_known
    access.pool = Pool([credential(number) for number in range(credentials)], clock, ["trends"])
    access.shared = NothingShared(access.pool)  # type: ignore[assignment]
    return access


def exhausted(access: Access, key: str, seconds: float) -> None:
    """Note that a credential has no call to the timeline left for so many seconds."""
    standing = access.pool.standing(key, "timeline")
    standing.limit, standing.remaining = 1, 0
    standing.reset = access.pool.clock.at(time.monotonic()) + seconds


REQUEST = Request("http://x.example/2/users/1/tweets", meta={"own_statuses": (400, 401, 402, 403, 404, 429)})


async def learn(access: Access, status: int, payload: Any, *calls: Call, **headers: str) -> str | None:
    """Let a call be answered; why it is to be asked again."""
    call = calls[0] if calls else await access.take("timeline")
    return await access.answered(call, REQUEST, answer(REQUEST, status, payload, **headers))


def window(remaining: int, seconds: float) -> dict[str, str]:
    """The headers of an answer."""
    reset = str(int(time.time() + seconds))
    return {"x_rate_limit_limit": "10", "x_rate_limit_remaining": str(remaining), "x_rate_limit_reset": reset}


# --- choosing


def test_the_credential_with_most_calls_left_is_taken(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path)
        await learn(access, 200, {}, **window(3, 900))
        await learn(access, 200, {}, **window(8, 900))
        assert (await access.take("timeline")).key == "user:1"
        assert (await access.take("timeline", avoid=["user:1"])).key == "user:0"

    asyncio.run(run())


def test_no_user_token_is_sent_to_an_endpoint_for_apps(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trends wants an app's bearer token"):
        asyncio.run(access_of(tmp_path).take("trends"))


def test_a_target_that_is_closed_to_all_credentials_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(IgnoreRequest, match="no other credential is left"):
        asyncio.run(access_of(tmp_path, 1).take("timeline", avoid=["user:0"]))


# --- waiting


def test_a_used_up_window_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        access = access_of(tmp_path)
        exhausted(access, "user:0", 60)
        exhausted(access, "user:1", 1.05)
        began = time.monotonic()
        with caplog.at_level(logging.INFO):
            assert (await access.take("timeline")).key == "user:1"
        assert 0.9 < time.monotonic() - began < 5
        assert "2 credentials have used up their calls to timeline; continuing in 1 s, at" in caplog.text
        assert access.stats.get_value("x/waits") == 1

    asyncio.run(run())


def test_until_the_first_answer_one_call_goes_ahead(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path, is_clock_known=False)
        first = await access.take("timeline")
        others = [asyncio.ensure_future(access.take("timeline")) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert not any(other.done() for other in others)
        await learn(access, 200, {}, first, **window(9, 900))
        keys = sorted(call.key for call in await asyncio.wait_for(asyncio.gather(*others), 5))
        assert keys == ["user:0", "user:0", "user:1"]

    asyncio.run(run())


def test_an_answer_wakes_everybody_who_waits(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path, 1)
        first = await access.take("timeline")
        others = [asyncio.ensure_future(access.take("timeline")) for _ in range(5)]
        await asyncio.sleep(0.01)
        began = time.monotonic()
        await learn(access, 200, {}, first, **window(9, 900))
        await asyncio.wait_for(asyncio.gather(*others), 5)
        assert time.monotonic() - began < 0.4  # nobody had to look by himself

    asyncio.run(run())


@pytest.mark.parametrize("follow,is_ended", [(None, True), ("15m", False)])
def test_a_crawl_without_follow_does_not_wait_for_ever(tmp_path: Path, follow: str | None, is_ended: bool) -> None:
    async def run() -> None:
        crawler = stub_crawler(tmp_path, SOURCE_PATIENCE=10)
        crawler.spider.follow = follow  # type: ignore[union-attr]
        access = Access.of(crawler)
        access.pool = access_of(tmp_path, 1).pool
        exhausted(access, "user:0", 900)
        taking = asyncio.ensure_future(access.take("timeline"))
        await asyncio.wait([taking], timeout=0.05)
        if is_ended:
            with pytest.raises(UserError, match="No call to timeline is left until"):
                await taking
        assert taking.done() == is_ended
        taking.cancel()

    asyncio.run(run())


def test_who_waits_hears_that_the_crawl_is_stopping(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path, 1)
        exhausted(access, "user:0", 900)
        taking = asyncio.ensure_future(access.take("timeline"))
        await asyncio.sleep(0.01)
        access.crawler.crawling = False
        with pytest.raises(IgnoreRequest, match="stopping"):
            await asyncio.wait_for(taking, 5)

    asyncio.run(run())


def test_a_call_that_other_crawls_have_taken_is_not_counted_as_sent(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path, 1)
        access.shared.is_used_up = True  # type: ignore[attr-defined]
        taking = asyncio.ensure_future(access.take("timeline"))
        await asyncio.sleep(0.01)
        assert access.pool.in_flight == 0 and not taking.done()
        access.crawler.crawling = False
        taking.cancel()

    asyncio.run(run())


# --- answers


@pytest.mark.parametrize(
    "status,payload,why,place",
    [
        (200, {"data": []}, None, None),
        (404, {"title": "Not Found"}, None, None),
        (400, {"title": "Invalid Request"}, None, None),
        (401, {"title": "Unauthorized"}, "revoked", EVERYWHERE),
        (402, {"title": "Credits Depleted"}, "out of credits", EVERYWHERE),
        (403, {"title": "Forbidden"}, "not entitled", "timeline"),
        (403, {"title": "Forbidden", "type": "x/client-forbidden"}, "not entitled, as X says", "timeline"),
        (429, {"title": "UsageCapExceeded"}, "over its cap", EVERYWHERE),
        # what stands before the API says nothing of a credential
        (403, {"title": "Error 1010", "cloudflare_error": True}, None, None),
        (503, {"title": "Service Unavailable"}, None, None),
    ],
)
def test_what_an_answer_says_of_a_credential(
    tmp_path: Path, status: int, payload: Any, why: str | None, place: str | None
) -> None:
    async def run() -> None:
        access = access_of(tmp_path)
        assert await learn(access, status, payload) == why
        marked = {
            (place, standing.retired or standing.doubted)
            for (_, place), standing in access.pool.standings.items()
            if standing.retired or standing.doubted
        }
        assert marked == ({(place, why)} if why else set())
        assert access.pool.in_flight == 0

    asyncio.run(run())


def test_an_html_page_teaches_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path, is_clock_known=False)
        call = await access.take("timeline")
        page = TextResponse(REQUEST.url, 403, headers={"Content-Type": "text/html"}, body=b"<html>", request=REQUEST)
        assert await access.answered(call, REQUEST, page) is None
        assert not access.pool.clock.is_known and len(access.pool.usable("timeline")) == 2

    asyncio.run(run())


def test_a_429_is_asked_again_and_the_credential_rests(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path, 1)
        assert await learn(access, 429, {"title": "Too Many Requests"}) == "limited"
        choice = access.pool.next("timeline", time.monotonic())
        assert isinstance(choice, float) and 0.5 < choice <= 1.0
        assert access.stats.get_value("x/limited") == 1

    asyncio.run(run())


def test_a_cap_is_that_of_all_credentials_of_an_app(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path, 3)
        access.pool.credentials["user:2"] = credential(2, app="another")
        await learn(access, 429, {"title": "UsageCapExceeded"})
        assert [held.key for held in access.pool.usable("timeline")] == ["user:2"]

    asyncio.run(run())


def test_a_credential_that_is_given_up_is_named_once_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        access = access_of(tmp_path)
        await learn(access, 402, {"title": "Credits Depleted"})
        await learn(access, 200, {})
        assert access.shared.noted == [("user:0", EVERYWHERE, "out of credits")]  # type: ignore[attr-defined]
        sentence = "Credential line 0 was refused and is no longer used: out of credits (Credits Depleted)."
        assert caplog.text.count(sentence) == 1

    asyncio.run(run())


def test_when_all_are_given_up_the_sentence_says_why(tmp_path: Path) -> None:
    async def run() -> None:
        access = access_of(tmp_path, 1)
        await learn(access, 402, {"title": "Credits Depleted"})
        with pytest.raises(UserError, match=r"No usable credential is left for timeline \(out of credits\)\. X says"):
            await access.take("timeline")

    asyncio.run(run())
