"""Which credential may call what, when: the pool and its windows."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.x.credentials import Credential
from chancrawl.x.rate_limits import EVERYWHERE, Call, Limit, Pool, ServerClock
from tests.x.stubs import credential


def pool(number: int, start: float = 1000.0) -> Pool:
    return Pool([credential(n) for n in range(number)], ServerClock(start, 0.0))


def test_the_server_clock_is_never_ahead() -> None:
    clock = ServerClock(wall=5000.0, now=0.0)
    assert clock.at(1.0) == 5001.0
    clock.tell(7000.0, now=1.9)  # cut from 7000.9
    clock.tell(7003.0, now=4.0)  # cut from 7003.0
    clock.tell(7003.0, now=4.6)
    assert clock.at(4.0) == pytest.approx(7003.0)
    clock.tell(None, now=9.0)
    assert clock.at(5.0) == pytest.approx(7004.0)
    clock.tell(99_000.0, now=10.0)  # somebody's wrong clock
    clock.tell(7010.0, now=11.0)
    assert clock.at(11.0) == pytest.approx(7010.0)


def test_the_server_clock_at_first_is_ours() -> None:
    clock = ServerClock(wall=5000.0, now=0.0)
    clock.tell(None, now=1.0)
    assert clock.is_known and clock.at(1.0) == 5001.0
    clock.tell(7003.0, now=4.0)
    assert clock.at(5.0) == pytest.approx(7004.0)


def test_untried_credentials_first_then_the_one_with_most_calls_left() -> None:
    held = pool(2)
    assert held.next("timeline", 0.0) == credential(0)
    first = held.sent("user:0", "timeline", 0.0)
    held.succeeded(first, Limit(10, 5, 1900.0))
    assert held.next("timeline", 0.0) == credential(1)
    second = held.sent("user:1", "timeline", 0.0)
    assert held.next("timeline", 0.0) == credential(0)  # the other one is being tried
    held.succeeded(second, Limit(10, 9, 1900.0))
    assert held.next("timeline", 0.0) == credential(1)


def test_a_spent_window_is_waited_for_and_then_tried_with_one_call() -> None:
    held = pool(1)
    held.succeeded(held.sent("user:0", "timeline", 0.0), Limit(1, 0, 1900.0))
    assert held.next("timeline", 0.0) == 900.0
    assert held.next("users", 0.0) == credential(0)  # another endpoint, another window
    held.sent("user:0", "timeline", 900.0)
    assert held.next("timeline", 900.0) == inf


def test_answers_in_any_order_leave_the_same() -> None:
    held = pool(1)
    held.succeeded(held.sent("user:0", "timeline", 0.0), Limit(3, 2, 1900.0))
    second, third = held.sent("user:0", "timeline", 0.0), held.sent("user:0", "timeline", 0.0)
    held.succeeded(third, Limit(3, 0, 1900.0))
    held.succeeded(second, Limit(3, 1, 1900.0))
    assert held.next("timeline", 0.0) == 900.0


def test_a_call_that_was_not_counted_is_had_after_all() -> None:
    held = pool(1)
    held.succeeded(held.sent("user:0", "timeline", 0.0), Limit(3, 2, 1900.0))
    held.failed(held.sent("user:0", "timeline", 0.0))
    held.succeeded(held.sent("user:0", "timeline", 0.0), Limit(3, 1, 1900.0))
    assert held.next("timeline", 0.0) == credential(0)


def test_a_429_without_headers_keeps_it_away_for_longer_and_longer() -> None:
    held = pool(1)
    pauses = []
    now = 0.0
    for _ in range(4):
        pauses.append(held.limited(held.sent("user:0", "timeline", now), None, now))
        wait = held.next("timeline", now)
        assert wait == pauses[-1]
        now += pauses[-1]
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_a_refused_credential_is_given_up_when_another_works() -> None:
    held = pool(2)
    first, second = held.sent("user:0", "users", 0.0), held.sent("user:1", "users", 0.0)
    held.refused(first, "revoked", everywhere=True, now=1.0)
    assert held.next("timeline", 1.0) == credential(1)  # doubted for all endpoints
    held.succeeded(second, Limit(9, 8, 1900.0))  # it was sent before
    assert held.standing("user:0", EVERYWHERE).retired is None
    held.succeeded(held.sent("user:1", "users", 2.0), Limit(9, 7, 1900.0))
    assert held.standing("user:0", EVERYWHERE).retired == "revoked"


def test_credits_that_are_gone_are_no_outage() -> None:
    held = pool(1)
    held.refused(held.sent("user:0", "users", 0.0), "out of credits", everywhere=True, now=0.0)
    assert held.next("timeline", 0.0) is None


def test_a_403_is_for_one_endpoint() -> None:
    held = pool(2)
    held.refused(held.sent("user:0", "timeline", 0.0), "not entitled", everywhere=False, now=0.0)
    held.succeeded(held.sent("user:1", "timeline", 1.0), Limit(9, 8, 1900.0))
    assert held.usable("timeline") == [credential(1)] and len(held.usable("users")) == 2


def test_a_doubted_credential_is_not_called_when_its_window_is_used_up() -> None:
    held = pool(1)
    held.refused(held.sent("user:0", "users", 0.0), "revoked", everywhere=True, now=0.0)
    call = held.sent("user:0", "users", 1.0)
    held.limited(call, Limit(1, 0, 1900.0), 1.0)
    assert held.next("users", 1.0) == 899.0


def test_all_refused_at_once_are_tried_again_one_by_one_and_trusted_when_it_is_over() -> None:
    held = pool(3)
    calls = [held.sent(f"user:{number}", "users", 0.0) for number in range(3)]
    for call in calls:
        held.refused(call, "revoked", everywhere=True, now=0.0)
    assert held.next("users", 0.0) == 1.0
    choice = held.next("users", 1.0)
    assert isinstance(choice, Credential)
    call = held.sent(choice.key, "users", 1.0)
    assert held.next("users", 1.0) == inf
    held.succeeded(call, Limit(9, 8, 1900.0))
    assert len(held.usable("users")) == 3 and isinstance(held.next("users", 2.0), Credential)


def test_an_outage_without_end_exhausts_them() -> None:
    held, now = pool(2), 0.0
    for _ in range(50):
        choice = held.next("users", now)
        if choice is None:
            break
        if isinstance(choice, Credential):
            held.refused(held.sent(choice.key, "users", now), "revoked", everywhere=True, now=now)
        else:
            assert choice < inf
            now += choice
    assert held.next("users", now) is None and 20 < now < 60
    assert all(held.standing(f"user:{n}", EVERYWHERE).for_now for n in range(2))


@pytest.mark.parametrize("app_only,expected", [(True, None), (False, credential(0))])
def test_an_endpoint_for_apps_takes_no_users_token(app_only: bool, expected: Credential | None) -> None:
    held = Pool([credential(0)], ServerClock(0.0, 0.0), app_only=["trends"] if app_only else [])
    assert held.next("trends", 0.0) == expected


class Server:
    """A server with windows, whose clock may differ from ours and whose answers come in any order."""

    def __init__(self, limit: int, window: float, offset: float, others: int, random: Random) -> None:
        self.limit, self.window, self.offset, self.random = limit, window, offset, random
        self.others = others  # calls that somebody else makes with each credential in a window
        self.began: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.limited = 0

    def call(self, key: str, now: float) -> tuple[bool, Limit, float]:
        time = now + self.offset
        if key not in self.began or time >= self.began[key] + self.window:
            self.began[key], self.calls[key] = time, self.others
        self.calls[key] += 1
        told = Limit(self.limit, max(self.limit - self.calls[key], 0), float(-(-(self.began[key] + self.window) // 1)))
        good = self.calls[key] <= self.limit
        self.limited += not good
        return good, told, float(time // 1)


@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.integers(3, 12),
    st.integers(0, 2),
    st.floats(-1e6, 1e6),
    st.floats(0.001, 0.4),
)
def test_no_call_is_refused_and_no_window_is_left_unused(
    seed: int, number: int, limit: int, others: int, offset: float, latency: float
) -> None:
    random = Random(seed)
    held = Pool([credential(n) for n in range(number)], ServerClock(1e9 + random.uniform(-1e5, 1e5), 0.0))
    server = Server(limit, 15.0, 1e9 + offset, others, random)
    under_way: list[tuple[float, int, Call, bool, Limit, float]] = []
    now, made, end = 0.0, 0, 61.0
    while now < end:
        choice = held.next("timeline", now)
        if isinstance(choice, Credential) and len(under_way) < 16:
            call = held.sent(choice.key, "timeline", now)
            good, told, date = server.call(choice.key, now)
            under_way.append((now + latency * random.uniform(0.5, 1.5), made, call, good, told, date))
            made += good
            now += 0.002
            continue
        under_way.sort()
        wait = choice if isinstance(choice, float) else inf
        if under_way and under_way[0][0] <= now + wait:
            at, _, call, good, told, date = under_way.pop(0)
            now = max(now, at)
            held.clock.tell(date, now)
            if good:
                held.succeeded(call, told)
            else:
                held.limited(call, told, now)
        else:
            assert wait < inf
            now += wait + 1e-6
    assert server.limited == 0
    windows = 61.0 / 17.5  # a window, the second its end is rounded to, and finding out
    assert made >= number * (limit - others) * int(windows)
