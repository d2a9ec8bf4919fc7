"""Comment HTML made into readable text, quoted posts and links. Pure.

The text keeps the board's own notation for what plain text cannot show: [spoiler], [code] and [sjis], as one writes
them in a post (https://www.4chan.org/faq#spoiler, …#code, …#sjis). Greentext keeps its leading '>'.
"""

from __future__ import annotations

import functools
import html
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from linkify_it import LinkifyIt
from lxml import etree

from chancrawl.items import Quote

LARGEST_NO = 2**63 - 1

# Only addresses written with their scheme: "readme.md" and "node.js" are words here, not links.
_finder = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})

_BLOCKS = {"p", "div", "tr", "table", "ul", "ol", "li", "h1", "h2", "h3", "h4", "blockquote"}


@dataclass(slots=True)
class Comment:
    text: str = ""
    quotes: list[Quote] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def clean(text: str) -> str:
    """Text that every store accepts: U+FFFD in place of NUL and of lone surrogates. `raw` keeps the original.

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


def parse(markup: str, board: str, thread_no: int) -> Comment:
    """Read one comment. Never fails: what is no markup is text.

    >>> parse('<a href="#p7" class="quotelink">&gt;&gt;7</a><br><span class="quote">&gt;no</span>', "po", 5)
    Comment(text='>>7\\n>no', quotes=[{'board': 'po', 'thread_no': 5, 'no': 7, 'dead': False}], links=[])
    """
    if not markup:
        return Comment()
    reader, parser = _tools()
    reader.begin(board, thread_no)
    parser.feed(b"<div>" + clean(markup).encode())
    parser.close()
    return reader.found


@functools.cache
def _tools() -> tuple[_Reader, Any]:
    """A parser and its target, used again and again: to make them takes longer than to read a comment."""
    reader: Any = _Reader()
    return reader, etree.HTMLParser(target=reader, encoding="utf-8", huge_tree=True)


def unescape(text: str | None) -> str | None:
    """The text of a field that is escaped but holds no markup of its own: a name, a subject, a file name."""
    return None if text is None else clean(html.unescape(text))


class _Reader:
    """A target for lxml's parser: it sees tags and text pass by, so that no nesting is too deep for it."""

    def __init__(self) -> None:
        self.begin("", 0)

    def begin(self, board: str, thread_no: int) -> None:
        self.board = board
        self.thread_no = thread_no
        self.text: list[str] = []
        self.closings: list[tuple[str, str]] = []  # open elements, and what to write at their ends
        self.dead: list[str] | None = None  # the text of the dead link being read
        self.found = Comment()
        self.seen: set[Any] = set()  # the quotes and links found

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "br":
            self.text.append("\n")
            return
        if tag == "wbr":
            return
        classes = (attributes.get("class") or "").split()
        opening = closing = ""
        if tag == "s":
            opening, closing = "[spoiler]", "[/spoiler]"
        elif tag == "pre":
            opening, closing = "[code]", "[/code]"
        elif "sjis" in classes:
            opening, closing = "[sjis]", "[/sjis]"
        elif tag in _BLOCKS:
            self._new_line()
        elif tag == "td":
            closing = " "
        elif tag == "a":
            self._link(attributes.get("href") or "", "quotelink" in classes)
        if "deadlink" in classes:
            self.dead = []
        if opening:
            self.text.append(opening)
        self.closings.append((tag, closing))

    def end(self, tag: str) -> None:
        if tag in ("br", "wbr"):
            return
        while self.closings:
            opened, closing = self.closings.pop()
            if closing:
                self.text.append(closing)
            if opened == tag:
                break
        if tag in _BLOCKS:
            self._new_line()
        if self.dead is not None and tag == "span":
            self._dead_quote("".join(self.dead))
            self.dead = None

    def data(self, text: str) -> None:
        if text:
            self.text.append(text)
        if self.dead is not None:
            self.dead.append(text)

    def close(self) -> None:
        text = "".join([*self.text, *(closing for _, closing in reversed(self.closings))])
        lines = [line.rstrip(" \t") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
        self.found.text = "\n".join(lines).strip("\n")
        if "//" in self.found.text:
            for match in _finder.match(self.found.text) or ():
                if match.schema in ("http:", "https:", "ftp:"):
                    self._add_link(match.url)

    def _new_line(self) -> None:
        if self.text and not self.text[-1].endswith("\n"):
            self.text.append("\n")

    def _link(self, href: str, is_quote: bool) -> None:
        quote = _quote_of(href, self.board, self.thread_no)
        if quote is not None:
            self._add_quote(quote)
        elif href.startswith("//") or (is_quote and href.startswith("/")):
            # a link to a board or to a search of its catalog, without a scheme
            self._add_link("https:" + href if href.startswith("//") else "https://boards.4chan.org" + href)
        elif href.partition(":")[0].lower() in ("http", "https", "ftp"):
            self._add_link(href)

    def _dead_quote(self, text: str) -> None:
        """`>>123`, or `>>>/po/123` across boards."""
        target = text.strip().lstrip(">").strip("/")
        board, _, no = target.rpartition("/")
        if (number := _number(no)) is not None:
            self._add_quote(Quote(board=board or self.board, thread_no=None, no=number, dead=True))

    def _add_quote(self, quote: Quote) -> None:
        key = (quote["board"], quote["thread_no"], quote["no"], quote["dead"])
        if key not in self.seen:
            self.seen.add(key)
            self.found.quotes.append(quote)

    def _add_link(self, url: str) -> None:
        if url not in self.seen:
            self.seen.add(url)
            self.found.links.append(url)


def _quote_of(href: str, board: str, thread_no: int) -> Quote | None:
    """`#p7`, `/po/thread/5#p7`, `//boards.4chan.org/po/thread/5#p7`, and `/po/res/5#p7` as it was before 2014."""
    try:
        url = urlsplit(href)
    except ValueError:
        return None
    no = _number(url.fragment.removeprefix("p").removeprefix("q"))
    if not url.path and not url.netloc:
        return None if no is None else Quote(board=board, thread_no=thread_no, no=no, dead=False)
    if url.netloc and url.netloc not in ("boards.4chan.org", "boards.4channel.org"):
        return None
    match url.path.strip("/").split("/"):
        case [other, "thread" | "res", thread, *_] if (number := _number(thread)) is not None:
            return Quote(board=other, thread_no=number, no=no if no is not None else number, dead=False)
    return None


def _number(digits: str) -> int | None:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        return None
    number = int(digits)
    return number if 0 < number <= LARGEST_NO else None
