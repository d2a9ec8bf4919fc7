"""The texts that are searched: those of 4chan's posts, and those of X's. Sans I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any

from chancrawl.storage.base import moment


@dataclass(frozen=True, slots=True)
class Hit:
    """A post that was found. `key` names it as `scrapy show` takes it."""

    at: datetime | None
    """When it was posted; null for some rows of the older crawler."""
    key: str
    author: str
    text: str
    url: str
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Texts:
    """A table whose texts are searched.

    `content` and `owner` are SQL: the text, and the board or account that a row belongs to; {} is the name of the row,
    with a dot, or nothing. `order` are the columns by which the newest row is found first, `columns` those of a row
    that are read before its text, `parts` those on which the text depends.
    """

    table: str
    content: str
    owner: str
    order: tuple[str, ...]
    columns: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def index(self) -> str:
        """The name of its index."""
        return f"{self.table}_words"

    @property
    def text(self) -> str:
        return self.content.replace("{}", "")

    @property
    def selected(self) -> str:
        return ", ".join((*self.columns, self.text))

    @property
    def newest_first(self) -> str:
        return ", ".join(f"{name} DESC" for name in self.order)

    def hit(self, row: Sequence[Any]) -> Hit:
        """The hit of a row."""
        values = dict(zip((*self.columns, "text"), row, strict=True))
        at = moment(values["posted_at"])
        if self.table == "tweets":
            name = values["username"] or ""
            url = f"https://x.com/{name or 'i'}/status/{values['id']}"
            return Hit(at, str(values["id"]), f"@{name}", unescape(values["text"]).strip(), url)
        board, no = values["board"], values["no"]
        return Hit(at, f"{board}/{no}", " ".join(filter(None, (values["name"], values["tripcode"]))),
                   values["text"].strip(), f"https://boards.4chan.org/{board}/thread/{values['thread_no']}#p{no}",
                   moment(values["deleted_at"]))  # fmt: skip


POSTS = Texts(
    "posts",
    "coalesce({}subject, '') || ' ' || coalesce({}comment_text, '')",
    "{}board",
    ("posted_at", "no"),
    ("board", "no", "thread_no", "posted_at", "name", "tripcode", "deleted_at"),
    ("board", "no", "posted_at", "subject", "comment_text"),
)
TWEETS = Texts(
    "tweets",
    "coalesce({}retweeted_text, {}text, '') || ' ' || coalesce({}article_title, '') || ' ' || "
    "coalesce({}article_text, '')",
    "CAST({}author_id AS text)",
    ("id",),
    ("id", "author_id", "username", "posted_at"),
    ("id", "author_id", "retweeted_text", "text", "article_title", "article_text"),
)
TEXTS = (POSTS, TWEETS)
