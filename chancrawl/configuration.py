"""Where settings come from besides `-s`, and what follows from them."""

from __future__ import annotations

import configparser
import contextlib
import difflib
import functools
import logging
import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn
from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings, default_settings

from chancrawl.arguments import home
from chancrawl.errors import UserError
from chancrawl.http import is_local
from chancrawl.proxies import PROJECT, check_environment, listed, switch_on
from chancrawl.surroundings import text_of

logger = logging.getLogger(__name__)

DEFAULT_FOLDER, SANDBOX_FOLDER = "data", "sandbox-data"
"""CSV_FOLDER, and what it is for the sandbox: posts of the sandbox and of a site are never in one store."""

T = TypeVar("T")


def configured(name: str, default: T) -> T | str:
    """A setting from the environment variable of its name, else from chancrawl.ini or tweet.ini, else the default.

    chancrawl.ini lies in the working folder: a section `[chancrawl]` with the settings' names as keys. tweet.ini is the
    older crawler's file.
    """
    if name in os.environ:
        return text_of(os.environ[name])
    return ini_file().get(name.lower()) or settings_of(tweet_ini()).get(name) or default


@functools.cache
def ini_file() -> dict[str, str]:
    """The section `[chancrawl]` of chancrawl.ini in the working folder, keys in lower case; empty without the file."""
    if not Path("chancrawl.ini").exists():
        return {}
    parser = _parsed("chancrawl.ini")
    if "chancrawl" not in parser:
        raise SystemExit("chancrawl.ini has no section [chancrawl]; write that line above the settings.")
    return dict(parser["chancrawl"])


def _parsed(file: str) -> configparser.ConfigParser:
    """An ini file, with a byte order mark or without. Exits with a sentence, without a value: it may be a secret."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(file).read_text(encoding="utf-8-sig"), source=file)
    except configparser.MissingSectionHeaderError as error:
        raise SystemExit(
            f"{file}, line {error.lineno}: there is no section above it; write [chancrawl] first."
        ) from None
    except configparser.Error as error:
        lines = getattr(error, "errors", None) or [(getattr(error, "lineno", None), "")]
        where = f", line {lines[0][0]}" if lines[0][0] else ""
        raise SystemExit(f"{file}{where}: this is no setting ({type(error).__name__}); write NAME = value.") from None
    except UnicodeDecodeError:
        raise SystemExit(f"{file} is no text in UTF-8; save it as that.") from None
    except OSError as error:
        raise SystemExit(f"{file} cannot be read ({error.strerror}).") from None
    return parser


@functools.cache
def tweet_ini() -> dict[str, str]:
    """The keys of the older crawler's tweet.ini in the working folder, in lower case; empty without the file.

    `[Database] dbname dbuser dbpass dbhost dbport`, `[Twitter] authCSV handlesFile`, `[System] Threads CSVFolder`;
    values may stand in quotes and have a comment behind them.
    """
    if not Path("tweet.ini").exists():
        return {}
    parser = _parsed("tweet.ini")
    return {key: _unquoted(value) for section in parser.sections() for key, value in parser[section].items()}


def _unquoted(value: str) -> str:
    """
    >>> _unquoted('"localhost" #If it is on another server'), _unquoted("5"), _unquoted("p#1")
    ('localhost', '5', 'p#1')
    """
    value = value.strip()
    if value[:1] in ('"', "'") and (end := value.find(value[0], 1)) > 0:
        return value[1:end]
    return value.split(" #", 1)[0].strip()


def settings_of(older: dict[str, str]) -> dict[str, str]:
    """Our settings for those of tweet.ini.

    >>> settings_of({"dbname": "x", "dbuser": "me", "dbpass": "a@b", "authcsv": "codes.csv"})
    {'DATABASE_URL': 'postgresql://me:a%40b@localhost:5432/x', 'X_CREDENTIALS': 'codes.csv'}
    """
    found = {}
    if older.get("dbname"):
        user = quote(older.get("dbuser", ""), safe="")
        password = f":{quote(older['dbpass'], safe='')}" if older.get("dbpass") else ""
        place = f"{older.get('dbhost') or 'localhost'}:{older.get('dbport') or 5432}"
        found["DATABASE_URL"] = f"postgresql://{user}{password}{'@' if user else ''}{place}/{quote(older['dbname'])}"
    for key, name in (("authcsv", "X_CREDENTIALS"), ("csvfolder", "CSV_FOLDER"), ("threads", "X_THREADS")):
        if older.get(key):
            found[name] = older[key]
    return found


class Configuration:
    """The add-on that checks the settings of a crawl and sets what follows from others: proxies, sandbox.

    Add-ons are Scrapy's place for it: they run when every `-s` is known and before any component is built.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Configuration:
        return cls(crawler)

    def update_settings(self, settings: BaseSettings) -> None:
        check(settings)
        is_chan = getattr(self.crawler.spidercls, "name", None) == "chan"
        if is_chan and not settings.getbool("SANDBOX"):
            check_pace(settings)
        warn_of_readable(settings)
        found = listed(settings)
        if settings.getbool("SANDBOX"):
            # Imported here: a crawl of the real site needs no server.
            from chancrawl.sandbox.process import start_for

            start_for(self.crawler, settings)
            if found:
                logger.info("The sandbox is read directly; ROTATING_PROXY_LIST is ignored.")
        elif found:
            switch_on(settings, found)
        else:
            check_environment(settings["CHAN_API_URL" if is_chan else "X_API_URL"])


