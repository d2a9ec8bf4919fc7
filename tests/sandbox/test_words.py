"""Made-up posts: always the same for a seed and a number, and in the whole variety of the markup."""

from __future__ import annotations

import html
from typing import Any

from chancrawl.imageboards import fourchan
from chancrawl.payload import dumps, loads
from chancrawl.sandbox import words
from chancrawl.sandbox.sites import about

BOARD = about("po", "Papercraft", spoilers=1, user_ids=1, country_flags=1, board_flags=dict(words.FLAGS))
TIME = 1_795_000_000.0


def made(no: int, seed: int = 1, has_file: bool = True) -> dict[str, Any]:
    return words.post(seed, BOARD, no, 5, TIME + no, [5, 6], ["po", "g"], has_file)


def test_a_post_depends_on_its_seed_and_number_alone() -> None:
    assert made(7) == made(7) and made(7) != made(8) and made(7) != made(7, seed=2)


def test_every_post_is_one_that_the_parser_takes() -> None:
    for no in range(6, 300):
        raw = loads(dumps(made(no, has_file=bool(no % 2))).encode())
        opening = {"no": 5, "resto": 0, "time": int(TIME), "com": "a", "replies": 1}
        page = fourchan.parse_thread({"posts": [opening, raw]}, "po", 5)
        assert page.problems == [] and list(page.posts) == [5, no]
        assert raw.get("com") or raw["filename"], "no post is empty"


def test_all_kinds_of_markup_come_up() -> None:
    comments = "\n".join(made(no).get("com", "") for no in range(6, 3000))
    for sign in ("quotelink", "deadlink", "<s>", "prettyprint", "sjis", "<wbr>", "fortune", "exif", "\x00", "\ud83d",
                 "&gt;&gt;&gt;/g/", "[math]", *words.SYMBOLS):  # fmt: skip
        assert sign in comments, sign


def test_a_long_address_is_broken_as_the_site_breaks_it_and_read_back_whole() -> None:
    url = "https://example.org/" + "a" * 80 + "?a=1&b=2"
    broken = words.breakable(url)
    assert html.unescape(broken.replace("<wbr>", "")) == url
    assert all(len(html.unescape(part)) <= 35 for part in broken.split("<wbr>"))


def test_times_are_those_of_new_york_in_summer_and_winter() -> None:
    assert words.now_text(1546294897) == "12/31/18(Mon)17:21:37"
    assert words.now_text(1782915697) == "07/01/26(Wed)10:21:37"
