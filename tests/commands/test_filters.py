"""The filters and the progress of commands."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import pytest

from chancrawl.commands import find, progress
from chancrawl.commands.filters import accounts_of, boards_of, stretch_of
from chancrawl.errors import UserError
from chancrawl.find.terms import Term
from chancrawl.items import Handle, Tweet
from chancrawl.storage.base import Store
from tests.support.items import START, post


def test_filters(either: Store) -> None:
    either.take_in([post(6, "a"), Handle("nasa", 5, "active", START), Tweet(1, None, "Older", START)])
    assert boards_of("", either) == [] and boards_of("/po/", either) == ["po"]
    assert accounts_of("@NASA,id:7,older", either) == ([5, 7, 0], ["nasa", "older"])
    for call in (
        lambda: boards_of("g", either),
        lambda: accounts_of("@nobody", either),
        lambda: accounts_of("?", either),
    ):
        with pytest.raises(UserError):
            call()
    options = argparse.Namespace(since="2026-11-01", until="2026-11-02")
    assert stretch_of(options) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))


def test_nothing_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Shown() as shown:
        shown("posts", 5)
    assert capsys.readouterr().err == ""


def test_an_excerpt_has_what_was_found() -> None:
    text = f"{'before ' * 40}The Word{' after' * 40}"
    shown = find.excerpt(text, Term("word"))
    assert "The Word" in shown and shown.startswith("…") and shown.endswith("…") and len(shown) < 200
