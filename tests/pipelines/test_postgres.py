"""The PostgreSQL schema and writer, on a real server."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg2
import pytest

from chancrawl.items import (
    Account,
    Board,
    Deletion,
    Feed,
    Handle,
    Item,
    Poll,
    Post,
    Thread,
    Trend,
    Tweet,
    Validator,
    columns,
)
from chancrawl.storage.postgres import upsert
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.upsert import BatchWriter
from tests.support import KINDS, ROOT
from tests.support.crawls import environment
from tests.support.databases import Database
from tests.support.items import START, deletion, minute, post, thread


def initdb(*settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scrapy", "initdb", *settings]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)


@pytest.fixture
def tables(database: Database) -> Database:
    store = PostgresStore(database.url, KINDS)
    store.open()
    store.apply_schema()
    store.close()
    return database


def write(database: Database, *items: Board | Post | Thread | Validator | object) -> None:
    def refuse(item: object, reason: str) -> None:
        raise AssertionError(reason)

    connection = psycopg2.connect(database.url)
    BatchWriter(KINDS).write(connection, items, refuse)
    connection.close()


def test_initdb_may_be_repeated(database: Database) -> None:
    for _ in range(2):
        done = initdb("-s", f"DATABASE_URL={database.url}")
        assert done.returncode == 0, done.stderr
        assert "tables of chancrawl are in the database" in done.stdout
    assert database.one("SELECT count(*) FROM posts") == 0


@pytest.mark.parametrize(
    "settings, words",
    [
        ([], "which database?"),
        (["-s", "DATABASE_URL=postgresql://x@127.0.0.1:1/x"], "cannot be used"),
        (["extra"], "no arguments"),
    ],
)
def test_initdb_refuses_in_a_sentence(settings: list[str], words: str) -> None:
    done = initdb(*settings)
    assert done.returncode != 0 and words in done.stderr and "Traceback" not in done.stderr


def test_every_table_and_column_is_described(tables: Database) -> None:
    bare = tables.rows(
        """
        SELECT c.relname, a.attname FROM pg_class c
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
          AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)
        """
    )
    assert bare == []


@pytest.mark.parametrize("item_class", [Post, Thread, Board, Validator])
def test_columns_are_the_items_fields(tables: Database, item_class: type) -> None:
    table = f"{item_class.__name__.lower()}s"
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
    assert [row[0] for row in tables.rows(sql, table)] == columns(item_class)


@pytest.mark.parametrize(
    "question, index",
    [
        ("SELECT * FROM posts WHERE board = 'po' AND thread_no = 5 ORDER BY no", "posts_thread"),
        ("SELECT * FROM posts WHERE board = 'po' AND posted_at > '2026-02-01'", "posts_time"),
        ("""SELECT * FROM posts WHERE quotes @> '[{"board": "po", "no": 5}]'""", "posts_quotes"),
        ("SELECT * FROM posts WHERE file_md5 = 'b9951e65e075e05551f8c73649c1ef54'", "posts_file_md5"),
        ("SELECT * FROM posts WHERE board = 'po' AND no = 5", "posts_pkey"),
    ],
)
def test_the_typical_questions_have_their_index(tables: Database, question: str, index: str) -> None:
    tables.rows(
        """
        INSERT INTO posts (board, no, thread_no, posted_at, quotes, links, file_md5, file_deleted, file_spoiler,
            has_mobile_image, revision, first_seen_at, last_seen_at, raw, digest)
        SELECT (ARRAY['po', 'g'])[1 + n % 2], n, n - n % 100, '2025-01-01'::timestamptz + n * interval '1 hour',
            jsonb_build_array(jsonb_build_object('board', 'po', 'no', n)), '{}', md5(n::text), false, false,
            false, 1, now(), now(), '{}', n
        FROM generate_series(1, 10000) AS n
        """
    )
    tables.rows("ANALYZE posts")
    plan = tables.rows(f"EXPLAIN {question}")
    assert any(index in line for (line,) in plan), plan


def test_a_revision_keeps_the_version_before(tables: Database) -> None:
    write(tables, post(6, "a"))
    write(tables, post(6, "b", revision=2), post(6, "c", revision=3))
    assert tables.rows("SELECT revision, comment_html FROM posts") == [(3, "c")]
    assert tables.rows("SELECT revision, comment_html FROM post_revisions ORDER BY 1") == [(1, "a"), (2, "b")]


def test_a_version_of_another_crawl_is_kept_too(tables: Database) -> None:
    write(tables, post(6, "a"))
    write(tables, post(6, "b"))  # by a crawl that has not seen the first
    write(tables, post(6, "c", revision=2), post(7, "x"))
    assert tables.rows("SELECT revision, comment_html FROM posts WHERE no = 6") == [(3, "c")]
    assert tables.rows("SELECT revision, comment_html FROM post_revisions ORDER BY 1") == [(1, "a"), (2, "b")]


def test_writing_the_same_again_changes_nothing(tables: Database) -> None:
    items = [post(6, "a"), post(7, "b")]
    write(tables, *items)
    before = tables.rows("SELECT no, xmin::text FROM posts ORDER BY no")
    write(tables, *items)
    assert tables.rows("SELECT no, xmin::text FROM posts ORDER BY no") == before


def test_deletions_are_marks(tables: Database) -> None:
    write(tables, post(6, "a"), deletion(6, 1))
    assert tables.rows("SELECT deleted_at IS NOT NULL, deletion_confirmed_at IS NULL FROM posts") == [(True, True)]
    write(tables, deletion(6, 1, confirmed=2), deletion(6, None))
    assert tables.rows("SELECT deleted_at, deletion_confirmed_at FROM posts") == [(None, None)]


def test_characters_that_postgres_refuses_are_kept_in_raw(tables: Database) -> None:
    write(tables, post(6, "nul \x00 and \ud83d"))
    ((html, text, raw),) = tables.rows("SELECT comment_html, comment_text, raw FROM posts")
    assert html == text == "nul \ufffd and \ufffd"
    assert raw["com"] == "nul \x00 and \ud83d"


def test_the_last_state_is_stored(tables: Database) -> None:
    write(tables, thread(replies=1), thread(replies=2))
    assert tables.rows("SELECT no, replies, last_seen_at FROM threads") == [(5, 2, START)]


def test_the_egg_and_the_top_level_have_one_schema() -> None:
    assert (ROOT / "chancrawl" / "schema.sql").read_text() == (Path(ROOT) / "schema.sql").read_text()


def test_of_two_states_of_a_feed_the_later_one_stays(tables: Database) -> None:
    write(tables, Feed("timeline:1", pages=3, next_token="c"), Feed("timeline:1", pages=2, next_token="b"))
    write(tables, Feed("timeline:1", pages=1, next_token="a"))
    assert tables.rows("SELECT pages, next_token FROM feeds") == [(3, "c")]
    write(tables, Feed("timeline:1", pages=4))
    assert tables.rows("SELECT pages, next_token FROM feeds") == [(4, None)]


def tweet(likes: int, text: str | None = "tab\there, line\nthere, back\\slash", **more: str) -> Tweet:
    return Tweet(7, 1, "a", START, text, hashtags=["a b", "NULL", 'q"'], metrics={"like_count": likes},
                 first_metrics={"like_count": likes}, first_seen_at=START, last_seen_at=START,
                 raw={"id": "7", "text": "a NUL \x00, half \ud83d"}, **more)  # type: ignore[arg-type]  # fmt: skip


def test_a_post_that_is_read_again_has_new_counts_and_keeps_columns_that_are_gone(tables: Database) -> None:
    write(tables, tweet(1, retweeted_text="whole"))
    (before,) = tables.rows("SELECT xmin, text, hashtags FROM tweets")
    assert before[1:] == ("tab\there, line\nthere, back\\slash", ["a b", "NULL", 'q"'])
    write(tables, tweet(1, retweeted_text="whole"))
    assert tables.rows("SELECT xmin, text, hashtags FROM tweets") == [before]  # nothing new, nothing written
    write(tables, tweet(5))
    sql = "SELECT retweeted_text, metrics ->> 'like_count', first_metrics ->> 'like_count' FROM tweets"
    assert tables.rows(sql) == [("whole", "5", "1")]


# --- several crawls, and odd rows


def seen(item: Post, minutes: int) -> Post:
    """The same version, first seen so many minutes later."""
    item.last_seen_at = START + timedelta(minutes=minutes)
    item.first_seen_at = item.last_seen_at
    return item


def versions(tables: Database) -> list[tuple[int, str]]:
    """Revisions and comments of post 6, earlier ones first."""
    sql = "SELECT revision, comment_html FROM post_revisions WHERE no = 6 ORDER BY revision"
    return [*tables.rows(sql), *tables.rows("SELECT revision, comment_html FROM posts WHERE no = 6")]


def test_a_version_that_arrives_late_is_stored_as_an_earlier_one(tables: Database) -> None:
    write(tables, seen(post(6, "b"), 5))
    write(tables, seen(post(6, "a"), 1))
    assert versions(tables) == [(1, "a"), (2, "b")]
    assert tables.one("SELECT first_seen_at FROM posts") == START + timedelta(minutes=1)
    write(tables, seen(post(6, "a"), 2))  # it is kept already
    assert versions(tables) == [(1, "a"), (2, "b")]
    write(tables, seen(post(6, "a"), 9))  # and it can come back
    assert versions(tables) == [(1, "a"), (2, "b"), (3, "a")]


def test_an_older_state_does_not_replace_a_later_one(tables: Database) -> None:
    gone = replace(thread(3), last_seen_at=minute(3), fate="pruned", gone_at=minute(9))
    write(tables, gone)
    write(tables, replace(thread(4), first_seen_at=minute(-5), last_seen_at=minute(8)))
    assert tables.rows("SELECT replies, fate, first_seen_at FROM threads") == [(3, "pruned", START)]
    write(tables, replace(thread(5), first_seen_at=minute(-5), last_seen_at=minute(10)))
    assert tables.rows("SELECT replies, fate, first_seen_at FROM threads") == [(5, "live", minute(-5))]


def test_if_two_crawls_miss_a_post_the_earlier_time_is_stored(tables: Database) -> None:
    write(tables, post(6, "a"), deletion(6, 3, confirmed=4))
    write(tables, deletion(6, 2))
    assert tables.rows("SELECT deleted_at, deletion_confirmed_at FROM posts") == [(minute(2), minute(4))]
    write(tables, Deletion("po", 5, 6, minute(1), None))  # that it was there before that is no return
    assert tables.one("SELECT deleted_at FROM posts") == minute(2)
    write(tables, deletion(6, None))
    assert tables.one("SELECT deleted_at FROM posts") is None


def test_deletions_and_sightings_give_the_same_result_in_any_order(tables: Database) -> None:
    """Missed in minute 3, and again in 4; another crawl's look at it, in minute 1, is written only then."""
    write(tables, post(6, "a"), deletion(6, 3, confirmed=4))
    write(tables, seen(post(6, "b"), 1))
    assert tables.rows("SELECT comment_html, deleted_at, deletion_confirmed_at FROM posts") == [
        ("b", minute(3), minute(4))
    ]
    write(tables, seen(post(6, "c"), 5))  # it is back, changed
    write(tables, deletion(6, 3))  # which the other one did not know
    assert tables.rows("SELECT comment_html, deleted_at FROM posts") == [("c", None)]
    write(tables, deletion(6, 3, confirmed=7))  # but then it has missed it again
    assert tables.one("SELECT deleted_at FROM posts") == minute(7)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("sighting", ["changed", "back"])
