"""The API of one imageboard: the path of each file, and what a site may lack."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.imageboards.site import Site

BARE: Site = replace(FOURCHAN, name="bare", archive_path=None, tail_path=None)


@pytest.mark.parametrize("what, no, path", [
    ("thread", 5, "/po/thread/5.json"),
    ("tail", 5, "/po/thread/5-tail.json"),
    ("archive", 0, "/po/archive.json"),
    ("catalog", 0, "/po/catalog.json"),
    ("3", 0, "/po/3.json"),
])  # fmt: skip
def test_the_path_of_each_file_of_a_board(what: str, no: int, path: str) -> None:
    assert FOURCHAN.path("po", what, no) == path


@pytest.mark.parametrize("what, words", [("tail", "bare has no tails"), ("archive", "bare has no archives")])
def test_a_file_that_a_site_does_not_have_is_not_asked_for(what: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        BARE.path("po", what, 5)
    assert BARE.path("po", "thread", 5) == "/po/thread/5.json"
