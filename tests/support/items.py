"""Items to write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chancrawl.imageboards import fourchan
from chancrawl.items import Deletion, Post, Thread
from chancrawl.payload import digest

START = datetime(2026, 11, 21, tzinfo=UTC)


def minute(number: int | None) -> datetime | None:
    return None if number is None else START + timedelta(minutes=number)


def post(no: int, com: str, revision: int = 1) -> Post:
    time = 1_700_000_000 + no
    raw = {"no": no, "resto": 5, "time": time, "com": com}
    seen = START + timedelta(minutes=revision - 1)
    item = Post("po", no, 5, datetime.fromtimestamp(time, UTC), revision=revision, first_seen_at=START,
                last_seen_at=seen, raw=raw, digest=digest(raw))  # fmt: skip
    assert fourchan.describe(item) == []
    return item


def deletion(no: int, missed: int | None, confirmed: int | None = None) -> Deletion:
    """Missed in that minute, or (None) seen again, in the tenth."""
    return Deletion("po", 5, no, START if missed else minute(10), minute(missed), minute(confirmed))


def thread(replies: int) -> Thread:
    return Thread("po", 5, replies=replies, first_seen_at=START, last_seen_at=START)