def check(settings: BaseSettings) -> None:
    """UserError for the first setting with a bad value."""
    for name, lowest in NUMBERS.items():
        convert = int if isinstance(lowest, int) else float
        with contextlib.suppress(TypeError, ValueError):
            if lowest <= convert(settings.get(name)) < 10**9:
                continue
        kind = "a whole number" if convert is int else "a number"
        raise UserError(f"{name} is {settings.get(name)!r}; it has to be {kind}, {lowest:g} or more.")
    if settings.get("X_FOLLOW") not in ("number", "name"):
        raise UserError(f"X_FOLLOW is {settings.get('X_FOLLOW')!r}; it has to be number or name.")
    for name in ("SANDBOX", "SENTIMENT", "X_BILL_INCLUDES", "X_ALLOW_HTTP"):
        value = str(settings.get(name)).lower()
        if value not in ("0", "1", "true", "false", "none", ""):
            raise UserError(f"{name} is {settings.get(name)!r}; it has to be 1 or 0.")
        settings.set(name, value in ("1", "true"), priority="cmdline")
    _check_budget(settings.get("X_DAILY_BUDGET"))
    _check_database(settings.get("DATABASE_URL") or "")
    for name in ("CHAN_API_URL", "X_API_URL"):
        _check_api(name, settings.get(name) or "")
    _check_secrecy(settings)
    umask = str(settings.get("UMASK") or "")
    if umask and not re.fullmatch("0?[0-7]{3}", umask):
        raise UserError(f"UMASK is {umask}; it has to be three octal digits, for example 027.")
    _expand(settings)
    for name in ("CSV_FOLDER", "USER_AGENT"):
        if not settings.get(name):
            raise UserError(f"{name} is empty; leave it out for its default.")
    truth = settings.get("SANDBOX_TRUTH")
    if truth and not Path(truth).absolute().parent.is_dir():
        raise UserError(f"SANDBOX_TRUTH is {truth}, but there is no folder {Path(truth).absolute().parent}.")
    for key in ini_file():
        if key.upper() not in settings:
            name = key.upper() if re.fullmatch("[a-z_]+", key) else "something"  # else it may be a part of a secret
            raise UserError(f"chancrawl.ini sets {name}, which is no setting; write NAME = value.")


WHICH_DATABASE = "which database? Set DATABASE_URL=postgresql://user:password@host:5432/name"


def _check_database(url: str) -> None:
    """UserError for an address that is none. Never with the address: it holds a password.

    Whatever libpq takes is one: several hosts, parameters, or `host=… dbname=…`.
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
    """
    if not url or _is_database(url):
        return
    raise UserError(
        "DATABASE_URL is no PostgreSQL address; write postgresql://user:password@host:5432/name, with signs such as "
        "@, / and % in the password as %40, %2F and %25."
    )


def _is_database(url: str) -> bool:
    try:
        parts = parse_dsn(url)
    except (ValueError, psycopg2.Error):
        return False
    if not url.startswith(("postgresql://", "postgres://")):
        return "://" not in url
    # A sign that has a meaning in addresses, unescaped in a password, would make a host, a port or a name of its rest.
    ports = str(parts.get("port") or "5432").split(",")
    is_whole = "@" not in f"{parts.get('host', '')}{parts.get('dbname', '')}"
    return is_whole and all(not port or (port.isdigit() and int(port) > 0) for port in ports)


def _check_secrecy(settings: BaseSettings) -> None:
    """UserError where the tokens of X would go over a network in the clear."""
    url = settings["X_API_URL"]
    if urlsplit(url).scheme == "http" and not is_local(url) and not settings.getbool("X_ALLOW_HTTP"):
        raise UserError(
            f"X_API_URL is {url}: over http the credentials can be read by everybody on the way. Write https, or set "
            "X_ALLOW_HTTP=1 for a network that is yours alone."
        )


PATHS = ("CSV_FOLDER", "X_CREDENTIALS", "ROTATING_PROXY_LIST_PATH", "SANDBOX_TRUTH", "LOG_FILE")


