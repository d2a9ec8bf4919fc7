"""Shells, locales, umasks, proxies, files and signals of other people's machines, around whole runs."""

from __future__ import annotations

import logging
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.items import Tweet
from chancrawl.storage.csv.files import Names
from chancrawl.storage.csv.placing import path_of
from chancrawl.surroundings import CleanRecord
from chancrawl.x.csv_files import TWEETS
from tests.spiders.test_chan import BOARD
from tests.support import ROOT
from tests.support.crawls import Crawler, Run, environment
from tests.support.proxies import Proxy, free_port
from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, handles_of

SECRET = "hunter2%40"


def scrapy(*arguments: str, cwd: Path = ROOT, encoding: str = "utf-8", **env: Any) -> Run:
    """A command as somebody types it, in a folder that has a scrapy.cfg or not."""
    base = environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-m", "scrapy", *arguments], cwd=cwd, env=base | env, capture_output=True,
                         timeout=90)  # fmt: skip
    return Run(run.returncode, (run.stdout + run.stderr).decode(encoding, "replace"))


def sandbox_run(cwd: Path, *arguments: str, **env: str) -> Run:
    """The README's first command, quicker."""
    arguments = ("crawl", "chan", "-a", "board=wsr", "-s", "SANDBOX=1", "-s", "DOWNLOAD_DELAY=0", *arguments)
    return scrapy(*arguments, cwd=cwd, **env)


# --- proxies


def test_the_sandbox_is_never_asked_by_proxy(tmp_path: Path) -> None:
    """H11: the proxy of a company's network, and a list of proxies."""
    dead = f"http://127.0.0.1:{free_port()}"
    run = sandbox_run(tmp_path, http_proxy=dead, https_proxy=dead, HTTP_PROXY=dead, all_proxy=dead).ok()
    assert "Done." in run.output
    run = sandbox_run(tmp_path, "-s", f"ROTATING_PROXY_LIST={dead}").ok()
    assert "ROTATING_PROXY_LIST is ignored" in run.output


def test_this_machine_is_not_asked_by_the_environments_proxy(crawler: Crawler, monkeypatch: Any) -> None:
    """A relative: CHAN_API_URL is a sandbox that `scrapy sandbox` serves."""
    monkeypatch.setattr(
        "tests.support.crawls.environment", lambda: environment() | {"http_proxy": "http://127.0.0.1:9"}
    )
    crawler(f"-aboard={BOARD}", "-asample=2").ok()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks4://u:hunter2@h:1", "https://h:1", "ftp://h:1"])
def test_a_proxy_that_cannot_be_used_is_refused_at_the_start(crawler: Crawler, sandbox: Sandbox, proxy: str) -> None:
    """R8."""
    run = crawler(f"-aboard={BOARD}", f"-sROTATING_PROXY_LIST={proxy}").refused("only HTTP proxies")
    assert "hunter2" not in run.output and sandbox.requests() == []
    run = scrapy("crawl", "chan", "-a", "board=po", "-s", "CSV_FOLDER=/tmp/none", https_proxy=proxy)
    run.refused("https_proxy", "only HTTP proxies")


@pytest.mark.soak
@pytest.mark.parametrize("order", [0, 1])
def test_a_proxy_that_does_not_let_us_in_is_out(tmp_path: Path, sandbox: Sandbox, order: int) -> None:
    """R7: 407 for a wrong password. Nothing is lost, the proxy is named without it, and asked once."""
    good, closed = Proxy("127.0.0.2"), Proxy("127.0.0.3", password="right")
    try:
        listed = [good.url(), closed.url("me:hunter2")]
        crawler = Crawler(tmp_path / "data", sandbox.url)
        run = crawler(f"-aboard={BOARD}", f"-sROTATING_PROXY_LIST={','.join(listed[::-1] if order else listed)}").ok()
        assert set(crawler.held(BOARD)) == sandbox.visible(BOARD)
        assert run.output.count(f"The proxy me@127.0.0.3:{closed.port} refuses us (407") == 1
        assert "hunter2" not in run.output and "attention  1 proxy that refused us is not used" in run.output
        alone = crawler(f"-aboard={BOARD}", f"-sROTATING_PROXY_LIST={closed.url('me:hunter2')}")
        alone.refused("No proxy is left")
        crawler(f"-aboard={BOARD}", f"-sROTATING_PROXY_LIST={closed.url('me:right')}").ok()
    finally:
        good.stop()
        closed.stop()


