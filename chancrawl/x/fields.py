"""Typed values, and the hashtags, links and mentions of a text, out of the untrusted objects of the X API. Sans I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chancrawl.items import Metrics, Raw
from chancrawl.payload import Fields

LARGEST_ID = 2**63 - 1
EARLIEST, LATEST = datetime(2006, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class XFields(Fields):
    """Typed values out of an object of the X API."""

    __slots__ = ()

    def id(self, key: str) -> int | None:
        """A number that is sent as a text, because JavaScript cannot hold it."""
        value = self.raw.get(key)
        if value is None:
            return None
        number = id_of(value)
        if number is None:
            self._odd(key)
        return number

    def ids(self, key: str) -> list[int]:
        return [number for number in map(id_of, as_list(self.raw.get(key))) if number is not None]

    def yes_or_no(self, key: str) -> bool | None:
        value = self.raw.get(key)
        if value is None or type(value) is bool:
            return value
        self._odd(key)
        return None

    def moment(self, key: str) -> datetime | None:
        """ISO 8601, as `created_at` is sent: 2022-10-03T17:57:11.000Z; in UTC, and of a time when there was an X."""
        value = self.raw.get(key)
        if value is None:
            return None
        try:
            time = datetime.fromisoformat(value)
            time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        except (TypeError, ValueError, OverflowError):
            self._odd(key)
            return None
        if not EARLIEST <= time < LATEST:
            self._odd(key)
            return None
        return time

    def object(self, key: str) -> Raw:
        value = self.raw.get(key)
        if isinstance(value, dict):
            return value
        if value is not None:
            self._odd(key)
        return {}

    def metrics(self, key: str) -> Metrics:
        counts = self.object(key).items()
        return {name: value for name, value in counts if type(value) is int and -1 < value <= LARGEST_ID}


def id_of(value: Any) -> int | None:
    """
    >>> id_of("783214"), id_of(783214), id_of("-1"), id_of("9" * 30)
    (783214, 783214, None, None)
    """
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    return value if type(value) is int and 0 < value <= LARGEST_ID else None


MEDIA_PAGES = ("pic.twitter.com/", "pic.x.com/")


class Entities:
    """The hashtags, links and mentions of a text."""

    __slots__ = ("raw",)

    def __init__(self, raw: Raw) -> None:
        self.raw = raw

    def _entries(self, kind: str) -> list[XFields]:
        entries = self.raw.get(kind)
        if not isinstance(entries, list):
            return []
        return [XFields(entry) for entry in entries if isinstance(entry, dict)]

    def tags(self, kind: str) -> list[str]:
        return [tag for entry in self._entries(kind) if (tag := entry.text("tag")) is not None]

    def links(self) -> list[str]:
        """The links as they were meant (t.co resolved), without those that only stand for the post's own media."""
        links = []
        for entry in self._entries("urls"):
            is_media = "media_key" in entry.raw or (entry.text("display_url") or "").startswith(MEDIA_PAGES)
            url = entry.text("expanded_url") or entry.text("url")
            if url and not is_media and "/i/web/status/" not in url:  # which stands for the post itself
                links.append(url)
        return links

    def mentions(self) -> list[tuple[int | None, str]]:
        """Numbers and names, in pairs. Of an account that is gone, X tells the name alone."""
        pairs = [(entry.id("id"), entry.text("username")) for entry in self._entries("mentions")]
        return [(number, name) for number, name in pairs if name is not None]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
