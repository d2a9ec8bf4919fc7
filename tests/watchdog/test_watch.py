"""The watchdog as it runs: messages arrive once, whatever ends, and no address is shown."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from chancrawl.errors import UserError
from chancrawl.storage import runs
from chancrawl.storage.base import Store
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.watchdog.senders import senders_of
from chancrawl.watchdog.watch import Watchdog
from tests.support import KINDS
from tests.support.crawls import Crawler
from tests.support.databases import Server
from tests.support.engines import settings_of
from tests.support.items import post, thread

NOW = datetime.now(UTC)
SECRET = "t0psecret"


class Hook:
    """A web server that notes what is sent to it, and answers as it should."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if hook.status == 200:
                    hook.got.append((self.path, json.loads(body) if body else None))
                self.send_response(hook.status)
                self.end_headers()

            do_POST = do_GET = answer

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def messages(self, path: str = f"/{SECRET}") -> list[list[tuple[str, str]]]:
        return [[(each["alarm"], each["event"]) for each in body["alarms"]] for at, body in self.got if at == path]


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def url_of(store: Store) -> str | None:
    return getattr(store, "url", None)


@pytest.fixture
def troubled(either: Store) -> Store:
    """A store with a crawl that was killed."""
    either.take_in([post(5, "a"), thread(0)])
    lose(either)
    return either


def lose(store: Store) -> None:
    run_id = runs.begin(store, "chan", {"board": "po"}, "", NOW, "/x")
    store.rows("UPDATE runs SET alive_at = ?, host = 'far' WHERE run_id = ?", NOW - timedelta(hours=1), run_id)


def mend(store: Store) -> None:
    runs.finish(store, runs.begin(store, "chan", {"board": "po"}, "", NOW + timedelta(seconds=5), "/x"), "shutdown", {})


def dog(store: Store, folder: Path, urls: str, **settings: Any) -> Watchdog:
    return Watchdog(settings_of(folder, url_of(store), ALARM_URLS=urls, **settings))


def test_a_failure_is_told_once_through_restarts(troubled: Store, hook: Hook, tmp_path: Path) -> None:
    for number in range(4):  # each time another process
        watchdog = dog(troubled, tmp_path / "data", f"{hook.url}/{SECRET}", ALARM_HEARTBEAT=f"{hook.url}/alive")
        assert watchdog.check(NOW + timedelta(minutes=number)) == ""
        watchdog.close()
    assert hook.messages() == [[("crawl_lost", "began")]] and [path for path, _ in hook.got].count("/alive") == 4
    mend(troubled)
    for number in range(5, 20):
        watchdog = dog(troubled, tmp_path / "data", f"{hook.url}/{SECRET}")
        watchdog.check(NOW + timedelta(minutes=number))
        watchdog.close()
    assert hook.messages() == [[("crawl_lost", "began")], [("crawl_lost", "over")]]
    lose(troubled)
    watchdog = dog(troubled, tmp_path / "data", f"{hook.url}/{SECRET}")
    watchdog.check(NOW + timedelta(minutes=30))
    watchdog.close()
    assert len(hook.messages()) == 3


def test_what_was_not_delivered_is_tried_again(
    troubled: Store, hook: Hook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Hook()
    watchdog = dog(troubled, tmp_path / "data", f"{hook.url}/{SECRET}, {other.url}/{SECRET}")
    hook.status = 500
    with caplog.at_level(logging.INFO):
        for number in range(3):
            assert "tried again" in watchdog.check(NOW + timedelta(minutes=number))
        hook.status = 200
        assert watchdog.check(NOW + timedelta(minutes=4)) == ""
    watchdog.close()
    assert hook.messages() == other.messages() == [[("crawl_lost", "began")]]
    assert SECRET not in caplog.text and caplog.text.count("it answered 500") == 1 and "again" in caplog.text
    other.server.shutdown()
    other.server.server_close()


def test_one_of_two_sends(troubled: Store, hook: Hook, tmp_path: Path) -> None:
    first, second = (dog(troubled, tmp_path / "data", f"{hook.url}/{SECRET}") for _ in range(2))
    second.name = "process 2 on another machine"
    assert first.check(NOW) == "" and "stands by" in second.check(NOW)
    assert "stands by" in second.check(NOW + timedelta(minutes=2))
    assert second.check(NOW + timedelta(minutes=4)) == ""  # the first one is gone
    second.close()
    assert first.check(NOW + timedelta(minutes=5)) == ""
    first.close()
    assert hook.messages() == [[("crawl_lost", "began")]]


def test_a_store_that_is_away(hook: Hook, tmp_path: Path) -> None:
    server = Server(tmp_path / "pg")
    urls = {"ALARM_URLS": f"{hook.url}/{SECRET}", "ALARM_HEARTBEAT": f"{hook.url}/alive"}
    _create(server.url)
    settings = settings_of(tmp_path / "data", server.url, **urls)
    watchdog = Watchdog(settings)
    assert watchdog.check(NOW) == ""
    server.stop()
    for number in range(1, 4):
        assert "cannot be read" in watchdog.check(NOW + timedelta(minutes=number))
        watchdog = Watchdog(settings)
    assert hook.messages() == [[("store_away", "began")]] and [path for path, _ in hook.got].count("/alive") == 1
    server = Server(tmp_path / "pg2")
    _create(server.url)
    watchdog = Watchdog(settings_of(tmp_path / "data", server.url, **urls))
    for number in range(5, 12):
        watchdog.check(NOW + timedelta(minutes=number))
    assert hook.messages()[1:] == [[("store_away", "over")]]
    watchdog.close()
    server.stop()


def _create(url: str) -> None:
    store = PostgresStore(url, KINDS)
    store.open()
    store.prepare()
    store.close()


def test_odd_addresses_and_answers(tmp_path: Path, hook: Hook) -> None:
    urls = "\n".join([f"{hook.url}/a,b", f"json://127.0.0.1:{hook.server.server_port}/x?to=a,b", f"{hook.url}/c"])
    assert [sender.name for sender in senders_of(urls)] == ["webhook", "json", "webhook"]
    with pytest.raises(UserError, match="address 1 is no web address"):
        senders_of(f"https://example.org/{SECRET} x")
    for url in (f"hc.example/{SECRET}", f"file:///{SECRET}", f"https://x/{SECRET}\n"):
        with pytest.raises(UserError, match="ALARM_HEARTBEAT is no web address") as error:
            Watchdog(settings_of(tmp_path / "data", ALARM_HEARTBEAT=url))
        assert SECRET not in str(error.value)
    hook.status = 302
    (sender,) = senders_of(f"{hook.url}/{SECRET}")
    assert sender.send("a", "b", []) == "it answered 302"
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: _garbage(server), daemon=True).start()
        (sender,) = senders_of(f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}")
        assert sender.send("a", "b", []) == "BadStatusLine"


