"""Pseudonyms: nobody's name is left in an export, and the same person has the same pseudonym."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.errors import UserError
from chancrawl.exports.columns import Column, Type
from chancrawl.exports.people import pseudonyms_of
from chancrawl.exports.pseudonyms import LENGTH, LETTERS, SHORTEST, Pseudonyms, key_of
from chancrawl.items import Tweet
from chancrawl.storage.base import Store
from tests.support.crawls import Crawler
from tests.support.items import START
from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, handles_of

KEY = b"k" * 32
NAME = "O'Neil & Söns"
FORMS = "O'NEIL & SÖNS O&#039;Neil &amp; Söns O%27Neil%20%26%20S%C3%B6ns"
PSEUDONYM = f"[{LETTERS}]{{{LENGTH}}}"


def pseudonyms(**values: Any) -> Pseudonyms:
    given = {
        "accounts": {"nasa": 5},
        "displays": {"O'Neil & Söns": 5},
        "names": ["Crane", "Bob"],
        "posters": ["AbCd12/+"],
    }
    return Pseudonyms(KEY, **(given | values))


def test_one_person_has_one_pseudonym_wherever_it_is() -> None:
    people = pseudonyms()
    person = people.of("account", 5)
    assert re.fullmatch(PSEUDONYM, person)
    assert (
        person
        == people.of("handle", "NASA")
        == people.of("display", "O'Neil & Söns")
        == pseudonyms().of("account", "5")
    )
    assert people.of("account", 6) != person and Pseudonyms(b"j" * 32, {}, {}, [], []).of("account", 5) != person
    text = people.text(
        "hi @NASA, https://x.com/nasa/status/9 nasal O'NEIL & SÖNS O&#039;Neil &amp; Söns O%27Neil%20%26%20S%C3%B6ns"
    )
    assert text.count(person) == 5 and "neil" not in text.lower()
    assert re.findall("nasa[a-z]*", text.lower()) == ["nasal"]  # a longer word is another word
    raw = {"author_id": "5", "text": "x", "entities": {"mentions": [{"username": "nasa", "id": "5"}]}}
    changed = people.value(raw, False)
    assert changed["author_id"] == changed["entities"]["mentions"][0]["id"] == person
    assert people.value({"id": "AbCd12/+", "name": "Bob", "trip": "!x", "com": "ID: AbCd12/+"}, True) == {
        "id": people.of("poster", "AbCd12/+"), "name": people.of("name", "Bob"), "trip": people.of("tripcode", "!x"),
        "com": f"ID: {people.of('poster', 'AbCd12/+')}"}  # fmt: skip
    assert people.text("Anonymous Bob me@example.org timeline:77") == (
        f"Anonymous Bob [e-mail] timeline:{people.of('account', 77)}")  # fmt: skip


def test_only_texts_change() -> None:
    """A person can have a name that is a word of the API, of a country or of a board."""
    people = pseudonyms(accounts={"like": 1, "data": 2, "news": 3}, displays={}, names=["Germany", "live"], posters=[])
    row = {"country_name": "Germany", "md5": "news", "board": "news", "sub": "Germany", "com": "database data", "no": 5}
    assert people.value(row, True) == row | {
        "sub": people.of("name", "Germany"), "com": f"database {people.of('handle', 'data')}"}  # fmt: skip
    post = {"public_metrics": {"like_count": 1, "like": 2}, "lang": "data", "geo": {"coordinates": [1, 2]},
            "text": "like", "url": "x"}  # fmt: skip
    like = people.of("handle", "like")
    assert people.value(post, False) == {"public_metrics": {"like_count": 1, "like": 2}, "lang": "data", "text": like}
    columns = [Column(name, Type.TEXT) for name in ("board", "fate", "country_name", "subject")]
    assert people.change("posts", columns)(("news", "live", "Germany", "news")) == (
        "news", "live", "Germany", people.of("handle", "news"))  # fmt: skip


def test_somebody_who_is_only_mentioned_gets_one_too() -> None:
    people = pseudonyms(accounts={}, displays={}, names=[], posters=[])
    assert people.text("@stranger") == f"@{people.of('handle', 'stranger')}"


def test_columns_and_rows() -> None:
    people = pseudonyms()
    columns = [
        Column("author_id", Type.INTEGER), Column("mention_ids", Type.INTEGERS), Column("media_urls", Type.TEXTS),
        Column("text", Type.TEXT), Column("id", Type.INTEGER),
    ]  # fmt: skip
    left = people.columns("tweets", columns)
    assert [(column.name, column.type) for column in left] == [
        ("author_id", Type.TEXT), ("mention_ids", Type.TEXTS), ("text", Type.TEXT), ("id", Type.INTEGER)]  # fmt: skip
    person = people.of("account", 5)
    assert people.change("tweets", left)((5, "[5, null]", "@nasa", 7)) == (
        person,
        f'["{person}",null]',
        f"@{person}",
        7,
    )
    assert people.change("accounts", [Column("id", Type.TEXT)])((5,)) == (person,)


words = st.text(st.sampled_from("abcÄßİ&'\"<>/%+_01"), min_size=SHORTEST, max_size=8)


@given(st.sets(words, min_size=1, max_size=5), st.lists(st.text(st.sampled_from("abcÄß İ&'\"<>_01")), max_size=4))
def test_no_name_is_left_in_any_form(names: set[str], others: list[str]) -> None:
    people = Pseudonyms(KEY, {}, {}, names, [])
    forms = [form for name in names for form in (name, name.upper(), name.lower(), escape(name), quote(name))]
    text = people.text(" … ".join([*forms, *others]))
    for name in names:
        for form in (name, escape(name), quote(name)):
            assert f"… {form} …" not in text


def test_the_people_of_a_store(either: Store, tmp_path: Path) -> None:
    tweets = [Tweet(1, 5, "nasa", START, mention_ids=[6, None], mention_usernames=["Esa", "jaxa"],
                    retweeted_username="roscosmos", retweeted_name="Roscosmos Agency", last_seen_at=START)]  # fmt: skip
    assert either.take_in(tweets) == []
    people = pseudonyms_of(either, tmp_path / "key")
    assert people.accounts == {"nasa": 5, "esa": 6, "jaxa": None, "roscosmos": None}
    assert people.displays == {"Roscosmos Agency": None}
    assert people.fingerprint == pseudonyms_of(either, tmp_path / "key").fingerprint
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    (tmp_path / "odd").write_text("secret")
    with pytest.raises(UserError, match="is no key"):
        key_of(tmp_path / "odd")


# --- whole runs


def people_of(crawler: XCrawler) -> set[str]:
    """The names, handles and numbers of the stored people that have four signs or more."""
    columns = [
        ("accounts", ("id", "username", "name")), ("posts", ("name", "tripcode", "poster_id")),
        ("tweets", ("author_id", "username", "retweeted_username", "retweeted_name")),
    ]  # fmt: skip
    found = {
        str(value)
        for table, names in columns
        for name in names
        for (value,) in crawler.rows(f"SELECT DISTINCT {name} FROM {table} WHERE {name} IS NOT NULL")
    }
    return {name for name in found if len(name) >= SHORTEST} - {"Anonymous"}


def is_in(name: str, content: bytes) -> bool:
    """Whether a name is in bytes of lower case, in any form; a number only if no other digits are beside it."""
    forms = {re.escape(form.lower().encode()) for form in (name, escape(name), quote(name))}
    return any(re.search(rb"(?<!\d)%s(?!\d)" % form if name.isdigit() else form, content) for form in forms)


def test_nobody_of_the_sandbox_is_in_an_export(sandbox: Sandbox, tmp_path: Path) -> None:
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    handles = handles_of(sandbox)[:12]
    crawler.timeline(",".join(handles), "-a", "limit=40").ok()
    Crawler(tmp_path / "data", sandbox.url)("-aboard=pol", "-asample=12").ok()
    people = people_of(crawler)
    assert len(people) > 40
    tables = ["posts", "threads", "quotes", "deletions", "tweets", "retweets", "accounts", "trends"]
    key = ("--pseudonymise", str(tmp_path / "key"))
    fingerprints = set()
    for form in ("csv", "jsonl"):
        folder = tmp_path / form
        crawler.other("export", *tables, "-o", str(folder), "--format", form, "--pack", *key).ok()
        content = b"\n".join(file.read_bytes() for file in folder.rglob("*") if file.is_file()).lower()
        assert {name for name in people if is_in(name, content)} == set()
        fingerprints.add(json.loads((folder / "export.json").read_text())["pseudonyms"]["key"])
        assert "# Pseudonyms" in (folder / "README.md").read_text() and (folder / f"posts.{form}").exists()
    assert len(fingerprints) == 1
    # Another export with the same key, of one account and with some columns.
    one, account = tmp_path / "one.jsonl", ("--account", f"@{handles[0]}")
    crawler.other("export", "tweets", "-o", str(one), *account, "--columns", "id,username", *key).ok()
    rows = [json.loads(line) for line in one.read_text().splitlines()]
    assert {frozenset(row) for row in rows} == {frozenset({"id", "username"})}
    assert len({row["username"] for row in rows}) == 1
    lines = (tmp_path / "jsonl" / "tweets.jsonl").read_text().splitlines()
    whole = {row["id"]: row["username"] for row in map(json.loads, lines)}
    assert all(whole[row["id"]] == row["username"] for row in rows)
    folder = tmp_path / "account"
    crawler.other("export", "tweets", "-o", str(folder), *account, *key).ok()
    assert handles[0].lower() not in (folder / "export.json").read_text().lower()


def test_mistakes_are_said(sandbox: Sandbox, tmp_path: Path) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url)
    crawler("-aboard=po", "-asample=2").ok()
    out = str(tmp_path / "out")
    crawler.other("export", "posts", "-o", out, "--columns", "nose").refused("no such column")
    crawler.other("export", "posts", "threads", "-o", out, "--columns", "comment_text").refused("no column of threads")
    crawler.other("export", "posts", "-o", out, "--pseudonymise", f"{out}/key").refused("outside of")
    shape = ("-o", f"{out}.csv", "--as", "4cat", "--board", "po")
    crawler.other("export", "posts", *shape, "--columns", "no").refused("leave --columns and --pseudonymise out")
    (tmp_path / "bad").write_text("x")
    crawler.other("export", "posts", "-o", out, "--pseudonymise", str(tmp_path / "bad")).refused("is no key")
    assert not Path(out).exists()
