"""What is said of 4chan's refusals, holes and odd answers is true, and nothing is forgotten once they are over."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.spiders.test_chan import BOARD, fates, live_threads
from tests.support.crawls import Crawler
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.stores import posts_of

pytestmark = pytest.mark.soak

Wait = Callable[..., None]


def paths(sandbox: Sandbox, start: int = 0) -> list[str]:
    return [request["path"] for request in sandbox.requests(start)]


# --- C1, C12: a refusal in any dress


@pytest.mark.parametrize(
    "kind, words",
    [
        ("json403", "403 (Error 1010: Access denied: The site owner"),
        ("html403", "403 (Just a moment...)"),
        ("302", "302, a redirection to https://www.example.org/captcha"),
        ("429", "429"),
    ],
)
def test_a_refusal_starts_a_pause_and_is_logged(tmp_path: Path, sandbox: Sandbox, kind: str, words: str) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.1)
    sandbox.fault(kind, path="/thread/", times=4)
    start = len(sandbox.requests())
    run = crawler(f"-aboard={BOARD}", "-asample=4").ok()
    times = [request["at"] for request in sandbox.requests(start) if "/thread/" in request["path"]]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert max(pauses) > 0.7, "the pauses grow"
    assert run.output.count(f"refused with {words}") >= 1
    assert len([line for line in run.output.splitlines() if "WARNING" in line and "refused" in line]) == 1
    assert f"4 refusals; the last one: {words}" in run.output
    assert len(crawler.csv(f"{BOARD}/threads")) == 4


def test_a_site_that_refuses_from_the_start_is_reported(tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.05)
    sandbox.fault("json403")
    start = len(sandbox.requests())
    run = crawler(f"-aboard={BOARD}", "-sRETRY_TIMES=4").refused("refuses this address", "Error 1010", "ROTATING_PROXY")
    assert "check the network" not in run.output
    times = [request["at"] for request in sandbox.requests(start)]
    assert len(times) == 6 and times[-1] - times[0] > 0.1 + 0.2 + 0.4 + 0.8, "with pauses"


def test_waiting_has_a_limit_without_follow(tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.05)
    sandbox.fault("302", path="/thread/")
    run = crawler(f"-aboard={BOARD}", "-sSOURCE_PATIENCE=2", timeout=60)
    run.refused("has given no answer", "302, a redirection", "SOURCE_PATIENCE")


def test_refused_proxies_pause(tmp_path: Path, sandbox: Sandbox) -> None:
    from tests.support.proxies import Proxy

    good, bad = Proxy("127.0.0.2"), Proxy("127.0.0.3")
    try:
        crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.02)
        sandbox.fault("json403", peer="127.0.0.3")
        run = crawler(f"-aboard={BOARD}", f"-sROTATING_PROXY_LIST={good.url()},{bad.url()}", "-LDEBUG").ok()
    finally:
        good.stop()
        bad.stop()
    assert "is DEAD" in run.output and set(crawler.held(BOARD)) == sandbox.visible(BOARD)
    assert sum(request["peer"] == "127.0.0.3" for request in sandbox.requests()) < 8


# --- C2, C3, C5, C13: index files that stand in


@pytest.mark.parametrize("files", [["catalog"], ["threads"], ["threads", "catalog"]])
@pytest.mark.parametrize("kind", ["404", "503", "malformed", "empty"])
def test_another_index_file_stands_in_for_one_pass(
    tmp_path: Path, sandbox: Sandbox, files: list[str], kind: str
) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url)
    sandbox.ask(f"/{BOARD}/threads.json")
    for file in files:
        sandbox.fault(kind, path=f"{file}.json")
    run = crawler(f"-aboard={BOARD}", "-sBACKOFF_MAX=1").ok()
    assert set(crawler.held(BOARD)) == sandbox.visible(BOARD)
    if "threads" in files:
        assert (
            f"{BOARD}/threads.json" in run.output
            and "threads.json cannot be read; other index files are used" in run.output
        )
    # and when it is back, what became of threads is noticed
    sandbox.heal()
    sandbox.advance(60)
    killed = live_threads(sandbox)[3]
    sandbox.act("delete_thread", board=BOARD, no=killed)
    crawler(f"-aboard={BOARD}").ok()
    assert fates(crawler)[killed] == "deleted"


def test_a_board_whose_every_index_fails_is_incomplete(crawler: Crawler, sandbox: Sandbox) -> None:
    for file in ("threads", "catalog", "1"):
        sandbox.fault("404", path=f"/{BOARD}/{file}.json")
    run = crawler(f"-aboard={BOARD}").refused("Incomplete.", "1 list of threads could not be read")
    assert "Done." not in run.output
    assert set(fates(crawler).values()) == {"archived"}  # what could be read is


def test_one_entry_without_a_number_does_not_affect_others(crawler: Crawler, sandbox: Sandbox) -> None:
    sandbox.fault("holey", path="threads.json", times=1)
    run = crawler(f"-aboard={BOARD}").ok()
    first = live_threads(sandbox)[0]
    assert set(live_threads(sandbox)) - set(map(int, fates(crawler))) == {first}
    assert "a thread without a number in the index" in run.output
    crawler(f"-aboard={BOARD}").ok()  # the index is not taken for read
    assert set(crawler.held(BOARD)) == sandbox.visible(BOARD)


def test_one_invalid_entry_of_the_archive_does_not_affect_others(crawler: Crawler, sandbox: Sandbox) -> None:
    sandbox.fault("holey", path="archive.json", times=1)
    crawler(f"-aboard={BOARD}").ok()
    crawler(f"-aboard={BOARD}").ok()
    assert set(crawler.held(BOARD)) == sandbox.visible(BOARD)


def test_more_than_a_tenth_of_the_threads_is_incomplete(crawler: Crawler, sandbox: Sandbox) -> None:
    for no in live_threads(sandbox)[:10]:
        sandbox.fault("malformed", path=f"/{no}.json")
    run = crawler(f"-aboard={BOARD}", "-aarchive=0").refused("Incomplete.", "10 of 31 threads failed")
    assert "Traceback" not in run.output
    sandbox.heal()
    crawler(f"-aboard={BOARD}").ok()
    assert set(crawler.held(BOARD)) == sandbox.visible(BOARD)


@pytest.fixture
def lively() -> Iterator[Sandbox]:
    sandbox = Sandbox("--speed", "200", "--seed", "3")  # so quick that even a slow board is asked for often
    sandbox.ask(f"/{BOARD}/1.json")  # a board begins to live when it is first looked at
    yield sandbox
    sandbox.stop()


def following(crawler: Crawler, board: str, *more: str) -> Any:
    delay = crawler.delay
    return crawler.start(
        "-a", f"board={board}", "-a", "follow=1", "-s", f"CHAN_INDEX_INTERVAL={5 * delay}", "-s",
        f"CHAN_THREAD_INTERVAL={10 * delay}", "-s", "BATCH_SECONDS=0.2", *more,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["404", "503", "malformed"])
@pytest.mark.parametrize("files", [["catalog"], ["catalog", "threads"]])
def test_another_index_file_stands_in_while_following(
    tmp_path: Path, lively: Sandbox, wait_until: Wait, kind: str, files: list[str]
) -> None:
    crawler = Crawler(tmp_path / "data", lively.url, delay=0.02)
    for file in files:
        lively.fault(kind, path=f"{file}.json")
    process = following(crawler, BOARD, "-s", "BACKOFF_MAX=1")
    wait_until(lambda: lively.visible(BOARD, live_only=True) <= set(crawler.held(BOARD)), timeout=40)
    if "threads" not in files:
        wait_until(lambda: any("archive.json" in path for path in paths(lively)))
        killed = live_threads(lively)[3]
        lively.act("delete_thread", board=BOARD, no=killed)
        wait_until(lambda: fates(crawler).get(killed) == "deleted", timeout=40)
    run = crawler.interrupted(process)
    assert (
        f"/{BOARD}/catalog.json cannot be read" in run.output
        and "other index files are used until it is back" in run.output
    )


def test_a_catalog_that_fails_later_is_replaced_and_comes_back(
    tmp_path: Path, lively: Sandbox, wait_until: Wait
) -> None:
    crawler = Crawler(tmp_path / "data", lively.url, delay=0.02)
    process = following(crawler, BOARD, "-s", "BACKOFF_MAX=1", "-s", f"LOG_FILE={tmp_path / 'log'}")
    wait_until(lambda: lively.visible(BOARD, live_only=True) <= set(crawler.held(BOARD)), timeout=40)
    lively.fault("404", path="catalog.json")
    killed = live_threads(lively)[3]
    lively.act("delete_thread", board=BOARD, no=killed)
    wait_until(lambda: fates(crawler).get(killed) != "live", timeout=60)
    assert fates(crawler)[killed] == "deleted"
    lively.heal()
    wait_until(lambda: "catalog.json is back" in (tmp_path / "log").read_text(), timeout=60)
    crawler.interrupted(process).ok()


# --- C4, C6, C8: what is gone


def test_a_stub_is_a_thread_that_is_gone(any_store: Crawler, sandbox: Sandbox) -> None:
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    killed, listed = live_threads(sandbox)[3:5]
    sandbox.act("delete_thread", board=BOARD, no=killed)
    for no in (killed, listed):
        sandbox.fault("stub", path=f"/{no}.json")
    new = sandbox.act("reply", board=BOARD, no=listed)["nos"]
    run = any_store(f"-aboard={BOARD}").ok()
    assert fates(any_store)[killed] == "deleted" and fates(any_store)[listed] == "live"
    assert "error" not in run.output.lower()
    sandbox.heal()  # an index that lists it is not taken for read before it is read
    any_store(f"-aboard={BOARD}").ok()
    assert set(new) <= set(any_store.held(BOARD))


def test_threads_that_an_index_listed_are_read_later(any_store: Crawler, sandbox: Sandbox) -> None:
    """Pages that are gone for a moment, while the index itself never changes afterwards."""
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    old = live_threads(sandbox)[4]
    reply = sandbox.act("reply", board=BOARD, no=old)["nos"]
    new = sandbox.act("new_thread", board=BOARD)["no"]
    for no in (old, new):
        sandbox.fault("404", path=f"/{no}.json")
    any_store(f"-aboard={BOARD}").ok()
    sandbox.heal()
    any_store(f"-aboard={BOARD}").ok()
    assert {*reply, new} <= set(any_store.held(BOARD))


def test_an_archived_thread_whose_page_was_away_is_read_later(any_store: Crawler, sandbox: Sandbox) -> None:
    archived = json.loads(sandbox.ask(f"/{BOARD}/archive.json"))
    sandbox.fault("404", path=f"/{archived[5]}.json")
    any_store(f"-aboard={BOARD}").ok()
    sandbox.heal()
    any_store(f"-aboard={BOARD}").ok()
    assert set(any_store.held(BOARD)) == sandbox.visible(BOARD)


@pytest.mark.parametrize("way", ["one pass", "follow"])
def test_a_thread_that_leaves_the_archive_before_an_older_one_was_deleted(
    any_store: Crawler, sandbox: Sandbox, wait_until: Wait, way: str
) -> None:
    any_store(f"-aboard={BOARD}").ok()
    archived = sorted(json.loads(sandbox.ask(f"/{BOARD}/archive.json")))
    oldest, other = archived[0], archived[10]
    sandbox.advance(60)
    sandbox.act("delete_thread", board=BOARD, no=other)
    sandbox.act("expire", board=BOARD, no=oldest)
    if way == "one pass":
        any_store(f"-aboard={BOARD}").ok()
    else:
        process = following(any_store, BOARD)
        wait_until(lambda: fates(any_store).get(other) == "deleted", timeout=30)
        any_store.interrupted(process).ok()
    assert fates(any_store)[other] == "deleted" and fates(any_store)[oldest] == "pruned"
    posts = posts_of(any_store.store).values()
    assert all(post["deleted_at"] for post in posts if post["thread_no"] == other)
    assert not any(post["deleted_at"] for post in posts if post["thread_no"] == oldest)


# --- C7, C9


@pytest.mark.parametrize("first", ["from", "to", "both"])
def test_a_post_that_is_moved_is_a_revision(any_store: Crawler, sandbox: Sandbox, first: str) -> None:
    any_store(f"-aboard={BOARD}").ok()
    sandbox.advance(60)
    before = next(no for no in live_threads(sandbox)[1:] if len(sandbox.thread(no)["posts"]) > 4)
    after = next(no for no in live_threads(sandbox)[1:] if no != before)
    moved = sandbox.thread(before)["posts"][2]["no"]
    sandbox.act("move", board=BOARD, no=moved, to=after)
    passes: dict[str, list[int | None]] = {"from": [before, after], "to": [after, before], "both": [None]}
    for thread in passes[first]:
        any_store(f"-aboard={BOARD}", *([f"-athreads={thread}"] if thread else [])).ok()
    any_store(f"-aboard={BOARD}").ok()
    post = posts_of(any_store.store)[BOARD, moved]
    assert (post["thread_no"], post["revision"]) == (after, 2)
    assert post["deleted_at"] is None and post["deletion_confirmed_at"] is None
    assert posts_of(any_store.store, earlier=True)[BOARD, moved]["thread_no"] == before
    assert any_store.held(BOARD).count(moved) == 1
    # what happens to it there is noticed
    sandbox.advance(60)
    sandbox.act("delete", board=BOARD, no=moved)
    any_store(f"-aboard={BOARD}").ok()
    assert posts_of(any_store.store)[BOARD, moved]["deleted_at"] is not None


def test_a_board_that_is_removed_is_remembered_as_gone(any_store: Crawler, sandbox: Sandbox) -> None:
    any_store("-aboard=wsr,qst", "-asample=2").ok()
    sandbox.advance(60)
    sandbox.act("drop_board", board="qst")
    for _ in range(2):  # boards.json is new, and then unchanged
        start = len(sandbox.requests())
        any_store("-aboard=all", "-asample=1").ok()
    assert not any("/qst/" in path for path in paths(sandbox, start))
    if any_store.database_url:
        database = Database(any_store.database_url)
        fate, gone = database.rows("SELECT DISTINCT fate, gone_at IS NOT NULL FROM threads WHERE board = 'qst'")[0]
        assert (fate, gone) == ("pruned", True)
        assert database.rows("SELECT count(*) FROM posts WHERE board = 'qst' AND deleted_at IS NOT NULL") == [(0,)]
    else:
        states = {row["no"]: row["fate"] for row in any_store.csv("qst/threads")}
        assert set(states.values()) == {"pruned"}
    any_store("-aboard=qst").refused("no board /qst/", "any more")


def test_a_boards_json_without_an_existing_board_removes_nothing(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler("-aboard=wsr", "-asample=2").ok()
    sandbox.act("drop_board", board="qst")  # so that boards.json is new
    sandbox.fault("forgetful", path="boards.json")  # and it has lost its last board, /wsr/, besides
    crawler("-aboard=all", "-asample=1").ok()
    assert set(fates(crawler).values()) == {"live"}


# --- C11


def test_one_wrong_byte_does_not_lose_a_thread(any_store: Crawler, sandbox: Sandbox) -> None:
    thread = next(no for no in live_threads(sandbox)[1:] if len(sandbox.thread(no)["posts"]) > 3)
    sandbox.fault("bad_byte", path=f"/thread/{thread}.json")
    run = any_store(f"-aboard={BOARD}").ok()
    assert set(any_store.held(BOARD)) == sandbox.visible(BOARD)
    posts = [post for post in posts_of(any_store.store).values() if post["thread_no"] == thread]
    assert any((post["comment_html"] or "").startswith("\ufffd\x01") for post in posts)
    assert "bytes that are no UTF-8" in run.output
    assert len(list((any_store.folder / "quarantine").glob("*.body"))) == 1


# --- what people asked for besides


def test_boards_and_threads_by_their_addresses(crawler: Crawler, sandbox: Sandbox) -> None:
    no = live_threads(sandbox)[2]
    crawler(f"-athreads=https://boards.4chan.org/{BOARD}/thread/{no}/a-title#p{no}").ok()
    assert {int(row["no"]) for row in crawler.csv(f"{BOARD}/threads")} == {no}
    crawler(f"-aboard=https://boards.4chan.org/{BOARD}/catalog", "-asample=1").ok()
    crawler("-aboard=po", f"-athreads=/{BOARD}/thread/{no}").refused("the one board")
    crawler("-aboard=po", "-athreads=https://example.org/x/y/z").refused("address of a thread")


def test_all_boards_except_some(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler("-aboard=all", "-aexclude=/pol/,b,g,int", "-asample=1").ok()
    assert {path.name for path in (crawler.folder / "chan").iterdir()} == {"boards.csv", "po", "qst", "wsr"}
    crawler("-aboard=po", "-aexclude=b").refused("exclude")
    crawler("-aboard=all", "-aexclude=nope").refused("no board /nope/")


def test_a_sample_is_of_the_newest_threads(crawler: Crawler, sandbox: Sandbox) -> None:
    crawler(f"-aboard={BOARD}", "-asample=4").ok()
    assert {int(row["no"]) for row in crawler.csv(f"{BOARD}/threads")} == set(sorted(live_threads(sandbox))[-4:])


def test_single_threads_are_followed_to_their_end(any_store: Crawler, sandbox: Sandbox, wait_until: Wait) -> None:
    first, second, third = live_threads(sandbox)[2:5]
    process = any_store.start(f"-aboard={BOARD}", f"-athreads={first},{second},{third}", "-afollow=1",
                              "-sCHAN_THREAD_INTERVAL=0.05", "-sBATCH_SECONDS=0.1")  # fmt: skip
    asked = len(sandbox.requests())
    wait_until(lambda: len(sandbox.requests()) > asked + 8)
    sandbox.advance(60)
    made = sandbox.act("reply", board=BOARD, no=first, count=3)["nos"]
    sandbox.act("fall_off", board=BOARD, no=first)
    sandbox.act("fall_off", board=BOARD, no=second)
    sandbox.act("delete_thread", board=BOARD, no=third)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and output.count("has ended") == 3, output
    assert set(made) <= set(any_store.held(BOARD))
    ends = {no: fates(any_store)[no] for no in (first, second, third)}
    # had the third one fallen off, its page would still be there: an archive keeps it for days
    assert ends == {first: "archived", second: "archived", third: "deleted"}


def test_one_line_a_payload_in_the_quarantine(crawler: Crawler, sandbox: Sandbox) -> None:
    bad = live_threads(sandbox)[4]
    sandbox.fault("malformed", path=f"/{bad}.json")
    run = crawler(f"-aboard={BOARD}").ok()
    assert run.output.count("Set aside as") == 1


def test_where_a_post_and_its_file_are(tmp_path: Path, sandbox: Sandbox, database: Database) -> None:
    Crawler(tmp_path / "data", sandbox.url, database.url)(f"-aboard={BOARD}", "-asample=2").ok()
    rows = database.rows("SELECT no, thread_no, post_url, file_url, thumbnail_url FROM post_links")
    posts = {no: (tim, ext) for no, tim, ext in database.rows("SELECT no, file_tim, file_ext FROM posts")}
    assert len(rows) == len(posts) > 3
    for no, thread, post_url, file_url, thumbnail in rows:
        tim, ext = posts[no]
        assert post_url == f"https://boards.4chan.org/{BOARD}/thread/{thread}#p{no}"
        assert file_url == (f"https://i.4cdn.org/{BOARD}/{tim}{ext}" if tim else None)
        assert thumbnail == (f"https://i.4cdn.org/{BOARD}/{tim}s.jpg" if tim else None)


def test_an_unwatched_interval_is_recorded(tmp_path: Path, lively: Sandbox, wait_until: Wait) -> None:
    crawler = Crawler(tmp_path / "data", lively.url, delay=0.02)
    process = following(crawler, BOARD, "-s", "BACKOFF_MAX=1")
    wait_until(lambda: lively.visible(BOARD, live_only=True) <= set(crawler.held(BOARD)), timeout=40)
    lively.fault("503")
    time.sleep(8)  # 1,600 of the sandbox's seconds
    lively.heal()
    polls = crawler.folder / "chan" / BOARD / "polls.csv"

    def longest() -> float:
        if not polls.exists():
            return 0.0
        with polls.open(newline="") as file:
            return max((float(row["longest_gap"] or 0) for row in csv.DictReader(file)), default=0.0)

    wait_until(lambda: longest() > 600, timeout=40)
    run = crawler.interrupted(process).ok()
    assert "in following a board; see scrapy coverage" in run.output
