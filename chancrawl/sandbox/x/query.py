"""X's search language (https://docs.x.com/x-api/posts/search/integrate/operators), as far as the sandbox's posts go.

A blank is AND and binds closer than OR; `-` negates one term; brackets group. What cannot stand alone (is:, has:,
lang:, negated terms) must have something beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from chancrawl.sandbox.x.posts import Post

Matches = Callable[[Post], bool]

_WORD = re.compile(r'\s*(-?"[^"]*"|\(|\)|-\(|-?[^\s()"]+(?:"[^"]*")?)')


class WrongQuery(ValueError):
    """A query is invalid. The text is the reason."""


@dataclass(frozen=True, slots=True)
class Term:
    matches: Matches
    stands_alone: bool = True


def parse(query: str, id_of: Callable[[str], int | None]) -> Matches:
    """A parsed query, which decides whether a post is found. `id_of` returns the number of an account by its name."""
    words: list[str] = []
    at = 0
    while at < len(query.rstrip()):
        found = _WORD.match(query, at)
        if found is None:
            raise WrongQuery(f"There were errors processing your request: unexpected sign at position {at}")
        words.append(found[1])
        at = found.end()
    reader = _Reader(words, id_of)
    term = reader.any_of()
    if reader.words:
        raise WrongQuery(f"no viable alternative at input '{reader.words[0]}'")
    if not term.stands_alone:
        raise WrongQuery("the query needs at least one standalone operator")
    return term.matches


class _Reader:
    def __init__(self, words: list[str], id_of: Callable[[str], int | None]) -> None:
        self.words = words
        self.id_of = id_of

    def any_of(self) -> Term:
        terms = [self.all_of()]
        while self.words and self.words[0] == "OR":
            self.words.pop(0)
            terms.append(self.all_of())
        return Term(lambda post: any(term.matches(post) for term in terms), all(term.stands_alone for term in terms))

    def all_of(self) -> Term:
        terms = []
        while self.words and self.words[0] not in ("OR", ")"):
            terms.append(self.one())
        if not terms:
            raise WrongQuery("no viable alternative at input '<EOF>'")
        return Term(lambda post: all(term.matches(post) for term in terms), any(term.stands_alone for term in terms))

    def one(self) -> Term:
        word = self.words.pop(0)
        if word == "(":
            term = self.any_of()
            if not self.words or self.words.pop(0) != ")":
                raise WrongQuery("missing ')'")
            return term
        if word == "-(":
            raise WrongQuery("negating a group of operators is not supported")
        if word.startswith("-") and len(word) > 1:
            term = self.operator(word[1:])
            return Term(lambda post: not term.matches(post), False)
        return self.operator(word)

    def operator(self, word: str) -> Term:
        name, colon, value = word.partition(":")
        if (colon and name.isalpha()) or name in ("conversation_id", "retweets_of", "in_reply_to_tweet_id"):
            value = value.strip('"')
            number = int(value) if value.isdigit() else self.id_of(value.removeprefix("@"))
            match name:
                case "from":
                    return Term(lambda post: post.author.id == number)
                case "to":
                    return Term(lambda post: post.reply_to is not None and post.reply_to[1].id == number)
                case "retweets_of":
                    return Term(lambda post: post.original is not None and post.original.author.id == number)
                case "conversation_id":
                    return Term(lambda post: str(post.conversation) == value)
                case "in_reply_to_tweet_id":
                    return Term(lambda post: post.reply_to is not None and str(post.reply_to[0]) == value)
                case "url":
                    return Term(lambda post: any(value.lower() in link.lower() for link in post.links()))
                case "lang":
                    return Term(lambda post: post.lang == value, False)
                case "is" if value in IS:
                    return Term(IS[value], False)
                case "has" if value in HAS:
                    return Term(HAS[value], False)
            raise WrongQuery(f"Reference to invalid operator '{name}:{value}'")
        text = word.strip('"').lower()
        if word[:1] in "#$@" and len(word) > 1:
            return Term(lambda post: text[1:] in _entities(post, word[0]))
        if not word.startswith('"'):
            return Term(lambda post: text in re.findall(r"[\w'-]+", post.whole.text.lower()) or _is_in(text, post))
        return Term(lambda post: text in post.whole.text.lower())


def _is_in(text: str, post: Post) -> bool:
    """A word of a script that is written without blanks."""
    return not text.isascii() and text in post.whole.text.lower()


def _entities(post: Post, sign: str) -> set[str]:
    kind, key = {"#": ("hashtags", "tag"), "$": ("cashtags", "tag"), "@": ("mentions", "username")}[sign]
    return {entry[key].lower() for entry in getattr(post.whole, kind)}


IS: dict[str, Matches] = {
    "retweet": lambda post: post.original is not None,
    "reply": lambda post: post.reply_to is not None,
    "quote": lambda post: post.quoted is not None,
    "verified": lambda post: False,
    "nullcast": lambda post: False,
}
HAS: dict[str, Matches] = {
    "hashtags": lambda post: bool(post.whole.hashtags),
    "cashtags": lambda post: bool(post.whole.cashtags),
    "links": lambda post: bool(post.whole.urls),
    "mentions": lambda post: bool(post.whole.mentions),
    "media": lambda post: bool(post.media),
    "images": lambda post: any(medium["type"] == "photo" for medium in post.media),
    "video_link": lambda post: any(medium["type"] == "video" for medium in post.media),
    "geo": lambda post: post.place is not None,
}
