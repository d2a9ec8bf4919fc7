"""The pages say what is stored."""

from __future__ import annotations

import json
import re
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lxml.html
import pytest

from chancrawl.dashboard import pages, queries
from chancrawl.dashboard.queries import Desk
from chancrawl.forget.removal import remove
from chancrawl.forget.subjects import subject_of
from chancrawl.items import Deletion, Feed, Gap, Item, Poll, Quote
from chancrawl.storage.base import Store
from chancrawl.storage.postgres.connection import PostgresStore
from tests.exports.test_export import tweet
from tests.support.crawls import Crawler
from tests.support.dashboards import Served, served
from tests.support.items import post, thread
from tests.support.stores import replaced

Wait = Callable[[Callable[[], object]], None]
NOW = datetime.now(UTC).replace(microsecond=0)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def quoting(no: int, thread_no: int, quoted: int) -> Item:
    """A post that quotes one of thread 5."""
    quote: Quote = {"board": "po", "thread_no": 5, "no": quoted, "dead": False}
    text = f">>{quoted}\n>green line\nsee https://example.org/a?b=1&c"
    return replaced(post(no, "x"), thread_no=thread_no, posted_at=ago(50), first_seen_at=ago(49), last_seen_at=ago(49),
                    quotes=[quote], comment_text=text)  # fmt: skip


def items() -> list[Item]:
    lately = {"first_seen_at": ago(59), "last_seen_at": ago(59), "posted_at": ago(60)}
    file = {"file_md5": "0" * 32, "file_tim": 5, "file_name": "cat", "file_ext": ".jpg"}
    return [
        replaced(post(5, "the opening"), **lately, **file, poster_id="Ab"),
        replaced(post(6, "was deleted"), **lately, poster_id="Ab"),
        replaced(post(7, "first words"), **lately), quoting(8, 5, 6), quoting(20, 20, 5),
        replaced(post(20, "x"), no=21, thread_no=20, **lately, **file),
        replaced(post(7, "second words", 2), **lately | {"last_seen_at": ago(30)}),
        Deletion("po", 5, 6, ago(40), ago(35), ago(30)),
        replaced(thread(3), subject="A subject", last_seen_at=ago(20), last_modified=ago(20)),
        replaced(thread(1), no=20, last_seen_at=ago(20)),
        Poll("po", ago(300), 4, 1, 1, None), Poll("po", ago(30), 30, 1, 1, 5.0),
        replaced(tweet(2**61, 5), posted_at=ago(60), text="I &lt;3 https://example.org/x"),
        replaced(tweet(2**61 + 1, 5), posted_at=ago(50), in_reply_to_id=2**61),
        Feed("timeline:5", complete_since=ago(9000), visited_at=ago(10), posts=2),
        Gap("timeline:5", 9, 8, ago(8000), ago(7000), "reach", ago(100)),
    ]  # fmt: skip


@pytest.fixture
def filled(either: Store, tmp_path: Path) -> Iterator[Served]:
    assert either.take_in(items()) == []
    with served(tmp_path / "data", url_of(either)) as dashboard:
        yield dashboard


def url_of(store: Store) -> str | None:
    return store.url if isinstance(store, PostgresStore) else None


def page_of(dashboard: Served, path: str) -> lxml.html.HtmlElement:
    answer = dashboard.get(path)
    assert answer.status == 200, answer.text
    return lxml.html.document_fromstring(answer.body)


