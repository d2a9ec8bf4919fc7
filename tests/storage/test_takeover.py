"""A folder of the layout before the embedded database is taken over, all or nothing."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chancrawl.errors import UserError
from chancrawl.items import Post, Thread, columns
from chancrawl.storage.locking import locked
from chancrawl.storage.sqlite.store import SqliteStore
from chancrawl.storage.sqlite.takeover import LEDGER, Takeover
from chancrawl.x.csv_files import COLUMNS
from tests.support import KINDS
from tests.support.folders import Folder, read

SEEN, LATER = "2026-11-21T00:00:00Z", "2026-11-22T00:01:00Z"
DELETION = {"board": "po", "thread_no": 5, "no": 7, "last_seen_at": SEEN, "deleted_at": LATER}
POSTS = [name for name in columns(Post) if name != "digest"]

LEDGER_SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, bytes INTEGER, crc INTEGER, changed_ns INTEGER, announced INTEGER);
CREATE TABLE runs (run_id INTEGER PRIMARY KEY, spider TEXT, arguments TEXT, source TEXT, started_at TEXT,
    finished_at TEXT, finish_reason TEXT, stats TEXT, dollars REAL);
CREATE TABLE spending (day TEXT PRIMARY KEY, posts INTEGER, users INTEGER, trends INTEGER, dollars REAL);
CREATE TABLE posts (board TEXT, thread_no INTEGER, no INTEGER, digest INTEGER, revision INTEGER, posted_at TEXT,
    first_seen_at TEXT, deleted_at TEXT, deletion_confirmed_at TEXT, PRIMARY KEY (board, thread_no, no));
CREATE TABLE tweets (id INTEGER PRIMARY KEY, retweeted_username TEXT, metrics TEXT, first_seen_at TEXT,
    last_seen_at TEXT, found_in TEXT);
CREATE TABLE account_files (author_id INTEGER PRIMARY KEY, stem TEXT);
CREATE TABLE threads (board TEXT, no INTEGER, subject, replies, sticky, closed, bump_limit_reached,
    image_limit_reached, fate, first_seen_at, last_seen_at, gone_at, PRIMARY KEY (board, no));
CREATE TABLE feeds (feed TEXT PRIMARY KEY, newest_id, complete_since, posts, pages, visited_at, walk_posts);
INSERT INTO runs VALUES (1, 'chan', '{}', 'https://a.4cdn.org', '2026-11-21T00:00:00+00:00',
    '2026-11-21T00:05:00.123456+00:00', 'finished', '{}', 0.5);
INSERT INTO spending VALUES ('2026-11-21', 10, 1, 0, 0.06);
INSERT INTO posts VALUES ('po', 5, 6, 62, 2, '2023-11-14T22:13:26Z', '2026-11-21T00:00:00Z', NULL, NULL),
    ('po', 5, 7, 71, 1, '2023-11-14T22:13:27Z', '2026-11-21T00:00:00Z', '2026-11-22T00:01:00Z', NULL);
INSERT INTO tweets VALUES (1576994789110992896, NULL, '{"like_count":9,"retweet_count":1}', '2026-11-21T00:00:00Z',
    '2026-11-22T00:01:00Z', '["timeline:9","search:a"]');
INSERT INTO account_files VALUES (9, 'Earlier');
INSERT INTO threads VALUES ('po', 5, NULL, 2, 0, 1, 0, 0, 'live', '2026-11-21T00:00:00Z', '2026-11-22T00:01:00Z', NULL);
INSERT INTO feeds VALUES ('timeline:9', 5, '1970-01-01T00:00:00Z', 3, 1, '2026-11-21T00:00:00Z', 0);
PRAGMA user_version = 4;
"""


