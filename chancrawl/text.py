"""Functions for texts: text that all stores accept, lists as text, and parts of messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

LARGEST_NO = 2**63 - 1
"""The largest number that both stores accept."""

# --- what stores accept


def clean(text: str) -> str:
    """Text that every store accepts: NUL and lone surrogates are replaced by U+FFFD. `raw` keeps the original.

    >>> clean("a\\x00b\\ud83d")
    'a\ufffdb\ufffd'
    """
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


# --- lists


_PLAIN = re.compile(r'[^ \t\n\r\v\f{}",\\]+')


def list_text(values: Iterable[Any] | None) -> str | None:
    """A list in the text format of PostgreSQL's arrays.

    >>> list_text(["a", "b c", 'say "hi"', "null", ""])
    '{a,"b c","say \\\\"hi\\\\"","null",""}'
    """
    if values is None:
        return None
    return "{" + ",".join("NULL" if value is None else _element(str(value)) for value in values) + "}"


def _element(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.upper() != "NULL":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# --- sentences


def visible(text: str) -> str:
    """A foreign text on one line, with control and direction characters escaped.

    >>> visible("a\\nb\\x1b[31m")
    'a\\\\nb\\\\x1b[31m'
    """
    return escaped(text.strip())


def escaped(text: str, kept: str = "") -> str:
    """A text with control and direction characters escaped, except those in `kept`.

    >>> escaped("a\\n\\u202eb", kept="\\n")
    'a\\n\\\\u202eb'
    """
    return "".join(
        sign if sign.isprintable() or sign in kept else sign.encode("unicode_escape").decode() for sign in text
    )


def capitalized(place: str) -> str:
    """A text with a capital first letter, for the start of a sentence. Other letters do not change.

    >>> capitalized("the database Archive")
    'The database Archive'
    """
    return place[:1].upper() + place[1:]


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without a full stop. Further lines have hints and positions."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "post"), counted(1200, "post"), counted(2, "query")
    ('1 post', '1,200 posts', '2 queries')
    """
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun}"


# What changes in a note about one thing: the noun at its start, then its verbs.
ONE = (
    (r"^(\w+)ies\b", r"\1y"),
    (r"^(\w+(?:x|ch))es\b", r"\1"),
    (r"^(\w+)s\b", r"\1"),
    (r"^([^,;]*)\bwere\b", r"\1was"),
    (r"^([^,;]*)\bare\b", r"\1is"),
)


def noted(number: int, note: str) -> str:
    """
    >>> noted(1, "proxies are not used"), noted(1200, "accounts suspended"), noted(1, "indexes were not read")
    ('1 proxy is not used', '1,200 accounts suspended', '1 index was not read')
    """
    if number == 1:
        for plural, singular in ONE:
            note = re.sub(plural, singular, note, count=1)
    return f"{number:,} {note}"
