from __future__ import annotations

import asyncio
import gzip
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError, IgnoreRequest
from scrapy.http import Response

from chancrawl.http import refusal_of
from chancrawl.middlewares import BackoffMiddleware, BanPolicy, Egress, HttpProxy, RotatingProxies, Unpacking
from chancrawl.surroundings import CleanRecord
from tests.support.engines import Chan, crawl, in_loop, stop

CHAN = Request("http://a.example/po/threads.json")
X = Request("http://a.example/2/tweets", meta={"own_statuses": (400, 401, 402, 403, 404, 429)})
JSON, HTML = "application/json", "text/html; charset=utf-8"
CDN = b'{"title":"Error 1010: Access denied","status":403,"cloudflare_error":true}'
OWN = b'{"title":"Forbidden","status":403,"detail":"Forbidden"}'


@pytest.mark.parametrize(
    "status, kind, body, chan, x",
    [
        (200, JSON, b"{}", None, None),
        (304, JSON, b"", *["304 to a request for the whole file"] * 2),
        (200, JSON, b"<!DOCTYPE html><title>Wait</title>", *["an HTML page in place of JSON (Wait)"] * 2),
        (200, "text/plain", b"\xef\xbb\xbf\n<html>", *["an HTML page in place of JSON"] * 2),
        (400, HTML, b"<title>400 Bad Request</title>", *["400 (400 Bad Request)"] * 2),
        (404, HTML, b"<html>", None, None),
        (200, HTML, b"<html><title>Wait</title>", *["an HTML page in place of JSON (Wait)"] * 2),
        (403, HTML, b"<title>Attention Required!</title>", "403 (Attention Required!)", "403 (Attention Required!)"),
        (403, JSON, CDN, "403 (Error 1010: Access denied)", "403 (Error 1010: Access denied)"),
        (403, JSON, OWN, "403 (Forbidden)", None),
        (401, JSON, OWN, "401 (Forbidden)", None),
        (429, JSON, OWN, "429 (Forbidden)", None),
        (429, JSON, CDN, "429 (Error 1010: Access denied)", "429 (Error 1010: Access denied)"),
        (400, JSON, b"{}", "400", None),
        (302, HTML, b"", "302, a redirection to http://a.example/captcha",
         "302, a redirection to http://a.example/captcha"),
        (204, "", b"", "204", "204"),
        (410, HTML, b"", "410", "410"),
        (503, "", b"", "503", "503"),
        (522, "", b"", "522", "522"),
    ],
)  # fmt: skip
def test_refusals(status: int, kind: str, body: bytes, chan: str | None, x: str | None) -> None:
    headers = {"Content-Type": kind, "Location": "/captcha?secret=1"}
    response = Response("http://a.example/po/threads.json", status=status, headers=headers, body=body)
    assert refusal_of(CHAN, response) == chan
    assert refusal_of(X, response) == x


