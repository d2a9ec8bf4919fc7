"""What 4chan's client makes of answers: payloads, what cannot be read, and times. Without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from scrapy.http import Response

from chancrawl.imageboards import fourchan
from chancrawl.imageboards.client import ChanClient, plausible, source_of
from chancrawl.imageboards.diff import Observation
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.payload import Malformed
from tests.support.engines import crawl, in_loop

NOW = datetime.now(UTC).replace(microsecond=0)
THREADS = b'[{"page": 1, "threads": [{"no": 5, "last_modified": 1700000000, "replies": 3}]}]'


def date(time: datetime) -> str:
    return format_datetime(time, usegmt=True)


def answer(body: bytes = THREADS, path: str = "/po/threads.json", **headers: str) -> Response:
    named: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(f"https://a.4cdn.org{path}", headers=named, body=body)


@asynccontextmanager
async def client_of(folder: Path, **settings: Any) -> AsyncIterator[ChanClient]:
    async with crawl(folder, **settings) as crawler:
        yield ChanClient(crawler, FOURCHAN)


def kept(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted((folder / "quarantine").glob("*.body"))]


# --- requests


@in_loop
async def test_a_request_is_conditional_and_its_304_and_404_are_answers(tmp_path: Path) -> None:
    async with client_of(tmp_path, CHAN_API_URL="https://a.4cdn.org/") as client:
        assert source_of(client.crawler, FOURCHAN) == "https://a.4cdn.org"
        request = client.request("/po/thread/5.json", "Sat, 21 Nov 2026 00:00:00 GMT", meta={"dont_retry": True})
        assert request.url == "https://a.4cdn.org/po/thread/5.json" and request.dont_filter
        assert request.headers["If-Modified-Since"] == b"Sat, 21 Nov 2026 00:00:00 GMT"
        assert request.meta == {"handle_httpstatus_list": [304, 404], "dont_retry": True}
        assert "If-Modified-Since" not in client.request("/po/thread/5.json", None).headers


@pytest.mark.parametrize("path, is_bounded", [
    ("/po/threads.json", True),
    ("/po/archive.json", True),
    (fourchan.BOARDS, True),
    ("/po/catalog.json", False),
    ("/po/thread/5.json", False),
])  # fmt: skip
@in_loop
async def test_lists_that_are_far_too_long_are_not_read(tmp_path: Path, path: str, is_bounded: bool) -> None:
    async with client_of(tmp_path) as client:
        assert client.request(path, None).meta.get("download_maxsize") == (fourchan.MOST_BYTES if is_bounded else None)


# --- payloads


@in_loop
async def test_a_payload_is_parsed_and_its_oddities_are_named(tmp_path: Path) -> None:
    body = b'[{"page": 1, "threads": [{"no": 5, "last_modified": 1700000000, "replies": 3}, {"no": "x"}]}]'
    async with client_of(tmp_path) as client:
        entries, problems = client.parse(answer(body), fourchan.parse_index)
        assert list(entries) == [5] and len(problems) == 1
        client.report(answer(body), problems)
    assert kept(tmp_path) == [body]


@pytest.mark.parametrize("body", [b"", b"[{", b'"text"', b'[{"page": 1, "threads": [{"no": "x"}]}]'])
@in_loop
async def test_what_cannot_be_read_is_set_aside_to_the_byte(tmp_path: Path, body: bytes) -> None:
    async with client_of(tmp_path) as client:
        with pytest.raises(Malformed):
            client.parse(answer(body), fourchan.parse_index)
        assert client.crawler.stats.get_value("quarantine/payloads") == 1
    assert kept(tmp_path) == [body]


@in_loop
async def test_a_payload_that_had_to_be_mended_is_read_and_set_aside(tmp_path: Path) -> None:
    body = THREADS.replace(b'"replies": 3', b'"replies": 3, "sub": "\xff"')
    async with client_of(tmp_path) as client:
        entries, problems = client.parse(answer(body), fourchan.parse_index)
        assert entries[5].replies == 3 and problems == []
    assert kept(tmp_path) == [body]


@in_loop
async def test_a_good_payload_is_not_set_aside(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        client.report(answer(), client.parse(answer(), fourchan.parse_index)[1])
    assert kept(tmp_path) == []


# --- times


@pytest.mark.parametrize("changed_before, is_exact", [(60, True), (1, True), (0, False)])
@in_loop
async def test_an_index_read_in_the_second_of_its_change_is_read_again(
    tmp_path: Path, changed_before: int, is_exact: bool
) -> None:
    modified = NOW - timedelta(seconds=changed_before)
    async with client_of(tmp_path) as client:
        found = client.index_validator(answer(Date=date(NOW), Last_Modified=date(modified)))
        assert found == date(modified if is_exact else modified - timedelta(seconds=1))


@in_loop
async def test_without_a_time_of_the_answer_the_validator_is_what_was_sent(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        assert client.index_validator(answer(Last_Modified=date(NOW))) == date(NOW)
        assert client.index_validator(answer(Date=date(NOW))) is None


@in_loop
async def test_a_time_of_an_answer_that_cannot_be_right_makes_the_validator_weak(tmp_path: Path) -> None:
    modified = NOW - timedelta(hours=1)
    async with client_of(tmp_path) as client:
        response = answer(Date="Fri, 01 Jan 1999 00:00:00 GMT", Last_Modified=date(modified))
        assert client.index_validator(response) == date(modified - timedelta(seconds=1))


@in_loop
async def test_an_observation_has_the_servers_time_and_the_name_of_its_body(tmp_path: Path) -> None:
    modified = NOW - timedelta(minutes=1)
    async with client_of(tmp_path) as client:
        response = answer(path="/po/thread/5.json", Date=date(NOW), Last_Modified=date(modified))
        own = client.observation(response)
        assert own == Observation(NOW, modified, date(modified), True, date(modified))
        other = client.observation(response, is_own=False)
        assert other == Observation(NOW, modified, f"/po/thread/5.json {date(modified)}", False, None)
        bare = client.observation(answer(path="/po/catalog.json"), is_own=False)
        assert bare.upto is None and abs(bare.at - datetime.now(UTC)) < timedelta(seconds=5)


def test_times_of_an_index_that_lie_in_the_future_are_taken_for_none() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    soon, far = int(at.timestamp()) + 3600, int(at.timestamp()) + 90_000
    entries = {1: IndexEntry(1, soon, 3, 0), 2: IndexEntry(2, far, 4, 1), 3: IndexEntry(3, None, 5, 2)}
    found = plausible(entries, at)
    assert [entry.last_modified for entry in found.values()] == [soon, None, None]
    assert [entry.replies for entry in found.values()] == [3, 4, 5]
