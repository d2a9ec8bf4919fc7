"""`scrapy coverage`: how many posts of each hour are stored and missing, and how far feeds of X were read."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from scrapy.exceptions import UsageError
from scrapy.utils.conf import arglist_to_dict

from chancrawl.arguments import board_names, moment_of
from chancrawl.command import StoreCommand
from chancrawl.errors import UserError
from chancrawl.imageboards.coverage import Coverage, Hour, between, by_day
from chancrawl.imageboards.stored_coverage import coverage_of, stored_boards
from chancrawl.items import Gap
from chancrawl.storage.base import Store, moment, time_of
from chancrawl.storage.factory import store_of
from chancrawl.text import capitalized
from chancrawl.x.accounts import account_of
from chancrawl.x.handles import handles_of
from chancrawl.x.pagination import EPOCH

FEEDS = "SELECT feed, complete_since, visited_at, posts FROM feeds {} ORDER BY feed"
GAPS = "SELECT before_id, after_id, starts_at, ends_at, reason, found_at FROM gaps WHERE feed = ? ORDER BY before_id"
TABLES = (
    "posts",
    "board_polls",
    "board_hours",
    "board_coverage",
    "removed_hours",
    "feeds",
    "gaps",
    "accounts",
    "handles",
)
"""The tables that this command reads."""

COLUMNS = (
    "board hour issued held deleted missing removed intervals median_seconds p95_seconds unwatched_seconds".split()
)
FEED_COLUMNS = "feed account complete_since read_at posts gaps".split()


@dataclass(slots=True)
class FeedCoverage:
    """How far a feed was read. It is complete from `complete_since` to `read_at`, except the intervals in `gaps`."""

    feed: str
    account: str
    complete_since: datetime | None
    read_at: datetime | None
    posts: int
    gaps: list[Gap] = field(default_factory=list)


class Command(StoreCommand):
    failure = "The store cannot be read"
    formats = ("text", "csv", "json")

    def syntax(self) -> str:
        options = "[--by hour|day] [--format text|csv|json]"
        return f"[-a board=po,g] [-a handles=nasa] [-a since=2026-01-01] [-a until=2026-02-01] {options}"

    def short_desc(self) -> str:
        return "Report how complete the stored data is"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "-a",
            dest="arguments",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="board=po,g or all: only boards; handles=nasa,id:5 or all: only feeds of X; since=, until=: a stretch",
        )
        parser.add_argument("--by", choices=("hour", "day"), default="hour", help="default hour")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        store = store_of(self.settings)
        try:
            wanted = Wanted.of(args, opts)
            store.open_to_read(TABLES)
            boards = wanted.boards_in(store) if wanted.boards is not None else []
            print_as = {"text": print_text, "csv": print_csv, "json": print_json}[opts.format]
            print_as(
                ((board, wanted.coverage_of(store, board)) for board in boards),
                feeds_of(store, wanted) if wanted.handles is not None else (),
            )
        finally:
            store.close()


@dataclass(slots=True)
class Wanted:
    """The options of the command. `boards` and `handles` are None for none, and empty for all."""

    boards: list[str] | None
    handles: list[str] | None
    since: datetime | None
    until: datetime | None
    by_day: bool

    @classmethod
    def of(cls, args: list[str], opts: argparse.Namespace) -> Wanted:
        try:
            arguments = arglist_to_dict(opts.arguments)
        except ValueError:
            raise UsageError("write -a board=po, or -a handles=nasa") from None
        if args or arguments.keys() - {"board", "handles", "since", "until"}:
            raise UsageError("coverage takes -a board=…, handles=…, since=…, until=…, --by and --format alone")
        boards = board_names("board", arguments.get("board", ""))
        handles, odd = handles_of(arguments.get("handles", ""))
        if odd:
            raise UserError(f"handles={odd[0]}: a handle is wanted, or the number of an account as id:783214.")
        names = [name.lower() for name in handles]
        both = "board" not in arguments and "handles" not in arguments
        return cls(
            [] if boards == ["all"] else boards if "board" in arguments else [] if both else None,
            [] if names == ["all"] else names if "handles" in arguments else [] if both else None,
            moment_of("since", arguments.get("since", "")),
            moment_of("until", arguments.get("until", "")),
            opts.by == "day",
        )

    def boards_in(self, store: Store) -> list[str]:
        return stored_boards(store, self.boards or ())

    def coverage_of(self, store: Store, board: str) -> Coverage:
        found = between(coverage_of(store, board, self.since, self.until), self.since, self.until)
        return by_day(found) if self.by_day else found


def feeds_of(store: Store, wanted: Wanted) -> Iterator[FeedCoverage]:
    """The feeds of X, or of some accounts."""
    if not wanted.handles:
        for row in list(store.stream(FEEDS.format(""))):
            yield _feed(store, wanted, *row)
        return
    for handle in wanted.handles:
        number = handle.removeprefix("id:") if handle.startswith("id:") else account_of(store, handle)
        rows = list(store.stream(FEEDS.format("WHERE feed = ?"), f"timeline:{number}"))
        if not rows:
            raise UserError(f"{capitalized(store.place)} holds nothing of @{handle}.")
        yield _feed(store, wanted, *rows[0])


def _feed(store: Store, wanted: Wanted, feed: str, since: Any, visited: Any, posts: int) -> FeedCoverage:
    name = ""
    if feed.startswith("timeline:"):
        number = int(feed.removeprefix("timeline:"))
        name = next((f"@{name}" for (name,) in store.stream("SELECT username FROM accounts WHERE id = ?", number)), "")
    gaps = [
        Gap(feed, before, after, moment(start), moment(end), reason, time_of(found))
        for before, after, start, end, reason, found in store.stream(GAPS, feed)
    ]
    first, last = wanted.since or EPOCH, wanted.until or datetime.now(UTC)
    gaps = [gap for gap in gaps if (gap.ends_at or last) > first and (gap.starts_at or EPOCH) < last]
    return FeedCoverage(feed, name, moment(since), moment(visited), posts, gaps)


# --- the three formats

Boards = Iterable[tuple[str, Coverage]]


def print_text(boards: Boards, feeds: Iterable[FeedCoverage]) -> None:
    for board, coverage in boards:
        print(f"/{board}/")
        has_removed = any(hour.removed for hour in coverage.hours)
        removed = "  removed" if has_removed else ""
        print(f"hour (UTC)         issued    held  deleted  missing{removed}  median     95%  unwatched")
        for hour in coverage.hours:
            unwatched = f"{hour.unwatched.total_seconds() / 60:,.1f} min" if hour.unwatched else "–"
            counts = f"{hour.issued:8,} {hour.held:7,} {hour.deleted:8,} {hour.missing_count:8,}"
            if has_removed:
                counts += f" {hour.removed:8,}"
            delays = f"{_seconds(hour.delay(0.5)):>7} {_seconds(hour.delay(0.95)):>7}"
            print(f"{hour.start:%Y-%m-%d %H:%M} {counts} {delays} {unwatched:>10}")
        missing = [interval for hour in coverage.hours for interval in hour.missing]
        if missing:
            largest = sorted(missing, key=lambda interval: interval[0] - interval[1])[:10]
            shown = ", ".join(_interval(interval) for interval in sorted(largest))
            rest = f" and {len(missing) - 10:,} more (--format json has them all)" if len(missing) > 10 else ""
            print(f"missing numbers: {shown}{rest}")
        for start, end in coverage.pauses[-10:]:
            print(f"not watched from {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S}")
        if not coverage.hours:
            print("no data yet: no post was made since the first crawl with follow=1 began")
        print()
    for number, feed in enumerate(feeds):
        if not number:
            print("complete since (UTC)  read at (UTC)        posts  feed")
        since = "its first post" if feed.complete_since == EPOCH else _minute(feed.complete_since) or "not complete yet"
        print(f"{since:20}  {_minute(feed.read_at):16} {feed.posts:9,}  {feed.feed} {feed.account}".rstrip())
        for gap in feed.gaps:
            why = {"reach": "X showed no more", "limit": "left out by a limit"}.get(gap.reason, gap.reason)
            print(f"  not read from {_minute(gap.starts_at) or '?'} to {_minute(gap.ends_at) or '?'}: {why}")


def print_csv(boards: Boards, feeds: Iterable[FeedCoverage]) -> None:
    """Print boards, or feeds if no boards are selected. All rows of a file have the same columns."""
    writer = csv.writer(sys.stdout)
    rows = iter(boards)
    first = next(rows, None)
    if first is None and not isinstance(feeds, tuple):
        writer.writerow(FEED_COLUMNS)
        for feed in feeds:
            values = feed_as_dict(feed) | {"gaps": " ".join(f"{gap.after_id}-{gap.before_id}" for gap in feed.gaps)}
            writer.writerow([values[name] for name in FEED_COLUMNS])
        return
    writer.writerow(COLUMNS)
    for board, coverage in (*([first] if first else ()), *rows):
        for hour in coverage.hours:
            row = as_dict(hour) | {"intervals": " ".join(_interval(interval) for interval in hour.missing)}
            writer.writerow([board, *(row[name] for name in COLUMNS[1:])])


def print_json(boards: Boards, feeds: Iterable[FeedCoverage]) -> None:
    found: list[dict[str, Any]] = [
        {
            "board": board,
            "hours": [as_dict(hour) for hour in coverage.hours],
            "unwatched": [[start.isoformat(), end.isoformat()] for start, end in coverage.pauses],
        }
        for board, coverage in boards
    ]
    found += [feed_as_dict(feed) for feed in feeds]
    print(json.dumps(found, indent=1))


def as_dict(hour: Hour) -> dict[str, Any]:
    return {
        "hour": hour.start.isoformat(),
        "issued": hour.issued,
        "held": hour.held,
        "deleted": hour.deleted,
        "missing": hour.missing_count,
        "removed": hour.removed,
        "intervals": hour.missing,
        "median_seconds": hour.delay(0.5),
        "p95_seconds": hour.delay(0.95),
        "unwatched_seconds": hour.unwatched.total_seconds(),
    }


def feed_as_dict(feed: FeedCoverage) -> dict[str, Any]:
    return {
        "feed": feed.feed,
        "account": feed.account or None,
        "complete_since": _iso(feed.complete_since),
        "read_at": _iso(feed.read_at),
        "posts": feed.posts,
        "gaps": [
            {
                "after_id": gap.after_id,
                "before_id": gap.before_id,
                "starts_at": _iso(gap.starts_at),
                "ends_at": _iso(gap.ends_at),
                "reason": gap.reason,
            }
            for gap in feed.gaps
        ],
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat()


def _minute(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} s"


def _interval(interval: tuple[int, int]) -> str:
    """
    >>> _interval((3, 3)), _interval((3, 5))
    ('3', '3-5')
    """
    first, last = interval
    return str(first) if first == last else f"{first}-{last}"
