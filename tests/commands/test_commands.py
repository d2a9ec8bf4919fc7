"""The commands in the process of a test: coverage, status, spool, quarantine, spiders, initdb, crawl, sandbox."""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.commands import coverage, crawl, initdb, quarantine, sandbox, spiders, spool, status
from chancrawl.errors import UserError
from chancrawl.imageboards.coverage import Hour
from chancrawl.items import Account, Feed, Gap, Handle, Poll
from chancrawl.storage import runs
from chancrawl.storage.base import Store
from chancrawl.storage.factory import store_of
from chancrawl.storage.postgres.spool import Spool
from chancrawl.storage.quarantine import keep, keep_row, kept_rows
from tests.support import KINDS
from tests.support.commands import command_of, options_of
from tests.support.databases import Database
from tests.support.engines import settings_of
from tests.support.items import START, minute, post, thread

Out = pytest.CaptureFixture[str]


@pytest.fixture(params=["csv", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database").url if request.param == "postgres" else None


@pytest.fixture
def filled(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """A store with a board of which number 8 is missing, and two feeds of X."""
    store = store_of(settings_of(tmp_path, database_url))
    store.open()
    store.prepare()
    posts = [
        replace(post(no, "a"), posted_at=START + timedelta(minutes=no), first_seen_at=minute(no + 1))
        for no in (6, 7, 9, 70)
    ]
    gap = Gap("timeline:1", 50, 40, START, minute(60), "reach", START)
    account = Account(1, "NASA", first_seen_at=START, last_seen_at=START)
    feeds = [Feed("timeline:1", posts=3, pages=1, complete_since=START, visited_at=minute(5)), Feed("search:a")]
    polls = [
        Poll("po", START + timedelta(minutes=5), 5, 1, 1, None),
        Poll("po", START + timedelta(minutes=71), 70, 1, 1, 30.0),
    ]
    assert store.take_in([*posts, thread(3), *polls, account, Handle("nasa", 1, "active", START), gap, *feeds]) == []
    yield store
    store.close()


def run(kind: type[StoreCommand], folder: Path, url: str | None, args: list[str], *given: str) -> StoreCommand:
    command = command_of(kind, folder, url)
    command.work(args, options_of(command, *given))
    return command


# --- coverage


def test_coverage_counts_what_is_held_and_what_is_missing(
    filled: Store, tmp_path: Path, database_url: str | None, capsys: Out
) -> None:
    run(coverage.Command, tmp_path, database_url, [], "-a", "board=po", "--format", "json")
    (board,) = json.loads(capsys.readouterr().out)
    assert board["board"] == "po" and [hour["held"] for hour in board["hours"]] == [3, 1]
    first = board["hours"][0]
    assert first["hour"] == START.isoformat() and [8, 8] in first["intervals"]
    assert first["median_seconds"] == 60
    run(coverage.Command, tmp_path, database_url, [], "-a", "board=po", "--by", "day", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["held"] == "4" and int(row["issued"]) == 4 + int(row["missing"])
    run(coverage.Command, tmp_path, database_url, [])
    text = capsys.readouterr().out
    assert text.startswith("/po/\n") and "missing numbers: 8" in text and "timeline:1 @NASA" in text
    assert "not read from 2026-11-21 00:00 to 2026-11-21 01:00: X showed no more" in text


def test_coverage_of_a_stretch(filled: Store, tmp_path: Path, database_url: str | None, capsys: Out) -> None:
    stretch = ("-a", "board=po", "-a", "since=2026-11-21T01:00", "-a", "until=2026-11-21T02:00", "--format", "json")
    run(coverage.Command, tmp_path, database_url, [], *stretch)
    (board,) = json.loads(capsys.readouterr().out)
    assert [(hour["hour"], hour["held"]) for hour in board["hours"]] == [(minute_text(60), 1)]


def minute_text(number: int) -> str:
    return (START + timedelta(minutes=number)).isoformat()


def test_coverage_of_feeds(filled: Store, tmp_path: Path, database_url: str | None, capsys: Out) -> None:
    run(coverage.Command, tmp_path, database_url, [], "-a", "handles=NASA", "--format", "json")
    (feed,) = json.loads(capsys.readouterr().out)
    assert (feed["feed"], feed["account"], feed["posts"]) == ("timeline:1", "@NASA", 3)
    assert feed["complete_since"] == START.isoformat() and [gap["reason"] for gap in feed["gaps"]] == ["reach"]
    run(coverage.Command, tmp_path, database_url, [], "-a", "handles=all", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["feed"] for row in rows] == ["search:a", "timeline:1"] and rows[1]["gaps"] == "40-50"
    for unknown in ("handles=esa", "handles=id:5", "board=g"):
        with pytest.raises(UserError, match="holds nothing of"):
            run(coverage.Command, tmp_path, database_url, [], "-a", unknown)


@pytest.mark.parametrize("given", [("-a", "board"), ("-a", "bord=po")])
def test_coverage_refuses_what_it_does_not_know(tmp_path: Path, given: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(coverage.Command, tmp_path, None, [], *given)


def test_an_hour_as_it_is_printed() -> None:
    hour = Hour(START)
    hour.held, hour.missing = 2, [(5, 7)]
    assert coverage.as_dict(hour)["missing"] == 3 and coverage.as_dict(hour)["median_seconds"] is None


# --- status


def test_status_knows_who_is_alive_and_how_the_last_crawls_ended(
    filled: Store, tmp_path: Path, database_url: str | None, capsys: Out
) -> None:
    alive = runs.begin(filled, "chan", {"board": "po", "follow": "1"}, "http://h", minute(5) or START, "/srv")
    runs.claim(filled, alive, ["po"])
    runs.beat(filled, alive, {"items/post": 1200})
    for reason, at in (("finished", 1), ("refused", 2)):
        number = runs.begin(filled, "chan", {"board": "g"}, "http://h", START, "/srv")
        filled.write([("UPDATE runs SET finished_at = ?, finish_reason = ? WHERE run_id = ?", (
            minute(at) or START, reason, number))])  # fmt: skip
    run(status.Command, tmp_path, database_url, [], "--format", "json")
    found = json.loads(capsys.readouterr().out)
    (one,) = found["alive"]
    assert one["run_id"] == alive and one["stats"] == {"items/post": 1200}
    (board,) = one["boards"]
    assert (board["board"], board["posts_an_hour"], board["median_seconds"]) == ("po", 1, 60)
    (end,) = found["ended"]
    assert end["reason"] == "refused" and end["finished_at"] == minute_text(2) and end["succeeded_at"] == minute_text(1)
    run(status.Command, tmp_path, database_url, [])
    text = capsys.readouterr().out
    assert "chan board=po follow=1: run" in text and "1,200 posts" in text
    assert "/po/: 1 posts in its last hour, half of them seen within 60 s" in text
    assert "chan board=g: refused at 2026-11-21 00:02:00 UTC, the last success at 2026-11-21 00:01:00 UTC" in text


def test_status_of_a_board_of_which_nothing_is_held(filled: Store) -> None:
    board = status.followed(filled, "g", START)
    assert board == status.FollowedBoard("g", 0, None, None)


def test_status_without_a_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was collected yet"):
        run(status.Command, tmp_path, None, [])
    with pytest.raises(UsageError):
        run(status.Command, tmp_path, None, ["po"])


# --- spool


def test_spool_shows_and_drains_what_waits(tmp_path: Path, database: Database, capsys: Out) -> None:
    run(initdb.Command, tmp_path, database.url, [])
    assert "The tables of chancrawl are in the database" in capsys.readouterr().out
    run(spool.Command, tmp_path, None, [])
    assert capsys.readouterr().out == f"Nothing waits in {tmp_path / 'spool'}.\n"
    number = database.one("SELECT database_id::text FROM schema_version")
    waiting = Spool.new(tmp_path / "spool", KINDS, 10**6)
    waiting.append([post(6, "a"), replace(post(7, "b"), since4pass=2**40)], number, "the database x")
    run(spool.Command, tmp_path, None, [])
    text = capsys.readouterr().out
    assert "2 rows in 1 batch" in text and "for the database x" in text and "in use by a crawl" in text
    waiting.unlock()
    drained = run(spool.Command, tmp_path, database.url, ["drain"])
    text = capsys.readouterr().out
    assert ": 1.\n" in text and "set aside" in text and drained.exitcode == 1 and "CSV files" not in text
    assert database.rows("SELECT no FROM posts") == [(6,)]
    waiting = Spool.new(tmp_path / "spool", KINDS, 10**6)
    waiting.append([post(8, "c")], number, "the database x")
    waiting.unlock()
    with_files = command_of(spool.Command, tmp_path, database.url)
    assert with_files.settings is not None
    with_files.settings.set("CSV", "1")
    with_files.work(["drain"], options_of(with_files))
    assert "`scrapy csv` writes them" in capsys.readouterr().out
    with pytest.raises(UsageError):
        run(spool.Command, tmp_path, None, ["drain"])
    with pytest.raises(UsageError):
        run(spool.Command, tmp_path, None, ["empty"])


# --- quarantine


def test_quarantine_shows_problems_by_their_kind_and_takes_rows_in(
    filled: Store, tmp_path: Path, database_url: str | None, capsys: Out
) -> None:
    folder = tmp_path / "quarantine"
    filled.close()
    run(quarantine.Command, tmp_path, database_url, [])
    assert capsys.readouterr().out == f"Nothing is in {folder}.\n"
    for no in (1, 2):
        keep(folder, f"http://h/{no}", b"%d" % no, f"post {no}: sub is [{no}]")
    undescribed = replace(post(11, "a"), raw=[])  # type: ignore[arg-type]
    for item in (post(10, "a"), undescribed):
        keep_row(folder, KINDS.of(item), item, "mended meanwhile")
    run(quarantine.Command, tmp_path, database_url, [], "--format", "json")
    found = json.loads(capsys.readouterr().out)
    assert [(each["problem"], each["kept"]) for each in found["payloads"]] == [("post #: sub is …", 2)]
    assert found["rows"] == [{"kind": "post", "reason": "mended meanwhile", "rows": 2}]
    run(quarantine.Command, tmp_path, database_url, [])
    assert "2  post: mended meanwhile" in capsys.readouterr().out
    again = run(quarantine.Command, tmp_path, database_url, ["take-in"])
    text = capsys.readouterr().out
    assert ": 1 row.\n" in text and "Still rejected" in text and again.exitcode == 1
    ((_, rows),) = kept_rows(folder, KINDS)
    assert [row.what for row in rows] == ["post po/11"] and rows[0].reason != "mended meanwhile"
    store = store_of(settings_of(tmp_path, database_url))
    store.open()
    assert store.rows("SELECT no FROM posts WHERE no IN (10, 11)") == [(10,)]
    store.close()


def test_quarantine_takes_nothing_in_where_nothing_waits(tmp_path: Path, capsys: Out) -> None:
    run(quarantine.Command, tmp_path, None, ["take-in"])
    assert capsys.readouterr().out == f"No row waits in {tmp_path / 'quarantine'}.\n"
    assert not (tmp_path / "chancrawl.sqlite").exists()
    with pytest.raises(UsageError):
        run(quarantine.Command, tmp_path, None, ["empty"])


# --- spiders


def test_spiders_are_shown_with_all_their_arguments(tmp_path: Path, capsys: Out) -> None:
    run(spiders.Command, tmp_path, None, ["chan"])
    text = capsys.readouterr().out
    assert text.startswith("chan: ") and "  board " in text and "(needed)" in text and "scrapy crawl chan" in text
    run(spiders.Command, tmp_path, None, [], "--format", "markdown")
    text = capsys.readouterr().out
    assert text.count("| argument | meaning | default |") == 4 and "<!-- scrapy spiders timeline -->" in text
    with pytest.raises(UsageError, match="there is no spider chann; there are chan, search"):
        run(spiders.Command, tmp_path, None, ["chann"])


# --- initdb, crawl, sandbox


def test_initdb_needs_a_database(tmp_path: Path, database: Database) -> None:
    with pytest.raises(UsageError):
        run(initdb.Command, tmp_path, None, [])
    with pytest.raises(UsageError):
        run(initdb.Command, tmp_path, database.url, ["now"])
    with pytest.raises(UserError, match="There is no table tweet_articles_tweepy"):
        run(initdb.Command, tmp_path, database.url, [], "--import-legacy")
    assert database.one("SELECT to_regclass('posts')") is None


class Ended:
    """A crawl that has ended with these stats."""

    def __init__(self, stats: dict[str, Any]) -> None:
        self.stats = self
        self.get_stats = lambda: stats


@pytest.mark.parametrize("stats, code", [
    ({"finish_reason": "finished"}, 0),
    ({"finish_reason": "shutdown"}, 0),
    ({"finish_reason": "closespider_itemcount"}, 0),
    ({"finish_reason": "budget_spent"}, 3),
    ({"finish_reason": "credentials_exhausted"}, 3),
    ({"finish_reason": "refused"}, 1),
    ({"finish_reason": "finished", "failure": "x"}, 1),
    ({"finish_reason": "finished", "store/rejected": 1}, 1),
    ({"finish_reason": "finished", "chan/indexes_unread": 1}, 1),
    ({"finish_reason": "shutdown", "chan/indexes_unread": 1}, 0),
    ({}, 1),
])  # fmt: skip
def test_the_exit_code_says_whether_a_crawl_did_its_work(stats: dict[str, Any], code: int) -> None:
    async def exit_code() -> int:
        async def ended() -> None:
            pass

        task = asyncio.ensure_future(ended())
        await task
        return crawl.Command()._exit_code(Ended(stats), task)  # type: ignore[arg-type]

    assert asyncio.run(exit_code()) == code


def test_the_log_has_to_be_a_file_in_a_folder(tmp_path: Path) -> None:
    command = crawl.Command()
    command._check_log(settings_of(tmp_path, LOG_FILE=None))
    command._check_log(settings_of(tmp_path, LOG_FILE=str(tmp_path / "chan.log")))
    for wrong in (tmp_path, tmp_path / "none" / "chan.log"):
        with pytest.raises(UsageError):
            command._check_log(settings_of(tmp_path, LOG_FILE=str(wrong)))


def test_the_sandbox_has_the_options_of_its_module() -> None:
    parser = argparse.ArgumentParser()
    command = sandbox.Command()
    command.settings = settings_of(Path("unused"))
    command.add_options(parser)
    options = parser.parse_args(["--port", "0", "--site", "fast", "--limit", "timeline=3"])
    assert (options.port, options.site, options.limit, options.speed) == (0, "fast", ["timeline=3"], 1.0)


def test_times_are_shown_in_utc() -> None:
    east = datetime.fromisoformat("2026-11-21T05:45:00+05:45")
    assert status._minute(east) == "2026-11-21 00:00:00 UTC" and status._minute(None) == "no time"
    assert coverage._iso(east) == datetime(2026, 11, 21, tzinfo=UTC).isoformat() and coverage._iso(None) is None