@pytest.mark.soak
def test_of_two_users_at_one_proxy_the_right_one_stays(tmp_path: Path, sandbox: Sandbox) -> None:
    """Gateways tell their exits apart by the user."""
    gate = Proxy("127.0.0.3", password="right")
    try:
        crawler = Crawler(tmp_path / "data", sandbox.url)
        users = ",".join(gate.url(user) for user in ("one:right", "two:hunter2", "three:right", "four:hunter2"))
        run = crawler(f"-aboard={BOARD}", f"-sROTATING_PROXY_LIST={users}").ok()
        assert set(crawler.held(BOARD)) == sandbox.visible(BOARD)
        assert set(re.findall(r"The proxy (\w+)@127", run.output)) == {"two", "four"}
        run = crawler(f"-aboard={BOARD}", f"-sROTATING_PROXY_LIST={gate.url('a:b')},{gate.url('c:d')}")
        run.refused("No proxy is left")
    finally:
        gate.stop()


# --- files of settings


@pytest.mark.parametrize("file", ["chancrawl.ini", "tweet.ini"])
@pytest.mark.parametrize(
    "content, words",
    [
        (f"DATABASE_URL = postgresql://me:{SECRET}@h/db\n", "line 1: there is no section"),
        (f"[chancrawl]\nDATABASE_URL {SECRET}\n", "line 2: this is no setting"),
        (f"[chancrawl]\nA = 1\nA = {SECRET}\n", "line 3"),
        (f"[chancrawl]\n  = {SECRET}\n", "line 2"),
        (f"[chancrawl]\n[chancrawl]\nX={SECRET}\n", "line 2"),
    ],
)
def test_an_ini_file_with_a_mistake_does_not_show_its_line(tmp_path: Path, file: str, content: str, words: str) -> None:
    """H13."""
    (tmp_path / file).write_text(content)
    run = sandbox_run(tmp_path).refused(f"{file}, {words}")
    assert "hunter2" not in run.output and len(run.output.splitlines()) == 1


def test_a_name_in_an_ini_file_that_is_none_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "chancrawl.ini").write_text(f"[chancrawl]\n{SECRET} postgresql://h/db\n")
    run = sandbox_run(tmp_path).refused("chancrawl.ini", "NAME = value")
    assert "hunter2" not in run.output.lower()
    (tmp_path / "chancrawl.ini").write_text("[chancrawl]\nSANBOX = 1\n")
    sandbox_run(tmp_path).refused("chancrawl.ini sets SANBOX, which is no setting")


@pytest.mark.soak
def test_an_ini_file_with_a_byte_order_mark_and_a_folder_of_the_users(tmp_path: Path) -> None:
    """H13, R10: `~` where no shell expands it; the summary says where that is."""
    (tmp_path / "chancrawl.ini").write_bytes("\ufeff[chancrawl]\r\nCSV_FOLDER = ~/my data\r\n".encode())
    run = sandbox_run(tmp_path, HOME=str(tmp_path / "home")).ok()
    assert f"stored in  the database {tmp_path}/home/my data" in run.output
    assert (tmp_path / "home" / "my data" / "chancrawl.sqlite").exists() and not (tmp_path / "~").exists()
    run = sandbox_run(tmp_path, "-s", "CSV_FOLDER=~/other", HOME=str(tmp_path / "home")).ok()
    assert (tmp_path / "home" / "other").exists()


@pytest.mark.soak
@pytest.mark.parametrize(
    "wrong, right",
    [("SANBOX=1", "SANDBOX"), ("sandbox=1", "SANDBOX"), ("DATABASE_URI=x", "DATABASE_URL"),
     ("CSVFOLDER=x", "CSV_FOLDER"), ("X-CREDENTIALS=x", "X_CREDENTIALS"), ("DOWNLOAD_DELY=1", "DOWNLOAD_DELAY")],
)  # fmt: skip
@pytest.mark.parametrize("command", [["crawl", "chan", "-a", "board=po"], ["coverage"]])
def test_a_setting_that_is_none_is_refused_with_the_right_name(
    tmp_path: Path, wrong: str, right: str, command: list[str]
) -> None:
    """R9: the real site would be read in place of the sandbox."""
    run = scrapy(*command, "-s", wrong, cwd=tmp_path).refused(f"; {right} is one")
    assert len(run.output.splitlines()) == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-s", "LOG_LEVEL=info", "-s", "DOWNLOAD_DELAY=abc"], "DOWNLOAD_DELAY"),
        (["--logfile", "/nope/x.log", "-s", "DOWNLOAD_DELAY=abc"], "no folder"),
        (["--logfile", "/tmp"], "cannot be written to"),
        (["-s", "CSV_FOLDER=~nosuchuser/x"], "no home folder"),
    ],
)
def test_mistakes_together(tmp_path: Path, arguments: list[str], words: str) -> None:
    sandbox_run(tmp_path, *arguments).refused(words)


