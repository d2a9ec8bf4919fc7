from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chancrawl.imageboards import fourchan
from chancrawl.imageboards.diff import Observation, StoredThread, compare
from chancrawl.imageboards.lifecycle import deletions_of_thread
from chancrawl.imageboards.pages import Page
from chancrawl.items import Deletion, Post, Thread

START = datetime(2026, 11, 21, tzinfo=UTC)


def page(nos: dict[int, str], replies: int | None = None, **opening: Any) -> Page:
    """Thread 5 with these posts and comments."""
    posts: list[dict[str, Any]] = [
        {"no": no, "resto": 0 if no == 5 else 5, "time": 1000 + no, "com": com} for no, com in nos.items()
    ]
    posts[0] |= {"replies": len(nos) - 1 if replies is None else replies, **opening}
    return fourchan.parse_thread({"posts": posts}, "po", 5)


def own_page(minute: int, body: str = "") -> Observation:
    body = body or f"body {minute}"
    return Observation(START + timedelta(minutes=minute), None, body, is_own=True, validator=body)


def read(stored: StoredThread, what: Page, minute: int) -> list[Any]:
    """Read a page in some minute, each in a body of its own; the items that go on to the store."""
    items = compare(stored, what, own_page(minute)).items
    return [item for item in items if stored.apply(item)]


def kinds(items: list[Any]) -> list[tuple[str, int]]:
    return [(type(item).__name__, item.no) for item in items if not isinstance(item, Thread)]


def test_a_new_thread_is_all_new_and_its_state_comes_last() -> None:
    items = read(StoredThread(), page({5: "a", 6: "b"}), 0)
    assert kinds(items) == [("Post", 5), ("Post", 6)]
    assert isinstance(items[-1], Thread) and items[-1].http_last_modified == "body 0"
    assert all(item.first_seen_at == START and item.revision == 1 for item in items[:-1])


def test_only_new_posts_are_returned() -> None:
    stored = StoredThread()
    read(stored, page({5: "a", 6: "b"}), 0)
    assert kinds(read(stored, page({5: "a", 6: "b", 8: "c"}), 1)) == [("Post", 8)]
    assert kinds(read(stored, page({5: "a", 6: "b", 8: "c"}, closed=1), 2)) == []


def test_a_changed_post_is_a_revision() -> None:
    stored = StoredThread()
    read(stored, page({5: "a", 6: "b"}), 0)
    for revision in (2, 3):
        (post, _) = read(stored, page({5: "a", 6: f"b{revision}"}), revision)
        assert isinstance(post, Post) and post.revision == revision
        assert post.first_seen_at == START and post.last_seen_at == START + timedelta(minutes=revision)


def test_a_deletion_is_seen_confirmed_and_taken_back() -> None:
    stored = StoredThread()
    read(stored, page({5: "a", 6: "b", 7: "c"}), 0)
    (missed, _) = read(stored, page({5: "a", 7: "c"}), 1)
    assert missed == Deletion("po", 5, 6, last_seen_at=START, deleted_at=START + timedelta(minutes=1))
    same_body = compare(stored, page({5: "a", 7: "c"}), own_page(2, "body 1")).items
    assert kinds(same_body) == []
    (confirmed, _) = read(stored, page({5: "a", 7: "c"}), 3)
    assert confirmed.deleted_at == missed.deleted_at
    assert confirmed.deletion_confirmed_at == START + timedelta(minutes=3)
    assert kinds(read(stored, page({5: "a", 7: "c"}), 4)) == []
    (back, _) = read(stored, page({5: "a", 6: "b", 7: "c"}), 5)
    assert back.deleted_at is None and back.deletion_confirmed_at is None
    assert stored.posts[6].revision == 1


def test_a_truncated_page_deletes_nothing() -> None:
    stored = StoredThread()
    read(stored, page({5: "a", 6: "b", 7: "c"}), 0)
    assert kinds(read(stored, page({5: "a"}, replies=2), 1)) == []


def test_oldest_replies_of_a_sticky_are_not_deleted_but_others_are() -> None:
    stored = StoredThread()
    everything = {5: "op"} | dict.fromkeys(range(6, 1010), "x")
    read(stored, page(everything, sticky=1), 0)
    shed = {no: com for no, com in everything.items() if no not in (6, 7, 500)}
    assert kinds(read(stored, page(shed, sticky=1), 1)) == [("Deletion", 500)]


def test_replies_of_a_small_sticky_are_deleted() -> None:
    stored = StoredThread()
    read(stored, page({5: "a", 6: "b", 7: "c"}, sticky=1), 0)
    assert kinds(read(stored, page({5: "a", 7: "c"}, sticky=1), 1)) == [("Deletion", 6)]


def test_posts_of_a_deleted_thread_are_deleted() -> None:
    stored = StoredThread()
    read(stored, page({5: "a", 6: "b", 7: "c"}), 0)
    read(stored, page({5: "a", 7: "c"}), 1)
    now = START + timedelta(hours=1)
    gone = {item.no: item for item in deletions_of_thread(stored, now)}
    assert set(gone) == {5, 6, 7}
    assert gone[6].deleted_at == START + timedelta(minutes=1) and gone[5].deleted_at == now
    assert all(item.deletion_confirmed_at == now for item in gone.values())
    assert deletions_of_thread(StoredThread(), now) == []


@given(st.lists(st.dictionaries(st.integers(6, 14), st.sampled_from("abc")), min_size=1, max_size=8))
def test_the_stored_state_matches_any_history(history: list[dict[int, str]]) -> None:
    """Held posts are all that were ever seen; those without deleted_at are those on the last page."""
    stored, seen, versions = StoredThread(), {5}, {(5, "op")}
    for minute, replies in enumerate(history):
        items = read(stored, page({5: "op"} | replies), minute)
        posts = {item.no: item for item in items if isinstance(item, Post)}
        assert len(posts) == sum(isinstance(item, Post) for item in items), "no post twice in one reading"
        seen |= set(replies)
        versions |= set(replies.items())
        assert set(stored.posts) == seen
        assert {no for no, known in stored.posts.items() if known.deleted_at is None} == {5, *replies}
        assert all(not known.deletion_confirmed_at or known.deleted_at for known in stored.posts.values())
        again = compare(stored, page({5: "op"} | replies), own_page(minute)).items
        assert not [item for item in again if not isinstance(item, Thread)], "the same body says nothing new"
