"""A word in every column of text and JSON that can tell of a person is in no byte after its removal and wiping."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chancrawl.items import Account, Feed, Gap, Handle, Post, Thread, Trend, Tweet
from chancrawl.storage.base import Store
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.spool import Spool
from chancrawl.storage.quarantine import keep, keep_row
from chancrawl.storage.schema import SCHEMA
from tests.support import KINDS
from tests.support.crawls import Crawler
from tests.support.databases import Database
from tests.support.items import START, post
from tests.support.postgres_folders import data_folder

MARKER = "zqxmarkerqz"
OTHERS = {
    "boards", "validators", "credential_limits", "spools", "schema_version", "tombstones", "tombstone_keys",
    "board_coverage",
}  # fmt: skip
"""Tables that tell nothing of a person."""
NOT_OF_PERSONS = re.compile(
    r".*\.(board|fate|status|http_last_modified|raw|stats|finish_reason)|runs\.(spider|source|host|folder|boards)"
    r"|gaps\.reason|removals\..*|tweets\.(lang|reply_settings|place_id)|board_\w+\..*|removed_hours\..*|feeds\.next_token"
    r"|alarms\..*"  # health/alarms.py names no person
)


def text_columns() -> set[str]:
    """The columns of schema.sql with texts or JSON, `table.column`."""
    return {
        f"{table}.{name}"
        for table, body in re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+) \((.*?)^\);", SCHEMA, re.M | re.S)
        for name, kind in re.findall(r"^    (\w+) +(text(?:\[\])?|jsonb?)\b", body, re.M)
        if table not in OTHERS
    }


def marked(item: Any, **values: Any) -> Any:
    """An item with the word in each of its texts, lists of texts, and JSON, except for `values`."""
    found: dict[str, Any] = {}
    for field in fields(item):
        kind = str(field.type)
        if field.name in ("board", "fate", "status", "reason", "known_in", "http_last_modified"):
            continue
        if "str]" in kind:
            found[field.name] = [MARKER]
        elif "Quote" in kind:
            found[field.name] = [{"board": MARKER, "thread_no": None, "no": 1, "dead": False}]
        elif "Metrics" in kind:
            found[field.name] = {MARKER: 1}
        elif "Raw" in kind:
            found[field.name] = {"text": MARKER, MARKER: [MARKER]}
        elif "str" in kind:
            found[field.name] = MARKER
    return replace(item, **(found | values))


def of_the_person() -> Iterator[Any]:
    first = marked(post(7, "x"), no=7, thread_no=7, digest=1)
    yield first
    yield replace(first, revision=2, digest=2, last_seen_at=START.replace(hour=1))
    yield marked(Thread("po", 7, first_seen_at=START, last_seen_at=START))
    yield marked(Tweet(1, 5, MARKER, START, last_seen_at=START), found_in=[f"search:from:{MARKER}", "timeline:5"])
    yield marked(Account(5, MARKER, first_seen_at=START, last_seen_at=START), username=MARKER)
    yield Handle(MARKER, 5, "active", START)
    yield Feed(f"search:from:{MARKER}", posts=1)
    yield Gap(f"search:@{MARKER}", 9, 5, None, None, "reach", START)
    yield Trend(1, START, 1, f"@{MARKER}", None)


def of_others() -> Iterator[Any]:
    address, at = f"https://x.com/{MARKER}/status/1", f"hello @{MARKER} and @{MARKER.upper()}!"
    user = {"id": "5", "username": MARKER, "name": MARKER, "description": MARKER}
    raw = {"text": at, "entities": {"mentions": [{"username": MARKER, "id": "5"}], "urls": [{"expanded_url": address}]},
           "in_reply_to_user_id": "5"}  # fmt: skip
    includes = {"users": [user, {"id": "6", "username": "other"}],
                "tweets": [{"id": "1", "author_id": "5", "text": MARKER}]}  # fmt: skip
    yield Tweet(2, 6, "other", START, text=at, urls=[address, "https://example.org"], mention_ids=[5, 7],
                mention_usernames=[MARKER, "third"], in_reply_to_id=1, in_reply_to_user_id=5, raw=raw,
                in_reply_to_username=MARKER, quoted_id=1, article_title=at, article_text=at, includes=includes,
                found_in=[f"search:to:{MARKER}", "timeline:6"], last_seen_at=START)  # fmt: skip
    yield Tweet(3, 6, "other", START, text=f"RT @{MARKER}: {MARKER}", retweeted_id=1, retweeted_username=MARKER,
                retweeted_name=MARKER, retweeted_text=MARKER, retweeted_urls=[MARKER], raw=raw, includes=includes,
                hashtags=[MARKER], last_seen_at=START)  # fmt: skip
    yield Account(6, "other", description=at, first_seen_at=START, last_seen_at=START, raw={"description": at})
    yield post(8, "somebody else")


def places(folder: Path) -> list[str]:
    """The files under a folder in which the word is, in any case."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file() and "pg_wal" not in file.parts and re.search(MARKER.encode(), file.read_bytes(), re.I):
            found.append(str(file.relative_to(folder)))
    return found


