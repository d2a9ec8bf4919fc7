"""Untrusted JSON: read, mended, compared, and typed values taken out of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.payload import Fields, Malformed, digest, dumps, fingerprint, loads, mended

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert loads(dumps(value).encode()) == value
    assert mended(dumps(value).encode()) == (value, [])


@pytest.mark.parametrize("body, value, problem", [
    (b'["a\xffb"]', ["a\ufffdb"], "bytes that are no UTF-8"),
    (b'["a\x01b"]', ["a\x01b"], "control characters in a text"),
    (b'[NaN, -Infinity, 1]', [None, None, 1], "NaN is no number"),
    (b"[1e999]", [None], "1e999 is no number"),
])  # fmt: skip
def test_one_wrong_byte_costs_no_payload(body: bytes, value: Any, problem: str) -> None:
    with pytest.raises(Malformed):
        loads(body)
    found, problems = mended(body)
    assert found == value and problems[0] == problem


@pytest.mark.parametrize("body", [b"", b"[", b"<html>", b'{"a": 1}}', b"[" * 100_000])
def test_what_is_no_json_is_not_mended(body: bytes) -> None:
    with pytest.raises(Malformed, match="not JSON"):
        mended(body)


# --- versions


def test_what_changes_with_the_thread_makes_no_version() -> None:
    raw, keys = {"no": 5, "com": "a"}, frozenset(["replies", "images"])
    assert digest(raw) == digest(raw | {"replies": 7, "images": 7}, keys) == digest({"com": "a", "no": 5})
    assert digest(raw | {"replies": 7}) != digest(raw)
    assert digest(raw) != digest(raw | {"filedeleted": 1}) and -(2**63) <= digest(raw) < 2**63


def test_what_json_libraries_do_not_take_has_a_version_all_the_same() -> None:
    assert digest({"no": 2**70}) != digest({"no": 2**70 + 1})
    assert digest({"com": "\ud83d"}) != digest({"com": "\ud83e"})
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(Malformed, match="nested too deeply"):
        digest({"com": deep})


def test_a_fingerprint_changes_with_its_value() -> None:
    assert fingerprint([1, {"a": 2}]) == fingerprint(json.loads('[1, {"a": 2}]')) != fingerprint([1, {"a": 3}])
    assert fingerprint(2**70) == fingerprint(2**70) != fingerprint(2**70 + 1)


# --- typed values


@pytest.mark.parametrize("read, value, found", [
    (Fields.number, 5, 5), (Fields.number, 2**31, None), (Fields.number, -1, None), (Fields.number, "5", None),
    (Fields.number, True, None), (Fields.number, 5.0, None),
    (Fields.time, 253402300799, 253402300799), (Fields.time, 253402300800, None),
    (Fields.flag, 1, True), (Fields.flag, 0, False), (Fields.flag, "1", False),
    (Fields.text, "a\0b", "a\ufffdb"), (Fields.text, 5, None), (Fields.text, ["a"], None),
    (Fields.md5, "uZUeZeB14FVR+Mc2ScHvVA==", "b9951e65e075e05551f8c73649c1ef54"), (Fields.md5, "uZUe", None),
    (Fields.md5, "!", None), (Fields.md5, 5, None),
])  # fmt: skip
def test_a_value_of_another_type_is_left_out_and_named(read: Any, value: Any, found: Any) -> None:
    fields = Fields({"key": value})
    assert read(fields, "key") == found and type(read(fields, "key")) is type(found)
    is_odd = found is None or (read is Fields.flag and value == "1")
    assert bool(fields.problems) == is_odd
    assert all(problem.startswith("key is ") for problem in fields.problems)


@pytest.mark.parametrize("read", [Fields.number, Fields.time, Fields.text, Fields.md5])
def test_a_key_that_is_not_there_is_no_problem(read: Any) -> None:
    fields = Fields({"other": 1, "key": None})
    assert read(fields, "key") is None and read(fields, "missing") is None and fields.problems == ()
    assert fields.flag("missing") is False
