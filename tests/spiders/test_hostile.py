"""Stores that reject or drop rows, headers that lie: state is never ahead of the data, and the run says so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.spiders.test_chan import BOARD, fates, live_threads
from tests.support import ROOT
from tests.support.crawls import Crawler, Run, environment
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.stores import posts_of
from tests.support.x import XCrawler, handles_of

DROP = """
CREATE FUNCTION dropped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER dropping BEFORE INSERT ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION dropped();
"""

BROKEN = """
import sys
from scrapy.cmdline import execute
from chancrawl.imageboards.source import Imageboards
real = Imageboards.describe
def describe(self, item):
    if type(item).__name__ == "Post" and item.no == {no}:
        raise OverflowError("nobody thought of it")
    real(self, item)
Imageboards.describe = describe
execute(["scrapy", *sys.argv[1:]])
"""


def quarantine(crawler: Crawler, *arguments: str) -> Run:
    return crawler.other("quarantine", *arguments)


@pytest.fixture
def stored(tmp_path: Path, sandbox: Sandbox, database: Database) -> Crawler:
    """A crawler whose database has its tables, and hardly a row."""
    crawler = Crawler(tmp_path / "data", sandbox.url, database.url)
    crawler(f"-aboard={BOARD}", "-asample=1").ok()
    return crawler


# --- H1: a database that rejects or drops


@pytest.mark.soak
@pytest.mark.parametrize(
    "column", ["id bigserial", "note text NOT NULL DEFAULT ''", "n int GENERATED ALWAYS AS IDENTITY"]
)
def test_a_column_of_the_owner_is_no_obstacle(
    stored: Crawler, sandbox: Sandbox, database: Database, column: str
) -> None:
    for table in ("posts", "threads", "post_revisions", "validators", "boards"):
        database.rows(f"ALTER TABLE {table} ADD COLUMN {column}")
    stored(f"-aboard={BOARD}").ok()
    assert set(stored.held(BOARD)) == sandbox.visible(BOARD)


@pytest.mark.soak
@pytest.mark.parametrize(
    "break_, mend",
    [
        ("ALTER TABLE posts ADD COLUMN note text; UPDATE posts SET note = ''; "
         "ALTER TABLE posts ALTER note SET NOT NULL", "ALTER TABLE posts DROP COLUMN note"),
        ("ALTER TABLE posts ADD CHECK (name <> name) NOT VALID", "ALTER TABLE posts DROP CONSTRAINT posts_name_check"),
        (DROP.format(table="posts", when="true"), "DROP TRIGGER dropping ON posts"),
    ],
)  # fmt: skip
def test_one_reason_for_all_rows_is_the_stores_fault(
    stored: Crawler, sandbox: Sandbox, database: Database, break_: str, mend: str
) -> None:
    before = set(stored.held(BOARD))
    database.rows(break_)
    run = stored(f"-aboard={BOARD}")
    assert run.code == 1 and "Done." not in run.output and "Traceback" not in run.output
    assert "rejects" in run.output
    assert set(stored.held(BOARD)) == before and len(fates(stored)) == 1, "no state is ahead"
    assert not list(stored.folder.glob("quarantine/rows-*")), "they are not bad rows"
    database.rows(mend)
    stored(f"-aboard={BOARD}").ok()
    assert set(stored.held(BOARD)) == sandbox.visible(BOARD)


@pytest.mark.soak
def test_the_same_of_posts_of_x(tmp_path: Path, database: Database) -> None:
    sandbox = Sandbox("--speed", "0", "--accounts", "8", "--posts", "400")
    try:
        crawler = XCrawler(tmp_path / "data", sandbox.url, database.url)
        first, second = handles_of(sandbox)[:2]
        crawler.timeline(first).ok()
        database.rows(DROP.format(table="tweets", when="true"))
        run = crawler.timeline(second)
        assert run.code == 1 and "Done." not in run.output
        assert {row["tweet_from"] for row in crawler.articles()} == {first}
        database.rows("DROP TRIGGER dropping ON tweets")
        crawler.timeline(second).ok()
        truth = {number for number, post in sandbox.x_truth().items() if post["tweet_from"] in (first, second)}
        assert crawler.ids().keys() == truth
    finally:
        sandbox.stop()


@pytest.mark.soak
@pytest.mark.parametrize(
    "break_, mend",
    [
        (
            "ALTER TABLE posts ADD CONSTRAINT odd CHECK (no % 50 <> 7) NOT VALID",
            "ALTER TABLE posts DROP CONSTRAINT odd",
        ),
        (DROP.format(table="posts", when="NEW.no % 50 = 7"), "DROP TRIGGER dropping ON posts"),
    ],
)
@pytest.mark.parametrize("again", ["take-in", "crawl"])
def test_rows_that_did_not_arrive_hold_their_state_back(
    stored: Crawler, sandbox: Sandbox, database: Database, break_: str, mend: str, again: str
) -> None:
    database.rows(break_)
    before = set(stored.held(BOARD))
    missing = {no for no in sandbox.visible(BOARD) if no % 50 == 7} - before
    assert missing
    for _ in range(2):  # an index that has not changed is no reason to forget them
        run = stored(f"-aboard={BOARD}").refused("Incomplete.", f"incomplete {len(missing)} rows could not be stored")
        assert "scrapy quarantine" in run.output
    assert set(stored.held(BOARD)) == sandbox.visible(BOARD) - missing
    thread_of = {post["no"]: post["thread_no"] for post in sandbox.truth()}
    assert not {thread_of[no] for no in missing} & fates(stored).keys()

    listed = quarantine(stored).ok().output
    assert f"{len(missing):,}  post: " in listed and "take-in" in listed
    assert sum(entry["rows"] for entry in json.loads(quarantine(stored, "--format", "json").output)["rows"]) == len(
        missing
    )
    quarantine(stored, "take-in").refused(f"Still rejected, and kept in {stored.folder}", f"{len(missing)} rows")
    database.rows(mend)
    if again == "take-in":
        assert f"{len(missing)} rows" in quarantine(stored, "take-in").ok().output
        assert set(stored.held(BOARD)) == sandbox.visible(BOARD)
        assert "No row waits" in quarantine(stored, "take-in").ok().output
        assert "Nothing is in" in quarantine(stored).ok().output
    stored(f"-aboard={BOARD}").ok()
    assert set(stored.held(BOARD)) == sandbox.visible(BOARD)
    assert not posts_of(database, earlier=True), "nothing became a revision by it"
    assert thread_of.keys() >= fates(stored).keys() >= {thread_of[no] for no in missing}


@pytest.mark.soak
def test_a_row_that_cannot_be_described_waits_in_the_quarantine(any_store: Crawler, sandbox: Sandbox) -> None:
    """An exception on one item's way to the store costs that item, and its thread is not taken for read."""
    no = live_threads(sandbox)[2]
    code = BROKEN.format(no=no)
    command = any_store.command(f"-aboard={BOARD}", "-aarchive=0")[3:]
    run = subprocess.run([sys.executable, "-c", code, *command], cwd=ROOT, env=environment(), capture_output=True,
                         text=True, timeout=60)  # fmt: skip
    assert run.returncode == 1 and "OverflowError" in run.stderr + run.stdout
    assert no not in any_store.held(BOARD) and no not in fates(any_store)
    assert "OverflowError: nobody thought of it" in quarantine(any_store).ok().output
    assert "1 row" in quarantine(any_store, "take-in").ok().output  # the code is mended
    assert any_store.held(BOARD).count(no) == 1
    any_store(f"-aboard={BOARD}").ok()
    assert set(any_store.held(BOARD)) == sandbox.visible(BOARD) and any_store.held(BOARD).count(no) == 1
    assert not posts_of(any_store.store, earlier=True)


