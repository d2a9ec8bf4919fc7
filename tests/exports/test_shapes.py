"""Files for other tools, read back by the rules of these tools."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from chancrawl.errors import UserError
from chancrawl.exports.export import Target, check_shape, export
from chancrawl.exports.shapes import ASAGI, SHAPES, names, new_york
from chancrawl.exports.tables import Filters
from chancrawl.items import Tweet
from chancrawl.storage.base import Store
from chancrawl.x.legacy import COLUMNS as OLDER_COLUMNS
from chancrawl.x.legacy import row_of
from tests.support.items import START, deletion, minute, post, thread

ODD = 'says "a, b"; \\ back\\slash\\\nnew line, \\N and é\U0001f980'


@pytest.fixture
def store(either: Store) -> Store:
    return either


def written(store: Store, tmp_path: Path, name: str, shape: str, **filters: Any) -> Path:
    path = tmp_path / f"{shape}.{SHAPES[shape].ending}"
    path.unlink(missing_ok=True)
    target, chosen = Target.of(path, None, None, [name]), Filters(**filters)
    check_shape(shape, SHAPES[shape], [name], chosen, target)
    with store.snapshot():
        export(store, [name], chosen, target, shape=SHAPES[shape])
    return path


# --- 4chan's API


def test_threads_as_the_api_sends_them(store: Store, tmp_path: Path) -> None:
    opening = post(5, "op")
    opening.raw |= {"resto": 0, "replies": 0, "images": 0, "sticky": 1, "sub": "s"}
    other = replace(post(90, "x"), thread_no=90)
    store.take_in([opening, post(6, "b"), post(7, "c"), deletion(6, 3), other,
                   replace(thread(2), images=1, bump_limit_reached=True, archived_at=minute(9))])  # fmt: skip
    first, second = [json.loads(line) for line in written(store, tmp_path, "threads", "api").read_bytes().splitlines()]
    assert [each["no"] for each in first["posts"]] == [5, 6, 7] and second == {"posts": [other.raw]}
    head = first["posts"][0]
    assert (head["replies"], head["images"], head["bumplimit"], head["imagelimit"]) == (2, 1, 1, 0)
    assert (head["archived"], head["closed"], head["sub"], "sticky" in head) == (1, 1, "s", False)
    assert head["archived_on"] == int(minute(9).timestamp())  # type: ignore[union-attr]
    assert first["posts"][1] == post(6, "b").raw


# --- 4CAT, by the rules of its datasources/upload


def mapped(path: Path) -> list[dict[str, str]]:
    """The rows as 4CAT reads them: it guesses the dialect from the first megabyte."""
    with path.open(encoding="utf-8", newline="") as stream:
        sample = stream.read(1024 * 1024)
        assert csv.Sniffer().has_header(sample)
        dialect = csv.Sniffer().sniff(sample, delimiters=",;\t")
        stream.seek(0)
        reader = csv.DictReader(stream, dialect=dialect)
        assert list(reader.fieldnames or ())[:5] == ["id", "thread_id", "author", "body", "timestamp"]
        return list(reader)


def test_4cat_reads_every_row_also_if_the_first_quote_comes_late(store: Store, tmp_path: Path) -> None:
    number = 8_000
    posts = [post(no, f"plain, {no}; and so on") for no in range(10, 10 + number)]
    store.take_in([*posts, replace(post(20_000, "x"), comment_text=ODD, subject=ODD, name="")])
    rows = mapped(written(store, tmp_path, "posts", "4cat", boards=("po",)))
    assert len(rows) == number + 1 and all(None not in row and None not in row.values() for row in rows)
    odd = next(row for row in rows if row["id"] == "20000")
    assert (odd["body"], odd["subject"], odd["author"], odd["thread_id"]) == (ODD, ODD, "", "5")
    time = datetime.fromisoformat(odd["timestamp"])
    assert time == post(20_000, "x").posted_at and odd["timestamp"].endswith("Z")
    assert odd['url ("permalink")'] == "https://boards.4chan.org/po/thread/5#p20000"


def test_tweets_for_4cat(store: Store, tmp_path: Path) -> None:
    store.take_in([tweet(1, text=ODD, conversation_id=9), tweet(2, retweeted_text="whole text", retweeted_id=1)])
    first, second = mapped(written(store, tmp_path, "tweets", "4cat"))
    assert (first["id"], first["thread_id"], first["author"], first["body"]) == ("1", "9", "nasa", ODD)
    assert second["body"] == "whole text" and second["retweeted_id"] == "1"


def tweet(number: int, **values: Any) -> Tweet:
    item = Tweet(number, 5, "nasa", START + timedelta(minutes=number), text=f"text {number}", metrics={"like_count": 3},
                 first_metrics={"like_count": 1}, found_in=["timeline:5"], first_seen_at=START, last_seen_at=START,
                 raw={"id": str(number)})  # fmt: skip
    return replace(item, **values)


# --- 4plebs


def test_a_dump_as_4plebs_has_them(store: Store, tmp_path: Path) -> None:
    with_file = replace(
        post(6, "b"), comment_text=ODD, subject=None, file_tim=1_795_000_000_123, file_ext=".png", file_name='a"b',
        file_md5="d41d8cd98f00b204e9800998ecf8427e", file_size=7, capcode="mod", poster_id="Ab", country="DE",
    )  # fmt: skip
    store.take_in([post(5, "op"), with_file, deletion(6, 3), replace(thread(1), sticky=True)])
    path = written(store, tmp_path, "posts", "4plebs", boards=("po",))
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, fieldnames=ASAGI, doublequote=False, escapechar="\\", strict=True)
        first, second = list(reader)
    assert len(ASAGI) == 28 and (first["num"], first["op"], first["sticky"], second["op"]) == ("5", "1", "1", "0")
    assert (second["comment"], second["title"], second["media_filename"]) == (ODD, "N", 'a"b.png')
    assert (second["media_hash"], second["media_orig"]) == ("1B2M2Y8AsgTpgAmY7PhCfg==", "1795000000123.png")
    assert (second["deleted"], second["capcode"], second["poster_hash"], second["exif"]) == ("1", "M", "Ab", "N")
    assert second["timestamp_expired"] == str(new_york("2026-11-21T00:03:00.000000Z"))


def test_times_of_new_york_can_be_read_back() -> None:
    """Each hour of a year; of the hour that comes twice in autumn, both are candidates."""
    zone = ZoneInfo("America/New_York")
    twice = 0
    for hour in range(366 * 24):
        time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        wall = datetime.fromtimestamp(new_york(f"{time:%Y-%m-%dT%H:%M:%S}.000000Z"), UTC).replace(tzinfo=None)
        both = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
        assert time in both
        twice += len(both) > 1
    assert twice == 2


# --- the older crawler


def test_the_older_crawlers_columns(store: Store, tmp_path: Path) -> None:
    item = tweet(70, text=ODD, hashtags=["a", "b c"], in_reply_to_id=7)
    store.take_in([item])
    with written(store, tmp_path, "tweets", "tweepy", accounts=(5,)).open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert list(row) == list(OLDER_COLUMNS)
    assert list(row.values()) == ["" if value is None else str(value) for value in row_of(item)]


# --- what is refused


@pytest.mark.parametrize("name, shape, path, words", [
    ("tweets", "api", "a.jsonl", "is for one of threads"), ("posts", "4cat", "a.csv", "name one board"),
    ("threads", "api", "a.csv", "-o FILE.jsonl"), ("threads", "api", "folder", "one file"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path: Path, name: str, shape: str, path: str, words: str) -> None:
    target = Target.of(tmp_path / path, None, None, [name])
    with pytest.raises(UserError, match=words):
        check_shape(shape, SHAPES[shape], [name], Filters(), target)


def test_the_help_names_them() -> None:
    assert "4cat (posts, tweets)" in list(names())
