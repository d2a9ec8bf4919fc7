from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chancrawl.imageboards import fourchan
from chancrawl.imageboards.fourchan import NO_VERSION_KEYS
from chancrawl.payload import digest
from chancrawl.sandbox.board import Board, Pace
from chancrawl.sandbox.files import body_of, read
from chancrawl.sandbox.recorded import Recorded
from chancrawl.sandbox.sites import BOARDS, about
from chancrawl.sandbox.world import World

START = 1_795_000_000.0


def board(seconds: float = 0, name: str = "zz", archive: int = 1, **pace: Any) -> Board:
    entry = about(name, "Test", pages=2, per_page=5, bump_limit=20, is_archived=archive, spoilers=1, user_ids=1,
                  country_flags=1, board_flags={"TH": "Teahouse"})  # fmt: skip
    made = Board(entry, Pace(**({"posts_a_day": 86400 / 4, "archived_at_start": 3} | pace)), 1, START, ["zz", "yy"])
    made.advance(START + seconds)
    return made


def load(found: tuple[bytes, float] | None) -> Any:
    assert found is not None
    return json.loads(found[0])


def test_what_has_happened_does_not_depend_on_who_looked_when() -> None:
    once, often = board(7200), board()
    for minute in range(121):
        often.advance(START + minute * 60)
        for file in ("catalog.json", "threads.json", "1.json"):
            read(often, file)
    for thread in once.threads.values():
        assert read(once, f"thread/{thread.no}.json") == read(often, f"thread/{thread.no}.json")
    assert read(once, "threads.json") == read(often, "threads.json")
    strip = [{**post, "shown": None} for post in once.truth()]
    assert strip == [{**post, "shown": None} for post in often.truth()]


def test_numbers_run_in_one_sequence_in_the_order_of_time() -> None:
    posts = list(board(7200).posts.values())
    assert [post.no for post in posts] == sorted(post.no for post in posts)
    assert [post.time for post in posts] == sorted(post.time for post in posts)


def test_a_board_lives() -> None:
    made = board(86400)
    truth = list(made.truth())
    assert {post["thread_fate"] for post in truth} == {"live", "archived", "deleted"}
    assert any(post["deleted_at"] for post in truth) and any(post["file_deleted_at"] for post in truth)
    assert len(made.live) == 11, "ten threads and the sticky"
    assert made.live[0].sticky and made.live[0].closed
    assert any(len(thread.visible()) > 21 for thread in made.threads.values()), "threads go on past the bump limit"


def test_without_an_archive_threads_are_pruned() -> None:
    made = board(86400, archive=0)
    assert {post["thread_fate"] for post in made.truth()} == {"live", "pruned", "deleted"}
    assert read(made, "archive.json") is None


@given(st.integers(0, 40_000))
@settings(max_examples=15, deadline=None)
def test_the_files_agree_with_each_other(seconds: int) -> None:
    made = board(seconds)
    index = fourchan.parse_index(load(read(made, "threads.json")))
    catalog = load(read(made, "catalog.json"))
    pages = [load(read(made, f"{number}.json")) for number in range(1, len(catalog) + 1)]
    assert list(index) == [thread["no"] for page in catalog for thread in page["threads"]]
    assert list(index) == [thread["posts"][0]["no"] for page in pages for thread in page["threads"]]
    for page in catalog:
        for thread in page["threads"]:
            whole = fourchan.parse_thread(load(read(made, f"thread/{thread['no']}.json")), "zz", thread["no"])
            assert whole.problems == []
            assert len(whole.posts) == thread["replies"] + 1 == (index[thread["no"]].replies or 0) + 1
            assert thread["omitted_posts"] == thread["replies"] - len(thread["last_replies"])
            assert list(whole.posts)[1:][-5:] == [reply["no"] for reply in thread["last_replies"]]
            assert all(whole.posts[reply["no"]] == reply for reply in thread["last_replies"])
            assert digest(thread, NO_VERSION_KEYS) == digest(whole.posts[thread["no"]], NO_VERSION_KEYS), (
                "the same version everywhere"
            )
    archive = fourchan.parse_archive(load(read(made, "archive.json")))
    for no in archive:
        thread = load(read(made, f"thread/{no}.json"))
        assert thread["posts"][0]["archived"] == thread["posts"][0]["closed"] == 1


