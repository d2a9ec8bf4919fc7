"""X's refusals, holes and odd answers: what is said of them is true, and nothing is forgotten once they are over."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.crawls import environment
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.x import BUNDLED, XCrawler, handles_of, pages

pytestmark = pytest.mark.soak

HEADER = "consumer_key,consumer_secret,access_token,access_token_secret"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An X whose clock stands still; its accounts have posted a little."""
    sandbox = Sandbox("--speed", "0", "--accounts", "8", "--posts", "800")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def crawler(tmp_path: Path, sandbox: Sandbox) -> XCrawler:
    return XCrawler(tmp_path / "data", sandbox.url)


@pytest.fixture(params=["csv", "postgres"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> XCrawler:
    database_url = request.getfixturevalue("database").url if request.param == "postgres" else None
    return XCrawler(tmp_path / "data", sandbox.url, database_url)


def name_of(sandbox: Sandbox, posts: int = 250) -> str:
    """An account with so many new posts, none of them a retweet."""
    name = handles_of(sandbox)[0]
    sandbox.x_act("empty", name)
    sandbox.x_act("post", name, count=posts)
    return name


def feed(crawler: XCrawler) -> Any:
    """complete_since, newest_id and next_token of the only feed."""
    ((since, newest, token),) = crawler.rows("SELECT complete_since, newest_id, next_token FROM feeds")
    return str(since), newest, token


# --- X1, X2, X3, X7, H7, H9: the end of a feed


@pytest.mark.parametrize("kind", ["code34", "unavailable", "nothing", "no_meta", "circle", "surrogate_token", "503"])
@pytest.mark.parametrize("way", ["timeline", "since", "search"])
def test_an_answer_that_is_none_is_not_the_end(any_store: XCrawler, sandbox: Sandbox, kind: str, way: str) -> None:
    name = name_of(sandbox)
    spider = ("search", "-a", f"queries=from:{name}") if way == "search" else ("timeline", "-a", f"handles={name}")
    more = ("-a", "since=2020-01-01") if way == "since" else ()
    any_store.x(*spider, "-a", "limit=100", *more).ok()  # so that the fault meets the next page
    sandbox.fault(kind, path="/tweets", times=1)
    any_store.x(*spider, *more, "-s", "BACKOFF_MAX=1").ok()
    assert len(any_store.ids()) == 250 and max(any_store.ids().values()) == 1
    assert feed(any_store)[2] is None


def test_on_a_later_visit_nothing_moves_until_the_page_is_read(crawler: XCrawler, sandbox: Sandbox) -> None:
    name = name_of(sandbox, 20)
    crawler.timeline(name).ok()
    sandbox.advance(3600)
    new = set(sandbox.x_act("post", name, count=250)["ids"])
    newest = feed(crawler)[1]
    sandbox.fault("unavailable", path="/tweets")
    run = crawler.timeline(name, timeout=90)
    run.refused("Incomplete.", "1 of 1 timelines were not read to their end")
    assert feed(crawler)[1] == newest
    sandbox.heal()
    crawler.timeline(name).ok()
    assert new <= crawler.ids().keys()


@pytest.mark.parametrize("kind", ["circle", "no_meta"])
def test_tokens_in_a_circle_end_with_a_word(crawler: XCrawler, sandbox: Sandbox, kind: str) -> None:
    name = name_of(sandbox)
    sandbox.fault(kind, path="/tweets")
    for _ in range(2):
        start = len(sandbox.x_requests())
        run = crawler.timeline(name, timeout=90)
        assert len(pages(sandbox.x_requests(start))) < 15
    if kind == "circle":
        assert len(crawler.ids()) == 250  # without its token, the walk goes on below the last post
    else:
        run.refused("Incomplete.", "does not tell whether it is whole")
    sandbox.heal()
    crawler.timeline(name).ok()
    assert len(crawler.ids()) == 250


# --- X4, X14, X22: X's own words


def test_a_monthly_cap_ends_the_crawl_with_the_words_of_x(crawler: XCrawler, sandbox: Sandbox) -> None:
    name = name_of(sandbox)
    sandbox.fault("usage_capped", path="/tweets")
    run = crawler.timeline(name).refused("UsageCapExceeded: Usage cap exceeded: Monthly product cap", "over its cap")
    assert sum(request["status"] == 429 for request in sandbox.x_requests()) <= 6
    assert "continuing in" not in run.output


def test_a_refusal_with_a_reason_ends_the_crawl_at_once(tmp_path: Path) -> None:
    members, file = tmp_path / "members.csv", tmp_path / "credentials.csv"
    members.write_text(f"{HEADER},state\nk,s,t,u,unentitled\n")
    file.write_text(f"{HEADER}\nk,s,t,u\n")
    sandbox = Sandbox("--speed", "0", "--accounts", "8", "--posts", "100", "--credentials", str(members))
    crawler = XCrawler(tmp_path / "data", sandbox.url, credentials=file)
    run = crawler.timeline(handles_of(sandbox)[0])
    run.refused("No usable credential is left for timeline", "X says: Client Forbidden: You currently have access")
    assert len([r for r in sandbox.x_requests() if r["endpoint"] == "timeline"]) == 1
    sandbox.stop()


@pytest.mark.parametrize(
    "query, words",
    [("from:nobody is", None), ("is:retweet", "standalone operator"), ("(a OR b", "missing ')'"), ("-x", "standalone")],
)
def test_a_query_that_is_wrong_costs_one_call(
    crawler: XCrawler, sandbox: Sandbox, query: str, words: str | None
) -> None:
    run = crawler.x("search", "-a", f"queries={query},paper")
    if words is None:
        run.ok()
        return
    run.refused("Incomplete.", words, "1 search was not read to the end")
    asked = [request for request in sandbox.x_requests() if request["status"] == 400]
    assert len(asked) == 1 and crawler.ids()  # and the other one is read


def test_a_parameter_of_ours_that_x_refuses_ends_the_crawl_loudly(
    crawler: XCrawler, sandbox: Sandbox, tmp_path: Path
) -> None:
    """As if X had dropped a field: the module is told to ask for one that there is not."""
    sitecustomize = tmp_path / "site"
    sitecustomize.mkdir()
    (sitecustomize / "sitecustomize.py").write_text(
        "import sys\nsys.path.insert(0, " + repr(str(ROOT)) + ")\n"
        "from chancrawl.x import api\napi.POST_PARAMETERS['tweet.fields'] += ',no_such_field'\n"
    )
    command = crawler.command(*crawler.with_settings("-a", f"handles={handles_of(sandbox)[0]}"), spider="timeline")
    env = environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings", "PYTHONPATH": f"{sitecustomize}:{ROOT}"}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "Traceback" not in run.stderr, run.stderr
    assert "X refuses a parameter that every request has (tweet.fields)" in run.stderr


# --- X5, X20, X21: money


@pytest.mark.parametrize("billed", ["1", "0"])
def test_what_comes_along_is_on_the_bill(any_store: XCrawler, sandbox: Sandbox, billed: str) -> None:
    names = handles_of(sandbox)[:4]
    queries = " OR ".join(f"from:{name}" for name in names)
    any_store.x("search", "-a", f"queries={queries}", "-s", f"X_BILL_INCLUDES={billed}").ok()
    ((posts, users, dollars),) = any_store.rows("SELECT posts, users, dollars FROM spending")
    shown = len(any_store.ids())
    if billed == "0":
        assert (posts, users) == (shown, 0)
    else:
        assert posts > shown and users >= 4
    assert float(dollars) == pytest.approx(posts * 0.005 + users * 0.01)


def test_with_what_comes_along_the_budget_holds_too(crawler: XCrawler, sandbox: Sandbox) -> None:
    run = crawler.timeline(",".join(handles_of(sandbox)), "-s", "X_DAILY_BUDGET=1.5", "-s", "X_BILL_INCLUDES=1")
    assert run.code == 3 and "The budget of $1.5" in run.output
    ((dollars,),) = crawler.rows("SELECT dollars FROM spending")
    assert 1.0 < dollars <= 1.5 + 1e-9


def test_what_it_can_cost_is_said_before(crawler: XCrawler, sandbox: Sandbox) -> None:
    run = crawler.timeline(",".join(handles_of(sandbox)[:2])).ok()
    said = "X_DAILY_BUDGET is not set: 2 accounts can cost up to $32.02 (3,200 posts each)"
    assert said in run.output and run.output.index(said) < run.output.index("Closing spider")
    run = crawler.timeline(handles_of(sandbox)[0], "-s", "X_DAILY_BUDGET=5").ok()
    assert "can cost" not in run.output


def test_no_more_is_stored_than_was_asked_for(any_store: XCrawler, sandbox: Sandbox) -> None:
    name = name_of(sandbox, 30)
    any_store.x("search", "-a", f"queries=from:{name}", "-a", "limit=5").ok()
    newest = sorted((n for n, post in sandbox.x_truth().items() if post["tweet_from"] == name), reverse=True)[:5]
    assert sorted(any_store.ids(), reverse=True) == newest


# --- X6, X8: what cannot be read, and what a search does not show


def test_more_posts_between_two_visits_than_can_be_read_leave_a_gap(any_store: XCrawler, sandbox: Sandbox) -> None:
    name = name_of(sandbox, 30)
    any_store.timeline(name).ok()
    before = max(any_store.ids())
    sandbox.advance(86_400)
    sandbox.x_act("post", name, count=900)  # 1,000 a thousandth of a second apart would be too close together
    for _ in range(4):
        sandbox.advance(600)
        sandbox.x_act("post", name, count=900)
    run = any_store.timeline(name).ok()
    assert "1 interval of timelines or searches cannot be read any more" in run.output
    ((after, end, reason),) = any_store.rows("SELECT after_id, before_id, reason FROM gaps")
    stored = sorted(any_store.ids())
    assert len(stored) == 30 + 3200 and reason == "reach"
    assert after <= before < end == stored[30]
    ((since,),) = any_store.rows("SELECT complete_since FROM feeds")
    assert str(since)[:4] != "1970"
    said = coverage(any_store, "-a", f"handles={name}")
    assert "not read from" in said and "X showed no more" in said
    (told,) = json.loads(coverage(any_store, "-a", f"handles=id:{account_id(sandbox, name)}", "--format", "json"))
    assert told["gaps"][0]["before_id"] == end and told["account"] == f"@{name}"
    assert "since" in coverage(any_store, "-a", "handles=all", "--format", "csv")
    assert "not read from" not in coverage(any_store, "-a", f"handles={name}", "-a", "until=2020-01-01")


def account_id(sandbox: Sandbox, name: str) -> int:
    return int(next(account["id"] for account in sandbox.x_accounts() if account["username"] == name))


def coverage(crawler: XCrawler, *arguments: str, url: str | None = None) -> str:
    command = [sys.executable, "-m", "scrapy", "coverage", "-s", f"CSV_FOLDER={crawler.folder}", *arguments]
    if crawler.database_url:
        command += ["-s", f"DATABASE_URL={url or crawler.database_url}"]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_coverage_needs_the_right_to_read_alone(sandbox: Sandbox, database: Database, tmp_path: Path) -> None:
    crawler = XCrawler(tmp_path / "data", sandbox.url, database.url)
    name = handles_of(sandbox)[0]
    crawler.timeline(name).ok()
    database.rows("DROP ROLE IF EXISTS onlooker")
    database.rows("CREATE ROLE onlooker LOGIN")
    database.rows("GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker")
    said = coverage(crawler, "-a", f"handles={name}", url=database.url.replace("postgres:@", "onlooker:@"))
    assert f"@{name}" in said and "its first post" in said
    database.rows("DROP OWNED BY onlooker")
    database.rows("DROP ROLE onlooker")


def test_a_search_after_ten_days_leaves_a_gap(any_store: XCrawler, sandbox: Sandbox) -> None:
    name = name_of(sandbox, 30)
    any_store.x("search", "-a", f"queries=from:{name}").ok()
    since = str(any_store.rows("SELECT complete_since FROM feeds")[0][0])
    assert not since.startswith("1970")
    sandbox.advance(10 * 86_400)
    sandbox.x_act("post", name)
    run = any_store.x("search", "-a", f"queries=from:{name}").ok()
    assert "X shows no more than the latest seven days" in run.output
    assert any_store.rows("SELECT reason FROM gaps") == [("reach",)]
    assert str(any_store.rows("SELECT complete_since FROM feeds")[0][0]) > since


def test_retweets_that_a_search_does_not_show_are_read_in_time(crawler: XCrawler, sandbox: Sandbox) -> None:
    """One post more, three retweets more, three posts deleted: the account's count proves nothing."""
    names = handles_of(sandbox)[:4]
    for name in names:
        sandbox.x_act("post", name)  # seen last at one time, they fit into one search
    crawler.timeline(",".join(names)).ok()
    sandbox.advance(3600)
    retweets = set(sandbox.x_act("retweet", names[0], count=3)["ids"])
    old = [number for number, post in sandbox.x_truth().items() if post["tweet_from"] == names[0]]
    for number in sorted(old)[:3]:
        sandbox.x_act("delete", names[0], id=number)
    sandbox.x_act("post", names[0])
    sandbox.x_act("post", names[1])
    crawler.timeline(",".join(names), "-a", "plan=search").ok()
    assert not retweets & crawler.ids().keys()  # as X has it
    sandbox.advance(7 * 86_400)
    run = crawler.timeline(",".join(names), "-a", "plan=search", "-s", "X_RECHECK_DAYS=9000")
    assert retweets <= crawler.ids().keys(), run.output


# --- X10, X11, X12, X15, X18, X19: who is meant


def test_digits_are_a_number_only_if_it_is_said(crawler: XCrawler, sandbox: Sandbox) -> None:
    name = handles_of(sandbox)[0]
    number = account_id(sandbox, name)
    crawler.timeline(str(number)).refused(f"write id:{number} for the account with this number", f"@{number}")
    assert sandbox.x_requests() == []
    crawler.timeline(f"id:{number}").ok()
    assert {row["tweet_from"] for row in crawler.articles()} == {name}
    start = len(sandbox.x_requests())
    crawler.timeline(f"id:{number}").ok()
    assert not [r for r in sandbox.x_requests(start) if r["endpoint"].startswith("users")]
    crawler.timeline("id:5").ok()
    assert crawler.rows("SELECT status FROM handles WHERE handle = 'id:5'") == [("missing",)]


@pytest.mark.parametrize("follows", ["number", "name"])
def test_a_name_that_passes_to_somebody_else(crawler: XCrawler, sandbox: Sandbox, follows: str) -> None:
    alice, other = handles_of(sandbox)[:2]
    first, second = account_id(sandbox, alice), account_id(sandbox, other)
    crawler.timeline(alice, "-s", "X_RECHECK_DAYS=0").ok()
    sandbox.x_act("rename", alice, to="Anna_Now")
    sandbox.x_act("post", "Anna_Now")
    crawler.timeline(alice, "-s", "X_RECHECK_DAYS=0").ok()  # learns of the new name
    sandbox.x_act("rename", other, to=alice)
    run = crawler.timeline(alice, "-s", "X_RECHECK_DAYS=0", "-s", f"X_FOLLOW={follows}").ok()
    authors = {number for (number,) in crawler.rows("SELECT id FROM accounts")}
    assert authors == {first, second}
    held = {number for (number,) in crawler.rows("SELECT CAST(substr(feed, 10) AS INTEGER) FROM feeds")}
    if follows == "number":
        assert (
            f"now belongs to another account: id:{second}" in run.output and f"id:{first}, is still read" in run.output
        )
        assert held == {first}
        new = sandbox.x_act("post", "Anna_Now")["ids"][0]
        crawler.timeline(alice).ok()
        assert new in crawler.ids()
    else:
        assert held == {first, second}
        # a file is an account's, not a name's
        files = sorted((crawler.folder / "twitter").glob("[!x]*.csv"))
        assert [file.name for file in files] == sorted([f"{alice}.csv", f"{alice}.{second}.csv"])
        for file, number in ((f"{alice}.csv", first), (f"{alice}.{second}.csv", second)):
            with (crawler.folder / "twitter" / file).open(newline="") as stream:
                assert {row["author_id"] for row in csv.DictReader(stream)} == {str(number)}


@pytest.mark.parametrize("credentials", [(1,), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)])
def test_an_account_that_has_blocked_a_credentials_user(
    crawler: XCrawler, sandbox: Sandbox, credentials: tuple[int, ...]
) -> None:
    names = handles_of(sandbox)[:3]
    for number in credentials:
        sandbox.x_act("block", names[0], credential=number)
    run = crawler.timeline(",".join(names)).ok()
    ((status,),) = crawler.rows(f"SELECT status FROM accounts WHERE username = '{names[0]}'")
    authors = {row["tweet_from"] for row in crawler.articles()}
    if len(credentials) == 1:
        assert status == "active" and authors == set(names)
    else:
        assert status == "blocked" and authors == set(names[1:])
        assert "not protected, so it has blocked their users" in run.output


def test_an_account_that_is_protected_meanwhile_is_protected(crawler: XCrawler, sandbox: Sandbox) -> None:
    names = handles_of(sandbox)[:3]
    crawler.timeline(",".join(names)).ok()
    sandbox.x_act("protect", names[0])
    crawler.timeline(",".join(names)).ok()
    assert crawler.rows(f"SELECT status FROM accounts WHERE username = '{names[0]}'") == [("protected",)]


def test_addresses_and_several_names_on_a_line(crawler: XCrawler, sandbox: Sandbox, tmp_path: Path) -> None:
    names = handles_of(sandbox)[:4]
    file = tmp_path / "handles.txt"
    file.write_text(f"{names[0]} {names[1]}\nhttps://x.com/{names[2]}?s=20\nhttp://mobile.twitter.com/{names[3]}\n")
    crawler.timeline(str(file)).ok()
    assert {row["tweet_from"] for row in crawler.articles()} == set(names)


def test_the_names_that_x_gives_to_credentials(crawler: XCrawler, sandbox: Sandbox, tmp_path: Path) -> None:
    with BUNDLED.open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row.get("bearer_token"))
    crawler.credentials = tmp_path / "codes.csv"
    crawler.credentials.write_text("API Key,API Key Secret,Access Token,Access Token Secret\n" + ",".join(
        row[name] for name in HEADER.split(",")) + "\n")  # fmt: skip
    crawler.timeline(handles_of(sandbox)[0]).ok()
    crawler.credentials.write_text(f"bearer_token\n{row['bearer_token']}\n")
    crawler.timeline(handles_of(sandbox)[1]).ok()
    assert {r["credential"] for r in sandbox.x_requests()} == {1}
    crawler.credentials.write_text("API Key,API Key Secret\nk,s\n")
    crawler.timeline("nasa").refused("has no column access_token")