def test_304_is_an_answer_to_who_has_the_file() -> None:
    request = Request(
        "http://a.example/po/threads.json", headers={"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}
    )
    assert refusal_of(request, Response(request.url, status=304)) is None


def test_the_words_of_a_refusal_are_shown_plainly() -> None:
    body = b"<title>\x1b[31mNo\n2026-11-26 [scrapy] INFO: forged</title>"
    said = refusal_of(CHAN, Response("http://a.example", status=403, headers={"Content-Type": HTML}, body=body))
    assert said == "403 (\\x1b[31mNo\\n2026-11-26 [scrapy] INFO: forged)"


def test_pauses_double_up_to_the_longest() -> None:
    egress, now, pauses = Egress(), 100.0, []
    for _ in range(10):
        pauses.append(egress.strike(now, delay=1, longest=60))
        now = egress.closed_until
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_a_good_answer_opens_the_address() -> None:
    egress = Egress()
    egress.strike(0, 1, 60)
    egress.strike(egress.closed_until, 1, 60)
    egress.welcome(egress.closed_until)
    assert egress.wait(egress.closed_until) == 0
    assert egress.strike(100, 1, 60) == 2


def test_answers_to_requests_under_way_are_one_refusal() -> None:
    egress = Egress()
    egress.strike(0, 1, 60)
    egress.strike(0.5, 1, 60)
    assert egress.strikes == 1


def test_after_a_pause_one_request_goes_alone() -> None:
    egress = Egress()
    egress.strike(0, 1, 60)
    assert egress.wait(1) == 1
    assert egress.wait(2) == 0, "the probe"
    assert egress.wait(2) > 0
    egress.welcome(2.1)
    assert egress.wait(2.2) == egress.wait(2.2) == 0


def test_retry_after_is_kept_where_it_asks_for_more() -> None:
    assert Egress().strike(0, 1, 60, retry_after=30) == 30
    assert Egress().strike(0, 1, 60, retry_after=1) == 2


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=40))
def test_never_longer_than_the_longest_and_never_negative(events: list[tuple[int, bool]]) -> None:
    egress, now = Egress(), 0.0
    for step, refused in events:
        now += step
        if refused:
            assert 0 < egress.strike(now, 1, 60) <= 60
        else:
            egress.welcome(now)
        assert 0 <= egress.wait(now) <= 60


def test_passwords_of_proxies_are_hidden() -> None:
    record = CleanRecord("x", logging.DEBUG, "f", 1, "Proxy <%s> is DEAD", ("http://me:s3cret@h.example:1",), None)
    assert record.getMessage() == "Proxy <http://***@h.example:1> is DEAD"


# --- in a crawl


