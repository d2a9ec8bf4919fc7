"""Where settings come from, what they accept, and what is said of those that are wrong."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.settings import Settings

from chancrawl import addon, configuration
from chancrawl.commands import options
from chancrawl.errors import UserError
from chancrawl.proxies import listed
from chancrawl.setting_rows import NAMES_IN_FILES, ROWS, SECRETS, SETTINGS
from chancrawl.setting_types import Choice, Number, ValueType
from tests.support import ROOT
from tests.support.crawls import Run, environment

SECRET = "hunter2secret"
URL = f"postgresql://me:{SECRET}@127.0.0.1:9/"


def scrapy(*arguments: str, cwd: Path, **env: str) -> Run:
    base = environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "scrapy", *arguments], cwd=cwd, env=base | env, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    return Run(done.returncode, done.stdout + done.stderr)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of this process, empty; no setting of the developer's, and no file that was read before."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in NAMES_IN_FILES:
        monkeypatch.delenv(name, raising=False)
    forget()
    yield place
    forget()


def forget() -> None:
    for cached in (configuration.env_file, configuration.ini_file, configuration.tweet_ini, configuration.secret_in):
        cached.cache_clear()


def settings_with(priority: str = "cmdline", **given: Any) -> Settings:
    """The settings of a crawl, with values as `-s` gives them."""
    settings = Settings()
    settings.setmodule("chancrawl.settings", priority="project")
    for name, value in configuration.all_configured().items():  # the module may have been read in another folder
        if name != "CONCURRENT_REQUESTS":
            settings.set(name, value, priority="project")
    settings.setdict(given, priority=priority)
    return settings


# --- the order of the places

PLACES = ["environment", "environment file", ".env", ".env file", "chancrawl.ini", "chancrawl.ini file", "tweet.ini"]


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> str:
    """Set DATABASE_URL in a place. Returns the value."""
    where, _, is_file = place.partition(" ")
    database = "x" + "".join(letter for letter in place if letter.isalpha())
    value = f"postgresql://me@h:5432/{database}"
    name, content = "DATABASE_URL", value
    if is_file:
        name, content = "DATABASE_URL_FILE", f"{database}.txt"
        (folder / content).write_text(f"{value}\n")
    if where == "environment":
        monkeypatch.setenv(name, content)
    elif where == ".env":
        (folder / ".env").write_text(f"{name}={content}\n")
    elif where == "chancrawl.ini":
        (folder / "chancrawl.ini").write_text(f"[chancrawl]\n{name} = {content}\n")
    else:
        (folder / "tweet.ini").write_text(f'[Database]\ndbname="{database}"\ndbuser="me"\ndbhost="h"\n')
    return value


@pytest.mark.parametrize("is_file", [False, True])
def test_the_first_place_that_has_a_setting_gives_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_file: bool
) -> None:
    """From the last place to the first: each goes before those that were there already."""
    assert configuration.configured("DATABASE_URL") is None
    for place in reversed([place for place in PLACES if place == "tweet.ini" or place.endswith("file") == is_file]):
        value = put(folder, monkeypatch, place)
        forget()
        assert configuration.configured("DATABASE_URL") == value, place
    settings = settings_with(DATABASE_URL="postgresql://cmdline/db")
    addon.check(settings)
    assert settings["DATABASE_URL"] == "postgresql://cmdline/db"


def test_the_whole_order_once_through_a_command(tmp_path: Path) -> None:
    (tmp_path / "chancrawl.ini").write_text("[chancrawl]\nSPOOL_MB = 1\nBATCH_SIZE = 1\nX_FOLLOW = name\n")
    (tmp_path / ".env").write_text("SPOOL_MB=2\nBATCH_SIZE=2\n")
    for name, arguments, expected in [
        ("SPOOL_MB", ["-s", "SPOOL_MB=4"], "4"),
        ("SPOOL_MB", [], "3"),
        ("BATCH_SIZE", [], "2"),
        ("X_FOLLOW", [], "name"),
        ("DISK_PATIENCE", [], "60"),
    ]:
        run = scrapy("settings", "--get", name, *arguments, cwd=tmp_path, SPOOL_MB="3").ok()
        assert run.output.strip() == expected, name


def test_an_empty_value_counts_in_the_environment_and_not_in_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "chancrawl.ini").write_text("[chancrawl]\nDATABASE_URL = postgresql://h/db\n")
    (folder / ".env").write_text("DATABASE_URL=\nDATABASE_URL_FILE=\n")
    assert configuration.configured("DATABASE_URL") == "postgresql://h/db"
    monkeypatch.setenv("DATABASE_URL", "")
    assert configuration.configured("DATABASE_URL") == ""


# --- .env


@pytest.mark.parametrize(
    "content, value",
    [
        ("X_FOLLOW=name", "name"),
        ("export X_FOLLOW=name\n", "name"),
        ("  X_FOLLOW = name   # whom\r\n", "name"),
        ("X_FOLLOW='name'", "name"),
        ('X_FOLLOW="name" # whom', "name"),
        ("\ufeffX_FOLLOW=name", "name"),
        ("X_FOLLOW=number\nX_FOLLOW=name\n", "name"),
        ("# X_FOLLOW=name\nx_follow=name\n", "number"),
        ("FOLLOW=${X_FOLLOW}\nX_FOLLOW=a#b${HOME}", "a#b${HOME}"),
        ("[section]\nsome words\n'=\nX_FOLLOW=name", "name"),
        ("X_FOLLOW", "number"),
        ("LOG_FILE=/tmp/of-another-program.log\nX_FOLLOW=name", "name"),
    ],
)
def test_lines_of_env(folder: Path, content: str, value: str) -> None:
    (folder / ".env").write_text(content, encoding="utf-8", newline="")
    assert configuration.configured("X_FOLLOW") == value
    assert configuration.all_configured()["LOG_FILE"] is None


def test_env_of_another_program(tmp_path: Path) -> None:
    """Its names are none of ours; nothing of it comes into the environment of what we start."""
    (tmp_path / ".env").write_text(f'SECRET_KEY="{SECRET}"\nSANBOX=1\nPATH=/nowhere\nnonsense here\nDEBUG="open\n')
    run = scrapy("spool", cwd=tmp_path).ok()
    assert run.output.strip() == "Nothing waits in data/spool."


@pytest.mark.parametrize(
    "content, words",
    [
        (f'\n\nexport DATABASE_URL="{SECRET}\n', ".env, line 3: the value of DATABASE_URL"),
        (f'OTHER="open\nDATABASE_URL="{SECRET}"\n', ".env, line 2: the value of DATABASE_URL"),
        (f"DATABASE_URL {SECRET}\n", ".env, line 1: the value of DATABASE_URL"),
        (f"DATABASE_URL: {SECRET}\n", ".env, line 1: the value of DATABASE_URL"),
        (f"DATABASE_URL=nosql://{SECRET}\n", "DATABASE_URL (in .env) is no PostgreSQL address"),
        ("BATCH_SIZE=many\n", "BATCH_SIZE (in .env) is 'many'; it has to be a whole number of rows, 1 or more."),
        (f"{SECRET}\xe9".encode("latin-1"), ".env is no text in UTF-8"),
        (None, ".env cannot be read (Is a directory)"),
    ],
)
def test_env_with_a_mistake_is_one_sentence_without_its_content(
    tmp_path: Path, content: str | bytes | None, words: str
) -> None:
    if content is None:
        (tmp_path / ".env").mkdir()
    else:
        (tmp_path / ".env").write_bytes(content if isinstance(content, bytes) else content.encode())
    run = scrapy("status", cwd=tmp_path).refused(words)
    assert SECRET not in run.output and len(run.output.splitlines()) == 1


class Refused(Exception):
    """One sentence of `.env` was said."""


def env_file() -> dict[str, str]:
    try:
        return configuration.env_file()
    except SystemExit as error:
        raise Refused if re.fullmatch(r"\.env, line \d+: .*\.", str(error)) else error from None


@given(st.text(max_size=40), st.sampled_from(["", "DATABASE_URL=", "export X_FOLLOW='", 'USER_AGENT="']))
def test_any_env_is_read_or_refused_in_a_sentence(text: str, start: str) -> None:
    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configuration, "_content", lambda file: start + text)
        with contextlib.suppress(Refused):
            assert env_file().keys() <= NAMES_IN_FILES
    forget()


# --- secrets in files


@pytest.mark.parametrize("place", ["-s", "environment", ".env", "chancrawl.ini"])
def test_a_secret_in_a_file(tmp_path: Path, place: str) -> None:
    """As systemd (LoadCredential) and Docker give them: a path in the environment, the file read-only."""
    file = tmp_path / "database_url"
    file.write_text(f"{URL}from_file\n")
    file.chmod(0o400)
    arguments, env = ["status"], {}
    if place == "-s":
        arguments += ["-s", f"DATABASE_URL_FILE={file}"]
    elif place == "environment":
        env["DATABASE_URL_FILE"] = str(file)
    elif place == ".env":
        (tmp_path / ".env").write_text("DATABASE_URL_FILE=database_url\n")
    else:
        (tmp_path / "chancrawl.ini").write_text("[chancrawl]\nDATABASE_URL_FILE = database_url\n")
    run = scrapy(*arguments, cwd=tmp_path, **env).refused("127.0.0.1", "Connection refused")
    assert SECRET not in run.output


def test_a_file_of_proxies_may_have_one_a_line(folder: Path) -> None:
    (folder / "proxies").write_text("http://a:1,http://b:2\nhttp://c:3\n")
    settings = settings_with(ROTATING_PROXY_LIST_FILE="proxies")
    addon.check(settings)
    addon.check(settings)  # by the command, and by the crawl
    assert listed(settings) == ["http://a:1", "http://b:2", "http://c:3"]


def test_a_file_is_read_once_because_it_can_be_a_pipe(folder: Path) -> None:
    (folder / "url").write_text("postgresql://h/db")
    settings = settings_with(DATABASE_URL_FILE="url")
    addon.check(settings)
    (folder / "url").write_text("")
    addon.check(settings)
    assert settings["DATABASE_URL"] == "postgresql://h/db"


@pytest.mark.parametrize(
    "content, why",
    [
        (None, "cannot be read (No such file or directory)"),
        ("folder", "cannot be read (Is a directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (f"://{SECRET}".encode(), "DATABASE_URL (in its file) is no PostgreSQL address"),
    ],
)
def test_a_file_of_a_secret_that_is_none(tmp_path: Path, content: bytes | str | None, why: str) -> None:
    """The path is not shown: somebody may have written the secret in its place."""
    file = tmp_path / SECRET
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        file.mkdir()
    run = scrapy("status", cwd=tmp_path, DATABASE_URL_FILE=str(file)).refused("DATABASE_URL", why)
    assert SECRET not in run.output and len(run.output.splitlines()) == 1


@pytest.mark.parametrize("place", ["-s", "the environment", ".env", "chancrawl.ini"])
def test_a_secret_and_its_file_in_one_place(tmp_path: Path, place: str) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://h/db")
    given = {"DATABASE_URL": f"{URL}db", "DATABASE_URL_FILE": str(file)}
    lines = "".join(f"{name}={value}\n" for name, value in given.items())
    arguments = []
    if place == "-s":
        arguments = [part for name, value in given.items() for part in ("-s", f"{name}={value}")]
    elif place == ".env":
        (tmp_path / ".env").write_text(lines)
    elif place == "chancrawl.ini":
        (tmp_path / "chancrawl.ini").write_text("[chancrawl]\n" + lines)
    run = scrapy("status", *arguments, cwd=tmp_path, **(given if place == "the environment" else {}))
    run.refused("DATABASE_URL and DATABASE_URL_FILE are both", "" if place == "-s" else f"in {place}")
    assert SECRET not in run.output and len(run.output.splitlines()) == 1


def test_a_setting_without_a_secret_has_no_file(tmp_path: Path) -> None:
    scrapy("status", "-s", "USER_AGENT_FILE=x", cwd=tmp_path).refused("There is no setting USER_AGENT_FILE")
    (tmp_path / "chancrawl.ini").write_text("[chancrawl]\nUSER_AGENT_FILE = x\n")
    scrapy("status", cwd=tmp_path).refused("chancrawl.ini sets USER_AGENT_FILE, which is no setting")


def test_files_with_secrets_that_others_can_read_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / ".env").write_text(f"DATABASE_URL={URL}db\nROTATING_PROXY_LIST_FILE=proxies\nOTHER=http://me:pw@h\n")
    (folder / "proxies").write_text("http://me:pw@h:1")
    for mode, expected in ((0o644, {".env", "proxies"}), (0o600, set())):
        for file in folder.iterdir():
            file.chmod(mode)
        caplog.clear()
        addon.warn_of_readable(settings_with())
        assert {str(record.args[0]) for record in caplog.records if isinstance(record.args, tuple)} == expected


# --- what is checked

GOOD = {
    "DATABASE_URL": "host=h dbname=d", "X_DAILY_BUDGET": "0.5", "X_API_URL": "https://x.example.org/2",
    "CHAN_API_URL": "http://[::1]:80", "UMASK": "027", "X_FOLLOW": "name", "LOG_LEVEL": "debug", "SANDBOX": "true",
    "BATCH_SIZE": "1", "SANDBOX_SPEED": "0.001", "CONCURRENT_ITEMS": "1", "CSV_FOLDER": "a\nb", "SANDBOX_TRUTH": "t",
}  # fmt: skip
BAD = [
    ("BATCH_SIZE", "1.5", "it has to be a whole number of rows, 1 or more"),
    ("BATCH_SIZE", "0", "1 or more"),
    ("BATCH_SECONDS", "nan", "it has to be a number of seconds, 0.1 or more"),
    ("SPOOL_MB", "inf", "less than 1,000,000,000"),
    ("RETRY_TIMES", None, "a whole number, 0 or more"),
    ("X_DAILY_BUDGET", "0", "a number of US dollars, above 0"),
    ("X_QUERY_LENGTH", 63, "64 or more"),
    ("X_FOLLOW", "Name", "it has to be number or name"),
    ("LOG_LEVEL", "loud", "it has to be DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    ("SENTIMENT", "maybe", "it has to be 1 or 0"),
    ("UMASK", "77", "three octal digits"),
    ("CHAN_API_URL", "a.4cdn.org", "such as https://a.4cdn.org"),
    ("X_API_URL", "https://me:pw@h", "such as https://api.x.com"),
    ("X_API_URL", None, "such as https://api.x.com"),
    ("CSV_FOLDER", "", "is empty"),
    ("CSV_FOLDER", "a\0b", "NUL"),
    ("USER_AGENT", "a\nHost: b", "control character"),
    ("SANDBOX_TRUTH", "no/such/t", "there is no folder"),
    ("X_CREDENTIALS", "~nosuchuser/x", "no home folder"),
    ("CONCURRENT_ITEMS", "100", "it has to be 1: items go to the store in their order"),
]


def test_good_values_are_taken_as_the_crawl_uses_them(folder: Path) -> None:
    settings = settings_with(**GOOD)
    addon.check(settings)
    assert settings["SANDBOX"] is True and settings["LOG_LEVEL"] == "DEBUG" and settings["SENTIMENT"] is False
    for name in GOOD.keys() - {"SANDBOX", "LOG_LEVEL"}:
        assert settings[name] == GOOD[name]


@pytest.mark.parametrize("name, value, words", BAD)
def test_a_bad_value_is_a_sentence(folder: Path, name: str, value: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        addon.check(settings_with(**{name: value}))
    assert words in str(error.value) and str(error.value).startswith((name, str(value)))


@pytest.mark.parametrize(
    "kind, words",
    [
        (Number(0.5), "number, 0.5 or more"),
        (Number(0, "MB"), "MB, 0 or more"),
        (Number(0, "US dollars", is_above=True), "US dollars, above 0"),
        (Number(1, is_whole=True), "whole number, 1 or more"),
        (Number(1, "rows", is_whole=True), "whole number of rows, 1 or more"),
        (Choice(("a", "b", "c")), "`a`, `b` or `c`"),
    ],
)
def test_what_a_kind_accepts_in_words(kind: ValueType, words: str) -> None:
    assert kind.words == words


@given(st.one_of(st.none(), st.text(max_size=20), st.floats(), st.integers(), st.booleans(), st.binary(max_size=5)))
def test_any_value_is_read_or_refused_in_a_sentence(value: Any) -> None:
    for row in ROWS:
        with contextlib.suppress(UserError):
            row.kind.read(row.name, value)


def test_ini_file_names_that_only_the_command_line_sets(folder: Path) -> None:
    (folder / "chancrawl.ini").write_text("[chancrawl]\nCONCURRENT_ITEMS = 100\n")
    with pytest.raises(UserError, match="CONCURRENT_ITEMS, which can only be set with -s CONCURRENT_ITEMS=VALUE"):
        addon.check(settings_with())


def test_the_pace_of_the_sandbox_is_in_the_rows() -> None:
    pace = {row.name: row.sandbox for row in ROWS if row.sandbox is not None}
    assert pace == {"DOWNLOAD_DELAY": 0.05, "CHAN_INDEX_INTERVAL": 0.25, "CHAN_THREAD_INTERVAL": 0.5}


def test_the_sandbox_keeps_its_pace_and_its_folder(tmp_path: Path) -> None:
    """Whatever delay a file gives for the real site; only `-s` changes it. SANDBOX itself can be given in a file."""
    (tmp_path / ".env").write_text("SANDBOX=1\nDOWNLOAD_DELAY=1000\nCHAN_THREAD_INTERVAL=1000\n")
    run = scrapy("crawl", "chan", "-a", "board=wsr", "-a", "sample=2", cwd=tmp_path).ok()
    assert f"the database {tmp_path}/sandbox-data" in run.output and "Done." in run.output


# --- the rows


def test_rows_are_whole(folder: Path) -> None:
    secrets = "DATABASE_URL ROTATING_PROXY_LIST DASHBOARD_PASSWORD ALARM_URLS ALARM_HEARTBEAT"
    assert len(SETTINGS) == len(ROWS) and {row.name for row in SECRETS} == set(secrets.split())
    for row in ROWS:
        assert row.kind.read(row.name, row.default) == row.default
        assert not row.text.endswith(".") and "|" not in row.text + row.kind.words + row.default_words
    addon.check(settings_with())


def test_scrapy_options(tmp_path: Path) -> None:
    run = scrapy("options", cwd=tmp_path, UMASK="wrong", COLUMNS="40").ok()  # who has a wrong value looks here
    assert run.output.strip() == "\n".join(options.text(ROWS))
    run = scrapy("options", "umask", "--format", "markdown", cwd=tmp_path).ok()
    assert run.output.count("\n") == 5 and "| `UMASK` |" in run.output
    run = scrapy("options", "UMSK", cwd=tmp_path).refused("there is no setting UMSK")
    assert run.code == 2
    for command in ("crawl", "coverage"):
        assert "scrapy options shows the settings" in scrapy(command, "-h", cwd=tmp_path).ok().output
