"""What can be removed, and the words by which it is found in texts. Sans I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from chancrawl.errors import UserError
from chancrawl.imageboards import forgetting as imageboards
from chancrawl.storage.kinds import Subject
from chancrawl.text import visible
from chancrawl.x import forgetting as x

FORMS = (
    "po/570368 (a post), po/thread/570368, po/thread/570368/id/AbCdEf12 (a poster in a thread), @nasa, id:783214 (an "
    "account by its number), tweet/1234567890, or an address of the site"
)


def subject_of(text: str) -> Subject:
    """What a person means. UserError if it is none of FORMS."""
    found = x.subject_of(text) or imageboards.subject_of(text)
    if found is None:
        raise UserError(f"{visible(text)} names nothing that can be removed; write {FORMS}.")
    return found


def is_of_x(subject: Subject) -> bool:
    return subject[0] in x.ABOUT


def words_of(subjects: Iterable[Subject]) -> list[str]:
    """The words by which something is found in files, without the board of a post."""
    return sorted({name.rpartition("/")[2] for _, name in subjects})


def pattern_of(subjects: Iterable[Subject]) -> re.Pattern[bytes]:
    """What the words match as whole words, in any case, as bytes of UTF-8 or ASCII."""
    words = "|".join(re.escape(word) for word in words_of(subjects))
    return re.compile(rf"(?<![A-Za-z0-9_])(?:{words})(?![A-Za-z0-9_])".encode(), re.IGNORECASE)


def masked(value: Any, pattern: re.Pattern[bytes]) -> Any:
    """A JSON value whose texts have [removed] in place of the words.

    >>> masked({"handles": "nasa,esa"}, pattern_of([("handle", "nasa")]))
    {'handles': '[removed],esa'}
    """
    if isinstance(value, str):
        return pattern.sub(x.REMOVED.encode(), value.encode(errors="surrogatepass")).decode(errors="surrogatepass")
    if isinstance(value, list):
        return [masked(element, pattern) for element in value]
    if isinstance(value, dict):
        return {name: masked(part, pattern) for name, part in value.items()}
    return value