def answer(status: int = 200, body: bytes = b"{}", kind: str = JSON, **headers: str) -> Response:
    named: dict[str, Any] = {"Content-Type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(CHAN.url, status=status, headers=named, body=body)


@in_loop
async def test_a_refusal_closes_the_address_and_a_good_answer_opens_it(tmp_path: Path) -> None:
    async with crawl(tmp_path, DOWNLOAD_DELAY=0.1) as crawler:
        backoff = BackoffMiddleware.from_crawler(crawler)
        refused = answer(429)
        assert backoff.process_response(CHAN, refused) is refused
        (egress,) = backoff.egresses.values()
        assert egress.strikes == 1 and egress.closed_until > time.monotonic()
        assert crawler.stats.get_value("backoff/refusals") == 1
        assert crawler.stats.get_value("backoff/refusal") == "429" and backoff.struck_since is not None
        egress.closed_until = 0
        backoff.process_response(CHAN, answer())
        assert egress.strikes == 0 and backoff.struck_since is None


@in_loop
async def test_a_page_in_place_of_json_is_no_answer(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        found = BackoffMiddleware(crawler).process_response(CHAN, answer(body=b"<html><title>Wait</title>", kind=HTML))
        assert found.status == 502  # RetryMiddleware retries it


@in_loop
async def test_each_proxy_has_pauses_of_its_own(tmp_path: Path) -> None:
    async with crawl(tmp_path, DOWNLOAD_DELAY=10) as crawler:
        backoff = BackoffMiddleware(crawler)
        first, second = (CHAN.replace(meta={"download_slot": name}) for name in ("one", "two"))
        backoff.process_exception(first, DownloadTimeoutError("slow"))
        await asyncio.wait_for(backoff.process_request(second), 500)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(backoff.process_request(first), 5)
        stop(crawler)
        with pytest.raises(IgnoreRequest):
            await backoff.process_request(first)


@in_loop
async def test_a_request_that_we_dropped_ourselves_is_no_failure_of_the_address(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        backoff = BackoffMiddleware(crawler)
        backoff.process_exception(CHAN, IgnoreRequest("the crawl is stopping"))
        assert "backoff/count" not in crawler.stats.get_stats()
        assert [egress.strikes for egress in backoff.egresses.values()] == [0]


@pytest.mark.parametrize("follows", [False, True])
@in_loop
async def test_only_a_crawl_that_follows_waits_for_a_source_without_a_bound(tmp_path: Path, follows: bool) -> None:
    class Asking(Chan):
        follow = follows

    async with crawl(tmp_path, spider=Asking, SOURCE_PATIENCE=0) as crawler:
        BackoffMiddleware(crawler).process_response(CHAN, answer(503))
        failure = crawler.stats.get_value("failure")
        if follows:
            assert failure is None
        else:
            assert "http://a.example has given no answer" in failure and "refused with 503" in failure


@pytest.mark.parametrize("value, seconds", [("30", 30.0), ("99999", 3600.0), ("-5", 0.0), ("soon", 0.0), (" 5 ", 5.0)])
@in_loop
async def test_retry_after_is_seconds_and_nothing_else(tmp_path: Path, value: str, seconds: float) -> None:
    async with crawl(tmp_path, DOWNLOAD_DELAY=0) as crawler:
        backoff = BackoffMiddleware(crawler)
        backoff.process_response(CHAN, answer(429, Retry_After=value))
        (egress,) = backoff.egresses.values()
        assert egress.closed_until - time.monotonic() == pytest.approx(max(seconds, 0.1), abs=0.2)


@in_loop
async def test_what_cannot_be_unpacked_has_no_body(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        unpacking = Unpacking.from_crawler(crawler)
        packed = answer(body=gzip.compress(b'{"a":1}'), Content_Encoding="gzip")
        found = unpacking.process_response(CHAN, packed)
        assert isinstance(found, Response) and found.body == b'{"a":1}'
        assert found.headers["Content-Type"] == b"application/json; charset=utf-8"
        torn = answer(body=b"\x1f\x8b\x08 no gzip", Content_Encoding="gzip")
        found = unpacking.process_response(CHAN, torn)
        assert found.body == b"" and "Content-Encoding" not in found.headers


@pytest.mark.parametrize("status, kind, body, is_ban", [
    (200, JSON, b"{}", False), (404, HTML, b"<html>", False), (200, HTML, b"<html>", True), (403, HTML, b"", True),
    (503, "", b"", True),
])  # fmt: skip
def test_what_counts_as_a_ban_of_a_proxy(status: int, kind: str, body: bytes, is_ban: bool) -> None:
    assert BanPolicy().response_is_ban(CHAN, answer(status, body, kind)) == is_ban


def test_an_error_of_the_network_is_a_ban_and_a_dropped_request_is_none() -> None:
    assert BanPolicy().exception_is_ban(CHAN, DownloadTimeoutError("slow"))
    assert not BanPolicy().exception_is_ban(CHAN, IgnoreRequest("the crawl is stopping"))


@in_loop
async def test_this_machine_is_not_asked_by_the_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy.example:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with crawl(tmp_path) as crawler:
        proxy = HttpProxy.from_crawler(crawler)
        here, there = Request("http://127.0.0.1:8044/x"), Request("http://a.example/x")
        listed = Request("http://127.0.0.1:8044/x", meta={"proxy": "http://other.example:2"})
        for request in (here, there, listed):
            proxy.process_request(request)
        assert "proxy" not in here.meta and there.meta["proxy"] == "http://proxy.example:1"
        assert listed.meta["proxy"] == "http://other.example:2"


@in_loop
async def test_a_proxy_that_does_not_let_us_in_is_used_no_more_and_the_last_one_ends_the_crawl(tmp_path: Path) -> None:
    listed = ["http://me:x@a:1", "http://b:2"]
    async with crawl(tmp_path, ROTATING_PROXY_LIST=listed) as crawler:
        rotating = RotatingProxies.from_crawler(crawler)
        for left in (1, 0):
            request = CHAN.copy()
            rotating.process_request(request)
            assert request.meta["chosen_proxy"] in rotating.proxies.proxies
            rotating.process_response(request, answer(407))
            assert request.meta["chosen_proxy"] not in rotating.proxies.proxies
            assert len(rotating.proxies.proxies) == left
            assert ("failure" in crawler.stats.get_stats()) == (not left)
        assert crawler.stats.get_value("proxies/refused") == 2
        assert "No proxy is left" in crawler.stats.get_value("failure")
