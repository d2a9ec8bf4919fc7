"""`scrapy find` and the index of words, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.crawls import Crawler
from tests.support.sandboxes import Sandbox


@pytest.fixture
def collected(any_store: Crawler) -> Crawler:
    any_store("-aboard=wsr", "-asample=5").ok()
    return any_store


def test_found_with_and_without_an_index(collected: Crawler) -> None:
    without = collected.other("find", "the", "--limit", "5").ok().output
    assert "no index of words" in without and "there are more" in without and without.count("wsr/") == 5
    assert "MB" in collected.other("initdb", "--find").ok().output
    found = collected.other("find", "the", "--limit", "5").ok().output
    assert "no index" not in found and found.splitlines()[:10] == without.splitlines()[:10]
    assert collected.other("find", "xyzzyx").ok().output.strip() == "Nothing found."
    answer = json.loads(collected.other("find", "the", "--format", "json", "--board", "wsr").ok().output)
    assert answer["hits"][0]["key"] == found.split()[0] and answer["hits"][0]["url"].startswith("https://boards.4chan")
    assert "all texts" in collected.other("initdb", "--no-find").ok().output
    assert "no index of words" in collected.other("find", "the").ok().output


def test_mistakes_are_said(collected: Crawler) -> None:
    collected.other("find").refused("Name words to find")
    collected.other("find", "a", "--board", "zz").refused("holds nothing of /zz/")
    collected.other("find", "a", "--account", "@nobody").refused("holds nothing of @nobody")
    collected.other("find", "a", "--since", "2026-02-02", "--until", "2026-01-01").refused("not before")
    assert collected.other("initdb", "--find", "--no-find").code == 2


def test_a_search_where_nothing_was_collected(tmp_path: Path, sandbox: Sandbox) -> None:
    Crawler(tmp_path / "data", sandbox.url).other("find", "a").refused("There is no database")


def test_the_index_is_built_while_a_crawl_writes(tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.005)
    process = crawler.start("-aboard=po,wsr", "-sBATCH_SECONDS=0.1")
    while not (crawler.folder / "chancrawl.sqlite").exists() and process.poll() is None:
        pass
    built = crawler.other("initdb", "--find")
    output, _ = process.communicate(timeout=60)
    assert built.code == 0 and process.returncode == 0 and "locked" not in output + built.output
    boards = '"\ue000po" OR "\ue000wsr"'
    ((rows, indexed),) = crawler.embedded(
        f"SELECT (SELECT count(*) FROM posts), (SELECT count(*) FROM posts_words WHERE posts_words MATCH '{boards}')"
    )
    assert rows == indexed > 0
