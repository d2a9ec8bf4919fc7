from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import Response

from chancrawl.http import refusal_of
from chancrawl.middlewares import Egress
from chancrawl.surroundings import CleanRecord

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