def test_the_tail_of_a_long_thread() -> None:
    made = board()
    thread = made.live[3]
    for _ in range(120):
        made.reply(thread)
    whole, tail = load(read(made, f"thread/{thread.no}.json")), load(read(made, f"thread/{thread.no}-tail.json"))
    assert whole["posts"][0]["tail_size"] == 50
    assert tail["posts"][1:] == whole["posts"][-50:]
    assert tail["posts"][0]["tail_id"] == whole["posts"][-51]["no"]
    short = made.new_thread()
    assert read(made, f"thread/{short.no}-tail.json") is None


def test_a_wipe_changes_the_count_and_not_the_time() -> None:
    made = board()
    thread = made.live[2]
    post = made.reply(thread)
    made.now += 100
    made.wipe(post.address)
    assert post.deleted_at is not None and thread.modified_at < post.deleted_at


def test_a_sticky_sheds() -> None:
    made = board()
    sticky = made.live[0]
    for _ in range(1010):
        made.reply(sticky)
    assert len(sticky.visible()) == 1001


def test_the_text_has_the_variety_of_the_real_markup() -> None:
    made = board(20_000, posts_a_day=86400)
    comments = " ".join(json.loads(body_of(made, post)).get("com", "") for post in made.posts.values())
    signs = ("quotelink", 'class="quote"', "deadlink", "<s>", "prettyprint", "sjis", "<wbr>", 'class="exif"')
    for sign in (*signs, "&gt;&gt;&gt;/", "USER WAS BANNED", "fortune", "[math]", "\x00", "\ud83d"):
        assert sign in comments, sign


def test_index_files_may_be_rebuilt_only_now_and_then() -> None:
    world = World(start=START, boards=[(about("zz", "Test"), Pace(posts_a_day=86400))], index_seconds=30)
    first = world.read("/zz/threads.json", START)
    assert world.read("/zz/threads.json", START + 29) == first
    assert world.read("/zz/threads.json", START + 31) != first
    thread = load(first)[0]["threads"][1]["no"]
    world.act(START + 31, "reply", "zz", thread)
    assert len(load(world.read(f"/zz/thread/{thread}.json", START + 31))["posts"]) > 1


def test_the_bundled_boards() -> None:
    names = {entry["board"] for entry, _ in BOARDS}
    assert {"po", "pol", "g", "b"} <= names
    boards = fourchan.parse_boards(load(World(start=START).read("/boards.json", START)))
    assert {board.board: board.has_archive for board in boards}["b"] is False


def test_recorded_payloads_are_served_to_the_byte(fixtures: Path) -> None:
    recorded = Recorded(fixtures / "fourchan")
    first = (fixtures / "fourchan" / "g.thread.41703004.snap1.json").read_bytes()
    assert recorded.read("/g/thread/41703004.json", 0) == (first, 1399056972.0)
    recorded.step()
    found = recorded.read("/g/thread/41703004.json", 0)
    assert found is not None and len(json.loads(found[0])["posts"]) == 117
    assert load(recorded.read("/g/archive.json", 0)) == [66564526]
    assert len(fourchan.parse_index(load(recorded.read("/g/threads.json", 0)))) == 6
    assert recorded.read("/g/thread/1.json", 0) is None and recorded.read("/b/threads.json", 0) is None


@pytest.mark.parametrize("path", ["/", "/po", "/po/", "/po/thread/x.json", "/po/0.json", "/po/99.json", "/zz/1.json"])
def test_what_is_not_there(path: str) -> None:
    assert World(start=START).read(path, START) is None
