"""The kinds of rows of X: order, state, what waits for what, and files."""

from __future__ import annotations

from datetime import UTC, datetime

from chancrawl.items import Account, Feed, Gap, Handle, Trend, Tweet
from chancrawl.storage.kinds import Kinds
from chancrawl.x.kinds import KINDS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_data_is_written_before_the_state_that_speaks_of_it() -> None:
    kinds = Kinds(KINDS)
    order = [kind.item for kind in kinds.sorted([Feed("a"), Handle("a", 1, "active", NOW), Tweet(1, 1, "a", NOW)])]
    assert order == [Tweet, Handle, Feed]
    assert kinds.state == {Handle, Feed}


def test_a_feed_waits_for_its_posts_its_account_and_its_gaps() -> None:
    kinds = Kinds(KINDS)
    missing = [
        Tweet(1, 5, "a", NOW, found_in=["timeline:5", "search:a"]),
        Account(5, "a"),
        Gap("timeline:5", 9, 7, None, None, "reach", NOW),
    ]
    waiting = kinds[Feed].waits_as(Feed("timeline:5"))
    assert all(set(waiting) <= set(kinds.of(item).keeps_waiting(item)) for item in missing)
    assert kinds[Tweet].is_paid, "a feed is not read and paid for again for a post that is kept in the quarantine"


def test_files_and_columns() -> None:
    kinds = Kinds(KINDS)
    trend = Trend(1, NOW, 1, "#a", None)
    (file,) = kinds[Trend].csv_files
    assert file.path(trend) == "twitter/trends.csv"
    assert not kinds[Feed].csv_files, "how far a feed was read is state, and in no file"
    assert kinds.of(trend).key_of(trend) == ("trend", 1, NOW, 1)
