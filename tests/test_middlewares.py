from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import Response

from chancrawl.middlewares import Egress, HidePasswords, is_ban


@pytest.mark.parametrize(
    "status, ban", [(200, 0), (304, 0), (404, 0), (403, 1), (408, 1), (429, 1), (503, 1), (522, 1)]
)
def test_bans(status: int, ban: bool) -> None:
    assert is_ban(Response("http://a.example", status=status)) == bool(ban)


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
    record = logging.LogRecord(
        "x", logging.DEBUG, "f", 1, "Proxy <%s> is DEAD", ("http://me:s3cret@h.example:1",), None
    )
    assert HidePasswords().filter(record)
    assert record.getMessage() == "Proxy <http://***@h.example:1> is DEAD"
