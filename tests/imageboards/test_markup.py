from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chancrawl.imageboards.markup import Comment, parse, unescape
from chancrawl.text import clean
from tests.support import ROOT

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # every code point, lone surrogates and NUL included

PIECES = "< > </ <a href='#p1' <s> <br & &#0; &#xd800; <!-- <![CDATA[ <? \" x \x00 \ud800 <table> <pre>".split(" ")

EXIF = (
    '<span class="abbr">[EXIF data available. Click <a href="javascript:void(0)">here</a> to show/hide.]</span><br>'
    '<table class="exif" id="exif1"><tr><td colspan="2"><b>Camera-Specific Properties:</b></td>'
    "</tr><tr><td>Camera Model</td><td>Pinhole</td></tr></table>"
)


@pytest.mark.parametrize(
    "html, text",
    [
        ("one<br>two<br><br>three", "one\ntwo\n\nthree"),
        ('<span class="quote">&gt;implying</span><br>yes', ">implying\nyes"),
        ("it was <s>the <b>butler</b></s>!", "it was [spoiler]the butler[/spoiler]!"),
        ('<pre class="prettyprint">if a &lt; b:<br>    go()</pre>', "[code]if a < b:\n    go()[/code]"),
        ('<span class="sjis">　∧＿∧<br>（・∀・）</span>', "[sjis]　∧＿∧\n（・∀・）[/sjis]"),
        ("https://exam<wbr>ple.org/a", "https://example.org/a"),
        ("&amp;gt; &quot;x&quot; &#039;y&#039;", "&gt; \"x\" 'y'"),
        ("<b>bold</b> <i>it</i> <u>under</u>", "bold it under"),
        (
            'hi<br><br><b style="color:red;">(USER WAS BANNED FOR THIS POST)</b>',
            "hi\n\n(USER WAS BANNED FOR THIS POST)",
        ),
        (EXIF, ""),
        ("a</b></i></s>b", "ab"),
        ("a < b & c", "a < b & c"),
        ("", ""),
        ("nul \x00 and half an emoji \ud83d", "nul \ufffd and half an emoji \ufffd"),
        ("<b>" * 5000 + "deep" + "</b>" * 5000, "deep"),
    ],
)
def test_text(html: str, text: str) -> None:
    assert parse(html, "po", 5).text == text


@pytest.mark.parametrize(
    "html, quotes",
    [
        ('<a href="#p7" class="quotelink">&gt;&gt;7</a>', [("po", 5, 7, False)]),
        ('<a href="/po/thread/9#p10" class="quotelink">&gt;&gt;10</a>', [("po", 9, 10, False)]),
        ('<a href="/g/thread/9#p10" class="quotelink">&gt;&gt;&gt;/g/10</a>', [("g", 9, 10, False)]),
        ('<a href="//boards.4chan.org/g/thread/9#p10" class="quotelink">x</a>', [("g", 9, 10, False)]),
        ('<a href="//boards.4channel.org/g/thread/9" class="quotelink">x</a>', [("g", 9, 9, False)]),
        ('<a href="/g/res/9#q10" class="quotelink">x</a>', [("g", 9, 10, False)]),
        ('<span class="deadlink">&gt;&gt;8</span>', [("po", None, 8, True)]),
        ('<span class="quote deadlink">&gt;&gt;&gt;/g/8</span>', [("g", None, 8, True)]),
        ('<a href="#p7" class="quotelink">x</a> <a href="#p7" class="quotelink">x</a>', [("po", 5, 7, False)]),
        ('<a href="/g/catalog#s=cranes" class="quotelink">&gt;&gt;&gt;/g/cranes</a>', []),
        ('<a href="#p99999999999999999999" class="quotelink">x</a>', []),
        ('<a href="#p²" class="quotelink">x</a>', []),
        ('<a href="//evil.example/g/thread/9#p10" class="quotelink">x</a>', []),
        ("&gt;&gt;12 typed by hand", []),
    ],
)
def test_quotes(html: str, quotes: list[tuple[str, int | None, int, bool]]) -> None:
    found = parse(html, "po", 5).quotes
    assert [(q["board"], q["thread_no"], q["no"], q["dead"]) for q in found] == quotes


