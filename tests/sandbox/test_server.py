"""The sandbox over real sockets."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from chancrawl.sandbox.faults import KINDS
from tests.support.sandboxes import Sandbox


def get(sandbox: Sandbox, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    named = {name.replace("_", "-"): value for name, value in ({"User_Agent": "test"} | headers).items() if value}
    with closing(http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)) as connection:
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in named.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response, response.read()


def test_conditional_requests_compare_for_equality(sandbox: Sandbox) -> None:
    response, body = get(sandbox, "/po/threads.json")
    assert response.status == 200 and json.loads(body)
    last_modified = response.headers["Last-Modified"]
    again, empty = get(sandbox, "/po/threads.json", If_Modified_Since=last_modified)
    assert (again.status, empty) == (304, b"")
    later, _ = get(sandbox, "/po/threads.json", If_Modified_Since="Sat, 21 Nov 2037 00:00:00 GMT")
    assert later.status == 200


def test_gzip_for_those_who_take_it(sandbox: Sandbox) -> None:
    import gzip

    response, packed = get(sandbox, "/po/catalog.json", Accept_Encoding="gzip, deflate")
    plain, body = get(sandbox, "/po/catalog.json")
    assert response.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed) == body
    assert plain.headers.get("Content-Encoding") is None and len(packed) < len(body) / 2


def test_manners(sandbox: Sandbox) -> None:
    assert get(sandbox, "/po/threads.json", User_Agent="")[0].status == 429
    response, _ = get(sandbox, "/po/thread/1.json")
    assert response.status == 404 and "html" in response.headers["Content-Type"]


def test_the_clock_is_the_servers(sandbox: Sandbox) -> None:
    before = get(sandbox, "/boards.json")[0].headers["Date"]
    sandbox.advance(3600)
    after = get(sandbox, "/boards.json")[0].headers["Date"]
    assert before[:17] == after[:17] and before != after


@pytest.mark.parametrize("kind", KINDS)
def test_faults(sandbox: Sandbox, kind: str) -> None:
    sandbox.fault(kind, times=1, seconds=0.1)
    try:
        response, body = get(sandbox, "/po/threads.json", Accept_Encoding="gzip")
        outcome = (response.status, body)
    except (ConnectionError, http.client.HTTPException):
        outcome = (0, b"")
    healthy, good = get(sandbox, "/po/threads.json", Accept_Encoding="gzip")
    assert healthy.status == 200
    expected = {"429": 429, "503": 503, "html403": 403, "json403": 403, "302": 302, "reset": 0}.get(kind, 200)
    assert outcome[0] == expected
    # Absurd headers leave the file alone, and this one has no comment to spoil.
    assert (outcome[1] == good) == (kind in ("slow", "bad_byte", "date2099", "date1970", "modified2099"))


def test_the_truth_knows_what_was_shown(sandbox: Sandbox) -> None:
    assert sandbox.shown("wsr") == set()
    index = json.loads(get(sandbox, "/wsr/threads.json")[1])
    no = index[0]["threads"][2]["no"]
    assert sandbox.shown("wsr") == set()
    posts = json.loads(get(sandbox, f"/wsr/thread/{no}.json")[1])["posts"]
    assert sandbox.shown("wsr") == {post["no"] for post in posts}


def test_mistakes_are_named(sandbox: Sandbox) -> None:
    from urllib.error import HTTPError

    for path, body in (("act", {"do": "dance", "board": "po"}), ("faults", {"kind": "flood"})):
        with pytest.raises(HTTPError) as error:
            sandbox.ask(f"/sandbox/{path}", "POST", **body)
        assert error.value.code == 400
        assert "there are" in json.loads(error.value.read())["error"]
        error.value.close()
