"""The index of words finds what reading all texts finds, in both stores, whatever was written when it was built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from chancrawl.find.index import words_of
from chancrawl.find.postgres_index import LEVELS, blocks
from chancrawl.find.search import Search, index_of
from chancrawl.find.sqlite_index import SqliteIndex
from chancrawl.find.terms import Term, terms_of
from chancrawl.items import Post, Tweet
from chancrawl.storage.base import Store
from tests.support.items import post

WORDS = (
    "a I climate change café ÉTÉ naïve don't c++ c 1e5 100 x-ray foo_bar @nasa #tag "
    "https://example.org/a?b=1 привет мир 日本語 🙂 straße the the the of to re: >>123 v2.0 "
    "e-mail half\u2019s"
).split()
QUERIES = [
    ["climate"], ["CLIMATE", "the"], ["climate change"], ["the of"], ["caf*"], ["café"], ["été"], ["naïve"], ["don't"],
    ["c++"], ["c"], ["1e5"], ["10*"], ["x-ray"], ["foo"], ["foo_b*"], ["@nasa"], ["nasa"], ["AT&T"], ["at"], ["amp"],
    ["example.org"], ["https://example.org/a?b=1"], ["привет мир"], ["ПРИВЕТ"], ["日本"], ["🙂"], ["missing"],
    ["the the"], ["half's"], ["half\u2019s"], ["v2.0"], ["2"], ["e-m*"], [">>123"], ["the", "🙂"], ["I"],
]  # fmt: skip


def text_of(random: Random) -> str:
    return random.choice([" ", "\n", ", "]).join(random.choices(WORDS, k=random.randint(1, 12)))


def written(random: Random, start: int, number: int) -> Iterator[Post | Tweet]:
    for no in range(start, start + number):
        at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=37 * no)
        item = replace(post(no, text_of(random).replace("&", "&amp;")), board=random.choice(["po", "g"]), posted_at=at)
        yield replace(item, subject=random.choice([None, "climate"]), digest=no)
        text = text_of(random).replace("&", "&amp;")
        yield Tweet(no, random.choice([5, 6, None]), "nasa", random.choice([at, at, None]), text=text,
                    retweeted_text=random.choice([None, text_of(random)]), last_seen_at=at)  # fmt: skip


def found(store: Store, query: list[str], **where: object) -> list[str]:
    search = Search(terms_of(query), **where)  # type: ignore[arg-type]
    hits = list(search.hits(store))
    times = [hit.at for hit in hits if hit.at is not None]
    assert times == sorted(times, reverse=True)
    return sorted(hit.key for hit in hits)


def test_the_index_finds_what_reading_all_finds(either: Store) -> None:
    random = Random(7)
    index = index_of(either)
    either.take_in(list(written(random, 1, 60)))
    index.build(lambda table, rows: None)
    either.take_in(list(written(random, 61, 60)))  # written after the index was built
    # Changed, moved to another time, and removed.
    changed = [replace(item, comment_text="climate change again", digest=-item.no, revision=2,
                       last_seen_at=item.posted_at + timedelta(days=9))
               for item in written(random, 10, 20) if isinstance(item, Post)]  # fmt: skip
    assert either.take_in(changed) == []
    either.write(
        [
            ("DELETE FROM posts WHERE no IN (7, 14, 21, 70, 77)", ()),
            ("DELETE FROM tweets WHERE id IN (7, 14, 21, 70, 77)", ()),
        ]
    )
    since, until = (datetime(2026, 11, day, 5, 30, tzinfo=UTC) for day in (2, 3))
    places: list[dict[str, Any]] = [
        {}, {"boards": ["g"], "accounts": []}, {"boards": [], "accounts": [5]}, {"since": since}, {"until": until},
        {"since": since, "until": until, "boards": ["po"]},
    ]  # fmt: skip
    by_index = [found(either, query, **where) for query in QUERIES for where in places]
    assert index.is_complete() and index.size() > 0
    index.drop()
    assert not index.is_complete()
    assert by_index == [found(either, query, **where) for query in QUERIES for where in places]
    assert sum(map(bool, by_index)) > len(by_index) / 2


def test_why_all_texts_are_read(either: Store) -> None:
    either.take_in(list(written(Random(1), 1, 5)))
    for query, is_built, notice in (
        ("climate", False, "no index"),
        ("climate", True, ""),
        ("日本", True, "whole words"),
    ):
        if is_built:
            index_of(either).build(lambda table, rows: None)
        search = Search(terms_of([query]))
        list(search.hits(either))
        assert notice in search.notice and bool(notice) == bool(search.notice)


def test_no_text_is_too_long_for_the_index(either: Store) -> None:
    """A tsvector holds a megabyte, and no word above 2 kB. Nothing that an index cannot hold may keep a row away."""
    index_of(either).build(lambda table, rows: None)
    long = " ".join(f"{n:x}\U00010330\U00010331\U00010332\U00010333" for n in range(60_000))
    texts = (long, "y" * 5_000_000, "z" * 3000 + " first", "", "\U00010330" * 400_000)
    items = [replace(post(8, ""), comment_text=text, digest=n, no=n) for n, text in enumerate(texts, 1)]
    assert either.take_in(items) == []
    assert found(either, ["first"]) == ["po/3"]


def test_an_interrupted_building_is_not_taken_for_an_index(either: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chancrawl.find.sqlite_index.AT_ONCE", 3)
    index = index_of(either)
    either.take_in(list(written(Random(2), 1, 30)))

    def stop(table: str, rows: int) -> None:
        if table == "tweets" or rows > 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.build(stop)
    if not isinstance(index, SqliteIndex):  # as PostgreSQL leaves an index whose building was interrupted
        either.write([("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'posts_words'::regclass", ())])
    assert not index.is_complete()
    expected = found(either, ["the"])
    either.write([
        ("DELETE FROM posts WHERE no IN (2, 29)", ()), ("UPDATE posts SET subject = 'new' WHERE no < 20", ())
    ])  # fmt: skip
    either.take_in(list(written(Random(3), 31, 5)))
    index.build(lambda table, rows: None)
    assert index.is_complete()
    by_index = [found(either, [word]) for word in ("the", "new", "climate")]
    index.drop()
    assert by_index == [found(either, [word]) for word in ("the", "new", "climate")] and by_index[0] != expected


@pytest.mark.parametrize("first, last", [(0, 0), (5, 5), (0, 31), (0, 40_000), (31, 99_999), (490_000, 500_001)])
def test_blocks_cover_a_stretch_once(first: int, last: int) -> None:
    covered: list[int] = []
    for block in blocks(first, last):
        level, _, number = block.removeprefix("~").partition(":")
        hours = LEVELS[int(level)]
        covered += range(int(number) * hours, int(number) * hours + hours)
    assert covered == list(range(first, last + 1))


def test_the_words_of_terms(either: Store) -> None:
    index = index_of(either)
    if not isinstance(index, SqliteIndex):
        index.build(lambda table, rows: None)
    words = words_of(index, terms_of(["Don't", "日本", "pre-fi*"]))
    assert sorted(words) == [("don", False), ("fi", True), ("pre", False), ("t", False)]


def test_terms() -> None:
    assert terms_of(['"an open phrase', "*"]) == [Term("an open phrase")]
    assert Term("日本").is_indexed is False and Term("!!").is_indexed is False and Term("a!").is_indexed
    assert Term("日本").pattern.search("東日本語") and not Term("nasa").pattern.search("nasal")
    assert Term("nai").pattern.search("nai\u0308ve") is None