def write(folder: Path, path: str, names: list[str], rows: list[dict[str, Any]], torn: str = "") -> tuple[str, int]:
    """A file as the earlier version wrote it. `torn` is what an unfinished write left. Returns its committed length."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    size = file.stat().st_size
    with file.open("a", encoding="utf-8") as stream:
        stream.write(torn)
    return path, size


def post_row(no: int, com: str, revision: int = 1, seen: str = SEEN) -> dict[str, Any]:
    raw = json.dumps({"no": no, "com": com})
    return {"board": "po", "no": no, "thread_no": 5, "posted_at": "2023-11-14T22:13:26Z", "comment_text": com,
            "raw": raw, "quotes": "[]", "links": "[]", "file_deleted": "false", "file_spoiler": "false",
            "has_mobile_image": "true", "revision": revision, "first_seen_at": SEEN, "last_seen_at": seen}  # fmt: skip


@pytest.fixture
def older(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    tweet = {"id": 1576994789110992896, "tweet_from": "nasa", "hashtags": '{a,"b c"}', "favorite_count": 3,
             "created_at": "Thu Sep 29 10:00:00 +0000 2022", "text": "t", "author_id": 9}  # fmt: skip
    files = [
        write(folder, "chan/po/posts-2026-11-21.csv", POSTS, [post_row(6, "a"), post_row(7, "b\nc")], torn='po,9,"'),
        write(folder, "chan/po/posts-2026-11-22.csv", POSTS, [post_row(6, "A", 2, LATER)]),
        write(folder, "chan/po/threads.csv", columns(Thread), [{"board": "po", "no": 5, "fate": "live"}]),
        write(folder, "chan/po/deletions.csv", ["board", "thread_no", "no", "last_seen_at", "deleted_at",
              "deletion_confirmed_at"], [DELETION]),
        write(folder, "twitter/Earlier.csv", COLUMNS, [tweet]),
    ]  # fmt: skip
    with closing(sqlite3.connect(folder / LEDGER)) as ledger:
        ledger.executescript(LEDGER_SCHEMA)
        ledger.executemany("INSERT INTO files (path, bytes) VALUES (?, ?)", files)
        ledger.commit()
    return folder


def test_everything_is_in_the_database(older: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore(older, KINDS)
    store.open()
    try:
        names = "no, revision, digest, comment_text, deleted_at, has_mobile_image"
        assert store.rows(f"SELECT {names} FROM posts ORDER BY no") == [
            (6, 2, 62, "A", None, 1), (7, 1, 71, "b\nc", "2026-11-22T00:01:00.000000Z", 1)]  # fmt: skip
        assert store.rows("SELECT no, revision, comment_text, replaced_at FROM post_revisions") == [
            (6, 1, "a", "2026-11-22T00:01:00.000000Z")]  # fmt: skip
        assert store.rows("SELECT no, replies, closed, last_seen_at FROM threads") == [
            (5, 2, 1, "2026-11-22T00:01:00.000000Z")]  # fmt: skip
        assert store.rows("SELECT id, author_id, text, metrics, first_metrics, found_in, hashtags FROM tweets") == [
            (1576994789110992896, 9, "t", '{"like_count":9,"retweet_count":1}', '{"like_count":3}',
             '["timeline:9","search:a"]', '["a","b c"]')]  # fmt: skip
        assert store.rows("SELECT source, dollars, finished_at FROM runs") == [
            ("https://a.4cdn.org", 0.5, "2026-11-21T00:05:00.123456Z")]  # fmt: skip
        assert store.rows("SELECT day, dollars FROM spending") == [("2026-11-21", 0.06)]
        assert store.rows("SELECT feed, newest_id, pages FROM feeds") == [("timeline:9", 5, 1)]
    finally:
        store.close()
    assert "taken over into chancrawl.sqlite" in caplog.text or caplog.text == ""
    assert not (older / LEDGER).exists() and (older / f"{LEDGER}.taken-over").exists()


def test_the_files_stay_and_are_gone_on_with(older: Path) -> None:
    before = {path: path.read_bytes() for path in older.rglob("*.csv") if "2026-11-21" not in path.name}
    folder = Folder(older)
    folder.close()
    assert {path: path.read_bytes() for path in before} == before and not list(older.rglob("*.edited"))
    assert len(read(older / "chan/po/posts-2026-11-21.csv")) == 2
    assert folder.sink.files.names.stems == {9: "Earlier"}


def test_a_takeover_that_is_interrupted_is_begun_anew(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(self: Takeover) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Takeover, "_compare", stopped)
        store = SqliteStore(older, KINDS)
        with pytest.raises(KeyboardInterrupt):
            store.open()
        store.close()
    assert (older / LEDGER).exists() and not (older / "chancrawl.sqlite").exists()
    store = SqliteStore(older, KINDS)
    store.open()
    assert store.rows("SELECT count(*) FROM posts") == [(2,)]
    store.close()


def test_rows_that_the_files_do_not_have_any_more_are_counted(older: Path, caplog: pytest.LogCaptureFixture) -> None:
    (older / "chan/po/posts-2026-11-22.csv").unlink()
    (older / "twitter/Earlier.csv").unlink()
    store = SqliteStore(older, KINDS)
    store.open()
    assert store.rows("SELECT no, revision FROM posts") == [(6, 1), (7, 1)]
    store.close()
    assert "1 post of X could not be taken over" in caplog.text


def test_a_ledger_of_version_2_is_corrected(older: Path) -> None:
    with closing(sqlite3.connect(older / LEDGER)) as ledger:
        ledger.execute("PRAGMA user_version = 2")
    store = SqliteStore(older, KINDS)
    store.open()
    assert store.rows("SELECT timeline_at, bottom_at FROM feeds") == [("2026-11-21T00:00:00.000000Z",) * 2]
    store.close()


def test_other_commands_take_it_over_or_say_who_does(older: Path) -> None:
    store = SqliteStore(older, KINDS)
    with pytest.raises(UserError, match="layout of an earlier version: the next crawl takes it over"):
        store.open_to_read()
    store.open_beside()
    assert store.rows("SELECT count(*) FROM posts") == [(2,)]
    store.close()


def test_a_crawl_of_the_earlier_version_is_waited_for(older: Path) -> None:
    assert locked(older / "ledger.lock") is not None
    with pytest.raises(UserError, match="A crawl of an earlier version is writing"):
        SqliteStore(older, KINDS).open()


def test_a_ledger_that_cannot_be_read_is_refused_in_a_sentence(older: Path) -> None:
    (older / LEDGER).write_bytes(b"no database" * 100)
    store = SqliteStore(older, KINDS)
    with pytest.raises(UserError, match=r"cannot be used \(file is not a database\)"):
        store.open()
    store.close()
