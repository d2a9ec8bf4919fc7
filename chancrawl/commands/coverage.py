"""`scrapy coverage`: what is held of what was posted, hour by hour, and what is missing."""

from __future__ import annotations

import argparse
import csv
import json
import sqlite3
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg2
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError
from scrapy.utils.conf import arglist_to_dict

from chancrawl.configuration import check
from chancrawl.coverage import Coverage, HeldPost, Hour, Look, account
from chancrawl.database import PostgresStore
from chancrawl.errors import UserError, first_line
from chancrawl.folder import CsvStore
from chancrawl.stores import moment, store_of

POSTS = "SELECT no, posted_at, first_seen_at, deleted_at FROM posts WHERE board = ? ORDER BY no"
LOOKS = "SELECT polled_at, newest_no, longest_gap FROM board_polls WHERE board = ? ORDER BY polled_at"
COLUMNS = "board hour issued held deleted missing intervals median_seconds p95_seconds unwatched_seconds".split()


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "[-a board=po,g] [--format text|csv|json]"

    def short_desc(self) -> str:
        return "Say what is held of what was posted, and what is missing"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "-a", dest="arguments", action="append", default=[], metavar="board=po,g", help="only these boards"
        )
        parser.add_argument("--format", choices=("text", "csv", "json"), default="text", help="default text")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        wanted = self._boards(args, opts)
        store = store_of(self.settings)
        try:
            check(self.settings)
            store.open_to_read()
            held = [board for (board,) in store.stream("SELECT DISTINCT board FROM threads ORDER BY board")]
            for board in wanted:
                if board not in held:
                    raise UserError(f"{store.place[0].upper() + store.place[1:]} holds nothing of /{board}/.")
            print_as = {"text": print_text, "csv": print_csv, "json": print_json}[opts.format]
            print_as((board, coverage_of(store, board)) for board in wanted or held)
        except BrokenPipeError:
            sys.stderr.close()  # `scrapy coverage | head`
        except OSError as error:
            print(f"The report could not be written: {error.strerror}.", file=sys.stderr)
            self.exitcode = 1
        except (psycopg2.Error, sqlite3.Error) as error:
            print(f"{store.place[0].upper() + store.place[1:]} cannot be read: {first_line(error)}.", file=sys.stderr)
            self.exitcode = 1
        except UserError as error:
            print(error, file=sys.stderr)
            self.exitcode = 1
        finally:
            store.close()

    def _boards(self, args: list[str], opts: argparse.Namespace) -> list[str]:
        try:
            arguments = arglist_to_dict(opts.arguments)
        except ValueError:
            raise UsageError("write -a board=po, or -a board=po,g") from None
        if args or arguments.keys() - {"board"}:
            raise UsageError("coverage takes -a board=… and --format alone")
        names = [name.strip().strip("/").lower() for name in arguments.get("board", "").split(",")]
        return [name for name in dict.fromkeys(names) if name and name != "all"]


def coverage_of(store: PostgresStore | CsvStore, board: str) -> Coverage:
    looks = [Look(_time(at), newest, gap) for at, newest, gap in store.stream(LOOKS, board)]
    posts = (
        HeldPost(no, _time(posted or first_seen), _time(first_seen), moment(deleted))
        for no, posted, first_seen, deleted in store.stream(POSTS, board)
    )
    return account(posts, looks)


def _time(value: Any) -> datetime:
    time = moment(value)
    assert time is not None
    return time


# --- three ways to say it

Covered = Iterator[tuple[str, Coverage]]


def print_text(covered: Covered) -> None:
    for board, coverage in covered:
        print(f"/{board}/")
        print("hour (UTC)         issued    held  deleted  missing  median     95%  unwatched")
        for hour in coverage.hours:
            unwatched = f"{hour.unwatched.total_seconds() / 60:,.1f} min" if hour.unwatched else "–"
            counts = f"{hour.issued:8,} {hour.held:7,} {hour.deleted:8,} {hour.missing_count:8,}"
            delays = f"{_seconds(hour.delay(0.5)):>7} {_seconds(hour.delay(0.95)):>7}"
            print(f"{hour.start:%Y-%m-%d %H:%M} {counts} {delays} {unwatched:>10}")
        missing = [interval for hour in coverage.hours for interval in hour.missing]
        if missing:
            largest = sorted(missing, key=lambda interval: interval[0] - interval[1])[:10]
            shown = ", ".join(_interval(interval) for interval in sorted(largest))
            rest = f" and {len(missing) - 10:,} more (--format json has them all)" if len(missing) > 10 else ""
            print(f"missing numbers: {shown}{rest}")
        for start, end in coverage.pauses[-10:]:
            print(f"nobody was watching from {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S}")
        if not coverage.hours:
            print("nothing to account for: no post was made yet since a crawl with follow=1 looked at it first")
        print()


def print_csv(covered: Covered) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)
    for board, coverage in covered:
        for hour in coverage.hours:
            row = as_dict(hour) | {"intervals": " ".join(_interval(interval) for interval in hour.missing)}
            writer.writerow([board, *(row[name] for name in COLUMNS[1:])])


def print_json(covered: Covered) -> None:
    boards = [
        {
            "board": board,
            "hours": [as_dict(hour) for hour in coverage.hours],
            "unwatched": [[start.isoformat(), end.isoformat()] for start, end in coverage.pauses],
        }
        for board, coverage in covered
    ]
    print(json.dumps(boards, indent=1))


def as_dict(hour: Hour) -> dict[str, Any]:
    return {
        "hour": hour.start.isoformat(),
        "issued": hour.issued,
        "held": hour.held,
        "deleted": hour.deleted,
        "missing": hour.missing_count,
        "intervals": hour.missing,
        "median_seconds": hour.delay(0.5),
        "p95_seconds": hour.delay(0.95),
        "unwatched_seconds": hour.unwatched.total_seconds(),
    }


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} s"


def _interval(interval: tuple[int, int]) -> str:
    """
    >>> _interval((3, 3)), _interval((3, 5))
    ('3', '3-5')
    """
    first, last = interval
    return str(first) if first == last else f"{first}-{last}"