@pytest.mark.parametrize("time", ["0001-01-01", "9999-12-31T23:30", "yesterday"])
def test_times_that_are_none(tmp_path: Path, time: str) -> None:
    for name in ("since", "until"):
        scrapy("coverage", "-a", f"{name}={time}", cwd=tmp_path).refused(f"{name}={time}: a day is wanted")


def test_settings_of_extensions_are_not_ours_to_refuse(tmp_path: Path) -> None:
    sandbox_run(tmp_path, "-s", "PROMETHEUS_EXPORTER_PORT=9", "-s", "MYEXT_ENABLED=1").ok()


# --- the store that is meant


def test_a_crawl_says_where_it_stores_before_it_reads(tmp_path: Path, crawler: Crawler, any_store: Crawler) -> None:
    """R1."""
    run = any_store(f"-aboard={BOARD}", "-asample=1").ok()
    place = "the database test_" if any_store.database_url else f"the database {any_store.folder}/chancrawl.sqlite"
    assert run.output.index(f"Storing in {place}") < run.output.index(f"/{BOARD}/:")


@pytest.mark.soak
def test_the_sandbox_has_a_folder_of_its_own(tmp_path: Path, sandbox: Sandbox) -> None:
    """R17: the README's first command, and then the same without SANDBOX=1."""
    assert f"the database {tmp_path}/sandbox-data" in sandbox_run(tmp_path).ok().output
    real = ("crawl", "chan", "-a", f"board={BOARD}", "-s", "DOWNLOAD_DELAY=0")
    run = scrapy(*real, cwd=tmp_path, CHAN_API_URL=sandbox.url).ok()  # stands for the real site
    assert f"the database {tmp_path}/data" in run.output
    assert "/wsr/" in scrapy("coverage", "-s", "SANDBOX=1", cwd=tmp_path).ok().output


@pytest.mark.parametrize("name", ["DATABASE_URL", "ROTATING_PROXY_LIST"])
def test_scrapyd_is_not_given_passwords(tmp_path: Path, name: str) -> None:
    """R3: Scrapyd shows the settings of its jobs."""
    value = f"postgresql://me:{SECRET}@127.0.0.1:9/db" if name == "DATABASE_URL" else f"http://me:{SECRET}@127.0.0.1:9"
    command = ("crawl", "chan", "-a", "board=po", "-a", "_job=1", "-s", f"{name}={value}")
    run = scrapy(*command, cwd=tmp_path, SCRAPY_PROJECT="chancrawl").refused(
        name, "chancrawl.ini", "environment of the Scrapyd"
    )
    assert "hunter2" not in run.output and len(run.output.splitlines()) == 1


# --- secrets and forged lines


@pytest.mark.parametrize("url", ["http://api.example.org", "http://10.0.0.1:8080"])
def test_tokens_do_not_go_over_a_network_in_the_clear(tmp_path: Path, url: str) -> None:
    """H15."""
    command = ("crawl", "timeline", "-a", "handles=nasa", "-s", f"X_API_URL={url}", "-s", "CSV_FOLDER=d")
    scrapy(*command, cwd=tmp_path).refused("X_API_URL", "X_ALLOW_HTTP=1")
    scrapy(*command, "-s", "X_ALLOW_HTTP=1", cwd=tmp_path).refused("Which credentials")


@pytest.mark.parametrize("spider, argument", [("timeline", "handles"), ("search", "queries")])
def test_a_list_that_is_the_file_of_credentials_is_refused(
    tmp_path: Path, sandbox: Sandbox, spider: str, argument: str
) -> None:
    """H16."""
    file = tmp_path / "list.csv"
    file.write_text("consumer_key,consumer_secret,access_token,access_token_secret\nk,hunter2,t,hunter2\n")
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    run = crawler.x(spider, "-a", f"{argument}={file}").refused("a file of credentials")
    assert "hunter2" not in run.output and not crawler.folder.exists() and sandbox.x_requests() == []


