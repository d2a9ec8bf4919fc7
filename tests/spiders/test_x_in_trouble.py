"""X answers badly, credentials go, money runs out, people mistype: nothing is lost, nothing twice, one sentence."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.crawls import environment
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.x import BUNDLED, XCrawler, handles_of, pages, served

HEADER = "consumer_key,consumer_secret,access_token,access_token_secret"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox("--speed", "0", "--accounts", "12", "--posts", "1500")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def crawler(tmp_path: Path, sandbox: Sandbox) -> XCrawler:
    return XCrawler(tmp_path / "data", sandbox.url)


def credentials(tmp_path: Path, *states: str) -> Path:
    """Credentials with these states, as the sandbox takes them (`members.csv`) and as a crawl does."""
    rows = [f"key,secret-of-app,{number}-token,secret-{number}" for number in range(len(states))]
    members = [f"{HEADER},state", *(f"{row},{state}" for row, state in zip(rows, states, strict=True))]
    (tmp_path / "members.csv").write_text("\n".join(members) + "\n")
    (tmp_path / "credentials.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return tmp_path / "credentials.csv"


def everything(crawler: XCrawler, sandbox: Sandbox) -> None:
    """Every reachable post is stored, once."""
    assert crawler.ids().keys() == sandbox.x_truth().keys()
    assert max(crawler.ids().values()) == 1


FAULTS = (
    *(
        "503",
        "slow",
        "reset",
        "html403",
        "html200",
        "json403",
        "302",
        "429",
        "404",
        "code34",
        "unavailable",
        "date2099",
    ),
    *("truncated", "malformed", "wrong_types", "empty", "no_meta", "circle", "surrogate_token", "reset_ms", "bad_byte"),
)


@pytest.mark.soak
def test_faults_of_every_kind_lose_nothing(crawler: XCrawler, sandbox: Sandbox) -> None:
    for kind in FAULTS:
        sandbox.fault(kind, path="/2/", probability=0.03, seconds=0.3, times=4)
    crawler.timeline(",".join(handles_of(sandbox)), "-s", "BACKOFF_MAX=1").ok()
    everything(crawler, sandbox)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["429", "html403", "nothing", "404", "503"])
def test_an_outage_for_everybody_is_waited_for(crawler: XCrawler, sandbox: Sandbox, kind: str) -> None:
    sandbox.fault(kind, path="/tweets", times=5)
    crawler.timeline(",".join(handles_of(sandbox)), "-s", "BACKOFF_MAX=1").ok()
    everything(crawler, sandbox)
    statuses = {status for (status,) in crawler.rows("SELECT status FROM accounts")}
    assert statuses <= {"active", "protected"}


@pytest.mark.soak
def test_all_credentials_refused_at_once_are_an_outage(crawler: XCrawler, sandbox: Sandbox) -> None:
    sandbox.fault("401", path="/tweets", times=5)
    run = crawler.timeline(",".join(handles_of(sandbox))).ok()
    assert "is no longer used" not in run.output
    everything(crawler, sandbox)


@pytest.mark.soak
def test_bad_credentials_cost_one_call_an_endpoint(tmp_path: Path) -> None:
    file = credentials(tmp_path, "good", "revoked", "unentitled", "good", "depleted")
    sandbox = Sandbox(
        "--speed", "0", "--credentials", str(tmp_path / "members.csv"), "--accounts", "12", "--posts", "3000"
    )
    crawler = XCrawler(tmp_path / "data", sandbox.url, credentials=file)
    run = crawler.timeline(",".join(handles_of(sandbox))).ok()
    everything(crawler, sandbox)
    refused = [(r["credential"], r["endpoint"]) for r in sandbox.x_requests() if r["status"] in (401, 402, 403)]
    assert len(refused) == len(set(refused)) and (3, "timeline") in refused
    assert {member for member, _ in refused} == {2, 3, 5}
    assert "Credential line 3 was refused and is no longer used: revoked (Unauthorized" in run.output
    # the next run knows of them, and does not begin their time anew
    asked = len(sandbox.x_requests())
    sql = "SELECT credential, endpoint, retired_at FROM credential_limits WHERE retired IS NOT NULL"
    since = crawler.rows(sql)
    crawler.timeline(",".join(handles_of(sandbox))).ok()
    assert {r["status"] for r in sandbox.x_requests(asked)} == {200}
    assert len(since) >= 3 and crawler.rows(sql) == since
    sandbox.stop()


@pytest.mark.parametrize("state", ["revoked", "depleted"])
def test_a_credential_that_goes_in_mid_run(
    crawler: XCrawler, sandbox: Sandbox, state: str, wait_until: Callable[[Callable[[], Any]], None]
) -> None:
    process = crawler.start(
        *crawler.with_settings("-a", f"handles={','.join(handles_of(sandbox))}", "-s", "DOWNLOAD_DELAY=0.05"),
        spider="timeline",
    )
    wait_until(lambda: len(pages(sandbox.x_requests())) >= 4)
    sandbox.x_credential(2, state)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    everything(crawler, sandbox)
    assert max(served(sandbox.x_requests()).values()) == 1


@pytest.mark.soak
def test_when_no_credential_is_left_the_crawl_ends_and_goes_on_later(
    crawler: XCrawler, sandbox: Sandbox, wait_until: Callable[[Callable[[], Any]], None], tmp_path: Path
) -> None:
    handles = ",".join(handles_of(sandbox))
    process = crawler.start(
        *crawler.with_settings("-a", f"handles={handles}", "-s", "DOWNLOAD_DELAY=0.1", "-s", "X_OUTAGE_PATIENCE=1"),
        spider="timeline",
    )
    wait_until(lambda: len(pages(sandbox.x_requests())) >= 4)
    sandbox.x_credential(0, "depleted")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3 and "No usable credential is left" in output and "Traceback" not in output
    assert crawler.rows("SELECT finish_reason FROM runs") == [("credentials_exhausted",)]
    assert 0 < len(crawler.ids()) < len(sandbox.x_truth())
    sandbox.x_credential(0, "good")
    other = tmp_path / "other.csv"  # other tokens of the same app: what is known of the first ones does not count
    other.write_text(BUNDLED.read_text())
    crawler.rows("SELECT 1")
    forget(crawler)
    crawler.timeline(handles).ok()
    everything(crawler, sandbox)
    assert max(served(sandbox.x_requests()).values()) == 1


def forget(crawler: XCrawler) -> None:
    """As if an hour had passed since credentials were refused."""
    import sqlite3

    with sqlite3.connect(crawler.folder / "chancrawl.sqlite") as connection:
        connection.execute(
            "UPDATE credential_limits SET retired_at = '2026-01-01T00:00:00.000000Z' WHERE retired IS NOT NULL"
        )
    connection.close()


@pytest.mark.soak
def test_a_quota_is_waited_for_and_no_call_is_refused(tmp_path: Path) -> None:
    sandbox = Sandbox("--window", "3", "--limit", "timeline=3", "--accounts", "12", "--posts", "1500")
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    run = crawler.timeline(",".join(handles_of(sandbox))).ok()
    everything(crawler, sandbox)
    assert not any(request["limited"] for request in sandbox.x_requests())
    assert run.output.count("calls to timeline; continuing in") < 8
    sandbox.stop()


# --- money


@pytest.mark.soak
def test_the_budget_is_never_overspent_and_the_next_day_goes_on(any_store: XCrawler, sandbox: Sandbox) -> None:
    handles = ",".join(handles_of(sandbox))
    run = any_store.timeline(handles, "-s", "X_DAILY_BUDGET=2.5")
    assert run.code == 3 and "The budget of $2.5" in run.output and "Traceback" not in run.output
    bill = 0.005 * sum(served(sandbox.x_requests()).values()) + 0.01 * len(handles_of(sandbox))
    assert 2.4 < bill <= 2.5
    ((dollars, reason),) = any_store.rows("SELECT dollars, finish_reason FROM runs")
    assert float(dollars) == pytest.approx(bill) and reason == "budget_spent"
    # the budget is the day's, not the run's
    asked = len(sandbox.x_requests())
    assert any_store.timeline(handles, "-s", "X_DAILY_BUDGET=2.5").code == 3
    assert 0.005 * sum(served(sandbox.x_requests(asked)).values()) <= 2.5 - bill + 1e-9
    any_store.timeline(handles).ok()
    everything(any_store, sandbox)
    assert max(served(sandbox.x_requests()).values()) == 1


def test_look_ups_stay_within_the_budget_too(crawler: XCrawler, sandbox: Sandbox) -> None:
    run = crawler.timeline(",".join(handles_of(sandbox)), "-s", "X_DAILY_BUDGET=0.055")
    assert run.code == 3 and "The budget of $0.055" in run.output
    ((dollars,),) = crawler.rows("SELECT dollars FROM spending")
    assert dollars == pytest.approx(0.05) and len(crawler.rows("SELECT * FROM handles")) == 5


@pytest.fixture(params=["csv", "postgres"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> XCrawler:
    database_url = request.getfixturevalue("database").url if request.param == "postgres" else None
    return XCrawler(tmp_path / "data", sandbox.url, database_url)


# --- secrets


@pytest.mark.soak
def test_no_secret_is_found_anywhere(tmp_path: Path, database: Database) -> None:
    names = ("consumer-key", "consumer-secret", "access-token", "token-secret", "bearer-token")
    rows = [[f"{name}-{number}-5f3d{number}e8a1" for name in names] for number in range(3)]
    states = ("good", "revoked", "unentitled")
    members = [f"{HEADER},bearer_token,state"]
    members += [",".join([*row, state]) for row, state in zip(rows, states, strict=True)]
    (tmp_path / "members.csv").write_text("\n".join(members) + "\n")
    (tmp_path / "credentials.csv").write_text(
        "\n".join([f"{HEADER},bearer_token", *(",".join(row) for row in rows)]) + "\n"
    )
    sandbox = Sandbox("--credentials", str(tmp_path / "members.csv"), "--accounts", "8", "--posts", "600")
    for kind in ("503", "reset", "malformed", "html403"):
        sandbox.fault(kind, path="/2/", times=2)
    texts = []
    for database_url in (None, database.url):
        crawler = XCrawler(tmp_path / "data", sandbox.url, database_url, credentials=tmp_path / "credentials.csv")
        texts.append(crawler.timeline(",".join(handles_of(sandbox)), "-s", "LOG_LEVEL=DEBUG", "-s", "STATS_DUMP=1",
                                      "-s", "BACKOFF_MAX=1").output)  # fmt: skip
        texts.append(crawler.x("trending", "-a", "woeid=1", "-a", "tweets=10", "-s", "LOG_LEVEL=DEBUG").ok().output)
    tables = database.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
    )
    assert len(tables) > 10
    texts += [str(database.rows(f"SELECT t::text FROM {table} AS t")) for (table,) in tables]
    texts += [file.read_bytes().decode("latin-1") for file in (tmp_path / "data").rglob("*") if file.is_file()]
    everything_said = "\n".join(texts)
    assert len(everything_said) > 100_000
    for row in rows:
        for secret in row:
            assert secret not in everything_said
    sandbox.stop()


# --- mistakes


@pytest.mark.soak
@pytest.mark.parametrize(
    "content,words",
    [
        (None, ["X_CREDENTIALS is", "cannot be read", "No such file"]),
        ("", ["has no column consumer_key"]),
        ("a,b,c,d\n", ["has no column consumer_key"]),
        (HEADER + "\n", ["has no credentials"]),
        (f"{HEADER}\nk,s,t,u\nk,s,t\n", ["line 3: access_token_secret is missing"]),
        (f"{HEADER}\nk,s,,u\n", ["line 2: access_token is missing"]),
        (b"\xff\xfe\x00", ["no text in UTF-8"]),
    ],
)
def test_a_bad_credentials_file_is_refused(crawler: XCrawler, tmp_path: Path, content: Any, words: list[str]) -> None:
    crawler.credentials = tmp_path / "codes.csv"
    if content is not None:
        crawler.credentials.write_bytes(content if isinstance(content, bytes) else content.encode())
    crawler.timeline("nasa").refused(*words)
    assert not crawler.folder.exists()


@pytest.mark.soak
@pytest.mark.parametrize(
    "arguments,words",
    [
        (["timeline"], ["Whose timelines?"]),
        (["timeline", "-a", "handles=nowhere.txt"], ["there is no such file"]),
        (["timeline", "-a", "handles=EMPTY.txt"], ["there is no handle in it"]),
        (["timeline", "-a", "handles=FOLDER.txt"], ["there is no such file"]),
        (["timeline", "-a", "handles=way_too_long_for_a_handle"], ["line 1", "is no handle", "there is no handle"]),
        (["timeline", "-a", "handles=nasa", "-a", "since=yesterday"], ["since=yesterday", "2026-01-01"]),
        (["timeline", "-a", "handles=nasa", "-a", "since=2999-01-01"], ["and today"]),
        (["timeline", "-a", "handles=nasa", "-a", "limit=many"], ["limit=many"]),
        (["timeline", "-a", "handles=nasa", "-a", "limit=0"], ["limit=0"]),
        (["timeline", "-a", "handles=nasa", "-a", "follow=soon"], ["follow=soon", "15m"]),
        (["timeline", "-a", "handles=nasa", "-a", "plan=cheap"], ["plan=cheap"]),
        (["timeline", "-a", "handels=nasa"], ["no argument handels"]),
        (["timeline", "-a", "handles=nasa", "-s", "X_DAILY_BUDGET=lots"], ["X_DAILY_BUDGET is 'lots'"]),
        (["timeline", "-a", "handles=nasa", "-s", "X_DAILY_BUDGET=-1"], ["X_DAILY_BUDGET"]),
        (["timeline", "-a", "handles=nasa", "-s", "X_API_URL=api.x.com"], ["X_API_URL has to be an address"]),
        (["timeline", "-a", "handles=nasa", "-s", "X_CREDENTIALS="], ["Which credentials?"]),
        (["timeline", "-a", "handles=nasa", "-s", "SENTIMENT=maybe"], ["SENTIMENT"]),
        (["trending"], ["Where?"]),
        (["trending", "-a", "woeid=Paris"], ["woeid=Paris"]),
        (["trending", "-a", "woeid=1", "-a", "tweets=some"], ["tweets=some"]),
        (["search"], ["Which queries?"]),
        (["search", "-a", "queries=,"], ["there is no query"]),
        (["search", "-a", "queries=" + "x" * 600], ["600 characters"]),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    crawler: XCrawler, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "EMPTY.txt").write_text("# nobody\n")
    (tmp_path / "FOLDER.txt").mkdir()
    arguments = [
        part.replace("EMPTY", str(tmp_path / "EMPTY")).replace("FOLDER", str(tmp_path / "FOLDER")) for part in arguments
    ]
    crawler.x(*arguments).refused(*words)
    assert not crawler.folder.exists()


def test_invalid_handles_are_named_by_line_and_the_others_go_on(
    crawler: XCrawler, sandbox: Sandbox, tmp_path: Path
) -> None:
    names = handles_of(sandbox)[:2]
    file = tmp_path / "handle.txt"
    file.write_text(f"{names[0]}\nnot a handle!\n@{names[1]} # a note\nwhat?\n")
    run = crawler.timeline(str(file)).ok()
    assert "line 4: there is a word that is no handle" in run.output and "line 2: there is a word" in run.output
    assert "what?" not in run.output, "what stands in a file that is none of handles may be a secret"
    assert "2 entries in the list of handles are not valid" in run.output
    assert {row["tweet_from"] for row in crawler.articles()} == set(names)


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    crawler = XCrawler(tmp_path / "data", "http://127.0.0.1:9")
    run = crawler.timeline("nasa", "-s", "RETRY_TIMES=1", "-s", "BACKOFF_MAX=1", timeout=60)
    run.refused("http://127.0.0.1:9 cannot be reached")


def test_the_older_crawlers_files_work_unchanged(sandbox: Sandbox, database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    shutil.copy(BUNDLED, folder / "twitteraccesscodes.csv")
    (folder / "handle.txt").write_text("\n".join(f"@{name}" for name in handles_of(sandbox)[:3]) + "\n")
    (folder / "tweet.ini").write_text(
        '[Twitter]\nauthCSV="./twitteraccesscodes.csv" #The path to the tokens\nhandlesFile="./handle.txt"\n'
        '[System]\nThreads="3"\nCSVFolder="./tweets/"\n'
    )
    import subprocess
    import sys

    command = [sys.executable, "-m", "scrapy", "crawl", "timeline", "-s", f"X_API_URL={sandbox.url}"]
    values = environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=folder, env=values, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "Threads=3 is taken for CONCURRENT_REQUESTS" in run.stderr
    assert len(list((folder / "tweets" / "twitter").glob("[A-Z]*.csv"))) == 3


def test_ctrl_c_while_waiting_for_a_window(tmp_path: Path, wait_until: Callable[[Callable[[], Any]], None]) -> None:
    sandbox = Sandbox("--window", "600", "--limit", "timeline=1", "--accounts", "12", "--posts", "1500")
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    process = crawler.start(*crawler.with_settings("-a", f"handles={','.join(handles_of(sandbox))}"), spider="timeline")
    wait_until(lambda: len(pages(sandbox.x_requests())) >= 3)
    run = crawler.interrupted(process, signal.SIGTERM).ok()
    assert "Stopped; what was fetched is stored" in run.output
    assert len(crawler.ids()) > 0
    sandbox.stop()