def words(element: lxml.html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def test_a_thread(filled: Served) -> None:
    page = page_of(filled, "/board/po/thread/5")
    posts = {element.get("id"): element for element in page.cssselect("article")}
    assert list(posts) == ["p5", "p6", "p7", "p8"]
    assert "gone" in posts["p6"].get("class", "") and f"first missed {ago(35):%Y-%m-%d %H:%M:%S}" in words(posts["p6"])
    assert "Version 2 of 2" in words(posts["p7"]) and "first words" in words(posts["p7"])
    assert [link.get("href") for link in posts["p8"].cssselect(".body a.quote")] == ["/board/po/thread/5#p6"]
    (link,) = posts["p8"].cssselect(".body a:not(.quote)")
    assert link.get("href") == "https://example.org/a?b=1&c" and "noreferrer" in link.get("rel", "")
    assert words(posts["p8"].cssselect(".quoted")[0]) == ">green line"
    assert "Quoted by >>8" in words(posts["p6"]) and "Quoted by >>20" in words(posts["p5"])
    assert "Ab (2)" in words(posts["p5"])
    assert "A subject" in words(page.cssselect("h1")[0]) and "4 posts, 1 deleted, 1 changed" in words(page)
    assert "of them deleted" in (page.cssselect("#citation")[0].text or "")
    assert page_of(filled, "/board/po/thread/6").cssselect("#p6[data-focus]")


@pytest.mark.parametrize(("query", "numbers"), [
    ("only=deleted", ["p6"]), ("only=changed", ["p7"]), ("only=files", ["p5"]), ("poster=Ab", ["p5", "p6"]),
    ("from=7", ["p7", "p8"]), (f"at={ago(55):%Y-%m-%dT%H:%M}", ["p5", "p6", "p7"]),
])  # fmt: skip
def test_parts_of_a_thread(filled: Served, query: str, numbers: list[str]) -> None:
    page = page_of(filled, f"/board/po/thread/5?{query}")
    assert [element.get("id") for element in page.cssselect("article")] == numbers


def test_a_thread_as_of_a_time(filled: Served) -> None:
    page = page_of(filled, f"/board/po/thread/5?at={ago(45):%Y-%m-%dT%H:%M:%S}")
    assert "first words" in words(page.cssselect("#p7")[0]) and not page.cssselect("article.gone")


def test_a_post(filled: Served) -> None:
    page = page_of(filled, "/board/po/post/5")
    assert "/board/po/thread/20#p21" in [link.get("href") for link in page.cssselect("section a")]  # the same file
    assert "/board/po/thread/20#p20" in [link.get("href") for link in page.cssselect("section a")]  # a quote
    card = filled.get("/board/po/post/6/card")
    assert card.status == 200 and "<html" not in card.text and "was deleted" in card.text


def test_a_board(filled: Served) -> None:
    page = page_of(filled, "/board/po?days=7")
    text = words(page)
    assert "1 deleted post" in text and "A subject" in text
    assert re.search(r"6 posts are stored, 20 are missing: coverage 23\.0 %", text), text[:900]
    chart = json.loads(filled.get("/board/po/chart.json?days=7").body)
    assert len(chart["hour"]) == len(chart["posts"]) and sum(chart["posts"]) == 6 and sum(chart["deleted"]) == 1


def test_an_account_and_its_posts(filled: Served) -> None:
    text = words(page_of(filled, "/account/5"))
    assert "Complete since" in text and "X showed no more" in text and "I <3 https://example.org/x" in text
    page = page_of(filled, f"/x/{2**61 + 1}")
    assert f"/x/{2**61}" in [link.get("href") for link in page.cssselect("#main section a")]


def test_a_search(filled: Served) -> None:
    page = page_of(filled, "/search?q=opening")
    assert "1 post found" in words(page) and "There is no index of words" in words(page)
    assert [words(mark) for mark in page.cssselect("mark")] == ["opening"]
    assert "No stored post has these words" in words(page_of(filled, "/search?q=xyzzy"))
    for query in ("q=a&account=@nobody", "q=a&since=2026-02-02&until=2026-01-01", "q=a&board=no/board", "q=***"):
        text = words(page_of(filled, f"/search?{query}"))
        assert "The search failed" in text and "No stored post" not in text, query
    assert json.loads(filled.get("/search.json?q=opening").body)[0]["key"] == "po/5"
    assert "The search failed" not in words(page_of(filled, "/search?q=@nasa"))


def test_what_is_not_there_is_said(filled: Served) -> None:
    for path in ("/board/zz", "/board/po/thread/999", "/account/99", "/x/99", "/accounts?name=nobody", "/nothing",
                 "/board/po/post/99/card"):  # fmt: skip
        answer = filled.get(path)
        assert answer.status == 404 and "Not here" in answer.text, path
    for path in ("/board/po?days=5", "/board/po/thread/5?only=x", "/table/posts.csv?thread=x", "/table/nothing.csv",
                 "/table/posts.csv?color=red", "/table/accounts.csv?board=po"):  # fmt: skip
        answer = filled.get(path)
        assert answer.status == 400 and "This cannot be shown" in answer.text, path


def test_numbers_of_x_have_19_digits(filled: Served) -> None:
    number = 2**61 + 1
    assert filled.get(f"/account/5?before={number}").status == 200
    assert filled.get(f"/accounts?after={number}").status == 200
    assert filled.get(f"/table/tweets.csv?account=id:{number}").status == 200
    assert filled.get("/accounts?after=9999999999999999999").status == 400


def test_a_reader_who_leaves_ends_the_query(filled: Served, monkeypatch: pytest.MonkeyPatch, wait_until: Wait) -> None:
    began, ended = threading.Event(), threading.Event()

    def slow(desk: Desk, **_: object) -> None:
        began.set()
        try:
            while True:
                desk.store.rows("SELECT 1 FROM posts")
        finally:
            ended.set()

    monkeypatch.setattr(pages, "crawls", slow)
    with socket.create_connection(("127.0.0.1", filled.port)) as connection:
        connection.sendall(f"GET /crawls HTTP/1.1\r\nHost: 127.0.0.1:{filled.port}\r\n\r\n".encode())
        assert began.wait(10)
    assert ended.wait(2.5), "the query goes on"
    wait_until(lambda: len(filled.dashboard.queries._free) == queries.AT_ONCE)


def test_the_same_page_is_sent_once(filled: Served) -> None:
    for path in ("/board/po/thread/5", "/static/dashboard.js", "/search?q=opening"):
        first = filled.get(path)
        again = filled.get(path, If_None_Match=first.headers["etag"])
        assert again.status == 304 and again.body == b"", path


def test_files_are_those_of_the_command(filled: Served, either: Store, tmp_path: Path) -> None:
    crawler = Crawler(tmp_path / "data", "", url_of(either))
    for path in ("/board/po/thread/5", "/board/po", "/account/5", "/credentials", "/crawls", "/accounts"):
        for paragraph in page_of(filled, path).cssselect("p.files"):
            links = {words(link): link.get("href", "") for link in paragraph.cssselect("a")}
            command = shlex.split(words(paragraph.cssselect("code")[0]))
            assert command[:2] == ["scrapy", "export"]
            file = tmp_path / "out.csv"
            file.unlink(missing_ok=True)
            crawler.other(*command[1:-1], str(file)).ok()
            rows = file.read_bytes()
            assert filled.get(links["CSV"]).body == rows, command
            answer = filled.get(links["JSON"])
            assert len(json.loads(answer.body)) == len(rows.splitlines()) - 1 or b"\n" in rows
            assert "attachment" in answer.headers["content-disposition"]


def test_what_was_forgotten_never_shows(filled: Served, either: Store, tmp_path: Path) -> None:
    assert "was deleted" in filled.get("/board/po/thread/5").text
    remove(either, subject_of("po/6"), "asked", tmp_path)
    for path in ("/board/po/thread/5", f"/board/po/thread/5?at={ago(45):%Y-%m-%dT%H:%M}", "/search?q=deleted",
                 "/table/posts.csv?board=po", "/board/po/post/5"):  # fmt: skip
        assert "was deleted" not in filled.get(path).text, path
    assert filled.get("/board/po/post/6").status == 404
