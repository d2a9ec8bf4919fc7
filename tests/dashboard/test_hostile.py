"""Hostile texts in every column, through every page and file: nothing runs, and nothing is out of its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import lxml.html
import pytest

from chancrawl.storage import runs
from chancrawl.storage.base import Store
from chancrawl.storage.postgres.connection import PostgresStore
from tests.support.dashboards import Answer, Served, served
from tests.support.hostile import NOW, PAYLOADS, TAG, hostile_items

ALLOWED_CONTROLS = "\n\t"
INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@pytest.fixture
def hostile(either: Store, tmp_path: Path) -> Iterator[Served]:
    items = list(hostile_items())
    either.take_in(items)
    for number, payload in enumerate(PAYLOADS[:60]):
        run = runs.begin(either, payload or "x", {"board": payload, payload: payload}, payload, NOW, payload)
        if number % 2:
            runs.finish(either, run, payload, {})
        either.rows("INSERT INTO credential_limits (credential, endpoint, retired) VALUES (?, ?, ?)",
                    f"{payload}{number}", payload, payload)  # fmt: skip
    url = either.url if isinstance(either, PostgresStore) else None
    with served(tmp_path / "data", url) as dashboard:
        yield dashboard


def check(path: str, answer: Answer) -> list[str]:
    """What is wrong with a page."""
    problems = []
    kind = answer.headers.get("content-type", "")
    if answer.headers.get("set-cookie"):
        problems.append("a cookie")
    if answer.headers.get("x-content-type-options") != "nosniff" or "default-src 'none'" not in answer.headers.get(
        "content-security-policy", ""
    ):
        problems.append("a header is missing")
    if not kind.startswith("text/html"):
        is_file = "attachment" in answer.headers.get("content-disposition", "")
        return problems if is_file or path.startswith(("/static/", "/metrics")) or "chart.json" in path else [
            *problems, f"{kind} is no attachment"]  # fmt: skip
    if found := INVISIBLE.search(answer.text):
        problems.append(repr(answer.text[max(found.start() - 40, 0) : found.end()]))
    page = lxml.html.document_fromstring(answer.body)
    for element in page.iter():
        if element.tag == TAG or not isinstance(element.tag, str):
            problems.append(f"{element.tag!r} is an element")
            continue
        tag = str(element.tag)
        if tag in ("script", "iframe", "object", "embed", "img", "base", "style") and not (
            tag == "script" and element.get("src", "").startswith("/static/") and not element.text
        ):
            problems.append(f"an element {tag!r}")
        for name, value in ((str(name), str(value)) for name, value in element.attrib.items()):
            if name.startswith("on") or name in ("style", "srcdoc"):
                problems.append(f"the attribute {name}")
            if name in ("href", "src", "action"):
                problems += [f"the link {value}"] if not is_safe(str(value), element.get("rel", "")) else []
    return problems


def is_safe(url: str, rel: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return parts.scheme in ("http", "https") and "noreferrer noopener nofollow" in rel
    return url.startswith(("/", "?", "#")) and not url.startswith(("//", "/\\"))


def walk(dashboard: Served) -> Iterator[tuple[str, Answer]]:
    """Every page and file to which a link leads."""
    seen, ahead = {"/"}, ["/", "/metrics", "/search?q=evil", "/trends"]
    while ahead:
        path = ahead.pop(0)
        answer = dashboard.get(path)
        yield path, answer
        if answer.headers.get("content-type", "").startswith("text/html"):
            for element in lxml.html.document_fromstring(answer.body).iter("a", "link", "script"):
                url = urljoin(path, element.get("href") or element.get("src") or "").partition("#")[0]
                if url.startswith("/") and url not in seen:
                    seen.add(url)
                    ahead.append(url)


def test_every_page_that_links_lead_to(hostile: Served) -> None:
    wrong, kinds = {}, set()
    for path, answer in walk(hostile):
        kinds.add(re.sub(r"\d+", "N", urlsplit(path).path))
        if (problems := check(path, answer)) or (answer.status not in (200, 404) and "since=" not in path):
            wrong[path] = [answer.status, *problems]
    assert not wrong, dict(list(wrong.items())[:5])
    pages = (
        "/ /board/po /board/po/thread/N /board/po/post/N /account/N /x/N /crawls /credentials /accounts /feeds /search"
    )
    assert kinds >= {*pages.split(), "/table/posts.csv", "/table/runs.json"}


def test_every_parameter(hostile: Served) -> None:
    places = ["/search?q={}", "/search?q=a&board={}", "/search?q=a&account={}", "/search?q=a&since={}",
              "/search.csv?q={}", "/accounts?name={}", "/accounts?after={}", "/feeds?after={}", "/crawls?before={}",
              "/board/po?days={}",
              "/board/po/thread/1000?only={}", "/board/po/thread/1000?at={}", "/board/po/thread/1000?poster={}",
              "/board/po/thread/1000?from={}", "/table/posts.csv?board={}", "/table/posts.csv?match={}",
              "/table/{}.csv", "/board/{}", "/board/po/thread/{}", "/static/{}", "/account/{}", "/{}"]  # fmt: skip
    wrong = {}
    for number, payload in enumerate(PAYLOADS[:75]):
        for place in places[number % 3 :: 3]:
            path = place.format(quote(payload[:300], safe=""))
            answer = hostile.get(path)
            if answer.status >= 500 or ("text/html" in answer.headers["content-type"] and check(path, answer)):
                wrong[path] = [answer.status, *check(path, answer)]
    assert not wrong, dict(list(wrong.items())[:5])
    assert hostile.get("/table/posts.json?board=po").body.count(b'"board"') >= len(PAYLOADS)  # nothing was deleted


def test_metrics_have_no_text_of_others(hostile: Served) -> None:
    text = hostile.get("/metrics").text
    assert TAG not in text and not INVISIBLE.search(text) and "evil" not in text
