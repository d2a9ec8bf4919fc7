from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chancrawl.imageboards import fourchan
from chancrawl.imageboards.fourchan import NO_VERSION_KEYS
from chancrawl.items import Post
from chancrawl.payload import Malformed, digest, dumps, loads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip

KEYS = (
    "no resto time name trip id capcode country country_name board_flag flag_name since4pass email sub com tim "
    "filename ext fsize md5 w h tn_w tn_h filedeleted spoiler custom_spoiler m_img tag sticky closed replies images"
).split()
ODD_POSTS = st.dictionaries(st.sampled_from(KEYS), JSON)


def post(raw: dict[str, Any]) -> Post:
    return Post("po", raw["no"], raw["resto"] or raw["no"], datetime.fromtimestamp(raw["time"], UTC), raw=raw)


def test_every_documented_key_has_a_column() -> None:
    raw = {
        "no": 7, "resto": 5, "now": "12/31/18(Mon)17:05:48", "time": 1546293948, "name": "Ann &amp; Co", "trip": "!abc",
        "id": "AbCd1234", "capcode": "mod", "country": "FI", "country_name": "Finland", "board_flag": "OR",
        "flag_name": "Origami", "sub": "Caf&eacute;", "com": "hi<br>there", "tim": 1546293948883123,
        "filename": "yotsuba &quot;folding&quot;", "ext": ".png", "fsize": 516657, "md5": "uZUeZeB14FVR+Mc2ScHvVA==",
        "w": 530, "h": 449, "tn_w": 250, "tn_h": 211, "filedeleted": 1, "spoiler": 1, "custom_spoiler": 3,
        "since4pass": 2016, "m_img": 1, "tag": "Loop", "email": "sage",
    }  # fmt: skip
    item = post(raw)
    assert fourchan.describe(item) == []
    assert (item.name, item.tripcode, item.poster_id, item.capcode) == ("Ann & Co", "!abc", "AbCd1234", "mod")
    assert (item.country, item.country_name, item.board_flag, item.flag_name) == ("FI", "Finland", "OR", "Origami")
    assert (item.subject, item.comment_html, item.comment_text) == ("Café", "hi<br>there", "hi\nthere")
    assert (item.file_tim, item.file_name, item.file_ext) == (1546293948883123, 'yotsuba "folding"', ".png")
    assert (item.file_size, item.file_md5) == (516657, "b9951e65e075e05551f8c73649c1ef54")
    assert (item.file_width, item.file_height, item.thumbnail_width, item.thumbnail_height) == (530, 449, 250, 211)
    assert item.file_deleted and item.file_spoiler and item.has_mobile_image and item.custom_spoiler == 3
    assert (item.since4pass, item.tag, item.email) == (2016, "Loop", "sage")
    assert item.posted_at == datetime(2018, 12, 31, 22, 5, 48, tzinfo=UTC)


def test_every_key_found_in_recordings_has_a_column(fixtures: Path) -> None:
    """In a column of posts, in the thread's state, or at least in `raw`, which is kept whole."""
    known = set(KEYS) | NO_VERSION_KEYS
    found: set[str] = set()
    for file in (fixtures / "fourchan").glob("*.json"):
        if "headers" in file.name:
            continue
        payload = json.loads(file.read_bytes())
        match file.name.split(".")[1]:
            case "thread":
                page = fourchan.parse_thread(payload, file.name.split(".")[0], payload["posts"][0]["no"])
                assert page.problems == []
                for raw in page.posts.values():
                    found |= set(raw)
                    assert fourchan.describe(post(raw)) == []
                opening = payload["posts"][0]
                assert page.thread.replies == opening["replies"] and page.thread.images == opening["images"]
                assert page.thread.sticky == bool(opening.get("sticky"))
            case "threads":
                index = fourchan.parse_index(payload)
                assert len(index) >= 150 and [e.position for e in index.values()] == list(range(len(index)))
            case "archive":
                assert len(fourchan.parse_archive(payload)) == 9565
            case "catalog":
                assert len(fourchan.parse_index(payload)) >= 150  # it has the keys of threads.json too
                for page_ in payload:
                    for thread in page_["threads"]:
                        found |= set(thread)
    assert found <= known


@pytest.mark.parametrize("name", ["boards.2014-05", "boards.2018-03", "boards.2025-10"])
def test_recorded_boards(fixtures: Path, name: str) -> None:
    payload = json.loads((fixtures / "fourchan" / f"{name}.json").read_bytes())
    boards = {board.board: board for board in fourchan.parse_boards(payload)}
    assert len(boards) == len(payload["boards"])
    assert boards["po"].title == "Papercraft & Origami" and boards["po"].pages is not None
    if name != "boards.2014-05":
        assert boards["po"].has_archive and not boards["b"].has_archive and boards["po"].bump_limit == 310