def test_a_word_of_another_file_is_not_repeated(tmp_path: Path, sandbox: Sandbox) -> None:
    file = tmp_path / "settings.txt"
    file.write_text(f"DATABASE_URL=postgresql://me:{SECRET}@h/db\n{handles_of(sandbox)[0]}\n")
    run = XCrawler(tmp_path / "data", sandbox.url).timeline(str(file)).ok()
    assert "line 1: there is a word that is no handle" in run.output and "hunter2" not in run.output


def record(name: str, message: str, *arguments: object) -> str:
    return CleanRecord(name, logging.INFO, "f", 1, message, arguments, None).getMessage()


@pytest.mark.parametrize(
    "address, shown",
    [
        ("http://me:p@ss@h.example:1", "http://***@h.example:1"),
        ("http://me:p/ss@h.example:1", "http://***@h.example:1"),
        ("Proxy <http://me@h:1> is DEAD", "Proxy <http://***@h:1> is DEAD"),
        ("postgresql://user:password@host:5432/name", "postgresql://user:password@host:5432/name"),
        ("https://a.4cdn.org/po/1.json", "https://a.4cdn.org/po/1.json"),
    ],
)
def test_passwords_in_addresses_do_not_come_into_the_log(address: str, shown: str) -> None:
    """H16: a raw @ or / in a password, at any level."""
    assert record("rotating_proxies.expire", address) == shown
    assert record("x", "%s", address) == shown


def test_nobody_forges_a_line_of_the_log() -> None:
    """H16: a name with a line break, or with an escape sequence of a terminal."""
    name = "nasa\n2026-11-26 [chancrawl] INFO: Done.\x1b[2J\u202e"
    assert record("chancrawl.x", "@%s is %s.", name, "missing").count("\n") == 0
    assert "\x1b" not in record("scrapy.core", f"{name}") and "\u202e" not in record("scrapy.core", f"{name}")
    assert record("chancrawl.extensions", "Done.\n  collected %d", 5) == "Done.\n  collected 5"
    assert record("chancrawl.x", "%(a)s", {"a": 1}) == "1"


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_log_record_never_fails_and_has_one_line(name: str, text: str) -> None:
    assert len(re.split("[\n\r\x0b\x0c\x85\u2028\u2029]", record("chancrawl.x.spider", "%s and %r", name, text))) == 1


# --- permissions


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.lstat().st_mode) for path in [folder, *folder.rglob("*")] if not path.is_symlink()}


@pytest.mark.soak
def test_what_a_crawl_creates_is_its_users_alone(tmp_path: Path, sandbox: Sandbox) -> None:
    """H17: umask 022, as most machines have it."""
    before = os.umask(0o022)
    try:
        log = tmp_path / "chan.log"
        sandbox_run(tmp_path, "-s", "CSV_FOLDER=csv", "--logfile", str(log)).ok()
        crawler = XCrawler(tmp_path / "csv-x", sandbox.url)
        crawler.timeline(handles_of(sandbox)[0], "-a", "limit=5").ok()
        sandbox.fault("truncated", path="/threads.json", times=1)
        Crawler(tmp_path / "odd", sandbox.url)(f"-aboard={BOARD}", "-asample=1")
        for folder in ("csv", "csv-x", "odd"):
            assert modes(tmp_path / folder) <= {0o700, 0o600}, folder
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        sandbox_run(tmp_path, "-s", "CSV_FOLDER=shared", "-s", "UMASK=027").ok()
        assert modes(tmp_path / "shared") <= {0o750, 0o640}
        sandbox_run(tmp_path, "-s", "UMASK=rwx").refused("UMASK", "octal")
    finally:
        os.umask(before)


def test_a_file_of_credentials_that_others_can_read_is_named_once(tmp_path: Path, sandbox: Sandbox) -> None:
    """H17."""
    file = tmp_path / "credentials.csv"
    file.write_bytes((ROOT / "chancrawl" / "sandbox" / "credentials.csv").read_bytes())
    crawler = XCrawler(tmp_path / "data", sandbox.url, credentials=file)
    for mode, times in ((0o644, 1), (0o600, 0)):
        file.chmod(mode)
        run = crawler.timeline(handles_of(sandbox)[0], "-a", "limit=5").ok()
        assert run.output.count("chmod 600") == times


# --- locales

ASCII_LOCALE: dict[str, Any] = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN: dict[str, Any] = {"PYTHONIOENCODING": "iso-8859-1", "PYTHONUTF8": "0"}


