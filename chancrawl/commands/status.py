"""`scrapy status`: shows the running crawls, how well their boards are followed, and how the last crawls ended."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.imageboards.coverage import Hour
from chancrawl.storage import runs
from chancrawl.storage.base import Store, moment
from chancrawl.storage.factory import store_of
from chancrawl.storage.runs import Ended, Run, ended
from chancrawl.text import visible

TABLES = ("runs", "posts", "board_polls", "feeds")
"""The tables that this command reads."""

NEWEST = "SELECT posted_at, first_seen_at FROM posts WHERE board = ? ORDER BY no DESC LIMIT 10000"
LAST_READ = "SELECT max(polled_at) FROM board_polls WHERE board = ?"
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class FollowedBoard:
    """How well a board is followed: posts in its last hour, seconds until they were seen, and the last reading."""

    board: str
    posts_an_hour: int
    median_seconds: float | None
    read_at: datetime | None


class Command(StoreCommand):
    failure = "The store cannot be read"
    formats = ("text", "json")

    def syntax(self) -> str:
        return "[--format text|json]"

    def short_desc(self) -> str:
        return "List the crawls that are alive, and how the last ones ended"

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args:
            raise UsageError("status takes no arguments")
        store = store_of(self.settings)
        try:
            store.open_to_read(TABLES)
            alive = [
                (run, [followed(store, board, run.started_at) for board in run.boards]) for run in runs.alive(store)
            ]
            (print_json if opts.format == "json" else print_text)(alive, ended(store))
        finally:
            store.close()


def followed(store: Store, board: str, since: datetime) -> FollowedBoard:
    """How well a board is followed. Delays are of posts made after `since`, the start of the crawl."""
    rows = [(moment(posted), moment(seen)) for posted, seen in store.rows(NEWEST, board)]
    times = [(posted, seen) for posted, seen in rows if posted and seen]
    newest = max((seen for _, seen in times), default=None)
    hour = Hour(newest or datetime.now(UTC))
    for posted, seen in times:
        if newest is not None and posted > newest - HOUR:
            hour.held += 1
        if newest is not None and posted > max(newest - HOUR, since):
            hour.delays[max(round((seen - posted).total_seconds()), 0)] += 1
    return FollowedBoard(board, hour.held, hour.delay(0.5), moment(store.rows(LAST_READ, board)[0][0]))


# --- the two formats

Alive = list[tuple[Run, list[FollowedBoard]]]


def print_text(alive: Alive, last: list[Ended]) -> None:
    print("Alive:" if alive else "No crawl is alive.")
    for run, boards in alive:
        print(f"  {_command(run.spider, run.arguments)}: {run}")
        posts = _count(run, "items/post") + _count(run, "items/tweet")
        requests = _count(run, "downloader/request_count")
        print(f"    since {_minute(run.started_at)}, last sign of life {run.age:.0f} s ago, "
              f"{posts:,} posts, {requests:,} requests")  # fmt: skip
        if run.arguments.get("follow") in ("1", "true", "yes") and not boards and not run.arguments.get("threads"):
            print("    follows no board: it stands by for another crawl, or has just started")
        for board in boards:
            seconds = board.median_seconds
            lag = "" if seconds is None else f", half of them seen within {seconds:.0f} s"
            rate = f"/{board.board}/: {board.posts_an_hour:,} posts in its last hour{lag}"
            print(f"    {rate}; read last at {_minute(board.read_at)}")
    if last:
        print("Ended:")
    for end in last:
        success = "" if end.succeeded_at == end.finished_at else f", the last success at {_minute(end.succeeded_at)}"
        print(f"  {_command(end.spider, end.arguments)}: {end.reason} at {_minute(end.finished_at)}{success}")


def print_json(alive: Alive, last: list[Ended]) -> None:
    found = {
        "alive": [
            {
                "run_id": run.run_id, "spider": run.spider, "arguments": run.arguments, "source": run.source,
                "started_at": _iso(run.started_at), "alive_seconds_ago": round(run.age, 1), "host": run.host,
                "pid": run.pid, "folder": run.folder, "stats": run.stats,
                "boards": [
                    {"board": board.board, "posts_an_hour": board.posts_an_hour,
                     "median_seconds": board.median_seconds, "read_at": _iso(board.read_at)} for board in boards
                ],
            }
            for run, boards in alive
        ],
        "ended": [
            {"spider": end.spider, "arguments": end.arguments, "finished_at": _iso(end.finished_at),
             "reason": end.reason, "succeeded_at": _iso(end.succeeded_at)} for end in last
        ],
    }  # fmt: skip
    print(json.dumps(found, indent=1))


def _command(spider: str, arguments: dict[str, Any]) -> str:
    """
    >>> _command("chan", {"board": "po", "follow": "1", "sample": ""})
    'chan board=po follow=1'
    """
    given = (f"{name}={visible(str(value))[:60]}" for name, value in arguments.items() if value)
    return " ".join([spider, *given])


def _count(run: Run, stat: str) -> int:
    return int(run.stats.get(stat) or 0)


def _minute(time: datetime | None) -> str:
    return "no time" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat()
