"""The files beside a store, retention, wiping: the parts of a removal."""

from __future__ import annotations

import argparse
import re
import shlex
from datetime import timedelta
from pathlib import Path

import pytest
from scrapy.settings import Settings

from chancrawl.errors import UserError
from chancrawl.find.texts import POSTS, TWEETS
from chancrawl.forget import wiping
from chancrawl.forget.files import Cleaning
from chancrawl.forget.retention import Retention, limit_of
from chancrawl.forget.subjects import pattern_of, subject_of
from chancrawl.imageboards.forgetting import thread_without
from chancrawl.items import Thread, Tweet
from chancrawl.storage.base import Store
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import ROOT
from tests.support.items import START, post


def settings_of(folder: Path, **values: object) -> Settings:
    settings = Settings()
    settings.setmodule("chancrawl.settings")
    settings.setdict({"CSV_FOLDER": str(folder), **values})
    return settings


def test_a_log_is_masked_in_its_place(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"@NASA, nasa_fan and nasal; id 5\n")
    Cleaning(settings_of(tmp_path, LOG_FILE=str(log)), [("handle", "nasa"), ("account", "5")]).clean()
    assert log.read_bytes() == b"@****, nasa_fan and nasal; id *\n"


def test_lists_of_handles(tmp_path: Path) -> None:
    for name in ("list.txt", "list.next.txt"):
        (tmp_path / name).write_text("esa\n@nasa\njaxa\n")
    cleaning = Cleaning(settings_of(tmp_path), [("handle", "nasa")], [tmp_path / "list.txt"])
    cleaning.clean()
    assert (tmp_path / "list.next.txt").read_text() == "esa\njaxa\n" and "nasa" in (tmp_path / "list.txt").read_text()
    assert "take it out" in cleaning.left[0]


def test_csv_files_of_somebody_else_are_named(tmp_path: Path) -> None:
    (tmp_path / "twitter").mkdir()
    (tmp_path / "twitter" / "nasa.csv").write_text("nasa")
    cleaning = Cleaning(settings_of(tmp_path), [("handle", "nasa")])
    cleaning.clean()
    assert "not chancrawl's" in cleaning.left[0]


def test_old_posts(either: Store) -> None:
    items = [post(no, "a") for no in (6, 86406)]  # a day between them
    assert either.take_in([*items, Tweet(1, 5, "a", items[0].posted_at, last_seen_at=START)]) == []
    retention = Retention(settings_of(Path("x")), either)
    assert not retention.is_on
    retention = Retention(settings_of(Path("x"), KEEP_DAYS=1), either)
    retention.old = items[0].posted_at + timedelta(hours=1)
    assert [retention.step() for _ in range(3)] == [1, 1, 0] and retention.done == {"posts": 1, "tweets": 1}
    assert either.rows("SELECT no FROM posts") == [(86406,)]
    assert either.rows("SELECT kind FROM removals") == [("age",)]
    assert limit_of(settings_of(Path("x"), KEEP_DAYS=2), "KEEP_DAYS", START) == START - timedelta(days=2)


def test_wiping_needs_space(either: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(either, SqliteStore):
        monkeypatch.setattr(wiping, "free_space", lambda folder: 0)
        with pytest.raises(UserError, match="Wiping needs"):
            wiping.wipe(either)
        monkeypatch.undo()
    assert wiping.wipe(either)


def test_a_thread_without_its_opening_post() -> None:
    thread = Thread("po", 5, subject="s", semantic_url="s")
    assert thread_without(thread, lambda subject: False) is thread
    assert thread_without(thread, {("post", "po/5")}.__contains__).subject is None


def test_words_are_whole_words() -> None:
    pattern = pattern_of([("post", "po/12"), ("handle", "a.b")])
    assert pattern.findall(b"12 123 x12 A.B aXb _12") == [b"12", b"A.B"]
    assert POSTS.index != TWEETS.index


def test_the_documented_commands_are_understood() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--reason", "-s"):
        parser.add_argument(option)
    for flag in ("--list", "--wipe", "--old", "--undo"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("what", nargs="*")
    lines = re.findall(r"^    scrapy forget (.*?)(?: #.*)?$", (ROOT / "docs" / "removal.md").read_text(), re.MULTILINE)
    for line in lines:
        assert all(subject_of(word) for word in parser.parse_args(shlex.split(line)).what), line
    assert len(lines) > 8