def test_keys_of_the_thread_make_no_new_version() -> None:
    raw = {"no": 5, "resto": 0, "time": 1, "com": "x", "replies": 3, "images": 1, "tail_size": 50}
    version = digest(raw, NO_VERSION_KEYS)
    assert digest(raw | {"replies": 4, "closed": 1, "archived": 1, "archived_on": 9}, NO_VERSION_KEYS) == version
    assert digest(dict(reversed(raw.items())), NO_VERSION_KEYS) == version
    assert digest(raw | {"com": "y"}, NO_VERSION_KEYS) != version
    assert digest(raw | {"filedeleted": 1}, NO_VERSION_KEYS) != version
    assert digest(raw | {"a_key_of_tomorrow": 1}, NO_VERSION_KEYS) != version


@pytest.mark.parametrize(
    "payload", [None, [], {}, {"posts": []}, {"posts": {}}, {"posts": [{"no": 6}]}, {"posts": [{"no": 5, "resto": 4}]},
                {"posts": [{"no": 5, "resto": 0}]}, {"posts": ["x"]}, {"posts": [{"no": "5"}]}]
)  # fmt: skip
def test_a_payload_that_is_not_a_thread_is_malformed(payload: Any) -> None:
    with pytest.raises(Malformed):
        fourchan.parse_thread(payload, "po", 5)


def test_an_unreadable_post_does_not_affect_others() -> None:
    good = [{"no": 5, "resto": 0, "time": 1}, {"no": 6, "resto": 5, "time": 2}]
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    odd = [
        {"no": 10, "resto": 5, "time": 3, "x": deep},
        {"no": "7", "resto": 5, "time": 2},
        {"no": 8, "resto": 5},
        {"no": 9, "resto": 4, "time": 1},
        3,
        {"no": -1},
    ]
    page = fourchan.parse_thread({"posts": good + odd}, "po", 5)
    assert list(page.posts) == [5, 6]
    assert len(page.problems) == len(odd)


def test_an_unreadable_field_does_not_make_the_page_incomplete() -> None:
    posts = [
        {"no": 5, "resto": 0, "time": 1, "replies": 1},
        {"no": 6, "resto": 5, "time": 2, "sub": ["x"], "tail_size": "z"},
    ]
    page = fourchan.parse_thread({"posts": posts}, "po", 5)
    assert list(page.posts) == [5, 6] and not page.problems and page.is_complete


@pytest.mark.parametrize("parse", [fourchan.parse_boards, fourchan.parse_index, fourchan.parse_archive])
@given(payload=JSON)
def test_parsers_refuse_what_they_do_not_know(parse: Any, payload: Any) -> None:
    with contextlib.suppress(Malformed):
        parse(payload)


@given(posts=st.lists(ODD_POSTS | JSON, max_size=5))
@settings(max_examples=300)
def test_any_posts_after_a_good_one_are_read_or_named(posts: list[Any]) -> None:
    opening = {"no": 5, "resto": 0, "time": 1, "com": "good"}
    page = fourchan.parse_thread({"posts": [opening, *posts]}, "po", 5)
    assert 5 in page.posts
    for raw in page.posts.values():
        digest(raw, NO_VERSION_KEYS)
        item = post(raw)
        fourchan.describe(item)
        assert json.loads(dumps(item.raw)) == raw
        dumps(item.raw).encode()
        for text in (item.name, item.comment_html, item.comment_text, item.file_name, item.capcode):
            assert text is None or ("\x00" not in text and text.encode() is not None)


@given(JSON)
def test_json_round_trips(value: Any) -> None:
    text = dumps(value)
    assert json.loads(text) == value
    assert "\x00" not in text and text.encode() is not None
    assert loads(text.encode()) == value


def test_long_numbers_are_not_rounded() -> None:
    assert loads(b"[123456789012345678901234567891]") == [123456789012345678901234567891]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"posts": [', b"\xff\xfe", b"[" * 100_000,
                                  b'{"x": NaN, "com": "\\ud83d"}', b"[1e999]", b"[Infinity]"])  # fmt: skip
def test_text_that_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        loads(body)


@pytest.mark.parametrize(
    "name",
    [
        "g.catalog.2014-05-02T185559",
        "g.catalog.2014-05-02T185742",
        "po.catalog.2025-10",
        "g.1.2014-05-02",
        "int.1.2018-03",
    ],
)
def test_recorded_index_files_show_posts(fixtures: Path, name: str) -> None:
    payload = loads((fixtures / "fourchan" / f"{name}.json").read_bytes())
    board = name.partition(".")[0]
    problems: list[str] = []
    parse = fourchan.parse_index if "catalog" in name else fourchan.parse_board_page
    entries = parse(payload, problems=problems)
    assert not problems and len(entries) >= 15
    for entry in entries.values():
        page = fourchan.glimpse(entry, board)
        assert page.is_complete and not page.problems
        assert entry.no in page.posts and page.shown <= 5
        assert (page.since == 0) == (page.shown == entry.replies)
