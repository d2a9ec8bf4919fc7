"""`scrapy crawl search` and `scrapy crawl trending` against the sandbox's X."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, expected, handles_of, pages, served


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox("--speed", "0")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def crawler(tmp_path: Path, sandbox: Sandbox) -> XCrawler:
    return XCrawler(tmp_path / "data", sandbox.url)


@pytest.fixture(params=["csv", "postgres"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> XCrawler:
    database_url = request.getfixturevalue("database").url if request.param == "postgres" else None
    return XCrawler(tmp_path / "data", sandbox.url, database_url)


def test_a_search_reads_seven_days_and_then_what_is_new(any_store: XCrawler, sandbox: Sandbox, tmp_path: Path) -> None:
    name = handles_of(sandbox)[2]
    file = tmp_path / "queries.txt"
    file.write_text(f"# what to look for\nfrom:{name}\n#crane\n\n")
    any_store.x("search", "-a", f"queries={file}").ok()
    truth = sandbox.x_truth()
    rows = {int(row["id"]): row for row in any_store.articles()}
    assert rows and max(any_store.ids().values()) == 1
    assert all(row == expected(truth[number]) for number, row in rows.items())
    asked, before = len(sandbox.x_requests()), set(rows)
    sandbox.advance(3 * 3600)
    new = sandbox.x_act("post", name, count=2)["ids"]
    any_store.x("search", "-a", f"queries={file}").ok()
    assert set(new) <= any_store.ids().keys() and max(any_store.ids().values()) == 1
    assert set(served(sandbox.x_requests(asked))).isdisjoint(before)


def test_a_search_after_a_long_pause_asks_for_no_more_than_can_be_had(crawler: XCrawler, sandbox: Sandbox) -> None:
    name = handles_of(sandbox)[2]
    crawler.x("search", "-a", f"queries=from:{name}", "-a", "limit=10").ok()
    sandbox.advance(20 * 86_400)
    new = sandbox.x_act("post", name, count=2)["ids"]
    crawler.x("search", "-a", f"queries=from:{name}").ok()
    assert set(new) <= crawler.ids().keys()
    # Our clock is 20 days behind the sandbox's; the first answer tells, and one request is asked again.
    assert sum(request["status"] != 200 for request in sandbox.x_requests()) <= 1


@pytest.mark.soak
def test_trends_with_their_posts_and_nothing_bought_twice(any_store: XCrawler, sandbox: Sandbox) -> None:
    run = any_store.x("trending", "-a", "woeid=1,23424977", "-a", "tweets=20").ok()
    trends = any_store.rows("SELECT woeid, rank, name, tweet_count FROM trends ORDER BY woeid, rank")
    assert {woeid for woeid, *_ in trends} == {1, 23424977} and [rank for w, rank, *_ in trends if w == 1][:3] == [
        1,
        2,
        3,
    ]
    names = {name.lower() for _, _, name, _ in trends}
    searches = pages(sandbox.x_requests(), "search")
    assert len(searches) <= len(names) and len(pages(sandbox.x_requests(), "trends")) == 2
    found = any_store.ids()
    assert found and max(found.values()) == 1 and "2 places" in run.output
    truth = sandbox.x_truth()
    assert all(row == expected(truth[int(row["id"])]) for row in any_store.articles())
    # within the window, nothing is asked for again
    asked = len(sandbox.x_requests())
    any_store.x("trending", "-a", "woeid=1,23424977", "-a", "tweets=20").ok()
    assert sandbox.x_requests(asked) == []
    # after it, places are read again, and only new posts are bought
    any_store.x("trending", "-a", "woeid=1", "-a", "tweets=20", "-s", "X_TREND_WINDOW=0").ok()
    assert len(pages(sandbox.x_requests(asked), "trends")) == 1
    assert max(any_store.ids().values()) == 1
    if not any_store.database_url:
        with (any_store.folder / "twitter" / "trends.csv").open(newline="") as file:
            assert next(iter(csv.DictReader(file)))["woeid"] == "1"


def test_trends_alone_with_a_token_for_the_consumer_pair(crawler: XCrawler, sandbox: Sandbox, tmp_path: Path) -> None:
    crawler.credentials = tmp_path / "codes.csv"
    lines = ["consumer_key,consumer_secret,access_token,access_token_secret"]
    lines.append("sandbox-consumer-key,sandbox-consumer-secret,1002-sandbox-access-token,sandbox-access-token-secret-2")
    crawler.credentials.write_text("\n".join(lines) + "\n")
    crawler.x("trending", "-a", "woeid=26062", "-a", "tweets=0").ok()
    assert len(crawler.rows("SELECT * FROM trends")) > 5 and crawler.articles() == []
    crawler.credentials.write_text("\n".join(lines).replace("sandbox-consumer-secret", "wrong") + "\n")
    run = crawler.x("trending", "-a", "woeid=1", "-a", "tweets=0")
    run.refused("Trends want an app's bearer token", "answered 403")


def test_a_place_that_is_none_is_said(crawler: XCrawler, sandbox: Sandbox) -> None:
    run = crawler.x("trending", "-a", "woeid=4242,1", "-a", "tweets=0")
    run.refused("The trends of 4242 could not be read", "value [4242] is not valid", "Incomplete")
    assert len(sandbox.x_requests()) == 2  # it is not asked again
    assert len(crawler.rows("SELECT DISTINCT woeid FROM trends")) == 1
