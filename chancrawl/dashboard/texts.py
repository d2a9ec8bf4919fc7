"""Texts of others for web pages: escaped, isolated, with links. Sans I/O.

What this module returns as Markup is the only HTML that does not come from the templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from linkify_it import LinkifyIt
from markupsafe import Markup, escape

from chancrawl.frames import duration
from chancrawl.text import escaped

SPACES = "\n\u00a0\u2002\u2003\u2009\u3000"
JOINERS = "\u200c\u200d"
"""Between the parts of one emoji, and between letters of some scripts. They do not change the direction."""

LONGEST = 20_000
"""Characters of a text that a page shows."""

REL = "noreferrer noopener nofollow"

_finder = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})

QUOTE = re.compile(r">>>/(\w{1,10})/(\d{1,18})?|>>(\d{1,18})")
TAG = re.compile(r"\[(/?)(spoiler|code|sjis)\]")
PIECE = re.compile(f"{QUOTE.pattern}|{TAG.pattern}")

LinkOf = Callable[[str | None, int], str | None]
"""The address of the page of a quoted post, by its board (None for the same) and its number; None if there is none."""


def plain(text: object) -> str:
    """A text of others on one line, with control and direction characters made visible.

    >>> plain("a\\u202eb")
    'a\\\\u202eb'
    """
    return escaped(" ".join(str(text).split()), JOINERS)


def isolated(text: object) -> Markup:
    """A text of others within a line: its direction does not change what is beside it.

    >>> isolated("<b>")
    Markup('<bdi>&lt;b&gt;</bdi>')
    """
    return Markup("<bdi>{}</bdi>").format(plain(text))


def link(url: str) -> Markup:
    """A link to a web page of others, or its text alone if it leads elsewhere than to http or https.

    >>> link("javascript:alert(1)")
    Markup('<bdi>javascript:alert(1)</bdi>')
    """
    if not is_web(url):
        return isolated(url)
    return Markup('<a href="{}" rel="{}" target="_blank"><bdi>{}</bdi></a>').format(url, REL, plain(url))


def is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and escaped(url) == url and " " not in url
    except ValueError:
        return False


def moment(time: datetime | None, missing: str = "–") -> Markup:
    """A time in UTC; the script of the pages puts the reader's zone beside it."""
    if time is None:
        return escape(missing)
    time = time.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(f"{time:%Y-%m-%dT%H:%M:%SZ}", f"{time:%Y-%m-%d %H:%M:%S}")


def ago(time: datetime | None, now: datetime, missing: str = "never") -> Markup:
    """A time as the distance from now; the script of the pages keeps it right."""
    if time is None:
        return escape(missing)
    time = time.astimezone(UTC)
    words = f"{duration(max((now - time).total_seconds(), 0))} ago"
    return Markup('<time datetime="{}" data-ago>{}</time>').format(f"{time:%Y-%m-%dT%H:%M:%SZ}", words)


# --- comments


def comment(text: str | None, link_of: LinkOf) -> Markup:
    """A comment of 4chan, as the board shows it: quoted lines, spoilers, code, and links."""
    whole = text or ""
    parts = []
    is_open: list[str] = []
    for line in whole[:LONGEST].split("\n"):
        parts.append(_line(line, link_of, is_open))
    body = Markup("\n").join(parts) + Markup("").join(Markup("</span>") for _ in is_open)
    if len(whole) > LONGEST:
        body += Markup("\n<em>… {} more characters</em>").format(f"{len(whole) - LONGEST:,}")
    return body


def _line(line: str, link_of: LinkOf, is_open: list[str]) -> Markup:
    body = Markup("").join(_pieces(line, link_of, is_open))
    is_quoted = line.startswith(">") and not QUOTE.match(line)
    # A span that a tag of this line opens, or closes, cannot lie within one of the line.
    return Markup('<span class="quoted">{}</span>').format(body) if is_quoted and not TAG.search(line) else body


def _pieces(line: str, link_of: LinkOf, is_open: list[str]) -> Iterator[Markup]:
    end = 0
    for match in PIECE.finditer(line):
        yield _linked(line[end : match.start()])
        end = match.end()
        board, number, own, slash, tag = match.groups()
        if tag and not slash:
            is_open.append(tag)
            hint = Markup(' tabindex="0" title="spoiler"') if tag == "spoiler" else Markup("")
            yield Markup('<span class="{}"{}>').format(tag, hint)
        elif tag and tag in is_open:
            while is_open.pop() != tag:
                yield Markup("</span>")
            yield Markup("</span>")
        elif not tag and (number or own) and (url := link_of(board, int(number or own))):
            yield Markup('<a class="quote" href="{}">{}</a>').format(url, match[0])
        else:
            yield _shown(match[0])
    yield _linked(line[end:])


def _linked(text: str) -> Markup:
    """A text with its links."""
    found = []
    end = 0
    for match in (_finder.match(text) or ()) if "://" in text else ():
        found += [_shown(text[end : match.index]), link(match.raw)]
        end = match.last_index
    return Markup("").join([*found, _shown(text[end:])])


def _shown(text: str) -> Markup:
    return escape(escaped(text, SPACES + JOINERS))


def tweet_text(text: str) -> Markup:
    """The text of a post of X, not escaped, with its links."""
    cut = text[:LONGEST]
    return Markup("\n").join(_linked(line) for line in cut.split("\n"))
