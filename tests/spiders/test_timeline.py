"""`scrapy crawl timeline`, as a user starts it, against the sandbox's X over sockets."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, expected, handles_of, pages, served


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An X whose clock stands still but for what the test advances it by; 24 accounts, 3,000 posts."""
    sandbox = Sandbox("--speed", "0")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def before_evening() -> Iterator[Sandbox]:
    """The same, and no later than 17:00 UTC: six hours later the day is the same, and no post is paid for again."""
    now = datetime.now(UTC)
    start = min(now, now.replace(hour=17, minute=0))
    sandbox = Sandbox("--speed", "0", "--start", str(int(start.timestamp())))
    yield sandbox
    sandbox.stop()


@pytest.fixture
def crawler(tmp_path: Path, sandbox: Sandbox) -> XCrawler:
    return XCrawler(tmp_path / "data", sandbox.url)


@pytest.fixture(params=["csv", "postgres"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> XCrawler:
    database_url = request.getfixturevalue("database").url if request.param == "postgres" else None
    return XCrawler(tmp_path / "data", sandbox.url, database_url)


def all_handles(sandbox: Sandbox, tmp_path: Path) -> Path:
    """A file of every account, some of them again in another case, comments, @, a name that nobody has."""
    names = [account["username"] for account in sandbox.x_accounts()]
    lines = [
        "# accounts",
        "",
        *(f"@{name}" for name in names[::2]),
        *names[1::2],
        *map(str.upper, names[::3]),
        "nobody_there",
    ]
    file = tmp_path / "handle.txt"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_every_reachable_post_is_stored_once_with_the_older_columns(
    any_store: XCrawler, sandbox: Sandbox, tmp_path: Path
) -> None:
    run = any_store.timeline(str(all_handles(sandbox, tmp_path))).ok()
    truth = sandbox.x_truth()
    rows = {int(row["id"]): row for row in any_store.articles()}
    assert any_store.ids().keys() == truth.keys() and max(any_store.ids().values()) == 1
    assert all(rows[number] == expected(post) for number, post in truth.items())
    requests = sandbox.x_requests()
    shown = {account["id"]: account["posts"] for account in sandbox.x_accounts() if account["status"] == "active"}
    assert len(pages(requests)) == sum(ceil(number / 100) for number in shown.values())
    assert len(pages(requests, "users")) == 1
    assert max(served(requests).values()) == 1
    statuses = dict(any_store.rows("SELECT status, count(*) FROM handles GROUP BY status"))
    assert statuses == {"active": 22, "protected": 1, "suspended": 1, "missing": 1}
    users = 23
    assert f"({len(truth):,} posts, {users} users)" in run.output
    ((dollars,),) = any_store.rows("SELECT dollars FROM runs")
    assert float(dollars) == pytest.approx(len(truth) * 0.005 + users * 0.01)


def test_a_second_run_asks_only_for_what_is_new(any_store: XCrawler, sandbox: Sandbox, tmp_path: Path) -> None:
    handles = str(all_handles(sandbox, tmp_path))
    any_store.timeline(handles).ok()
    before, asked = set(any_store.ids()), len(sandbox.x_requests())
    sandbox.advance(6 * 3600)
    renamed = handles_of(sandbox)[3]
    sandbox.x_act("rename", renamed, to="Quite_Another")
    sandbox.x_act("post", "Quite_Another", count=3)
    any_store.timeline(handles).ok()
    truth, requests = sandbox.x_truth(), sandbox.x_requests(asked)
    new = truth.keys() - before
    assert len(new) > 20
    assert any_store.ids().keys() == truth.keys() and max(any_store.ids().values()) == 1
    assert [request for request in requests if request["endpoint"] == "users"] == []
    assert len(pages(requests)) <= len(handles_of(sandbox))
    assert sum(served(requests).values()) <= len(new) + 1
    account = any_store.rows("SELECT former_usernames FROM accounts WHERE username = 'Quite_Another'")
    assert renamed in str(account[0][0])
    rows = {int(row["id"]): row for row in any_store.articles()}
    assert all(rows[number] == expected(truth[number]) for number in new)


@pytest.mark.soak
def test_the_cheaper_plan_takes_few_calls(before_evening: Sandbox, tmp_path: Path) -> None:
    sandbox = before_evening
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    handles = str(all_handles(sandbox, tmp_path))
    crawler.timeline(handles).ok()
    before, asked = set(crawler.ids()), len(sandbox.x_requests())
    sandbox.advance(6 * 3600)
    sandbox.x_act("rename", handles_of(sandbox)[5], to="Renamed_Since")
    run = crawler.timeline(handles, "-a", "plan=search").ok()
    truth, requests = sandbox.x_truth(), sandbox.x_requests(asked)
    new = truth.keys() - before
    retweets = {number for number in new if truth[number]["retweeted_status_id"]}
    assert max(crawler.ids().values()) == 1
    assert truth.keys() - crawler.ids().keys() <= retweets
    # Timelines are read only of accounts that have posted more than a search shows (retweets), were silent, or went
    # into no search because nobody else was last seen at their time.
    assert 2 <= len(pages(requests, "search")) < 12
    shown = {truth[number]["author_id"] for number in new - retweets}
    retweeters = {truth[number]["author_id"] for number in retweets}
    active = {account["id"] for account in sandbox.x_accounts() if account["status"] == "active"}
    asked_for = {
        int(no) for request in pages(requests, "search") for no in re.findall(r"from%3A(\d+)", request["path"])
    }
    read = {int(request["path"].split("/")[3]) for request in pages(requests)}
    assert len(asked_for) > 10 and read <= retweeters | (active - shown) | (active - asked_for)
    assert len(pages(requests)) < len(active)
    assert f"({len(crawler.ids()) - len(before):,} posts, 0 users)" in run.output  # none is paid for twice
    # and a timeline, which starts where a timeline was read last, finds the rest
    crawler.timeline(handles).ok()
    assert crawler.ids().keys() == truth.keys() and max(crawler.ids().values()) == 1


@pytest.mark.parametrize("plan", ["timeline", "search"])
def test_a_post_that_the_search_did_not_show_is_found_by_its_account(
    crawler: XCrawler, sandbox: Sandbox, plan: str
) -> None:
    names = handles_of(sandbox)[:6]
    crawler.timeline(",".join(names)).ok()
    sandbox.advance(3600)
    sandbox.x_act("post", names[0], count=2)
    sandbox.x_act("hide", names[0])  # the newest: search does not show it, its timeline does
    crawler.timeline(",".join(names), "-a", f"plan={plan}").ok()
    truth = {number for number, post in sandbox.x_truth().items() if post["tweet_from"] in names}
    assert crawler.ids().keys() == truth


@pytest.mark.soak
def test_limit_since_and_going_further_back_later(any_store: XCrawler, sandbox: Sandbox) -> None:
    accounts = sorted((a for a in sandbox.x_accounts() if a["status"] == "active"), key=lambda a: a["posts"])
    name = accounts[-1]["username"]
    truth = sorted((n for n, post in sandbox.x_truth().items() if post["tweet_from"] == name), reverse=True)
    any_store.timeline(name, "-a", "limit=130").ok()
    assert sorted(any_store.ids(), reverse=True) == truth[:130]
    assert sum(served(sandbox.x_requests()).values()) == 130
    asked = len(sandbox.x_requests())
    any_store.timeline(name, "-a", "limit=210").ok()
    assert sorted(any_store.ids(), reverse=True) == truth[:210]
    assert max(served(sandbox.x_requests()).values()) == 1
    any_store.timeline(name).ok()
    assert sorted(any_store.ids(), reverse=True) == truth
    assert max(served(sandbox.x_requests()).values()) == 1
    asked = len(sandbox.x_requests())
    any_store.timeline(name).ok()
    assert len(sandbox.x_requests(asked)) == 1


def test_since_leaves_older_posts_out(crawler: XCrawler, sandbox: Sandbox) -> None:
    names = handles_of(sandbox)[:4]
    posts = {n: post for n, post in sandbox.x_truth().items() if post["tweet_from"] in names}
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 5 * 86_400))
    crawler.timeline(",".join(names), "-a", f"since={day}").ok()
    wanted = {n for n in posts if time.gmtime(((n >> 22) + 1288834974657) // 1000) >= time.strptime(day, "%Y-%m-%d")}
    assert crawler.ids().keys() == wanted and len(wanted) < len(posts)


@pytest.mark.soak
def test_killed_at_random_instants_and_resumed(any_store: XCrawler, sandbox: Sandbox, tmp_path: Path) -> None:
    handles = str(all_handles(sandbox, tmp_path))
    random = Random(7)
    for _ in range(5):
        process = any_store.start(
            *any_store.with_settings("-a", f"handles={handles}", "-s", "BATCH_SIZE=50", "-s", "CONCURRENT_REQUESTS=2",
                                     "-s", "DOWNLOAD_DELAY=0.06"), spider="timeline")  # fmt: skip
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.9 + random.random() * 0.6)
        process.kill()
        process.communicate()
    any_store.timeline(handles).ok()
    truth = sandbox.x_truth()
    assert any_store.ids().keys() == truth.keys() and max(any_store.ids().values()) == 1


@pytest.mark.soak
def test_ctrl_c_keeps_what_was_read_and_the_next_run_goes_on_at_its_page(
    crawler: XCrawler, sandbox: Sandbox, wait_until: Callable[[Callable[[], Any]], None]
) -> None:
    name = max(sandbox.x_accounts(), key=lambda account: account["posts"])["username"]
    process = crawler.start(
        *crawler.with_settings("-a", f"handles={name}", "-s", "DOWNLOAD_DELAY=0.7"), spider="timeline")  # fmt: skip
    wait_until(lambda: len(pages(sandbox.x_requests())) >= 2)
    run = crawler.interrupted(process, signal.SIGINT).ok()
    assert "Stopped; what was fetched is stored" in run.output
    assert 0 < len(crawler.ids()) < len(sandbox.x_truth())
    sandbox.x_act("post", name)  # and what has come meanwhile
    crawler.timeline(name).ok()
    assert crawler.ids().keys() == {n for n, post in sandbox.x_truth().items() if post["tweet_from"] == name}
    assert max(served(sandbox.x_requests()).values()) == 1


@pytest.mark.soak
def test_counts_that_change_are_kept_as_seen_first_and_last(any_store: XCrawler, sandbox: Sandbox) -> None:
    name = handles_of(sandbox)[0]
    any_store.timeline(name, "-a", "limit=20").ok()
    truth = sandbox.x_truth()
    number = max(n for n in any_store.ids() if not truth[n]["retweeted_status_id"])  # searches show no retweets
    likes = truth[number]["favorite_count"]
    sandbox.x_act("engage", name, id=number, likes=5)
    any_store.x("search", "-a", f"queries=from:{name}", "-a", "limit=10").ok()
    assert max(any_store.ids().values()) == 1
    if any_store.database_url:
        sql = f"SELECT first_metrics ->> 'like_count', metrics ->> 'like_count' FROM tweets WHERE id = {number}"
        assert any_store.rows(sql) == [(str(likes), str(likes + 5))]
    else:
        with (any_store.folder / "twitter" / "x.metrics.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert row["id"] == str(number) and f'"like_count":{likes + 5}' in row["metrics"]


@pytest.mark.soak
def test_an_account_that_is_suspended_meanwhile_is_noted_and_asked_again_seldom(
    crawler: XCrawler, sandbox: Sandbox
) -> None:
    names = handles_of(sandbox)[:3]
    crawler.timeline(",".join(names)).ok()
    sandbox.x_act("suspend", names[1])
    crawler.timeline(",".join(names)).ok()
    assert crawler.rows("SELECT status FROM accounts WHERE username = '%s'" % names[1]) == [("suspended",)]  # noqa: UP031
    asked = len(sandbox.x_requests())
    crawler.timeline(",".join(names)).ok()
    assert len(sandbox.x_requests(asked)) == 2
    sandbox.x_act("return", names[1])
    crawler.timeline(",".join(names), "-s", "X_RECHECK_DAYS=0").ok()
    assert crawler.rows("SELECT status FROM accounts WHERE username = '%s'" % names[1]) == [("active",)]  # noqa: UP031


def test_an_account_that_had_posted_nothing_is_visited_the_next_time(crawler: XCrawler, sandbox: Sandbox) -> None:
    sandbox.x_act("empty", (name := handles_of(sandbox)[0]))
    crawler.timeline(name).ok()
    assert len(sandbox.x_requests()) == 1
    new = sandbox.x_act("post", name, count=3)["ids"]
    crawler.timeline(name).ok()
    assert crawler.ids().keys() == set(new)


@pytest.mark.soak
def test_one_that_was_renamed_and_suspended_is_found_again(crawler: XCrawler, sandbox: Sandbox) -> None:
    name = handles_of(sandbox)[0]
    crawler.timeline(name).ok()
    sandbox.x_act("rename", name, to="Another_Name")
    sandbox.x_act("post", "Another_Name")
    crawler.timeline(name).ok()
    sandbox.x_act("suspend", "Another_Name")
    crawler.timeline(name).ok()
    sandbox.x_act("return", "Another_Name")
    new = sandbox.x_act("post", "Another_Name")["ids"][0]
    crawler.timeline(name, "-s", "X_RECHECK_DAYS=0").ok()
    assert new in crawler.ids()


@pytest.mark.soak
def test_thousands_of_accounts_by_search(tmp_path: Path) -> None:
    sandbox = Sandbox("--speed", "0", "--accounts", "1100", "--posts", "3300")
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    handles = str(all_handles(sandbox, tmp_path))
    crawler.timeline(handles, timeout=100).ok()
    asked = len(sandbox.x_requests())
    sandbox.advance(1800)
    crawler.timeline(handles, "-a", "plan=search", timeout=100).ok()
    truth = sandbox.x_truth()
    missing = truth.keys() - crawler.ids().keys()
    assert all(truth[number]["retweeted_status_id"] for number in missing)
    assert len(sandbox.x_requests(asked)) < 400
    sandbox.stop()


def test_follow_comes_again(
    crawler: XCrawler, sandbox: Sandbox, wait_until: Callable[[Callable[[], Any]], None]
) -> None:
    names = handles_of(sandbox)[:3]
    sandbox.x_act("post", names[0], count=200)  # so busy an account is visited as often as it may be
    arguments = ["-a", f"handles={','.join(names)}", "-a", "follow=1s", "-s", "BATCH_SECONDS=0.2"]
    process = crawler.start(*crawler.with_settings(*arguments), spider="timeline")
    wait_until(lambda: len(pages(sandbox.x_requests())) >= 3 and (crawler.folder / "twitter").exists())
    new = sandbox.x_act("post", names[0])["ids"][0]
    wait_until(lambda: new in crawler.ids())
    crawler.interrupted(process).ok()


@pytest.mark.soak
def test_snowball_writes_the_next_level(any_store: XCrawler, sandbox: Sandbox, tmp_path: Path) -> None:
    file = all_handles(sandbox, tmp_path)
    any_store.timeline(str(file), "-a", "snowball=1").ok()
    next_level = (tmp_path / "handle.next.txt").read_text().split()
    retweeted = {post["retweeted_status_user_handle"].lower() for post in sandbox.x_truth().values()
                 if post["retweeted_status_user_handle"]}  # fmt: skip
    assert set(next_level) == retweeted and len(next_level) == len(retweeted)
    any_store.timeline(str(tmp_path / "handle.next.txt"), "-a", "sample=5", "-a", "snowball=1").ok()
    assert set((tmp_path / "handle.next.next.txt").read_text().split()) == retweeted - set(next_level[:5])


def test_sentiment_of_english_posts(crawler: XCrawler, sandbox: Sandbox) -> None:
    crawler.timeline(",".join(handles_of(sandbox)[:5]), "-s", "SENTIMENT=1").ok()
    rows = crawler.articles()
    values = [float(row["sentiment"]) for row in rows if row["sentiment"]]
    assert len(values) > len(rows) / 2 and any(values) and all(-1 <= value <= 1 for value in values)
    assert any(not row["sentiment"] for row in rows)  # not in English


def test_sample_and_the_bundled_sandbox(tmp_path: Path) -> None:
    crawler = XCrawler(tmp_path / "data", "https://api.x.com")
    run = crawler(*("-a", "handles=handle.txt", "-a", "sample=3", "-s", "SANDBOX=1"), spider="timeline").ok()
    assert "collected  3 accounts" in run.output
    assert len(list((tmp_path / "data" / "twitter").glob("[A-Z]*.csv"))) == 3


@pytest.mark.soak
def test_two_crawls_into_one_database_share_the_windows(sandbox: Sandbox, database: Database, tmp_path: Path) -> None:
    sandbox.stop()
    limited = Sandbox("--speed", "1", "--window", "4", "--limit", "timeline=4")
    crawler = XCrawler(tmp_path / "data", limited.url, database.url)
    names = handles_of(limited)
    halves = [names[::2], names[1::2]]
    processes = [
        crawler.start(*crawler.with_settings("-a", f"handles={','.join(half)}"), spider="timeline") for half in halves
    ]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    requests = limited.x_requests()
    assert crawler.ids().keys() == limited.x_truth().keys()
    assert sum(request["limited"] for request in requests) <= 1  # each learns of a window by its first call in it
    spent = database.one("SELECT dollars FROM spending")
    assert float(spent) == pytest.approx(0.005 * len(limited.x_truth()) + 0.01 * 22)
    limited.stop()
