"""The file of credentials, and signing with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.errors import UserError
from chancrawl.sandbox.x.gate import Gate, Member
from chancrawl.x.credentials import Credential, Secret, authorization, read
from chancrawl.x.rate_limits import Pool, ServerClock
from tests.x.stubs import credential

HEADER = "consumer_key,consumer_secret,access_token,access_token_secret"


def test_reading_takes_every_row_and_every_bearer_once() -> None:
    lines = [
        f"\ufeff{HEADER.upper()},Bearer_Token,note"[1:],
        "k,s,t1,u1,B,x",
        "k,s,t2,u2,B,x",
        '"k", "s", t1 ,u1,B,x',
        "",
        "k,s,,,B2,x",
    ]
    found = read(lines, "codes.csv,")
    assert [(c.is_app, str(c.token)) for c in found] == [(False, "t1"), (True, "B"), (False, "t2")]
    assert [c.name for c in found] == ["line 2", "the bearer of line 2", "line 3"]


def test_a_bearer_column_may_be_left_out_of_a_row() -> None:
    assert [str(c.token) for c in read([f"{HEADER},bearer_token", "k,s,t,u"], "codes.csv,")] == ["t"]


@pytest.mark.parametrize("lines", [[], [""], ["a,b"], [HEADER], [HEADER, "k,s,t"], [HEADER, "k,,t,u"]])
def test_a_bad_file_is_refused_in_a_sentence_without_its_secrets(lines: list[str]) -> None:
    with pytest.raises(UserError, match=r"codes\.csv") as error:
        read(lines, "codes.csv,")
    assert "k," not in str(error.value)


def test_nothing_shows_a_secret() -> None:
    held = Credential("line 1", "user:1", False, Secret("CK"), Secret("CS"), Secret("TOKEN"), Secret("TS"))
    header = authorization(held, "https://api.x.com/2/users/1/tweets?max_results=5", 1_795_000_000)
    assert header.count(b"CK") and header.count(b"TOKEN")  # it is sent
    for shown in (held, header, [header], Secret("TOKEN"), Pool([held], ServerClock(0, 0)).credentials):
        assert not any(secret in repr(shown) for secret in ("CK", "CS", "TOKEN", "TS"))


@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_signatures_are_right(name: str, value: str) -> None:
    from urllib.parse import urlencode

    gate = Gate([Member(1, "ck", "cs", "0-t", "ts")])
    url = "http://127.0.0.1:80/2/users/by?" + urlencode(
        {"x" + name.replace("\x00", ""): value, "a": "b c"}, errors="replace"
    )
    signed = str(authorization(credential(0), url, 1000.0), "ascii")
    assert gate.check("GET", url, signed, "users", 1000.0).refusal is None
    again = gate.check("GET", url, signed, "users", 1000.0).refusal
    assert again is not None and again.status == 401  # the nonce was used
    late = str(authorization(credential(0), url, 1000.0), "ascii")
    refusal = gate.check("GET", url, late, "users", 2000.0).refusal
    assert refusal is not None and refusal.status == 401
