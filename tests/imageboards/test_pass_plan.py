from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from chancrawl import http
from chancrawl.imageboards import conditional, pass_plan
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.items import Thread

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
AT = int(NOON.timestamp())


def stored(
    no: int = 5, replies: int = 3, last_modified: int = AT, header: int | None = None, fate: str = "live"
) -> Thread:
    return Thread(
        "po", no, replies=replies, last_modified=datetime.fromtimestamp(last_modified, UTC),
        http_last_modified=http.http_date(last_modified if header is None else header), fate=fate,
    )  # fmt: skip


def entry(no: int = 5, last_modified: int = AT, replies: int | None = 3, position: int = 0) -> IndexEntry:
    return IndexEntry(no, last_modified, replies, position)


def test_threads_that_the_index_shows_as_changed() -> None:
    assert pass_plan.changed(entry(), None)
    assert not pass_plan.changed(entry(), stored())
    assert pass_plan.changed(entry(last_modified=AT + 1), stored())
    assert pass_plan.changed(entry(replies=2), stored()), "a wipe changes the count alone"
    assert not pass_plan.changed(entry(last_modified=AT + 9), stored(header=AT + 9)), (
        "read after the index that led there"
    )
    assert not pass_plan.changed(entry(replies=None), stored()), "before 2019 there were no counts"
    assert pass_plan.changed(entry(), stored(fate="archived")), "it has come back"


def test_the_last_threads_of_the_board_are_first() -> None:
    index = {no: entry(no, position=place) for place, no in enumerate((9, 8, 7, 6))}
    due = pass_plan.live_threads_due(index, {8: stored(8)})
    assert [e.no for e in due] == [6, 7, 9]


def test_the_newest_threads_of_the_archive_are_first() -> None:
    threads = {3: stored(3, fate="archived"), 4: stored(4)}
    assert pass_plan.archived_threads_due([2, 3, 4, 9], threads) == [9, 4, 2]


def test_threads_in_neither_list_are_missing() -> None:
    threads = {3: stored(3, fate="archived"), 4: stored(4), 5: stored(5), 6: stored(6)}
    assert pass_plan.missing_threads([4], [5, 9], threads) == [6]


def test_if_modified_since() -> None:
    sent = http.http_date(AT)
    assert conditional.if_modified_since(None, entry()) is None
    assert conditional.if_modified_since(stored(), None) == sent
    assert conditional.if_modified_since(stored(), entry(last_modified=AT + 5, replies=4)) == sent
    assert conditional.if_modified_since(stored(), entry(replies=4)) == http.http_date(AT - 1), (
        "same second, other count"
    )
    oddly_written = Thread("po", 5, replies=3, http_last_modified="Saturday, 21-Nov-26 12:00:00 GMT")
    assert conditional.if_modified_since(oddly_written, None) == oddly_written.http_last_modified, "to the letter"


@given(st.integers(0, 2**34))
def test_http_dates_round_trip(seconds: int) -> None:
    time = http.http_time(http.http_date(seconds))
    assert time is not None and time.timestamp() == seconds


def test_an_unreadable_date_is_none() -> None:
    assert http.http_time(None) is None
    assert http.http_time("yesterday") is None
    assert http.http_time("Mon, 20 Nov 99999999999 00:00:00 GMT") is None
    assert http.http_time("Sat, 21 Nov 2026 12:00:00 -0000") is None


def test_a_validator_of_the_second_of_the_answer_is_weak() -> None:
    """RFC 9110, 8.8.2.2: the file may have changed again in that second."""
    modified, later = http.http_date(AT), http.http_date(AT + 2)
    assert conditional.strong_validator(modified, later) == modified
    assert conditional.strong_validator(modified, modified) == http.http_date(AT - 1)
    assert conditional.strong_validator(modified, None) == modified
    assert conditional.strong_validator("yesterday", later) == "yesterday"
    assert conditional.strong_validator(None, later) is None


def test_a_page_older_than_its_index_is_behind() -> None:
    assert conditional.is_behind(stored(replies=2, header=AT - 5), entry(replies=3))
    assert not conditional.is_behind(stored(replies=3, header=AT - 5), entry(replies=3))
    assert not conditional.is_behind(stored(replies=2), entry(replies=3)), "of the same second: a wipe"
    assert not conditional.is_behind(stored(replies=4, header=AT + 5), entry(replies=3)), "read later"