@pytest.mark.parametrize(
    "html, links",
    [
        ('<a href="http://a.example/" target="_blank">http://a.example/</a>', ["http://a.example/"]),
        ("see (https://a.example/b_(c)?d=1&amp;e=2), ok", ["https://a.example/b_(c)?d=1&e=2"]),
        ("https://a.example/long<wbr>er", ["https://a.example/longer"]),
        ("&gt;https://a.example/x.", ["https://a.example/x"]),
        ("readme.md and node.js", []),
        ('<a href="javascript:alert(1)">x</a>', []),
        ('<a href="//boards.4chan.org/g/catalog#s=x" class="quotelink">x</a>', ["https://boards.4chan.org/g/catalog#s=x"]),
        ('<a href="https://b.example"><a href="//boards.4chan.org/g/" class="quotelink">x</a></a>',
         ["https://b.example", "https://boards.4chan.org/g/"]),
    ],
)  # fmt: skip
def test_links(html: str, links: list[str]) -> None:
    assert parse(html, "po", 5).links == links


@given(ANY_TEXT | st.lists(st.sampled_from(PIECES)).map("".join))
@settings(max_examples=400)
def test_any_text_becomes_text_that_a_store_accepts(html: str) -> None:
    comment = parse(html, "po", 5)
    for text in (comment.text, *comment.links, *(quote["board"] for quote in comment.quotes)):
        assert "\x00" not in text
        text.encode()


@given(ANY_TEXT)
def test_clean_changes_only_nul_and_surrogates(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert clean(cleaned) == cleaned
    if "\x00" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text):
        assert cleaned == text


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="<>&")))
def test_plain_text_does_not_change(text: str) -> None:
    lines = [line.rstrip(" \t") for line in text.split("\n")]
    assert parse(text, "po", 5).text == "\n".join(lines).strip("\n")


def test_a_hostile_comment_is_read_quickly() -> None:
    for piece in ("<", "<a ", "&", "<!--", "<![x", "<table>", "<p>", "<div>", "<a href='#p1'>", "https://"):
        assert isinstance(parse(piece * 20_000, "po", 5), Comment)
    for each in (
        '<a href="#p{0}" class="quotelink">x</a>',
        '<a href="https://a.example/{0}">x</a>',
        "https://a.example/{0} ",
    ):
        found = parse("".join(each.format(number + 1) for number in range(20_000)), "po", 5)
        assert len(found.quotes) + len(found.links) == 20_000


def test_unescape() -> None:
    assert unescape("O&#039;Crane &amp; <b>") == "O'Crane & <b>"
    assert unescape(None) is None


CASES = json.loads((ROOT / "tests" / "data" / "comments.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_comments_that_were_misread(case: dict[str, Any]) -> None:
    comment = parse(case["html"], "po", 5)
    assert case["text"] in (None, comment.text)
    assert case["links"] in (None, comment.links)
    if case["quotes"] is not None:
        assert [[q["board"], q["thread_no"], q["no"], q["dead"]] for q in comment.quotes] == case["quotes"]


def test_recorded_comments(fixtures: Path) -> None:
    """In the recorded threads, the site itself says in its text whom a comment quotes."""
    quotes = 0
    for file in (fixtures / "fourchan").glob("*.thread.*.json"):
        if "headers" in file.name:
            continue
        for post in json.loads(file.read_bytes())["posts"]:
            comment = parse(post.get("com", ""), "g", post["resto"] or post["no"])
            assert "<" not in comment.text or "&lt;" in post["com"]
            for quote in comment.quotes:
                assert f">>{quote['no']}" in comment.text or f"/{quote['no']}" in comment.text
            quotes += len(comment.quotes)
    assert quotes > 600