def test_the_order_of_two_crawls_does_not_matter(tables: Database, first: int, sighting: str) -> None:
    """One crawl misses the post in minutes 4 and 7, the other one saw it in minute 5."""
    misses: list[Item] = [deletion(6, 4), deletion(6, 4, confirmed=7)]
    sees: list[Item] = [seen(post(6, "b"), 5)]
    if sighting == "back":
        sees = [deletion(6, 3), Deletion("po", 5, 6, minute(5), None)]
    write(tables, post(6, "a"))
    for batch in (misses, sees) if first == 0 else (sees, misses):
        write(tables, *batch)
    sql = "SELECT last_seen_at, deleted_at, deletion_confirmed_at FROM posts"
    assert tables.rows(sql) == [(minute(5), minute(7), minute(7))]


def test_a_post_seen_earlier_by_another_crawl(tables: Database) -> None:
    write(tables, seen(post(6, "a"), 5))
    write(tables, seen(post(6, "a"), 2), seen(post(7, "a"), 3))
    assert tables.rows("SELECT no, first_seen_at, revision FROM posts ORDER BY no") == [
        (6, minute(2), 1), (7, minute(3), 1)
    ]  # fmt: skip


def all_kinds() -> list[Item]:
    account = Account(1, "a", metrics={"followers_count": 1}, first_seen_at=START, last_seen_at=START, raw={"id": "1"})
    return [
        Board("po", raw={"board": "po"}, seen_at=START), post(6, "a"), deletion(6, 1), thread(3), Validator("/x", "y"),
        Poll("po", START, 6, 1, 2, None), tweet(1), Trend(1, START, 1, "#a", None), account,
        Handle("a", 1, "active", START), Feed("timeline:1", pages=1),
    ]  # fmt: skip


