"""What is exported from either store is what is stored, in each format, as other programs read it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

from chancrawl.errors import UserError
from chancrawl.exports.dialects import PostgresDialect, SqliteDialect
from chancrawl.exports.export import NAMES, Target, about, check_filters, columns_of, dialect_of, export
from chancrawl.exports.tables import TABLES, Filters
from chancrawl.exports.writers import digest_of
from chancrawl.items import Account, Feed, Gap, Poll, Post, Trend, Tweet, columns
from chancrawl.storage import runs
from chancrawl.storage.base import Store, parts
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.items import START, deletion, minute, post, thread

ODD_NAME = "NA"
ODD = 'a "quote", a\ttab,\r\na line; \u200b\u202e \U0001f980 \U00010348 é 中文 ,=1+1'


@pytest.fixture
def filled(either: Store) -> Store:
    assert either.take_in(ITEMS) == []
    runs.begin(either, "chan", {"board": "po"}, "https://a.4cdn.org", START, "/data")
    either.rows("INSERT INTO credential_limits (credential, endpoint, remaining) VALUES ('ab', 'timeline', 5)")
    return either


def odd_post(no: int) -> Post:
    """A post with what others stumble over, in its last columns too."""
    item = replace(
        post(no, "x"), name="NA", tripcode="1e5", subject=ODD, comment_text=ODD, comment_html=ODD, poster_id="007",
        quotes=[{"board": "po", "thread_no": None, "no": 6, "dead": True}], links=["https://a.b/?q=\U0001f980"],
        file_tim=2**53 + 1, file_size=2**40, deleted_at=None,
    )  # fmt: skip
    item.raw = {"no": no, "com": "NUL \0, half \ud83d, \\u0000 and \U0001f980"}
    return item


def tweet(number: int, author: int | None = 5, minutes: int = 0, **values: Any) -> Tweet:
    item = Tweet(number, author, "nasa", START + timedelta(minutes=minutes), text=f"text {number}",
                 metrics={"like_count": 3}, first_metrics={"like_count": 1}, found_in=["timeline:5"],
                 first_seen_at=START, last_seen_at=START, raw={"id": str(number)})  # fmt: skip
    return replace(item, **values)


ITEMS = [
    *(post(no, f"word{no}") for no in range(5, 60)), replace(post(7, "second"), revision=2, last_seen_at=minute(1)),
    replace(post(80, "other board"), board="g", thread_no=80), odd_post(99), deletion(6, 3, 4), deletion(7, 5),
    post(98, "\u041c\u043e\u0441\u043a\u0432\u0430"), thread(3),
    replace(thread(0), board="g", no=80), Poll("po", START - timedelta(days=900), 1, 1, 1, None),
    tweet(2**62 + 1, None, mention_ids=[7, None], mention_usernames=["a", "b"], hashtags=["x"], media_urls=None,
          possibly_sensitive=True, longitude=1.5, text=ODD, includes={"users": [{"name": "half \udc00"}]}),
    tweet(2**62, 5, 60, retweeted_id=9, retweeted_username="esa",
          retweeted_text="The WHOLE &amp; &lt;not cut&gt;", found_in=["search:#science", "timeline:5"]),
    Account(5, "nasa", metrics={"followers_count": 7}, first_metrics={}, first_seen_at=START, last_seen_at=START),
    Trend(1, START, 1, "#science", None), Feed("timeline:5", newest_id=9, visited_at=START),
    Gap("timeline:5", 9, 7, START, START, "reach", START),
]  # fmt: skip


def written(store: Store, tmp_path: Path, name: str, ending: str, **filters: Any) -> Path:
    path = tmp_path / f"{name}.{ending}"
    path.unlink(missing_ok=True)
    with store.snapshot():
        export(store, [name], Filters(**filters), Target.of(path, None, None, [name]))
    return path


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def in_text(item: Any, without: tuple[str, ...] = ("digest",)) -> dict[str, Any]:
    """An item as it is expected in JSON."""
    values = {name: getattr(item, name) for name in columns(type(item)) if name not in without}
    text = json.dumps(values, default=lambda time: f"{time:%Y-%m-%dT%H:%M:%S.%fZ}")
    return {name: _clean(value) for name, value in json.loads(text).items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return "".join("\ufffd" if sign == "\0" or "\ud800" <= sign <= "\udfff" else sign for sign in value)
    if isinstance(value, dict):
        return {key: _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else value


def test_json_lines(filled: Store, tmp_path: Path) -> None:
    posts = {(row["board"], row["no"]): row for row in json_lines(written(filled, tmp_path, "posts", "jsonl"))}
    assert len(posts) == 58
    assert posts["po", 99] == in_text(odd_post(99))
    assert posts["po", 6]["deleted_at"] == "2026-11-21T00:03:00.000000Z"
    assert posts["po", 7]["revision"] == 2 and posts["po", 7]["comment_text"] == "second"
    tweets = {row["id"]: row for row in json_lines(written(filled, tmp_path, "tweets", "jsonl"))}
    assert tweets[2**62 + 1]["mention_ids"] == [7, None] and tweets[2**62 + 1]["media_urls"] is None
    assert tweets[2**62 + 1]["includes"] == {"users": [{"name": "half \ufffd"}]}
    assert tweets[2**62 + 1]["possibly_sensitive"] is True and tweets[2**62 + 1]["longitude"] == 1.5


def test_csv_is_read_by_others_with_all_its_texts(filled: Store, tmp_path: Path) -> None:
    path = written(filled, tmp_path, "posts", "csv")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = {(row["board"], int(row["no"])): row for row in csv.DictReader(stream)}
    assert rows["po", 99]["comment_text"] == ODD and rows["po", 99]["file_deleted"] == "false"
    assert json.loads(rows["po", 99]["quotes"]) == odd_post(99).quotes
    frame = pandas.read_csv(path, dtype={"tripcode": "string", "poster_id": "string"}, keep_default_na=False,
                            na_values={"file_tim": [""]}, dtype_backend="numpy_nullable")  # fmt: skip
    row = frame[frame["no"] == 99].iloc[0]
    assert (row["name"], row["tripcode"], row["poster_id"], row["file_tim"]) == ("NA", "1e5", "007", 2**53 + 1)
    found = duckdb.execute(f"SELECT count(*), count(DISTINCT no) FROM read_csv('{path}')").fetchall()
    assert found == [(58, 58)]


def test_parquet_is_typed_and_complete(filled: Store, tmp_path: Path) -> None:
    path = written(filled, tmp_path, "posts", "parquet")
    rows = {(row["board"], row["no"]): row for row in pyarrow.parquet.read_table(path).to_pylist()}
    found = rows["po", 99]
    expected = {name: getattr(odd_post(99), name) for name in columns(Post) if name not in ("digest", "raw")}
    assert {name: found[name] for name in expected} == expected
    assert json.loads(found["raw"]) == in_text(odd_post(99))["raw"]
    schema = pyarrow.parquet.read_schema(path)
    assert str(schema.field("posted_at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("file_tim").type) == "int64" and "struct" in str(schema.field("quotes").type)
    frame = polars.read_parquet(path)
    assert frame.filter(polars.col("no") == 99)["file_tim"][0] == 2**53 + 1
    nullable = pandas.read_parquet(path, dtype_backend="pyarrow")
    assert nullable[nullable["no"] == 99]["file_tim"].iloc[0] == 2**53 + 1
    path = written(filled, tmp_path, "tweets", "parquet")
    tweets = {row["id"]: row for row in pyarrow.parquet.read_table(path).to_pylist()}
    assert tweets[2**62 + 1]["mention_ids"] == [7, None] and tweets[2**62]["metrics"]["like_count"] == 3
    assert tweets[2**62 + 1]["author_id"] is None and tweets[2**62]["retweeted_urls"] is None


@pytest.mark.soak
def test_oddities_in_the_last_of_a_hundred_thousand_rows(tmp_path: Path) -> None:
    """Programs guess types and dialects from the first rows. Posts have no file, name and poster ID until the last."""
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open()
    store.prepare()
    plain = [post(no, "") for no in range(10, 100_009)]
    for batch in parts(plain, 5_000):
        assert store.take_in(batch) == []
    last = odd_post(100_009)
    assert store.take_in([last]) == []
    texts = {"name": ODD_NAME, "tripcode": "1e5", "poster_id": "007", "comment_text": ODD}
    numbers = {"file_tim": 2**53 + 1, "file_size": 2**40}
    for ending in ("csv", "jsonl", "parquet"):
        path = written(store, tmp_path, "posts", ending)
        reader = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet"}[ending]
        types = {"csv": ", all_varchar=false, sample_size=-1", "jsonl": ", sample_size=-1", "parquet": ""}[ending]
        sql = f"SELECT {', '.join(texts | numbers)} FROM {reader}('{path}'{types}) WHERE no = 100009"
        (found,) = duckdb.execute(sql).fetchall()
        kept = dict(zip(texts | numbers, found, strict=True))
        assert kept["comment_text"] == ODD and {name: kept[name] for name in numbers} == numbers
        if ending == "csv":
            frame = pandas.read_csv(path, dtype=dict.fromkeys(texts, "string"), keep_default_na=False, na_values=[""],
                                    dtype_backend="numpy_nullable", low_memory=False)  # fmt: skip
        elif ending == "jsonl":
            frame = polars.read_ndjson(path, infer_schema_length=None).to_pandas(use_pyarrow_extension_array=True)
        else:
            frame = pandas.read_parquet(path, dtype_backend="pyarrow")
        row = frame[frame["no"] == 100_009].iloc[0]
        assert len(frame) == 100_000 and {name: row[name] for name in texts | numbers} == texts | numbers
    store.close()


@pytest.mark.parametrize("name", NAMES)
def test_every_table_in_every_format_has_its_columns_and_rows(filled: Store, tmp_path: Path, name: str) -> None:
    names = [column.name for column in columns_of(name)]
    lines = json_lines(written(filled, tmp_path, name, "jsonl"))
    assert all(list(line) == names for line in lines) and about(name)
    assert lines or name == "coverage"
    table = pyarrow.parquet.read_table(written(filled, tmp_path, name, "parquet"))
    assert table.column_names == names and table.num_rows == len(lines)
    with written(filled, tmp_path, name, "csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == names and len(rows) == len(lines) + 1


def test_edges_and_deletions(filled: Store, tmp_path: Path) -> None:
    (edge,) = json_lines(written(filled, tmp_path, "quotes", "jsonl"))
    assert (edge["no"], edge["quoted_board"], edge["quoted_no"], edge["quoted_thread_no"], edge["quoted_is_dead"]) == (
        99, "po", 6, None, True)  # fmt: skip
    (repeat,) = json_lines(written(filled, tmp_path, "retweets", "jsonl"))
    assert (repeat["id"], repeat["author_id"], repeat["retweeted_id"]) == (2**62, 5, 9)
    gone, other = json_lines(written(filled, tmp_path, "deletions", "jsonl"))
    assert (gone["no"], other["no"]) == (6, 7) and gone["deletion_confirmed_at"] == "2026-11-21T00:04:00.000000Z"
    (earlier,) = json_lines(written(filled, tmp_path, "revisions", "jsonl"))
    assert (earlier["no"], earlier["revision"], earlier["comment_text"]) == (7, 1, "word7")
    hours = json_lines(written(filled, tmp_path, "coverage", "jsonl", boards=("po",)))
    assert sum(hour["held"] for hour in hours) == 57 and sum(hour["missing"] for hour in hours) == 99 - 1 - 57


def numbers(store: Store, tmp_path: Path, name: str = "posts", **filters: Any) -> list[int]:
    key = "no" if name in ("posts", "threads", "revisions") else "id"
    return sorted(row[key] for row in json_lines(written(store, tmp_path, name, "jsonl", **filters)))


def test_filters(filled: Store, tmp_path: Path) -> None:
    assert numbers(filled, tmp_path, boards=("g",)) == [80]
    assert numbers(filled, tmp_path, threads=(80,)) == [80]
    assert numbers(filled, tmp_path, only_deleted=True) == [6, 7]
    assert numbers(filled, tmp_path, "revisions", only_deleted=True) == [7]
    assert numbers(filled, tmp_path, match="WORD1") == list(range(10, 20))
    assert numbers(filled, tmp_path, match="100%") == [] == numbers(filled, tmp_path, match="d_1")
    assert numbers(filled, tmp_path, match="\u043c\u043e\u0441\u043a\u0432\u0430") == [98]  # of other scripts too
    first = post(5, "").posted_at
    assert numbers(filled, tmp_path, boards=("po",), since=first + timedelta(seconds=3),
                   until=first + timedelta(seconds=6)) == [8, 9, 10]  # fmt: skip
    assert numbers(filled, tmp_path, "tweets", accounts=(5,)) == [2**62]
    assert numbers(filled, tmp_path, "tweets", accounts=(5,), account_names=("nasa",)) == [2**62, 2**62 + 1]
    assert numbers(filled, tmp_path, "tweets", match="whole & <not cut>") == [2**62]
    assert numbers(filled, tmp_path, "tweets", query="#science") == [2**62]
    assert numbers(filled, tmp_path, "tweets", since=START + timedelta(minutes=1)) == [2**62]
    with pytest.raises(UserError, match="--account does not apply to posts; posts takes --board"):
        check_filters(["posts"], Filters(accounts=(5,)))
    with pytest.raises(UserError, match="--query does not apply to coverage"):
        check_filters(["coverage"], Filters(query="a"))
    with pytest.raises(UserError, match="--match does not apply to coverage"):
        check_filters(["coverage"], Filters(match="a"))
    check_filters(["posts", "coverage"], Filters(match="a"))


def test_a_folder_has_a_file_for_each_board_and_month(filled: Store, tmp_path: Path) -> None:
    target = Target.of(tmp_path / "out", "jsonl", "gz", ["posts", "threads", "trends"])
    done = export(filled, ["posts", "threads", "trends"], Filters(), target)
    assert sorted(done.files) == [
        "posts/g/2023-11.jsonl.gz", "posts/po/2023-11.jsonl.gz", "threads.jsonl.gz", "trends.jsonl.gz"
    ]  # fmt: skip
    with gzip.open(tmp_path / "out" / "posts" / "po" / "2023-11.jsonl.gz") as stream:
        assert len(stream.readlines()) == 57
    assert done.rows == {"posts": 58, "threads": 2, "trends": 1}
    for path, file in done.files.items():
        assert digest_of(tmp_path / "out" / path) == file.digest


def test_tables_without_rows_have_files_too(filled: Store, tmp_path: Path) -> None:
    target = Target.of(tmp_path / "out", None, None, ["posts"])
    export(filled, ["posts"], Filters(boards=("none",)), target)
    assert (tmp_path / "out" / "posts.csv").read_text().count("\n") == 1


def test_one_state_is_exported_while_others_write(filled: Store, tmp_path: Path) -> None:
    other: Any = SqliteStore(tmp_path / "data", KINDS)
    if isinstance(filled, PostgresStore):
        other = filled.another()
    other.open_beside()

    def write(name: str, rows: int) -> None:
        if name == "threads":
            other.take_in([replace(post(500, "later"), board="g")])

    with filled.snapshot():
        done = export(filled, ["threads", "posts"], Filters(), Target.of(tmp_path / "out", None, None, NAMES), write)
    assert done.rows["posts"] == 58 and other.rows("SELECT count(*) FROM posts") == [(59,)]
    other.close()


def test_an_export_that_fails_leaves_no_file(filled: Store, tmp_path: Path) -> None:
    def fail(name: str, rows: int) -> None:
        if name == "posts":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(filled, ["threads", "posts"], Filters(), Target.of(tmp_path / "out", None, None, NAMES), fail)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("path, names, words", [
    ("there.csv", ["posts"], "exists"), ("full", ["posts"], "not an empty folder"), ("a.csv", NAMES, "name a folder"),
    ("none/a.csv", ["posts"], "There is no folder"), ("a.parquet.gz", ["posts"], "compressed already"),
    ("a.csv.bz2", ["posts"], "ends as no file that can be written"),
])  # fmt: skip
def test_targets_that_are_refused(tmp_path: Path, path: str, names: list[str], words: str) -> None:
    (tmp_path / "there.csv").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(UserError, match=words):
        Target.of(tmp_path / path, None, None, names)


def test_targets(tmp_path: Path) -> None:
    assert Target.of(tmp_path / "a.ndjson.zst", None, None, ["posts"]) == Target(
        tmp_path / "a.ndjson.zst", "jsonl", "zst"
    )
    assert Target.of(tmp_path / "v1.2", "parquet", None, NAMES).is_folder
    with pytest.raises(UserError, match="another format"):
        Target.of(tmp_path / "a.csv", "parquet", None, ["posts"])


def test_a_million_rows_would_be_read_in_the_order_of_an_index(filled: Store) -> None:
    sql, parameters = TABLES["posts"].query(Filters(boards=("po",)), dialect_of(filled))
    assert isinstance(dialect_of(filled), SqliteDialect | PostgresDialect)
    if isinstance(filled, SqliteStore):
        plan = " ".join(str(row) for row in filled.rows(f"EXPLAIN QUERY PLAN {sql}", *parameters))
        assert "posts_time" in plan and "B-TREE FOR RIGHT PART OF ORDER BY" in plan, plan


def test_the_times_have_one_width(filled: Store, tmp_path: Path) -> None:
    for row in json_lines(written(filled, tmp_path, "posts", "jsonl")):
        for name in ("posted_at", "first_seen_at", "last_seen_at"):
            assert len(row[name]) == 27 and datetime.fromisoformat(row[name])


def test_the_reader_of_compressed_csv(filled: Store, tmp_path: Path) -> None:
    path = written(filled, tmp_path, "trends", "csv.zst")
    with pyarrow.input_stream(str(path), compression="zstd") as stream:
        text = stream.read().decode()
    assert list(csv.reader(io.StringIO(text)))[1] == ["1", "2026-11-21T00:00:00.000000Z", "1", "#science", ""]