def _expand(settings: BaseSettings) -> None:
    """Give ~ in paths its meaning, also where no shell does; and a sandbox a folder of its own."""
    for name in PATHS:
        value = settings.get(name)
        if isinstance(value, str) and value.startswith("~"):
            settings.set(name, home(value), priority=settings.getpriority(name) or 0)
    is_default = settings["CSV_FOLDER"] == DEFAULT_FOLDER
    if settings.getbool("SANDBOX") and is_default and (settings.getpriority("CSV_FOLDER") or 0) <= PROJECT:
        settings.set("CSV_FOLDER", SANDBOX_FOLDER, priority="project")


def warn_of_readable(settings: BaseSettings) -> None:
    """Say once of each file with secrets that other users of this machine can read it."""
    files = {"X_CREDENTIALS": settings.get("X_CREDENTIALS"), "proxies": settings.get("ROTATING_PROXY_LIST_PATH")}
    if any(_has_password(value) for value in ini_file().values()):
        files["settings"] = "chancrawl.ini"
    if tweet_ini().get("dbpass"):
        files["older settings"] = "tweet.ini"
    for name, file in files.items():
        try:
            is_readable = bool(file) and os.name == "posix" and bool(Path(file or "").stat().st_mode & 0o044)
        except OSError:
            continue
        if is_readable:
            logger.warning(
                "%s (%s) holds secrets, and other users of this machine can read it: chmod 600 it.", file, name
            )


IN_SCRAPYD = "SCRAPY_PROJECT" in os.environ
"""Whether this is a job of Scrapyd, which sets the variable for each."""


def check_given(settings: BaseSettings, given: Sequence[str]) -> None:
    """UserError for a `-s NAME=VALUE` that would do nothing, or would show a secret. `settings` have them already."""
    project = import_module("chancrawl.settings")
    known = {name for module in (default_settings, project) for name in dir(module) if name.isupper()}
    for entry in given:
        name, _, value = entry.partition("=")
        name = name.strip()
        if name not in known:
            close = difflib.get_close_matches(name.upper().replace("-", "_"), known, 1, 0.8)
            if close:
                raise UserError(f"There is no setting {name}; {close[0]} is one.")
        if name in ("DATABASE_URL", "ROTATING_PROXY_LIST") and IN_SCRAPYD and _has_password(value):
            raise UserError(
                f"{name} has a password, and Scrapyd shows the settings of a job to all who may look: put it into the "
                "environment of the Scrapyd service or into chancrawl.ini in its folder, not into setting=."
            )
        if name == "DATABASE_URL":
            settings.set(name, text_of(value), priority="cmdline")


def _has_password(value: str) -> bool:
    return bool(re.search(r"(?:^|[,/\s])[^/\s,@]*:[^\s@]*@|password\s*=", value))


def _check_budget(value: Any) -> None:
    if value in (None, ""):
        return
    with contextlib.suppress(TypeError, ValueError):
        if 0 < float(value) < 10**9:
            return
    raise UserError(f"X_DAILY_BUDGET is {value!r}; it has to be a number of US dollars above 0, for example 5.")


def check_pace(settings: BaseSettings) -> None:
    """UserError for less time between two requests than 4chan allows."""
    host, delay = urlsplit(settings["CHAN_API_URL"]).hostname or "", settings.getfloat("DOWNLOAD_DELAY")
    if host.endswith("4cdn.org") and delay < 1:
        raise UserError(f"DOWNLOAD_DELAY is {delay:g}, but 4chan allows one request a second: 1 or more.")


def _check_api(name: str, url: str) -> None:
    try:
        address = urlsplit(url)
        good = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
        good = good and not address.username
    except ValueError:
        good = False
    if not good:
        example = {"CHAN_API_URL": "https://a.4cdn.org", "X_API_URL": "https://api.x.com"}[name]
        raise UserError(f"{name} has to be an address such as {example}, without user and password.")


# The lowest value of each number; those that are whole have to be whole.
NUMBERS: dict[str, int | float] = {
    "DOWNLOAD_DELAY": 0.0,
    "DOWNLOAD_TIMEOUT": 1.0,
    "CONCURRENT_REQUESTS": 1,
    "BATCH_SIZE": 1,
    "SPOOL_MB": 0.0,
    "DISK_PATIENCE": 0.0,
    "STORE_PATIENCE": 0.0,
    "QUARANTINE_MB": 0.0,
    "CLOCK_TOLERANCE": 1.0,
    "SOURCE_PATIENCE": 1.0,
    "BATCH_SECONDS": 0.1,
    "BACKOFF_MAX": 1.0,
    "CHAN_INDEX_INTERVAL": 0.0,
    "CHAN_THREAD_INTERVAL": 0.0,
    "RETRY_TIMES": 0,
    "SANDBOX_SPEED": 0.001,
    "X_PRICE_POST": 0.0,
    "X_PRICE_USER": 0.0,
    "X_PRICE_TRENDS": 0.0,
    "X_QUERY_LENGTH": 64,
    "X_OUTAGE_PATIENCE": 0.0,
    "X_RECHECK_DAYS": 0.0,
    "X_TREND_WINDOW": 0.0,
}
