"""Texts of others in pages, and small charts."""

from __future__ import annotations

import lxml.html
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.dashboard.charts import bars, sparkline
from chancrawl.dashboard.render import Templates
from chancrawl.dashboard.texts import comment, is_web, link, tweet_text
from tests.dashboard.test_hostile import INVISIBLE
from tests.support.hostile import PAYLOADS

pieces = st.sampled_from(
    ["[spoiler]", "[/spoiler]", "[code]", "[/code]", "[sjis]", "[/sjis]", ">", ">>5", ">>>/g/6", ">>>/g/", "\n", "<b>",
     "https://example.org/a?b=1&c=<i>", "javascript:alert(1)", "&amp;", '"', "'", "\u202e", "\x1b[2J", " ", "word"]
)  # fmt: skip
comments = st.lists(pieces | st.text(max_size=5), max_size=30).map("".join)
ALLOWED = {"div", "span", "a", "bdi", "em"}


def link_of(board: str | None, no: int) -> str | None:
    return None if no == 6 else f"/{board or 'po'}/{no}"


def check(text: str, html: str) -> None:
    page = lxml.html.fragment_fromstring(f"<div>{html}</div>")
    assert {element.tag for element in page.iter()} <= ALLOWED
    shown = page.text_content()
    assert not INVISIBLE.search(html)
    for element in page.iter("a"):
        href = element.get("href", "")
        assert href.startswith("/") or (is_web(href) and "nofollow" in element.get("rel", ""))
    if text.isascii() and text.isprintable() and "[" not in text:
        assert shown == text


@given(comments)
def test_any_comment_is_a_text_with_links(text: str) -> None:
    check(text, comment(text, link_of))
    check(text, tweet_text(text))


def test_what_a_comment_looks_like() -> None:
    html = comment(">green\n>>5 and >>>/g/7 but >>6\n[spoiler]a\nb[/spoiler] [code]x[/code][/code]", link_of)
    assert html.split("\n")[0] == '<span class="quoted">&gt;green</span>'
    assert html.split("\n")[1].startswith(
        '<a class="quote" href="/po/5">&gt;&gt;5</a> and <a class="quote" href="/g/7">'
    )
    assert html.split("\n")[1].endswith("but &gt;&gt;6")
    assert html.count("<span") == html.count("</span>") == 3
    long = comment("x" * 30_000, link_of)
    assert "10,000 more characters" in long and len(long) < 21_000


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//e.example", "https://", "http://\u202ex",
                                 "https://a b", "file:///etc", "https://x\n.example", "HTTPS", ""])  # fmt: skip
def test_other_links_are_texts(url: str) -> None:
    assert "href" not in link(url)


def test_links_to_the_web() -> None:
    shown = "https://example.org/?a=&#39;&#34;&amp;b=&lt;"
    assert link("https://example.org/?a='\"&b=<") == (
        f'<a href="{shown}" rel="noreferrer noopener nofollow" target="_blank"><bdi>{shown}</bdi></a>'
    )


@given(st.lists(st.none() | st.integers(0, 10**9), max_size=50))
def test_charts_stay_in_their_frame(values: list[int | None]) -> None:
    chart = sparkline(values, "posts")
    numbers = [float(part) for part in chart.line.replace("M", " ").replace("L", " ").split() if part != "h0.1"]
    assert all(0 <= x <= chart.width for x in numbers[::2]) and all(0 <= y <= chart.height for y in numbers[1::2])
    assert chart.sentence.startswith("posts: ")
    for _, y, _, height in bars([value or 0 for value in values]):
        assert 0 <= y <= 60 and abs(y + height - 60) < 0.2


def test_templates_escape_what_nobody_has_escaped() -> None:
    templates = Templates()
    for payload in PAYLOADS:
        about = {"path": "/", "is_known": False, "has_password": False, "snapshot": None, "alarms": [], "now": None}
        html = templates.render("error.html", sentence=payload, status=400, **about).decode()
        assert "<x-evil" not in html and not INVISIBLE.search(html)
