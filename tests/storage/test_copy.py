"""Items as COPY takes them, and back out of a database."""

from __future__ import annotations

import io
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chancrawl.items import Post, Validator, columns
from chancrawl.storage.postgres.copy import json_text, rows_of, stage, text
from chancrawl.storage.postgres.upsert import is_rejection
from tests.support.databases import Database
from tests.support.items import START, post

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.mark.parametrize("value, copied", [
    ("plain", "plain"),
    ("a\\b\nc\td\r", "a\\\\b\\nc\\td\\r"),
    ("\\N", "\\\\N"),
    (True, "True"),
    (-5, "-5"),
    (START, "2026-11-21T00:00:00+00:00"),
    ([], "{}"),
    ([None, "null", 1], '{NULL,"null",1}'),
    (["a\\b"], '{"a\\\\\\\\b"}'),
    ({}, "{}"),
    ({"a": "b\n"}, '{"a":"b\\\\n"}'),
])  # fmt: skip
def test_a_value_in_the_format_of_copy(value: Any, copied: str) -> None:
    assert text(value) == copied


def test_a_list_of_objects_is_json_and_not_an_array() -> None:
    assert json_text([{"no": 1}]) == '[{"no":1}]' and json_text([]) == json_text(None) == "[]"


def test_columns_that_no_item_has_a_value_for_are_left_out() -> None:
    rows = rows_of([post(6, "a"), post(7, "b")])
    assert "email" not in rows.names and "comment_html" in rows.names and len(rows.lines) == 2
    mixed = rows_of([Validator("/a", "x\ty"), Validator("/b", "z")])
    assert mixed.names == ["path", "last_modified"] and mixed.lines == ["/a\tx\\ty", "/b\tz"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), tags=st.lists(TEXTS, max_size=3))
def test_any_texts_come_back_from_a_staged_table(database: Database, texts: list[str], tags: list[str]) -> None:
    connection = psycopg2.connect(database.url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE validators (path text, last_modified text)")
            stage(cursor, "validators", columns(Validator), rows_of([Validator(each, "x") for each in texts]))
            cursor.execute("SELECT path FROM staged_validators")
            assert [path for (path,) in cursor.fetchall()] == texts
            cursor.execute("SELECT %s::text[]", (tags,))
            expected = cursor.fetchone()
            cursor.execute("CREATE TEMP TABLE lists (tags text[])")
            cursor.copy_expert("COPY lists FROM STDIN", io.BytesIO(text(tags).encode()))
            cursor.execute("SELECT tags FROM lists")
            assert cursor.fetchone() == expected
    finally:
        connection.close()


def test_staged_rows_are_those_of_the_last_call_and_have_no_constraints(database: Database) -> None:
    connection = psycopg2.connect(database.url)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE validators (path text PRIMARY KEY, last_modified text CHECK (false), more int)")
        for path in ("/a", "/b"):
            rows = rows_of([Validator(path, "x"), Validator(path, "y")])
            stage(cursor, "validators", columns(Validator), rows)
        cursor.execute("SELECT * FROM staged_validators ORDER BY last_modified")
        assert cursor.fetchall() == [("/b", "x"), ("/b", "y")]
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.UndefinedTable) as raised:
        cursor.execute("SELECT 1 FROM staged_validators")  # it ended with the transaction
    assert not is_rejection(raised.value)
    connection.close()


def test_what_no_store_takes_is_a_rejection() -> None:
    item: Post = post(6, "a")
    item.name = "half \ud83d"
    with pytest.raises(UnicodeEncodeError) as raised:
        "\n".join(rows_of([item]).lines).encode()
    assert is_rejection(raised.value)
