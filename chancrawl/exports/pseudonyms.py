"""Pseudonyms: the names, handles, numbers and IDs of people in an export, replaced by keyed hashes.

A pseudonym is the HMAC-SHA256 of who somebody is, by a key that is not in the export. With one key, the same person has
the same pseudonym in every export. A plain hash would be undone in minutes, by trying all handles and numbers. Numbers,
times and texts of posts stay, and can still tell who wrote them.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from html import escape
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import quote, quote_plus

import orjson

from chancrawl.errors import UserError
from chancrawl.exports.columns import AS_JSON, Column, Type
from chancrawl.x.forgetting import REFERENCE

LETTERS = "bcdfghjkmnpqrtvwxz"
"""Of a pseudonym: no vowels, so that it is no name and contains none."""
LENGTH = 14

SHORTEST = 4
"""Shorter names are not looked for in texts: they are parts of too many words."""

NOBODY = ("anonymous",)
"""Names that are nobody's."""

PEOPLE = {
    "name": "name", "tripcode": "tripcode", "poster_id": "poster", "email": "name", "author_id": "account",
    "username": "handle", "mention_ids": "account", "mention_usernames": "handle", "in_reply_to_user_id": "account",
    "in_reply_to_username": "handle", "retweeted_username": "handle", "retweeted_name": "display",
    "former_usernames": "handle",
}  # fmt: skip
"""The columns that name people, with what they hold."""

OF_ACCOUNTS = {"id": "account", "name": "display"}
"""The same for the table of accounts, where these are others."""

LEFT_OUT = ("description", "location", "url", "profile_image_url", "media_urls", "longitude", "latitude", "place_id",
            "place_name", "geo", "places", "coordinates", "arguments", "stats")  # fmt: skip
"""Columns, and keys of `raw` and `includes`, that describe a person in free words, pictures or places."""

TEXTS = ("subject", "semantic_url", "comment_html", "comment_text", "links", "file_name", "text", "retweeted_text",
         "article_title", "article_text", "hashtags", "cashtags", "urls", "retweeted_urls", "found_in",
         "feed")  # fmt: skip
"""The columns in which people write, or are named in addresses and queries. All others stay as they are."""

TEXTS_OF_4CHAN = ("com", "sub", "filename", "semantic_url")
"""The keys of a post of 4chan with texts."""

NO_TEXTS = ("lang", "type", "created_at", "reply_settings", "source", "media_key", "verified_type", "start_date",
            "end_date", "edit_controls", "attachments")  # fmt: skip
"""Keys of X that hold words of X."""

EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
NUMBER = re.compile(r"(?<!\d)\d{4,19}(?!\d)")
POSTER_ID = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{8}(?![A-Za-z0-9+/])")
NAMED_IN_RAW = {"name": "name", "trip": "tripcode", "id": "poster", "email": "name"}
"""The keys of people in a post of 4chan."""

Change = Callable[[Any], Any]


def key_of(file: Path) -> bytes:
    """The key in a file, which is made if it does not exist. UserError if it is no key."""
    if not file.exists():
        file.touch(0o600, exist_ok=False)
        file.write_text(f"{token_hex(32)}\n", encoding="ascii")
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) < 32:
        raise UserError(f"{file} is no key: it has 64 hexadecimal digits. Name a file that does not exist to make one.")
    return key


