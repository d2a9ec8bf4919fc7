"""Tweets in twarc's flattened form: what twarc-csv's own converter makes of them, and the keys that it knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from chancrawl.exports.twarc import KNOWN, flattened
from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, handles_of

ROW: dict[str, Any] = dict.fromkeys((
    "author_id", "conversation_id", "in_reply_to_user_id", "username", "lang", "in_reply_to_username", "metrics", "raw",
    "includes", "retweeted_text", "retweeted_username"))  # fmt: skip
ROW |= {"id": 2**60, "text": "whole", "posted_at": "2026-11-21T00:00:00.000000Z"}

CONVERT = """
import json, sys
from dataframe_converter import DataFrameConverter
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
converter = DataFrameConverter("tweets")
frame = converter.process(rows)
print(json.dumps({"in": len(rows), "out": len(frame), "texts": frame["text"].tolist(),
                  "authors": frame["author.username"].tolist()}))
"""


def paths(value: Any, before: str = "") -> set[str]:
    """The keys of an object, at any depth, as pandas.json_normalize names them."""
    found = set()
    for key, part in value.items():
        found |= paths(part, f"{before}{key}.") if isinstance(part, dict) and part else {f"{before}{key}"}
    return found


def test_a_row_of_the_older_crawler_has_what_is_needed() -> None:
    tweet = flattened(ROW | {"username": "nasa", "raw": json.dumps({"tweet_from": "nasa"})})
    assert tweet["id"] == str(2**60) and tweet["author"] == {"id": "", "username": "nasa", "name": "nasa"}
    assert "tweet_from" not in tweet and tweet["public_metrics"] == {}


def test_only_known_keys_are_kept() -> None:
    raw = {
        "id": "1", "new_key": 1, "public_metrics": {"like_count": 1, "newer_count": 2}, "author_id": "5",
        "entities": {"urls": [{"url": "no expanded one"}, {"expanded_url": "https://a.b"}], "odd": []},
        "attachments": {"media_keys": ["3_1"]}, "referenced_tweets": [{"type": "retweeted", "id": "7", "x": 1}],
    }  # fmt: skip
    includes = {"users": [{"id": "5", "username": "nasa", "name": "N", "odd": 1}], "media": [{"media_key": "3_1"}],
                "tweets": [{"id": "7", "author_id": "6", "text": "cut…"}]}  # fmt: skip
    row = ROW | {"author_id": 5, "raw": json.dumps(raw), "includes": json.dumps(includes),
                 "metrics": '{"like_count": 9}', "retweeted_text": "not cut"}  # fmt: skip
    tweet = flattened(row)
    known = paths({key: part for key, part in KNOWN.items() if part is not True}) | KNOWN.keys()
    assert {path for path in paths(tweet) if path.split(".")[0] not in KNOWN} == set()
    assert paths(tweet) - {"public_metrics"} <= known
    assert tweet["public_metrics"] == {"like_count": 9} and tweet["entities"]["urls"] == [
        {"expanded_url": "https://a.b"}
    ]
    assert tweet["author"]["name"] == "N" and tweet["attachments"]["media"] == [{"media_key": "3_1"}]
    (reference,) = tweet["referenced_tweets"]
    assert (reference["text"], reference["author"]["id"]) == ("not cut", "6")
    assert "new_key" in flattened(row, has_all_keys=True)


@pytest.fixture(scope="module")
def twarc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with twarc-csv, which needs an older pandas."""
    folder = tmp_path_factory.mktemp("twarc")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(folder / "bin" / "pip"), "install", "-q", "twarc-csv==0.7.2", "pandas<3", "setuptools<81"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"left out: twarc-csv cannot be installed: {done.stderr[-300:]}")
    return folder / "bin" / "python"


def converted(python: Path, file: Path) -> dict[str, Any]:
    done = subprocess.run([python, "-c", CONVERT, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.soak
def test_twarc_csv_gives_as_many_rows_as_it_gets(twarc: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    crawler.timeline(",".join(handles_of(sandbox)), "-s", "X_DAILY_BUDGET=50").ok()
    crawler.other("export", "tweets", "--as", "twarc", "-o", f"{tmp_path}/t.jsonl").ok()
    result = converted(twarc, tmp_path / "t.jsonl")
    assert result["in"] == result["out"] > 100 and all(result["authors"])


@pytest.mark.soak
def test_recorded_posts_too(twarc: Path, fixtures: Path, tmp_path: Path) -> None:
    """Real payloads of X's API."""
    lines = []
    for file in sorted((fixtures / "x").glob("v2.*.json")):
        page = orjson.loads(file.read_bytes())
        if not isinstance(page, dict):
            continue
        includes, data = page.get("includes", {}), page.get("data", [])
        for post in data if isinstance(data, list) else [data]:
            if "text" not in post:
                continue
            row = ROW | {"id": int(post["id"]), "text": post["text"], "raw": json.dumps(post),
                         "includes": json.dumps(includes), "username": "",
                         "author_id": int(post["author_id"]) if "author_id" in post else None}  # fmt: skip
            lines.append(orjson.dumps(flattened(row)))
    unique = {orjson.loads(line)["id"]: line for line in lines}
    (tmp_path / "t.jsonl").write_bytes(b"\n".join(unique.values()))
    result = converted(twarc, tmp_path / "t.jsonl")
    assert result["in"] == result["out"] == len(unique) > 0