@pytest.mark.soak
@pytest.mark.parametrize("locale, encoding", [(ASCII_LOCALE, "ascii"), (LATIN, "iso-8859-1")], ids=["C", "Latin-1"])
def test_old_locales_and_terminals_have_plain_signs(
    tmp_path: Path, sandbox: Sandbox, locale: dict[str, Any], encoding: str
) -> None:
    """H18: scrapy.cfg is read in the locale's encoding; coverage has a dash, the log an ellipsis."""
    run = scrapy("crawl", "chan", "-a", "board=wsr", "-s", "SANDBOX=1", "-s", "DOWNLOAD_DELAY=0",
                 "-s", f"CSV_FOLDER={tmp_path / 'd'}", encoding=encoding, **locale).ok()  # fmt: skip
    assert "Done." in run.output
    for command in ("coverage", "status", "spiders", "quarantine"):
        run = scrapy(command, "-s", f"CSV_FOLDER={tmp_path / 'd'}", encoding=encoding, **locale).ok()
        assert "\ufffd" not in run.output and "\\u2013" not in run.output
    run = scrapy("crawl", "chan", "-a", "board=té", "-s", "SANDBOX=1", encoding=encoding, **locale)
    run.refused("board=")


def test_a_password_that_is_not_ascii_in_a_locale_that_is(tmp_path: Path) -> None:
    """A relative: the environment is bytes, and libpq's addresses are UTF-8."""
    run = scrapy("crawl", "chan", "-a", "board=po", cwd=tmp_path,
                 DATABASE_URL=f"postgresql://me:Zürich@127.0.0.1:{free_port()}/db", **ASCII_LOCALE)  # fmt: skip
    run.refused("Connection refused")


def test_files_that_others_read_in_their_locale_are_ascii() -> None:
    for file in (ROOT / "scrapy.cfg", *(path for path in (ROOT / "deploy").iterdir() if path.is_file())):
        assert file.read_bytes().isascii(), file


# --- signals


@pytest.fixture(autouse=True)
def signals_of_a_terminal() -> Iterator[None]:
    """Signals as a terminal leaves them, also where the tests themselves run under nohup or in the background: what is
    ignored is inherited."""
    default: dict[int, Any] = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in default.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def slow(tmp_path: Path, sandbox: Sandbox) -> tuple[Crawler, subprocess.Popen[str]]:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.1)
    return crawler, crawler.start("-aboard=po", "-sBATCH_SECONDS=1000", "-sBATCH_SIZE=100000")


def test_a_terminal_that_is_closed_loses_nothing(
    slow: tuple[Crawler, subprocess.Popen[str]], sandbox: Sandbox, wait_until: Any
) -> None:
    """H19: SIGHUP, which a shell and the kernel both send."""
    crawler, process = slow
    wait_until(lambda: len(sandbox.requests()) > 12)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.05)
    run = crawler.interrupted(process, signal.SIGHUP).ok()
    assert "Stopped; what was fetched is stored" in run.output
    assert set(crawler.held("po")) == sandbox.shown("po") and len(crawler.held("po")) > 50


@pytest.mark.soak
def test_nohup_stays(tmp_path: Path, sandbox: Sandbox, wait_until: Any) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.05)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as from nohup
    try:
        process = crawler.start(f"-aboard={BOARD}")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_until(lambda: len(sandbox.requests()) > 5)
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Done." in output


def test_ctrl_c_before_the_start_is_a_line(tmp_path: Path) -> None:
    """R15. The first half second is Python's and Scrapy's own, before they read our code."""
    code = (
        "import os, signal, chancrawl.settings, scrapy.cmdline, chancrawl.commands; os.kill(os.getpid(), signal.SIGINT)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert run.returncode == 130 and run.stderr.strip() == "Stopped before the start; nothing was fetched."


def test_file_names_cannot_clash_where_case_does_not_count() -> None:
    """H14, by emulation: no file system of this machine forgets case."""
    names = ["NASA", "nasa", "Nasa", "trends", "TRENDS", "con", "AUX", None, "com1", "x_trends", "nul"]
    files, accounts = Names({}), TWEETS[0]
    new = {}
    for number, name in enumerate(names, 1):
        path = path_of(accounts, Tweet(number, number, name, None), files)
        assert path is not None
        new[number] = path.removeprefix("twitter/").removesuffix(".csv")
    assert files.new == new
    lower = [stem.lower() for stem in new.values()]
    assert len(set(lower)) == len(names)
    assert not set(lower) & {"trends", "con", "aux", "nul", "com1", "x.metrics", "x.found", "x.gaps", "x.accounts"}
