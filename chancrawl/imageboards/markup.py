"""Converts the HTML of a comment into readable text, quoted posts and links. Sans I/O.

The text keeps the notation of the board for what plain text cannot show: [spoiler], [code] and [sjis], as users write
them (https://www.4chan.org/faq#spoiler, …#code, …#sjis). Greentext keeps its leading '>'.
"""

from __future__ import annotations

import functools
import html
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from linkify_it import LinkifyIt
from lxml import etree

from chancrawl.items import Quote
from chancrawl.text import LARGEST_NO, clean

# Only addresses with a scheme: without one, "readme.md" and "node.js" would count as links.
_finder = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})

_BLOCKS = set("p div tr table ul ol li dl dt dd h1 h2 h3 h4 h5 h6 blockquote center".split())
_VOID = {"br", "wbr", "hr", "img"}


@dataclass(slots=True)
class Comment:
    text: str = ""
    quotes: list[Quote] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Element:
    """An open element: what to write at its end, and where its text begins."""

    tag: str
    text_at: int
    searched_at: int
    closing: str = ""
    is_hidden: bool = False
    """Whether the site added it to the comment: the table of a picture's EXIF data."""


def parse(markup: str, board: str, thread_no: int) -> Comment:
    """Read one comment. It never fails: what is not markup counts as text.

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
    """A parser and its target. They are reused, because to create them takes longer than to read a comment."""
    reader: Any = _Reader()
    return reader, etree.HTMLParser(target=reader, encoding="utf-8", huge_tree=True)


def unescape(text: str | None) -> str | None:
    """The text of a field that is escaped but has no markup: a name, a subject, a file name."""
    return None if text is None else clean(html.unescape(text))


class _Reader:
    """A target for lxml's parser. It gets tags and text as events, so it has no limit of nesting.

    `text` is the result. `searched` is the text in which links are searched: a marker such as [spoiler] ends a link, so
    it is replaced by a line break. An empty pair of markers, which users write to avoid filters, is left out.
    """

    def __init__(self) -> None:
        self.begin("", 0)

    def begin(self, board: str, thread_no: int) -> None:
        self.board = board
        self.thread_no = thread_no
        self.text: list[str] = []
        self.searched: list[str] = []
        self.open: list[_Element] = []
        self.hidden = 0  # how many of the open elements are the site's own additions
        self.dead: list[str] | None = None  # the text of the dead link being read
        self.found = Comment()
        self.seen: set[Any] = set()  # the quotes and links found

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "br":
            self._write("\n")
            return
        if tag == "hr":
            self._new_line()
        if tag in _VOID:
            return
        classes = (attributes.get("class") or "").split()
        element = _Element(tag, len(self.text), len(self.searched))
        self.open.append(element)
        if self.hidden or "abbr" in classes or "exif" in classes:
            element.is_hidden = True
            self.hidden += 1
            return
        if tag == "s":
            self._mark(element, "[spoiler]", "[/spoiler]")
        elif tag == "pre":
            self._mark(element, "[code]", "[/code]")
        elif "sjis" in classes:
            self._mark(element, "[sjis]", "[/sjis]")
        elif tag in _BLOCKS:
            self._new_line()
        elif tag == "td":
            element.closing = " "
        elif tag == "a":
            self._link(attributes.get("href") or "", "quotelink" in classes)
        if "deadlink" in classes:
            self.dead = []

    def _mark(self, element: _Element, opening: str, closing: str) -> None:
        self.text.append(opening)
        self.searched.append("\n")
        element.closing = closing

    def end(self, tag: str) -> None:
        if tag in _VOID:
            return
        while self.open:
            element = self.open.pop()
            self._close(element)
            if element.tag == tag:
                break
        if tag in _BLOCKS and not self.hidden:
            self._new_line()
        if self.dead is not None and tag == "span":
            self._dead_quote("".join(self.dead))
            self.dead = None

    def _close(self, element: _Element) -> None:
        if element.is_hidden:
            self.hidden -= 1
        elif element.closing.startswith("["):
            is_empty = len(self.searched) == element.searched_at + 1
            if is_empty:
                self.searched.pop()
            else:
                self.searched.append("\n")
            self.text.append(element.closing)
        elif element.closing:
            self._write(element.closing)
        elif element.tag == "small" and "".join(self.text[element.text_at :]).startswith("Oekaki Post"):
            del self.text[element.text_at :], self.searched[element.searched_at :]

    def data(self, text: str) -> None:
        if self.text and self.text[-1] == "\n" and text[:1] in ("\n", "\r"):
            text = text.lstrip("\r\n")  # a line break after <br> belongs to the HTML and not to the text
        if text and not self.hidden:
            self._write(text)
        if self.dead is not None:
            self.dead.append(text)

    def _write(self, text: str) -> None:
        if not self.hidden:
            self.text.append(text)
            self.searched.append(text)

    def close(self) -> None:
        while self.open:
            self._close(self.open.pop())
        self.found.text = _lines("".join(self.text))
        searched = "".join(self.searched)
        if "//" in searched:
            for match in _finder.match(searched) or ():
                if match.schema in ("http:", "https:", "ftp:"):
                    self._add_link(match.url)

    def _new_line(self) -> None:
        if self.text and not self.text[-1].endswith("\n"):
            self._write("\n")

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


_HOSTS = ("4chan.org", "4channel.org")


def _quote_of(href: str, board: str, thread_no: int) -> Quote | None:
    """The post that a link leads to, or None. It reads all forms that the site has used.

    `#p7`, `/po/thread/5#p7`, `//boards.4chan.org/po/thread/5#p7`; `5#p7` and `/po/res/5.html#7` before 2014;
    `//sys.4chan.org/po/imgboard.php?res=7`, which does not have the thread.
    """
    try:
        url = urlsplit(href)
        host = url.hostname or ""
    except ValueError:
        return None
    no = _number(url.fragment.lstrip("pq"))
    if not url.path and not url.netloc:
        return None if no is None else Quote(board=board, thread_no=thread_no, no=no, dead=False)
    if (url.netloc and not any(host == name or host.endswith(f".{name}") for name in _HOSTS)) or url.scheme not in (
        *("", "http", "https"),
    ):
        return None
    path = url.path.removesuffix(".html").removesuffix(".php").strip("/").split("/")
    match path:
        case [other, "thread" | "res", thread, *_] if (number := _number(thread)) is not None:
            return Quote(board=other, thread_no=number, no=no if no is not None else number, dead=False)
        case ["res" | "thread", thread] | [thread] if not url.netloc and (number := _number(thread)) is not None:
            return Quote(board=board, thread_no=number, no=no if no is not None else number, dead=False)
        case [other, "imgboard"] if (number := _number(dict(parse_qsl(url.query)).get("res", ""))) is not None:
            return Quote(board=other, thread_no=None, no=no if no is not None else number, dead=False)
    return None


def _lines(text: str) -> str:
    """The text without blanks at the ends of lines, and without empty lines at its beginning and end."""
    lines = [line.rstrip(" \t") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return "\n".join(lines).strip("\n")


def _number(digits: str) -> int | None:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        return None
    number = int(digits)
    return number if 0 < number <= LARGEST_NO else None