def test_quarantine_of_nothing_and_wrong_arguments(tmp_path: Path) -> None:
    crawler = Crawler(tmp_path / "none", "http://127.0.0.1:9")
    assert "Nothing is in" in quarantine(crawler).ok().output
    assert "No row waits" in quarantine(crawler, "take-in").ok().output
    assert quarantine(crawler, "empty").code == 2
    (tmp_path / "none").write_text("a file")
    assert "Traceback" not in quarantine(crawler).output


# --- H2: the encoding


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_refused(
    tmp_path: Path, sandbox: Sandbox, postgres: str, encoding: str
) -> None:
    name = f"test_{encoding.lower()}"
    admin = psycopg2.connect(postgres)
    admin.autocommit = True
    admin.cursor().execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    try:
        crawler = Crawler(tmp_path / "data", sandbox.url, postgres.replace("/postgres?", f"/{name}?"))
        crawler(f"-aboard={BOARD}").refused(encoding, "UTF8")
        assert not [request for request in sandbox.requests() if "thread" in request["path"]]
    finally:
        admin.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.close()


# --- H3, H4: times that cannot be


@pytest.fixture
def now() -> Iterator[Sandbox]:
    """Boards of today: their clock stands still at ours."""
    sandbox = Sandbox("--speed", "0")
    yield sandbox
    sandbox.stop()


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["date2099", "date1970", "modified2099"])
@pytest.mark.parametrize("path", ["/thread/", "threads.json", ""])
def test_one_absurd_header_changes_nothing(request: Any, tmp_path: Path, now: Sandbox, kind: str, path: str) -> None:
    for url in (None, request.getfixturevalue("database").url):
        crawler = Crawler(tmp_path / ("csv" if url is None else "pg"), now.url, url, tolerance="86400")
        now.fault(kind, path=path, times=40)
        run = crawler(f"-aboard={BOARD}", "-aarchive=0").ok()
        now.heal()
        assert run.output.count("which is implausible") == 1
        thread = next(no for no in live_threads(now) if len(now.thread(no)["posts"]) > 4)
        victim = now.thread(thread)["posts"][2]["no"]
        new = now.act("reply", board=BOARD, no=thread, count=2)["nos"]
        now.act("delete", board=BOARD, no=victim)
        now.advance(5)
        crawler(f"-aboard={BOARD}", "-aarchive=0").ok()
        held = posts_of(crawler.store)
        assert {(BOARD, no) for no in new} <= held.keys()
        assert held[BOARD, victim]["deleted_at"] is not None
        years = {
            str(post[name])[:4] for post in held.values() for name in ("first_seen_at", "last_seen_at") if name in post
        }
        assert years <= {"2026", "2027", "2028", "None"}