# --- X13, X17, X20


def test_a_start_that_x_does_not_know(crawler: XCrawler, sandbox: Sandbox) -> None:
    name = name_of(sandbox, 20)
    run = crawler.timeline(name, "-a", "since=2009-01-01").ok()
    assert len(crawler.ids()) == 20 and "2010-11-06" in run.output
    assert str(crawler.rows("SELECT complete_since FROM feeds")[0][0]).startswith("2010-11-06")


def test_a_post_that_several_feeds_show(any_store: XCrawler, sandbox: Sandbox) -> None:
    name = name_of(sandbox, 20)
    both = [f"from:{name}", f"from:{name} -zzz"]
    any_store.x("search", "-a", f"queries={','.join(both)}").ok()
    any_store.timeline(name).ok()
    found = any_store.rows("SELECT id, found_in FROM tweets")
    feeds = {f"search:{both[0]}", f"search:{both[1]}", f"timeline:{account_id(sandbox, name)}"}
    assert len(found) == 20
    for _, held in found:
        assert set(json.loads(held) if isinstance(held, str) else held) == feeds
    assert max(any_store.ids().values()) == 1
    if not any_store.database_url:
        with (any_store.folder / "twitter" / "x.found.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 40 and len({(row["id"], row["found_in"]) for row in rows}) == 40


def test_a_very_long_query_is_stored_and_goes_on(any_store: XCrawler, sandbox: Sandbox) -> None:
    name = name_of(sandbox, 12)
    query = f"from:{name} OR " + " OR ".join(f"nobody{number}nobody" for number in range(20))
    long = query + " OR " + " OR ".join(f"word{number}" for number in range(300))
    run = any_store.x("search", "-a", f"queries={long}", "-s", "X_QUERY_LENGTH=4096")
    run.refused("Incomplete")  # the sandbox's plan allows 512
    from chancrawl.x.api import feed_of_query

    assert len(feed_of_query("search", long)) < 300 and feed_of_query("search", query) == f"search:{query}"
    any_store.x("search", "-a", f"queries={query}").ok()
    assert len(any_store.ids()) == 12


# --- H3, H5, H6


@pytest.mark.parametrize("kind", ["date2099", "date1970", "reset_ms"])
def test_absurd_headers_change_nothing(any_store: XCrawler, sandbox: Sandbox, kind: str) -> None:
    any_store.tolerance = "86400"
    names = handles_of(sandbox)[:3]
    sandbox.fault(kind, path="/tweets", times=2)
    run = any_store.timeline(",".join(names)).ok()
    if kind != "reset_ms":
        assert "which is implausible; this machine's clock is used" in run.output
    for _ in range(2):
        sandbox.x_act("post", names[0])
        any_store.timeline(",".join(names)).ok()
    truth = {number for number, post in sandbox.x_truth().items() if post["tweet_from"] in names}
    assert any_store.ids().keys() == truth
    times = any_store.rows("SELECT first_seen_at, last_seen_at FROM tweets UNION SELECT first_seen_at, last_seen_at "
                           "FROM accounts")  # fmt: skip
    years = {str(time)[:4] for row in times for time in row}
    assert years <= {"2026", "2027", "2028"}


def test_a_window_that_was_stored_in_milliseconds_is_not_waited_for(any_store: XCrawler, sandbox: Sandbox) -> None:
    name = handles_of(sandbox)[0]
    any_store.timeline(name).ok()
    sql = "UPDATE credential_limits SET remaining = 0, reset_at = 1795000000000"
    if any_store.database_url:
        Database(any_store.database_url).rows(sql)
    else:
        import sqlite3

        with sqlite3.connect(any_store.folder / "chancrawl.sqlite") as ledger:
            ledger.execute(sql)
        ledger.close()
    new = sandbox.x_act("post", name)["ids"][0]
    any_store.timeline(name).ok()
    assert new in any_store.ids()
