"""Who is answered: hosts, other sites, passwords."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chancrawl.dashboard.guard import Delays, Guard, hosts_of
from chancrawl.errors import UserError
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.crawls import Crawler
from tests.support.dashboards import Served, served
from tests.support.engines import settings_of
from tests.support.items import post, thread

SECRET_WORD = "word5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open()
    store.prepare()
    store.take_in([post(5, SECRET_WORD), thread(0)])
    store.close()
    return tmp_path / "data"


PAGES = ("/", "/board/po", "/board/po/thread/5", "/table/posts.csv?board=po", "/metrics", "/static/dashboard.js",
         "/search?q=word5", "/login")  # fmt: skip


def test_only_its_own_hosts_are_answered(folder: Path) -> None:
    with served(folder, DASHBOARD_HOSTS="archive.example.org, 10.0.0.9:80") as dashboard:
        port = dashboard.port
        own = f"127.0.0.1:{port}"
        wrong = ["evil.example", f"127.0.0.1.evil.example:{port}", f"{own}.evil.example", "127.0.0.1",
                 f"localhost.:{port}", f"127.0.0.1:{port + 1}", f"user@{own}", f"{own}@evil.example", f"{own}/",
                 f"0.0.0.0:{port}", f"127.1:{port}", f"2130706433:{port}", "", " ", "archive.example.org.",
                 f"archive.example.org:{port}", "sub.archive.example.org", "10.0.0.9", f"[::ffff:127.0.0.1]:{port}",
                 f"127.0.0.1:0{port}"]  # fmt: skip
        for host in wrong:
            for path in PAGES:
                answer = dashboard.get(path, Host=host)
                assert answer.status in (400, 421), (host, path)
                assert SECRET_WORD not in answer.text and "/po/" not in answer.text
        for host in (f"127.0.0.1:{port}", f"LOCALHOST:{port}", f"[::1]:{port}", "archive.example.org", "10.0.0.9:80"):
            assert dashboard.get("/", Host=host).status == 200
        for lines in (f"Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n", "", f"Host : 127.0.0.1:{port}\r\n"):
            raw = dashboard.raw(f"GET / HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
            assert raw.split()[1] in (b"400", b"421"), raw[:200]
        for target in ("//evil.example/board/po", "http://evil.example/board/po", "/..//board/po", "/%2e%2e/board/po",
                       "//board/po", "/board//po", "/\\evil.example", "*"):  # fmt: skip
            request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            raw = dashboard.raw(request.encode())
            assert raw.split()[1] in (b"400", b"404") or target.startswith("http"), (target, raw[:100])
            assert b"Location" not in raw


def test_other_sites_get_nothing(folder: Path) -> None:
    with served(folder) as dashboard:
        own = f"127.0.0.1:{dashboard.port}"
        for origin in ("https://evil.example", f"http://{own}.evil.example", "null", f"http://evil@{own}", "http://",
                       f"ftp://{own}", f"http://127.0.0.1:{dashboard.port + 1}", "http://[", own):  # fmt: skip
            for method in ("GET", "POST"):
                answer = dashboard.get("/board/po/thread/5", method=method, Origin=origin)
                assert answer.status == 403 and SECRET_WORD not in answer.text, origin
        assert dashboard.get("/board/po/thread/5", Origin=f"http://{own}").status == 200
        assert dashboard.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors").status == 403
        assert dashboard.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
        answer = dashboard.get("/", Sec_Fetch_Site="same-origin")
        assert "access-control-allow-origin" not in answer.headers


def test_nothing_can_be_changed(folder: Path) -> None:
    with served(folder) as dashboard:
        routes = [route for route in dashboard.dashboard.app().router.routes() if route.method not in ("GET", "HEAD")]
        assert {(route.method, route.resource.canonical) for route in routes if route.resource} == {
            ("POST", "/login"), ("POST", "/logout"),
        }  # fmt: skip
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            assert dashboard.get("/board/po", method=method).status == 405
        assert dashboard.get("/board/po", method="POST").status == 405
        assert dashboard.get("/board/po", method="HEAD").body == b""


def login(dashboard: Served, password: str, **headers: str) -> tuple[int, str]:
    body = f"password={password}".encode()
    answer = dashboard.get("/login", "POST", body, Content_Type="application/x-www-form-urlencoded", **headers)
    return answer.status, answer.headers.get("set-cookie", "")


def test_a_password(folder: Path) -> None:
    with served(folder, DASHBOARD_PASSWORD="open sesame") as dashboard:
        for path in PAGES:
            answer = dashboard.get(path)
            assert answer.status == (200 if path in ("/login", "/static/dashboard.js") else 401), path
            assert SECRET_WORD not in answer.text and "/po/" not in answer.text
        assert login(dashboard, "open+sesam")[0] == 401
        status, cookie = login(dashboard, "open+sesame", Origin=dashboard.url)
        assert status == 303 and "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
        session = cookie.partition(";")[0]
        assert SECRET_WORD in dashboard.get("/board/po/thread/5", Cookie=session).text
        assert dashboard.get("/", Cookie=session[:-2] + "xx").status == 401
        assert login(dashboard, "open+sesame", Origin="https://evil.example")[0] == 403
        assert dashboard.get("/logout", "POST", b"", Cookie=session).status == 303
        assert dashboard.get("/", Cookie=session).status == 401
        assert dashboard.get("/login", "POST", b"password=" + b"x" * 100_000).status in (401, 413)
        assert dashboard.get("/metrics", Authorization="Basic eDpvcGVuIHNlc2FtZQ==").status == 200
        assert dashboard.get("/metrics", Authorization="Basic eDp3cm9uZw==").status == 401
        assert dashboard.get("/metrics", Authorization="Basic \x01").status in (400, 401)
        assert dashboard.get("/", Authorization="Basic eDpvcGVuIHNlc2FtZQ==").status == 401


def test_wrong_passwords_wait_longer_and_lock_nobody_out() -> None:
    delays, now = Delays(), time.monotonic()
    waits = []
    for _ in range(12):
        wait = delays.enter("10.0.0.1", now)
        assert wait is not None
        waits.append(wait)
        delays.leave("10.0.0.1")
        delays.wrong("10.0.0.1")
        now += 60
    assert waits[0] < 1 < waits[4] and waits == sorted(waits) and waits[-1] < 31
    other = delays.enter("10.0.0.2", now)
    assert other is not None and other < 1
    assert [delays.enter("10.0.0.3", now) is None for _ in range(6)] == [False] * 5 + [True]
    delays.right("10.0.0.1")
    again = delays.enter("10.0.0.1", now + 60)
    assert again is not None and again < 1


def test_an_address_of_other_machines_needs_a_password(folder: Path) -> None:
    Crawler(folder, "").other("dashboard", "--address", "0.0.0.0", "--port", "0").refused("DASHBOARD_PASSWORD")
    settings = settings_of(folder, DASHBOARD_PASSWORD="x")
    assert "0.0.0.0:80" not in Guard(settings, "0.0.0.0", 80).hosts


def test_proxies_are_believed_from_right_to_left(folder: Path) -> None:
    guard = Guard(settings_of(folder, DASHBOARD_PROXIES="127.0.0.1, 10.1.0.0/16"), "127.0.0.1", 80)

    class Request:
        def __init__(self, remote: str, *forwarded: str) -> None:
            from multidict import CIMultiDict

            self.remote = remote
            self.headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])

    cases = {
        ("127.0.0.1",): "127.0.0.1",
        ("127.0.0.1", "9.9.9.9, 8.8.8.8"): "8.8.8.8",
        ("127.0.0.1", "9.9.9.9", "8.8.8.8, 10.1.2.3"): "8.8.8.8",
        ("7.7.7.7", "9.9.9.9"): "7.7.7.7",
        ("127.0.0.1", "9.9.9.9, evil"): "127.0.0.1",
        ("127.0.0.1", "10.1.0.1"): "10.1.0.1",
    }
    for (remote, *forwarded), address in cases.items():
        assert guard.address_of(Request(remote, *forwarded)) == address  # type: ignore[arg-type]


def test_mistakes_are_said(folder: Path) -> None:
    with pytest.raises(UserError, match="DASHBOARD_HOSTS has 'http://x'"):
        hosts_of("127.0.0.1", 80, ["http://x"])
    with pytest.raises(UserError, match="DASHBOARD_PROXIES"):
        Guard(settings_of(folder, DASHBOARD_PROXIES="x"), "127.0.0.1", 80)
    crawler = Crawler(folder, "")
    crawler.other("dashboard", "--port", "99999").refused("--port 99999")
    crawler.other("dashboard", "--address", "no.such.host.invalid").refused("no such address")
    assert crawler.other("dashboard", "x").code == 2