@pytest.mark.parametrize("kind", ["date2099", "date1970", "modified2099"])
def test_absurd_headers_while_following(tmp_path: Path, kind: str, wait_until: Any) -> None:
    sandbox = Sandbox("--speed", "200")
    try:
        sandbox.ask(f"/{BOARD}/1.json")
        crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.02, tolerance="86400")
        sandbox.fault(kind, times=10)
        process = crawler.start(f"-aboard={BOARD}", "-afollow=1", "-sCHAN_INDEX_INTERVAL=0.1",
                                "-sCHAN_THREAD_INTERVAL=0.2", "-sBATCH_SECONDS=0.2")  # fmt: skip
        live = {no for thread in live_threads(sandbox) for no in (p["no"] for p in sandbox.thread(thread)["posts"])}
        wait_until(lambda: live <= set(crawler.held(BOARD)), timeout=40)
        new = sandbox.act("reply", board=BOARD, no=live_threads(sandbox)[4], count=2)["nos"]
        wait_until(lambda: set(new) <= set(crawler.held(BOARD)), timeout=60)
        crawler.interrupted(process).ok()
    finally:
        sandbox.stop()


# --- H20: lists of more threads than there can be


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["crowd", "multitude"])
def test_a_list_of_more_threads_than_a_board_can_have_is_not_believed(
    any_store: Crawler, sandbox: Sandbox, kind: str
) -> None:
    sandbox.fault(kind, path="threads.json")
    sandbox.fault(kind, path="archive.json")
    run = any_store(f"-aboard={BOARD}", "-sRETRY_TIMES=1", "-sBACKOFF_MAX=1", "-sCHAN_INDEX_INTERVAL=0.01")
    assert "Traceback" not in run.output and run.code == 1 and "Incomplete." in run.output
    asked = [int(no) for request in sandbox.requests() for no in re.findall(r"/thread/(\d+)", request["path"])]
    assert max(asked) < 900_000_000
    assert set(any_store.held(BOARD)) >= sandbox.visible(BOARD, live_only=True), "the catalog stands in"
    assert not [no for no, fate in fates(any_store).items() if fate == "deleted"]
    sandbox.heal()
    any_store(f"-aboard={BOARD}").ok()
    assert set(any_store.held(BOARD)) == sandbox.visible(BOARD)


# --- H10: a database that stays away


@pytest.mark.soak
def test_a_pass_does_not_wait_for_its_database_for_ever(tmp_path: Path, sandbox: Sandbox, wait_until: Any) -> None:
    from tests.support.servers import OWNER, Postgres, versions

    server = Postgres(next(iter(versions().values())))
    try:
        server.roles()
        crawler = Crawler(tmp_path / "data", sandbox.url, server.url(OWNER), delay=0.02)
        process = crawler.start("-aboard=po", "-sBATCH_SIZE=50", "-sBATCH_SECONDS=0.2", "-sSTORE_PATIENCE=3")
        wait_until(lambda: len(sandbox.requests()) > 60)
        server.halt()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1 and "Traceback" not in output, output
        assert "wait in" in output or "STORE_PATIENCE" in output
        server.up()
        crawler("-aboard=po").ok()
        assert set(crawler.held("po")) == sandbox.visible("po")
    finally:
        server.stop()
