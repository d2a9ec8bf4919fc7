"""The search language of the sandbox's X, as the documents of the real one have it."""

from __future__ import annotations

import pytest

from chancrawl.sandbox.x.posts import Person, Post, Text
from chancrawl.sandbox.x.query import WrongQuery, parse

NASA, ESA = Person(5, "nasa", "NASA"), Person(6, "esa", "ESA")
IDS = {"nasa": 5, "esa": 6}


def post(number: int, text: str, author: Person = NASA, lang: str = "en", **more: object) -> Post:
    whole = Text(text, hashtags=[{"tag": word[1:]} for word in text.split() if word.startswith("#")])
    return Post(number, author, whole, lang, {}, **more)  # type: ignore[arg-type]


POSTS = [
    post(1, "a paper crane #crane"),
    post(2, "a paper boat", ESA),
    post(3, "ein Kranich aus Papier #crane", ESA, "de"),
    post(4, "thanks", ESA, reply_to=(1, NASA)),
]


@pytest.mark.parametrize(
    "query, found",
    [
        ("from:nasa", {1}),
        ("from:5 OR from:6", {1, 2, 3, 4}),
        ("paper crane", {1}),
        ("paper -crane", {2}),
        ("paper crane OR boat", {1, 2}),  # a blank binds closer
        ("paper (crane OR boat)", {1, 2}),
        ("boat OR paper crane", {1, 2}),
        ("(#crane OR boat) from:esa", {2, 3}),
        ('"paper boat"', {2}),
        ("#crane lang:de", {3}),
        ("#crane -lang:de", {1}),
        ("from:esa is:reply", {4}),
        ("from:esa -is:reply", {2, 3}),
        ("to:nasa", {4}),
        ("conversation_id:1", {1, 4}),
        ("#CRANE", {1, 3}),
    ],
)
def test_what_is_found(query: str, found: set[int]) -> None:
    matches = parse(query, IDS.get)
    assert {one.id for one in POSTS if matches(one)} == found


@pytest.mark.parametrize(
    "query", ["is:reply", "-paper", "lang:de", "paper OR -boat", "-(a b)", "(paper", "a)", "", "nope:x", "OR"]
)
def test_what_x_refuses(query: str) -> None:
    with pytest.raises(WrongQuery):
        parse(query, IDS.get)