@pytest.fixture
def crawler(either: Store, tmp_path: Path, request: pytest.FixtureRequest) -> Crawler:
    """Commands on a store that has the word wherever it can be."""
    assert either.take_in([*of_the_person(), *of_others()]) == []
    insert = "INSERT INTO runs (spider, arguments, source, started_at, stats, finish_reason) VALUES (?, ?, ?, ?, ?, ?)"
    either.write([(insert, ("timeline", json.dumps({"handles": f"{MARKER},nasa"}), "http://127.0.0.1:1",
                            datetime.now(UTC), json.dumps({"failure": f"@{MARKER}"}), MARKER))])  # fmt: skip
    folder = tmp_path / "data"
    url = either.url if isinstance(either, PostgresStore) else None
    commands = Crawler(folder, "http://127.0.0.1:1", url)
    commands.other("csv").ok()
    edited = folder / "twitter" / f"{MARKER}.csv"
    edited.with_name(f"{MARKER}.csv.edited").write_bytes(edited.read_bytes())
    chan = next((folder / "chan" / "po").glob("posts-*.csv"))
    chan.with_name(f"{chan.name}.edited").write_bytes(chan.read_bytes())
    for item in (*of_the_person(), *of_others()):
        keep_row(folder / "quarantine", KINDS.of(item), item, "odd")
    keep(folder / "quarantine", "https://api.x.com/2/x", f'{{"username": "{MARKER}"}}'.encode(), "odd")
    if url is not None:
        assert isinstance(either, PostgresStore) and either.database_id is not None
        spool = Spool.new(folder / "spool", KINDS, 10**9)
        spool.append([*of_the_person(), *of_others()], either.database_id, "here")
        spool.unlock()
    (folder / "log").write_text(f"@{MARKER} is active.\nhandles={MARKER}\n", encoding="utf-8")
    return commands


def test_every_column_that_can_tell_of_a_person_is_marked(either: Store, crawler: Crawler) -> None:
    unmarked = set()
    for column in text_columns():
        table, _, name = column.partition(".")
        sql = f"SELECT count(*) FROM {table} WHERE lower(CAST({name} AS text)) LIKE ?"
        if not NOT_OF_PERSONS.fullmatch(column) and either.rows(sql, f"%{MARKER}%")[0][0] == 0:
            unmarked.add(column)
    assert unmarked == set()


def test_nothing_of_it_is_left(either: Store, crawler: Crawler, tmp_path: Path) -> None:
    crawler.other("initdb", "--find").ok()
    root = tmp_path if crawler.database_url is None else data_folder(crawler.database_url)
    if crawler.database_url is not None:
        Database(crawler.database_url).rows("CHECKPOINT")
    assert places(root) and places(crawler.folder)
    removed = crawler.other("forget", f"@{MARKER}", "po/thread/7", "-s", f"LOG_FILE={crawler.folder / 'log'}").ok()
    assert "Removed: " in removed.output and "Not reached: " in removed.output
    either.close()
    wiped = crawler.other("forget", "--wipe").ok()
    assert "Wiped" in wiped.output
    assert places(crawler.folder) == [] and places(root) == []
    either.open()
    posts = dict(either.rows("SELECT no, comment_text FROM posts"))
    assert posts == {8: "somebody else"}
    tweets = {number: rest for number, *rest in either.rows("SELECT id, text, mention_usernames FROM tweets")}
    assert tweets.keys() == {2, 3} and tweets[2][0] == "hello @[removed] and @[removed]!"
    assert "third" in tweets[2][1] and tweets[3][0] == "[removed]"
    assert {path.name for path in crawler.folder.rglob("*.edited")} and crawler.other("find", "somebody").ok()
    kept = (path.read_text() for path in (crawler.folder / "quarantine").glob("rows-*"))
    assert "somebody else" in "".join(kept)


def test_the_search_for_bytes_finds_what_was_not_wiped(tmp_path: Path) -> None:
    """The control: without secure_delete and wiping, a removed row stays in the file."""
    for is_secure in (False, True):
        folder = tmp_path / str(is_secure)
        folder.mkdir()
        with closing(sqlite3.connect(folder / "db", isolation_level=None)) as connection:
            connection.execute(f"PRAGMA secure_delete = {'ON' if is_secure else 'OFF'}")
            connection.execute("CREATE TABLE posts (text)")
            connection.execute("INSERT INTO posts VALUES (?)", (MARKER * 20,))
            connection.execute("DELETE FROM posts")
        assert bool(places(folder)) is not is_secure


def test_rows_of_the_person_are_of_this_kind() -> None:
    kinds = {type(item) for item in of_the_person()}
    assert kinds == {Post, Thread, Tweet, Account, Handle, Feed, Gap, Trend}
