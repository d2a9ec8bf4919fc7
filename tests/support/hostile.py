"""Rows in which every text is hostile: markup, SQL, headers, terminal sequences, directions, templates, formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from chancrawl.items import Account, Board, Feed, Gap, Item, Poll, Post, Thread, Trend, Tweet

TAG = "x-evil"
"""An element of this name anywhere in a page is markup that was not escaped."""

BASIC = [
    f"<{TAG}>", f"</title><{TAG}>", f"</textarea><{TAG}>", f'"><{TAG} a="', f"'><{TAG} a='",
    f"<script><{TAG}></script>",
    f"<img src=x onerror=alert(1)><{TAG}>", f"<svg/onload=alert(1)><{TAG}>", f"<a href=javascript:alert(1)><{TAG}>",
    f"<!--><{TAG}>", f"]]><{TAG}>", f"&lt;{TAG}&gt;<{TAG}>", f"<style>@import'//e.example'</style><{TAG}>",
    f"<base href=//e.example><{TAG}>", f"<meta http-equiv=refresh content=0;url=//e.example><{TAG}>",
    f"<iframe srcdoc='<{TAG}>'>", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>1</script>",
    "//e.example/x", "https://e.example/?a=<b>&c=\"d'", "http://e.example@127.0.0.1/", "https://\u202egpj.exe",
    "{{7*7}}", "{% for x in y %}", "${7*7}", "#{7*7}", "%s%s%n", "{0.__class__}", "'; DROP TABLE posts; --",
    "' OR '1'='1", "\" OR 1=1 --", "1); DELETE FROM posts; --", "\\'; SELECT pg_sleep(9); --", "%' AND '%'='",
    "x\r\nSet-Cookie: evil=1", "x\r\n\r\n<html>", "\x1b[2J\x1b[H", "\x1b]0;evil\x07", "\x9b31m", "\x1b[?25l",
    "\x08\x08",
    "\u202eevil\u202c", "\u2066evil\u2069", "\u200f\u061cevil", "a\u0300" * 60, "\ufeff", "\u2028\u2029", "\ufffd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "W" * 3000, "=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-2+3",
    ">>1", ">>>/g/1", ">>>/../../etc/1", ">>99999999999999999999", "[spoiler]", "[/spoiler][/spoiler]",
    "[code][spoiler]x[/code]", "[sjis", "../../../etc/passwd", "..\\..\\x", "file:///etc/passwd", "\\\\e.example\\x",
    "null", "undefined", "NaN", "__proto__", "constructor", "0", "",
]  # fmt: skip
PAYLOADS = [*BASIC, *(f"{first}{second}" for first in BASIC[:8] for second in BASIC[35:43])]

NOW = datetime.now(UTC).replace(microsecond=0)
TIMES = {"posted_at": NOW - timedelta(minutes=30), "first_seen_at": NOW - timedelta(minutes=29),
         "last_seen_at": NOW - timedelta(minutes=20)}  # fmt: skip


def clean(payload: str) -> str:
    return payload.replace("\0", "")


def _with_texts(item: Item, payload: str, *kept: str) -> Item:
    for field in fields(item):
        value: Any = getattr(item, field.name)
        if field.name in kept:
            continue
        if str(field.type) in ("str", "str | None"):
            setattr(item, field.name, payload)
        elif str(field.type) in ("list[str]", "list[str] | None"):
            setattr(item, field.name, [payload, "https://e.example/" + payload])
        elif field.name in ("raw", "includes"):
            setattr(item, field.name, {"text": payload, payload: 1})
        elif value is None and field.name in TIMES:
            setattr(item, field.name, TIMES[field.name])
    return item


def hostile_items() -> Iterator[Item]:
    """A row of each kind for each payload. The board is po, the first thread 1000; the first account is 2000."""
    yield _with_texts(Board("po", raw={}), f"<{TAG}>", "board")
    yield Poll("po", NOW - timedelta(hours=3), 1001, 1, 1, None)
    for number, payload in enumerate(map(clean, PAYLOADS)):
        no = 1000 + number
        thread_no = 1000 if number % 2 else no
        quotes = [{"board": "po", "thread_no": 1000, "no": 1000, "dead": False}]
        post = Post("po", no, thread_no, TIMES["posted_at"], first_seen_at=TIMES["first_seen_at"],
                    last_seen_at=TIMES["last_seen_at"], raw={}, digest=number)  # fmt: skip
        post.file_tim, post.file_width, post.file_height, post.file_size = number + 1, 3, 4, 5
        yield _with_texts(post, payload, "board")
        post.quotes = quotes  # type: ignore[assignment]
        changed = Post("po", no, thread_no, TIMES["posted_at"], revision=2, first_seen_at=TIMES["first_seen_at"],
                       last_seen_at=NOW - timedelta(minutes=10), raw={}, digest=-number - 1)  # fmt: skip
        yield _with_texts(changed, payload[::-1], "board")
        thread = Thread("po", thread_no, first_seen_at=TIMES["first_seen_at"], last_seen_at=NOW)
        yield _with_texts(thread, payload, "board", "fate")
        account = Account(2000 + number, "x", raw={}, first_seen_at=NOW, last_seen_at=NOW)
        yield _with_texts(account, payload or "x", "status")
        tweet = Tweet(3000 + number, 2000 + number, "x", NOW - timedelta(minutes=5), raw={}, first_seen_at=NOW,
                      last_seen_at=NOW)  # fmt: skip
        yield _with_texts(tweet, payload)
        yield Trend(1, NOW, number, payload or "x", 5)
        yield Feed(f"search:{payload}{number}", visited_at=NOW, posts=1)
        yield Feed(f"timeline:{2000 + number}", visited_at=NOW, posts=1)
        yield Gap(f"timeline:{2000 + number}", 9, 8, NOW, NOW, payload, NOW)
