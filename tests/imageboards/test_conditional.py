"""Conditional requests, as the API's server answers them: a table of cases."""

from __future__ import annotations

import pytest

from chancrawl.http import http_date
from chancrawl.imageboards.conditional import if_modified_since, is_behind, strong_validator
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.items import Thread

AT = 1_795_000_000
SENT = http_date(AT)
HELD = Thread("po", 5, replies=3, http_last_modified=SENT)


def entry(seconds: int | None, replies: int | None) -> IndexEntry:
    return IndexEntry(5, seconds, replies, 0)


@pytest.mark.parametrize("held, shown, sent", [
    (None, entry(AT, 3), None),  # never read
    (Thread("po", 5), entry(AT, 3), None),  # read, but the server said no time
    (HELD, None, SENT),  # no index speaks of it
    (HELD, entry(AT, 3), SENT),  # just as it was
    (HELD, entry(AT + 1, 4), SENT),  # changed later: the server sees another time by itself
    (HELD, entry(AT, 4), http_date(AT - 1)),  # another count at the same second: only another time brings the page
    (HELD, entry(AT, None), SENT),  # a page of the board does not count
    (Thread("po", 5, http_last_modified="yesterday"), entry(AT, 4), "yesterday"),
])  # fmt: skip
def test_what_is_sent_with_the_next_fetch(held: Thread | None, shown: IndexEntry | None, sent: str | None) -> None:
    assert if_modified_since(held, shown) == sent


@pytest.mark.parametrize("shown, behind", [
    (entry(AT + 1, 4), True),  # the index has a reply more, of a later time
    (entry(AT, 4), False),  # of the same second: the next fetch sends another time
    (entry(AT + 1, 3), False),  # the same count
    (entry(AT + 1, None), False),
    (entry(None, 4), False),
])  # fmt: skip
def test_a_page_is_an_older_copy_if_its_index_is_later_and_counts_otherwise(shown: IndexEntry, behind: bool) -> None:
    assert is_behind(HELD, shown) == behind


@pytest.mark.parametrize("modified, answered, validator", [
    (AT, AT + 1, AT),
    (AT, AT, AT - 1),  # it may change again in this second
    (AT + 5, AT, AT + 4),  # the server's clocks differ
])  # fmt: skip
def test_the_second_of_the_answer_makes_a_validator_weak(modified: int, answered: int, validator: int) -> None:
    assert strong_validator(http_date(modified), http_date(answered)) == http_date(validator)


@pytest.mark.parametrize("modified, answered", [(None, SENT), (SENT, None), ("nonsense", SENT)])
def test_without_two_times_the_validator_is_what_was_sent(modified: str | None, answered: str | None) -> None:
    assert strong_validator(modified, answered) == modified
