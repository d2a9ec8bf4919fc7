"""Times in headers, and addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from chancrawl.http import Dates, http_date, http_time, is_local, is_of_the_api, is_same_site, problem_of, reason_of
from tests.support.engines import crawl, in_loop

NOW = datetime.now(UTC).replace(microsecond=0)


def answer(**headers: str) -> Response:
    named: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response("https://a.4cdn.org/po/threads.json", headers=named)


def date(time: datetime) -> str:
    return format_datetime(time, usegmt=True)


@pytest.mark.parametrize("value, time", [
    ("Sat, 21 Nov 2026 00:00:00 GMT", datetime(2026, 11, 21, tzinfo=UTC)),
    ("Sat, 21 Nov 2026 01:00:00 +0100", datetime(2026, 11, 21, tzinfo=UTC)),
    ("Sat, 21 Nov 2026 00:00:00 -0000", None),  # without a zone
    (None, None), ("", None), ("yesterday", None), ("Sat, 99 Nov 2026 00:00:00 GMT", None),
    ("Fri, 31 Dec 9999 23:59:59 -2300", None),
])  # fmt: skip
def test_a_header_that_is_no_time_is_none(value: str | None, time: datetime | None) -> None:
    assert http_time(value) == time


def test_a_time_comes_back_from_its_header() -> None:
    assert http_time(http_date(NOW.timestamp())) == NOW


@pytest.mark.parametrize("url, other, same", [
    ("https://a.4cdn.org", "http://a.4cdn.org/", True),
    ("https://A.4cdn.org", "https://a.4cdn.org", True),
    ("https://a.4cdn.org", "https://a.4cdn.org:8443", False),
    ("https://h/one", "https://h/two", False),
    ("https://h/one/", "http://h/one", True),
])  # fmt: skip
def test_addresses_of_one_site(url: str, other: str, same: bool) -> None:
    assert is_same_site(url, other) == is_same_site(other, url) == same


@pytest.mark.parametrize("url, local", [
    ("http://127.0.0.1:8044", True), ("http://127.9.9.9", True), ("http://localhost/x", True), ("http://[::1]:1", True),
    ("https://a.4cdn.org", False), ("https://x.localhost.org", False),
    ("nonsense", False),
])  # fmt: skip
def test_addresses_of_this_machine(url: str, local: bool) -> None:
    assert is_local(url) == local


# --- the times of a source


@in_loop
async def test_the_servers_clock_is_believed_within_the_tolerance(tmp_path: Path) -> None:
    async with crawl(tmp_path, CLOCK_TOLERANCE=3600) as crawler:
        dates = Dates(crawler)
        near = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=50)
        assert dates.told(answer(Date=date(near))) == dates.now(answer(Date=date(near))) == near
        assert dates.told(answer()) is None
        assert "clock/not_believed" not in crawler.stats.get_stats()


@pytest.mark.parametrize("off", [timedelta(hours=2), timedelta(hours=-2), timedelta(days=-9000)])
@in_loop
async def test_a_clock_that_cannot_be_right_is_replaced_by_ours_and_named_once(
    tmp_path: Path, off: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    async with crawl(tmp_path, CLOCK_TOLERANCE=3600) as crawler:
        dates = Dates(crawler)
        for _ in range(3):
            assert dates.told(answer(Date=date(NOW + off))) is None
            assert abs(dates.now(answer(Date=date(NOW + off))) - datetime.now(UTC)) < timedelta(seconds=5)
        assert crawler.stats.get_value("clock/not_believed") == 6
    assert sum("set the clock of this machine" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("ahead, is_kept", [(-86400 * 400, True), (0, True), (1800, True), (7200, False)])
@in_loop
async def test_a_last_modified_in_the_future_is_none(tmp_path: Path, ahead: int, is_kept: bool) -> None:
    async with crawl(tmp_path, CLOCK_TOLERANCE=3600) as crawler:
        value = date(NOW + timedelta(seconds=ahead))
        found = Dates(crawler).last_modified(answer(Date=date(NOW), Last_Modified=value))
        assert found == (value if is_kept else None)


@in_loop
async def test_a_last_modified_that_is_no_time_is_kept_to_the_letter(tmp_path: Path) -> None:
    """The server compares it for equality."""
    async with crawl(tmp_path) as crawler:
        assert Dates(crawler).last_modified(answer(Last_Modified="yesterday")) == "yesterday"
        assert Dates(crawler).last_modified(answer()) is None


# --- errors


@pytest.mark.parametrize("kind, body, problem", [
    ("application/json", b'{"title": "No"}', {"title": "No"}),
    ("application/problem+json", b'{"title": "No"}', {"title": "No"}),
    ("text/html", b'{"title": "No"}', {}),
    ("application/json", b"[1]", {}),
    ("application/json", b"{", {}),
    ("application/json", b"[" * 100_000, {}),
])  # fmt: skip
def test_the_problem_of_an_error_answer(kind: str, body: bytes, problem: dict[str, str]) -> None:
    assert problem_of(Response("https://h", headers={"Content-Type": kind}, body=body)) == problem


def test_an_error_of_the_cdn_is_not_the_apis() -> None:
    def error(body: bytes) -> Response:
        return Response("https://h", status=403, headers={"Content-Type": "application/json"}, body=body)

    assert is_of_the_api(error(b'{"title": "Forbidden"}'))
    assert not is_of_the_api(error(b'{"title": "Error 1010", "cloudflare_error": true}'))


def test_why_a_request_came_to_nothing() -> None:
    assert reason_of(Failure(DownloadTimeoutError("too slow"))) == "too slow"  # type: ignore[no-untyped-call]
    assert reason_of(Failure(DownloadTimeoutError())) == "DownloadTimeoutError"  # type: ignore[no-untyped-call]
    failure = Failure(HttpError(Response("https://h", status=503), "ignored"))  # type: ignore[no-untyped-call]
    failure.request = Request("https://h")  # type: ignore[attr-defined]
    assert reason_of(failure) == "answered 503"