def _garbage(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.recv(1000)
    connection.sendall(b"garbage\r\n\r\n")
    connection.close()


def test_a_damaged_store_is_told(tmp_path: Path, hook: Hook) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "chancrawl.sqlite").write_bytes(b"no database" * 1000)
    watchdog = Watchdog(settings_of(folder, ALARM_URLS=f"{hook.url}/{SECRET}"))
    assert "cannot be read" in watchdog.check(NOW) and hook.messages() == [[("store_away", "began")]]


def test_a_lease_from_the_future_blocks_nobody(troubled: Store, hook: Hook, tmp_path: Path) -> None:
    first, second = (dog(troubled, tmp_path / "data", f"{hook.url}/{SECRET}") for _ in range(2))
    second.name = "process 2 on another machine"
    assert first.check(NOW + timedelta(days=400)) == ""
    assert second.check(NOW) == ""


def test_one_who_stands_by_leaves_an_outage_to_the_other(hook: Hook, tmp_path: Path) -> None:
    server = Server(tmp_path / "pg")
    _create(server.url)
    settings = settings_of(tmp_path / "data", server.url, ALARM_URLS=f"{hook.url}/{SECRET}")
    first, second = Watchdog(settings), Watchdog(settings)
    second.name = "process 2 on another machine"
    assert first.check(NOW) == "" and "stands by" in second.check(NOW)
    server.stop()
    later = NOW + timedelta(minutes=1)
    assert "cannot be read" in first.check(later) and "another watchdog tells it" in second.check(later)
    assert hook.messages() == [[("store_away", "began")]]


def test_addresses_are_not_shown(hook: Hook) -> None:
    for url in (f"nothing://{SECRET}", SECRET, f"mailtos://{SECRET}"):
        with pytest.raises(UserError) as error:
            senders_of(f"https://ok.example/x, {url}")
        assert SECRET not in str(error.value) and "ALARM_URLS: address" in str(error.value)
    (sender,) = senders_of(f"http://127.0.0.1:9/{SECRET}")
    assert SECRET not in repr(sender) and "refused" in sender.send("a", "b", []).lower()
    (sender,) = senders_of(f"http://no.such.host.invalid/{SECRET}")
    assert SECRET not in sender.send("a", "b", [])
    (sender,) = senders_of(f"json://127.0.0.1:{hook.server.server_port}/{SECRET}")
    assert sender.name == "json" and sender.send("title", "body", []) == "" and SECRET not in repr(sender)
    assert hook.got[-1][1]["title"] == "title"


def test_as_a_user_starts_it(troubled: Store, hook: Hook, tmp_path: Path) -> None:
    crawler = Crawler(tmp_path / "data", "", url_of(troubled))
    crawler.other("watchdog").refused("ALARM_URLS is not set")
    given = f"ALARM_URLS={hook.url}/{SECRET}"
    assert "1. webhook: sent" in crawler.other("watchdog", "--test", "-s", given).ok().output
    assert crawler.other("watchdog", "--once", "-s", given).ok().output == ""
    assert hook.messages() == [[("test", "began")], [("crawl_lost", "began")]]
    hook.status = 404
    refused = crawler.other("watchdog", "--test", "-s", given).refused("it answered 404", "1 of 1 could not be reached")
    assert SECRET not in refused.output
    Crawler(tmp_path / "nothing", "").other("watchdog", "--once", "-s", given).refused("nothing was collected yet")
