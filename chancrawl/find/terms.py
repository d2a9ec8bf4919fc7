"""What is searched: words, phrases and beginnings of words. Sans I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chancrawl.errors import UserError

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u30ff\u3100-\u31bf\u3400-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese. An index has whole words only."""

MARKS = "\u0300-\u036f"
"""Accents that are signs of their own. They belong to the word before them."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word, a phrase of several words, or the beginning of a word. Case does not matter."""

    text: str
    is_prefix: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """What a text with the term matches.

        A term is found as whole words. Between the words of a phrase, any spaces and punctuation may be; punctuation
        within a word has to be there.

        >>> bool(Term("climate change").pattern.search("Climate, change!")), bool(Term("c++").pattern.search("c"))
        (True, False)
        """
        between = r"[\W_]+"
        inner = between.join(map(re.escape, self.text.split()))
        before = "(?<![^\\W_])" if self._is_word(self.text[0]) else ""
        after = f"(?![^\\W_{MARKS}]|[{MARKS}])" if self._is_word(self.text[-1]) and not self.is_prefix else ""
        return re.compile(f"{before}{inner}{after}", re.IGNORECASE)

    @property
    def is_indexed(self) -> bool:
        """Whether an index of whole words can find it."""
        return not UNSPACED.search(self.text) and any(map(str.isalnum, self.text))

    @property
    def parts(self) -> list[tuple[str, bool]]:
        """Its texts, and whether what is found may begin with them only: the last word, if it is a beginning.

        >>> Term("foo-ba", is_prefix=True).parts
        [('foo-', False), ('ba', True)]
        """
        if not self.is_prefix:
            return [(self.text, False)]
        last = re.findall(r"[^\s!-/:-@\[-`{-~]+$", self.text)[0]  # accents may be signs of their own
        return [(self.text.removesuffix(last), False), (last, True)]

    @staticmethod
    def _is_word(sign: str) -> bool:
        return sign.isalnum() and not UNSPACED.match(sign)


def cut_around(text: str, term: Term, around: int) -> tuple[str, str, str]:
    """The part of a text with a term: `around` characters before it, the term as it is written there, those after it.
    Without the term, the beginning of the text.

    >>> cut_around("the old word there", Term("word"), 4)
    ('…old ', 'word', ' the…')
    """
    match = term.pattern.search(text)
    start, end = match.span() if match else (0, 0)
    first, last = max(start - around, 0), end + around
    return (
        f"{'…' if first else ''}{text[first:start]}",
        text[start:end],
        f"{text[end:last]}{'…' if last < len(text) else ''}",
    )


def terms_of(words: Iterable[str]) -> list[Term]:
    """The terms of the command's arguments. An argument with spaces, or in double quotes, is a phrase. UserError if
    there is none.

    >>> terms_of(["@nasa", "climate change", '"to be" or', "pre*"])
    [Term(text='@nasa', is_prefix=False), Term(text='climate change', is_prefix=False), \
Term(text='to be', is_prefix=False), Term(text='or', is_prefix=False), Term(text='pre', is_prefix=True)]
    """
    found = list(dict.fromkeys(term for word in words for term in _terms(word)))
    if not found:
        raise UserError("Name words to find; a phrase in quotes, the beginning of a word with * at its end.")
    return found


def _terms(word: str) -> Iterator[Term]:
    if '"' not in word:
        yield from _term(word)
        return
    for phrase, other in re.findall(r'"([^"]*)"?|([^\s"]+)', word):
        yield from _term(phrase or other)


def _term(text: str) -> Iterator[Term]:
    text = " ".join(text.split())
    if text.rstrip("*"):
        is_prefix = text.endswith("*") and text.rstrip("*")[-1].isalnum()
        yield Term(text.rstrip("*") if is_prefix else text, is_prefix)