def test_unchanged_rows_are_not_written(tables: Database) -> None:
    """Not even a lock on a row: `xmax` stays, and the table is not one page longer."""
    kinds = "boards posts threads validators board_polls tweets trends accounts handles feeds".split()
    state = " UNION ALL ".join(f"SELECT '{kind}', xmin::text, xmax::text, ctid::text FROM {kind}" for kind in kinds)
    write(tables, *all_kinds())
    before = sorted(tables.rows(state))
    assert len(before) == len(kinds)
    again = all_kinds()
    assert isinstance(again[0], Board)
    again[0].seen_at = minute(9)
    write(tables, *again)
    assert sorted(tables.rows(state)) == before


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_row_that_the_database_rejects_is_set_aside_alone(tables: Database, place: int) -> None:
    items: list[Item] = [*(post(no, "a") for no in range(1, 6)), thread(3)]
    items.insert(place, replace(post(99, "a"), since4pass=2**40))
    items.append(replace(post(98, "a"), comment_text="half \ud800"))
    rejected: list[tuple[int, str]] = []
    connection = psycopg2.connect(tables.url)
    number = BatchWriter(KINDS).write(connection, items, lambda item, reason: rejected.append((item.no, reason)))
    connection.close()
    assert len(number) == 2 and [no for no, _ in rejected] == [99, 98]
    assert "out of range" in rejected[0][1] and "surrogates" in rejected[1][1]
    assert tables.rows("SELECT no FROM posts ORDER BY no") == [(no,) for no in range(1, 6)]
    assert tables.rows("SELECT replies FROM threads") == []  # its state waits for them


