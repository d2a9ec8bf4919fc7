"""Texts that every store accepts, lists as PostgreSQL prints them, and words for sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.text import capitalized, clean, counted, first_line, list_text, visible
from chancrawl.x.legacy import parse_list


@given(st.text(st.characters(exclude_categories=[])))
def test_a_cleaned_text_can_be_stored_and_is_cleaned_once(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned and cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned


def test_a_pair_of_surrogates_becomes_its_sign() -> None:
    assert clean("\ud83d\ude00") == "\U0001f600" and clean("\ude00\ud83d") == "\ufffd\ufffd"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5), max_size=4))
def test_a_list_comes_back_from_its_text(values: list[str]) -> None:
    assert parse_list(list_text(values)) == values


@pytest.mark.parametrize("values, text", [
    (None, None), ([], "{}"), ([None], "{NULL}"), (["NULL", "Null"], '{"NULL","Null"}'), ([1, True], "{1,True}"),
])  # fmt: skip
def test_lists(values: list[object] | None, text: str | None) -> None:
    assert list_text(values) == text


def test_a_text_of_somebody_else_stays_on_its_line() -> None:
    assert visible(" a\r\nb\u202e\x85c ") == "a\\r\\nb\\u202e\\x85c"
    assert visible("é 日本 😀") == "é 日本 😀"


def test_the_start_of_a_sentence_keeps_the_name_of_a_database() -> None:
    assert capitalized("the database Archive on DB1") == "The database Archive on DB1"
    assert capitalized("PostgreSQL") == "PostgreSQL" and capitalized("") == ""


@pytest.mark.parametrize("error, words", [
    (ValueError("first.\nHINT: second"), "first"), (ValueError("\n  first  \n"), "first"), (ValueError(), "ValueError"),
])  # fmt: skip
def test_what_an_error_says_without_its_hints(error: Exception, words: str) -> None:
    assert first_line(error) == words


@pytest.mark.parametrize("number, noun, words", [
    (0, "post", "0 posts"), (1, "query", "1 query"), (2, "query", "2 queries"), (12345, "post", "12,345 posts"),
])  # fmt: skip
def test_counts(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words
