"""Rows rejected at random, for one reason or many, in any batch: never a state ahead, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chancrawl.commands.quarantine import take_in
from chancrawl.items import Feed, Gap, Item, Post, Thread, Validator
from chancrawl.storage.batch_writer import RejectsAll
from chancrawl.storage.item_json import encoded
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.upsert import BatchWriter
from chancrawl.storage.quarantine import KeptRow
from tests.pipelines.test_postgres import tables, tweet  # noqa: F401
from tests.support import KINDS
from tests.support.databases import Database
from tests.support.items import START, post

BREAK = """
ALTER TABLE posts ADD CONSTRAINT first CHECK (name IS DISTINCT FROM 'first');
ALTER TABLE posts ADD CONSTRAINT second CHECK (name IS DISTINCT FROM 'second');
CREATE OR REPLACE FUNCTION dropped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER dropping BEFORE INSERT ON posts FOR EACH ROW WHEN (NEW.name = 'dropped') EXECUTE FUNCTION dropped();
"""
MEND = """
ALTER TABLE posts DROP CONSTRAINT first; ALTER TABLE posts DROP CONSTRAINT second; DROP TRIGGER dropping ON posts;
"""

# A step of a crawl: a post of a thread, and whether it will be stored; or the state of a thread, or of the index.
FATES = st.sampled_from(["stored", "stored", "stored", "first", "second", "dropped"])
STEPS = st.one_of(
    st.tuples(st.just("post"), st.integers(1, 4), FATES),
    st.tuples(st.just("thread"), st.integers(1, 4), st.none()),
    st.tuples(st.just("index"), st.none(), st.none()),
)
BATCHES = st.lists(st.lists(STEPS, min_size=1, max_size=12), min_size=1, max_size=6)


def items_of(batches: list[list[tuple[str, int | None, str | None]]]) -> list[list[Item]]:
    """State says how many posts there were so far."""
    posts: Counter[int] = Counter()
    made: list[list[Item]] = []
    for batch in batches:
        items: list[Item] = []
        for what, thread_no, fate in batch:
            if what == "post":
                assert thread_no is not None
                posts[thread_no] += 1
                name = None if fate == "stored" else fate
                items.append(replace(post(1000 + posts.total(), "a"), thread_no=thread_no, name=name))
            elif what == "thread":
                assert thread_no is not None
                items.append(Thread("po", thread_no, replies=posts[thread_no], first_seen_at=START, last_seen_at=START))
            else:
                items.append(Validator("/po/threads.json", str(posts.total())))
        made.append(items)
    return made


def no_state_is_ahead(database: Database) -> None:
    stored = Counter(thread_no for (thread_no,) in database.rows("SELECT thread_no FROM posts"))
    for no, replies in database.rows("SELECT no, replies FROM threads"):
        assert stored[no] >= replies
    for (number,) in database.rows("SELECT last_modified FROM validators"):
        assert stored.total() >= int(number)


@pytest.mark.soak
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BATCHES, st.booleans())
def test_whatever_is_rejected_is_kept_or_fetched_again(
    tables: Database,  # noqa: F811
    steps: list[list[tuple[str, int | None, str | None]]],
    by_quarantine: bool,
) -> None:
    tables.rows("TRUNCATE posts, threads, validators, post_revisions")
    tables.rows(BREAK)
    batches = items_of(steps)
    writer, kept = BatchWriter(KINDS), list[tuple[Item, str]]()
    store = PostgresStore(tables.url, KINDS)
    store.open()
    try:
        sent: list[Item] = []
        for batch in batches:
            try:
                writer.write(store.connection, batch, lambda item, reason: kept.append((item, reason)))
            except RejectsAll:  # the crawl ends
                break
            sent += batch
            no_state_is_ahead(tables)
            stored = {no for (no,) in tables.rows("SELECT no FROM posts")}
            aside = {item.no for item, _ in kept if isinstance(item, Post)}
            assert stored | aside == {item.no for item in sent if isinstance(item, Post)} and not stored & aside

        tables.rows(MEND)
        if by_quarantine:
            rows = [KeptRow("post", reason, encoded(item), item) for item, reason in kept]
            assert take_in(store, rows) == []
            no_state_is_ahead(tables)
            assert {item.no for item, _ in kept} <= {no for (no,) in tables.rows("SELECT no FROM posts")}
        for batch in batches:  # the next crawl: whatever has no state is read again
            assert BatchWriter(KINDS).write(store.connection, batch, lambda item, reason: pytest.fail(reason)) == []
        everything = [item for batch in batches for item in batch]
        assert tables.one("SELECT count(*) FROM posts") == sum(isinstance(item, Post) for item in everything)
        assert tables.one("SELECT count(*) FROM post_revisions") == 0
        no_state_is_ahead(tables)
        assert {no for (no,) in tables.rows("SELECT no FROM threads")} == {
            item.no for item in everything if isinstance(item, Thread)
        }
    finally:
        store.close()


def test_a_feed_of_x_waits_for_its_posts_and_gaps(tables: Database) -> None:  # noqa: F811
    tables.rows("ALTER TABLE tweets ADD CHECK (id <> 2); ALTER TABLE gaps ADD CHECK (before_id <> 7)")
    connection = psycopg2.connect(tables.url)
    writer, kept = BatchWriter(KINDS), list[Item]()
    posts: list[Item] = [replace(tweet(1), id=no, found_in=["timeline:1", "search:a"]) for no in (1, 2, 3)]
    gap = Gap("timeline:9", 7, 5, None, None, "reach", START)
    feeds = [Feed(name, pages=1, visited_at=START) for name in ("timeline:1", "search:a", "timeline:9", "timeline:5")]
    writer.write(connection, [*posts, gap, *feeds], lambda item, _: kept.append(item))
    assert kept == [posts[1], gap]
    assert tables.rows("SELECT feed FROM feeds") == [("timeline:5",)]
    tables.rows(
        "ALTER TABLE tweets DROP CONSTRAINT tweets_id_check; ALTER TABLE gaps DROP CONSTRAINT gaps_before_id_check"
    )
    writer.write(connection, [posts[1]], lambda item, reason: pytest.fail(reason))
    writer.write(connection, feeds, lambda item, reason: pytest.fail(reason))
    assert {name for (name,) in tables.rows("SELECT feed FROM feeds")} == {feed.feed for feed in feeds} - {"timeline:9"}
    connection.close()