def test_concurrent_writers_neither_deadlock_nor_lose_rows(tables: Database) -> None:
    """Six of them write the same rows in any order, versions among them."""

    random = Random(1)

    def batch() -> list[Item]:
        items: list[Item] = [seen(post(no, f"at {at}"), at) for no in range(1, 30) for at in (random.randrange(9),)]
        items += [replace(thread(no), no=no, last_seen_at=minute(random.randrange(9))) for no in range(1, 9)]
        items += [deletion(no, random.choice([None, 1, 2])) for no in range(1, 30)]
        items += [Feed(f"timeline:{no}", pages=random.randrange(99)) for no in range(20)]
        random.shuffle(items)
        return items

    batches = [batch() for _ in range(90)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda items: write(tables, *items), batches))
    assert tables.one("SELECT count(*) FROM posts") == 29
    # Every version once, and none is missing: each post was seen in nearly all of the nine.
    sql = "SELECT no, comment_html FROM posts UNION ALL SELECT no, comment_html FROM post_revisions WHERE no = 6"
    held = [row for row in tables.rows(sql) if row[0] == 6]
    assert len(set(held)) == 9
    revisions = "SELECT revision FROM posts WHERE no = 6 UNION ALL SELECT revision FROM post_revisions WHERE no = 6"
    assert sorted(tables.rows(revisions)) == [(n + 1,) for n in range(len(held))]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers that hang are ended after four seconds instead of 45."""
    monkeypatch.setattr(upsert, "BEGIN", upsert.BEGIN.replace("'45s'", "'4s'"))


@pytest.mark.usefixtures("quick")
def test_a_writer_of_another_board_does_not_wait_and_one_that_hangs_holds_nobody_up(tables: Database) -> None:
    """As a process that is stopped (SIGSTOP), or a machine without power, in the middle of a transaction."""
    writer = BatchWriter(KINDS)
    with closing(psycopg2.connect(tables.url)) as hanging:
        stuck = writer.transaction(hanging, [post(6, "a")])
        cursor = stuck.__enter__()
        cursor.execute("SELECT count(*) FROM posts")
        hangs = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        write(tables, replace(post(6, "a"), board="g"), replace(thread(1), board="g"), Feed("search:a"))
        assert tables.one(hangs) == 1  # it did not wait for that one
        write(tables, post(6, "b"))  # this one waits until the server has ended that session
        assert tables.one(hangs) == 0
        with pytest.raises(psycopg2.Error) as ended:
            cursor.execute("SELECT 1")
        store = PostgresStore(tables.url, KINDS)
        store.connection = hanging
        assert store.is_outage(ended.value)  # the batch is written again
        with pytest.raises(psycopg2.InterfaceError):
            stuck.__exit__(None, None, None)
    assert sorted(tables.rows("SELECT board, comment_text FROM posts")) == [("g", "a"), ("po", "b")]


def test_the_locks_of_a_batch_are_those_of_its_boards_and_of_x() -> None:
    items = [post(6, "a"), thread(1), deletion(6, 1), Validator("/po/threads.json", "x")]
    items += [Validator("/boards.json", "x"), Feed("search:a")]
    assert [KINDS.of(item).lock_of(item) for item in items] == [*["board po"] * 4, "board boards.json", "x"]