class Pseudonyms:
    """The pseudonyms of one key.

    `accounts` are the numbers of accounts by handle in lower case, `displays` those by display name; `posters` are the
    IDs of posters, `names` other names. They are what is looked for in texts.
    """

    def __init__(
        self,
        key: bytes,
        accounts: Mapping[str, int | None],
        displays: Mapping[str, int | None],
        names: Iterable[str],
        posters: Iterable[str],
    ) -> None:
        self.key = key
        self.accounts = accounts
        self.displays = displays
        self.numbers = {str(number) for values in (accounts, displays) for number in values.values() if number}
        self.posters = frozenset(posters)
        self._known: dict[tuple[str, str], str] = {}
        words = {name: self.of("name", name) for name in names}
        words |= {name: self.of("display", name) for name in displays}
        words |= {handle: self.of("handle", handle) for handle in accounts}
        self._words = _automaton(words)

    @property
    def fingerprint(self) -> str:
        """A hash of the key, to see whether two exports have the same."""
        return sha256(self.key).hexdigest()[:16]

    def of(self, kind: str, value: Any) -> str:
        """The pseudonym of a person. A handle and a display name have that of their account, if it is known."""
        text = str(value)
        if kind in ("handle", "display"):
            number = self.accounts.get(text.lower()) if kind == "handle" else self.displays.get(text)
            kind, text = ("account", str(number)) if number else (kind, text.lower())
        if kind == "name" and text.lower() in NOBODY:
            return text
        found = self._known.get((kind, text))
        if found is None:
            digest = int.from_bytes(hmac.digest(self.key, f"{kind}:{text}".encode(), "sha256"), "big")
            signs = []
            for _ in range(LENGTH):
                digest, place = divmod(digest, len(LETTERS))
                signs.append(LETTERS[place])
            found = self._known[kind, text] = "".join(signs)
        return found

    # --- rows

    def columns(self, table: str, columns: Sequence[Column]) -> list[Column]:
        """The columns of a table that are exported, with their types."""
        found = []
        for column in columns:
            if column.name in LEFT_OUT:
                continue
            if self._kind(table, column):
                kind = {Type.INTEGER: Type.TEXT, Type.INTEGERS: Type.TEXTS}.get(column.type, column.type)
                column = replace(column, type=kind, source=column.sql)
            found.append(column)
        return found

    def change(self, table: str, columns: Sequence[Column]) -> Change:
        """A function that changes a row of these columns."""
        changes = [self._change(table, column) for column in columns]
        return lambda row: tuple(
            value if value is None or change is None else change(value)
            for value, change in zip(row, changes, strict=True)
        )

    def _kind(self, table: str, column: Column) -> str | None:
        return (OF_ACCOUNTS if table == "accounts" else {}).get(column.name) or PEOPLE.get(column.name)

    def _change(self, table: str, column: Column) -> Change | None:
        kind = self._kind(table, column)
        if kind and column.type in (Type.TEXTS, Type.INTEGERS):
            return lambda text: _json([None if each is None else self.of(kind, each) for each in orjson.loads(text)])
        if kind:
            return lambda value: self.of(kind, value)
        if column.name in ("raw", "includes"):
            is_of_4chan = table in ("posts", "revisions")
            return lambda text: _json(self.value(orjson.loads(text), is_of_4chan))
        if column.name not in TEXTS and (table, column.name) != ("trends", "name"):
            return None
        if column.type in AS_JSON:
            return lambda text: _json(self.value(orjson.loads(text), False))
        return self.text

    # --- values

    def value(self, value: Any, is_of_4chan: bool) -> Any:
        """A JSON value without the names of people."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.value(element, is_of_4chan) for element in value]
        if isinstance(value, dict):
            return {name: self._part(value, name, part, is_of_4chan)
                    for name, part in value.items() if name not in LEFT_OUT}  # fmt: skip
        return value

    def _part(self, whole: Mapping[str, Any], name: str, part: Any, is_of_4chan: bool) -> Any:
        if is_of_4chan and name in NAMED_IN_RAW and isinstance(part, str):
            return self.of(NAMED_IN_RAW[name], part)
        if name in NO_TEXTS or (is_of_4chan and name not in TEXTS_OF_4CHAN):
            return part
        is_account = not is_of_4chan and isinstance(whole.get("username"), str)
        if is_account and name in ("username", "name", "id"):
            number = whole.get("id")
            return self.of("account", number) if number is not None else self.of("handle", whole["username"])
        if not is_of_4chan and (name == "author_id" or name.endswith("user_id")) and part is not None:
            return self.of("account", part)
        return self.value(part, is_of_4chan)

    def text(self, text: str) -> str:
        """A text without the names of people."""
        text = EMAIL.sub("[e-mail]", text) if "@" in text else text
        text = REFERENCE.sub(lambda match: match["before"] + self.of("handle", match["handle"]), text)
        text = NUMBER.sub(lambda match: self.of("account", match[0]) if match[0] in self.numbers else match[0], text)
        text = POSTER_ID.sub(lambda match: self.of("poster", match[0]) if match[0] in self.posters else match[0], text)
        text = re.sub(r"\btimeline:(\d+)", lambda match: f"timeline:{self.of('account', match[1])}", text)
        return "".join(self._parts(text))

    def _parts(self, text: str) -> Iterator[str]:
        """A text in pieces, with pseudonyms in place of names."""
        end = 0
        if self._words is not None:
            for last, (length, pseudonym) in self._words.iter_long(_folded(text)):
                start = last - length + 1
                if _is_word(text, start, last + 1):
                    yield text[end:start]
                    yield pseudonym
                    end = last + 1
        yield text[end:]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether a part of a text is not within a longer word."""
    before = text[start - 1 : start].isalnum() and text[start].isalnum()
    after = text[end : end + 1].isalnum() and text[end - 1].isalnum()
    return not before and not after


def _folded(text: str) -> str:
    """A text in lower case, of the same length."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c if len(low := c.lower()) != 1 else low for c in text)


def library() -> Any:
    """The library that finds many words at once. UserError if it is not installed."""
    try:
        import ahocorasick
    except ImportError:
        raise UserError("Pseudonyms need pyahocorasick: pip install pyahocorasick.") from None
    return ahocorasick


def _automaton(words: Mapping[str, str]) -> Any:
    """What finds names in a text, in any case and in the forms in which HTML and addresses have them. None for none."""
    automaton = library().Automaton()
    for word, pseudonym in words.items():
        forms = {word, escape(word), escape(word).replace("&#x27;", "&#039;"), escape(word, quote=False)}
        forms |= {quote(word), quote(word, safe=""), quote_plus(word)}
        for form in forms if len(word) >= SHORTEST and word.lower() not in NOBODY else ():
            automaton.add_word(_folded(form), (len(_folded(form)), pseudonym))
    if not len(automaton):
        return None
    automaton.make_automaton()
    return automaton
