"""Where settings come from besides `-s`, and what follows from them."""

from __future__ import annotations

import configparser
import contextlib
import functools
import logging
import os
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn
from scrapy.crawler import Crawler
from scrapy.settings import SETTINGS_PRIORITIES, BaseSettings
from scrapy.utils.url import add_http_if_no_scheme

from chancrawl.errors import UserError
from chancrawl.middlewares import HidePasswords

T = TypeVar("T")


def configured(name: str, default: T) -> T | str:
    """A setting from the environment variable of its name, else from chancrawl.ini, else the default.

    chancrawl.ini lies in the working folder: a section `[chancrawl]` with the settings' names as keys.
    """
    if name in os.environ:
        return os.environ[name]
    return ini_file().get(name.lower()) or default


@functools.cache
def ini_file() -> dict[str, str]:
    """The section `[chancrawl]` of chancrawl.ini in the working folder, keys in lower case; empty without the file."""
    if not Path("chancrawl.ini").exists():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path("chancrawl.ini").read_text(encoding="utf-8"), source="chancrawl.ini")
        return dict(parser["chancrawl"])
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise SystemExit(f"chancrawl.ini cannot be read: {' '.join(str(error).split())}.") from None
    except KeyError:
        raise SystemExit("chancrawl.ini has no section [chancrawl]; the settings belong under it.") from None


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
        if settings.getbool("SANDBOX"):
            # Imported here: a crawl of the real site needs no server.
            from chancrawl.sandbox.process import start_for

            start_for(self.crawler, settings)
        switch_on_proxies(settings)


def check(settings: BaseSettings) -> None:
    """UserError for the first setting with a bad value."""
    for name, lowest in NUMBERS.items():
        convert = int if isinstance(lowest, int) else float
        with contextlib.suppress(TypeError, ValueError):
            if lowest <= convert(settings.get(name)) < 10**9:
                continue
        kind = "a whole number" if convert is int else "a number"
        raise UserError(f"{name} is {settings.get(name)!r}; it has to be {kind}, {lowest} or more.")
    if str(settings.get("SANDBOX")).lower() not in ("0", "1", "true", "false", "none", ""):
        raise UserError(f"SANDBOX is {settings.get('SANDBOX')!r}; it has to be 1 or 0.")
    settings.set("SANDBOX", str(settings.get("SANDBOX")).lower() in ("1", "true"), priority="cmdline")
    _check_database(settings.get("DATABASE_URL") or "")
    _check_api(settings.get("CHAN_API_URL") or "", settings.getfloat("DOWNLOAD_DELAY"))
    for name in ("CSV_FOLDER", "USER_AGENT"):
        if not settings.get(name):
            raise UserError(f"{name} is empty; leave it out for its default.")
    truth = settings.get("SANDBOX_TRUTH")
    if truth and not Path(truth).absolute().parent.is_dir():
        raise UserError(f"SANDBOX_TRUTH is {truth}, but there is no folder {Path(truth).absolute().parent}.")
    for key in ini_file():
        if key.upper() not in settings:
            raise UserError(f"chancrawl.ini sets {key.upper()}, which is no setting.")


def _check_database(url: str) -> None:
    """UserError for an address that is none. Never with the address: it holds a password."""
    if not url:
        return
    try:
        parse_dsn(url)
        address = urlsplit(url)
        if address.scheme in ("postgresql", "postgres") and address.netloc.count("@") < 2 and address.port != 0:
            return
    except (ValueError, psycopg2.Error):
        pass
    raise UserError(
        "DATABASE_URL is no PostgreSQL address; write postgresql://user:password@host:5432/name, with signs such as "
        "@ and / in the password as %40 and %2F."
    )


def _check_api(url: str, delay: float) -> None:
    try:
        address = urlsplit(url)
        good = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
        good = good and not address.username
    except ValueError:
        good = False
    if not good:
        raise UserError("CHAN_API_URL has to be an address such as https://a.4cdn.org, without user and password.")
    if (address.hostname or "").endswith("4cdn.org") and delay < 1:
        raise UserError(f"DOWNLOAD_DELAY is {delay:g}, but 4chan allows one request a second: 1 or more.")


# The lowest value of each number; those that are whole have to be whole.
NUMBERS: dict[str, int | float] = {
    "DOWNLOAD_DELAY": 0.0,
    "DOWNLOAD_TIMEOUT": 1.0,
    "CONCURRENT_REQUESTS": 1,
    "BATCH_SIZE": 1,
    "BATCH_SECONDS": 0.1,
    "BACKOFF_MAX": 1.0,
    "CHAN_INDEX_INTERVAL": 0.0,
    "CHAN_THREAD_INTERVAL": 0.0,
    "RETRY_TIMES": 0,
    "SANDBOX_SPEED": 0.001,
}


def proxies(settings: BaseSettings) -> list[str]:
    """The proxies of ROTATING_PROXY_LIST_PATH or ROTATING_PROXY_LIST; UserError for one that is none."""
    path = settings.get("ROTATING_PROXY_LIST_PATH")
    if path and not Path(path).is_file():
        raise UserError(f"ROTATING_PROXY_LIST_PATH is {path}, but there is no such file; it holds one proxy a line.")
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines() if path else settings.getlist("ROTATING_PROXY_LIST")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"ROTATING_PROXY_LIST_PATH is {path}, and that file cannot be read: {error}.") from None
    found = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    for number, proxy in enumerate(found, 1):
        with contextlib.suppress(ValueError):
            if urlsplit(add_http_if_no_scheme(proxy)).port:
                continue
        raise UserError(f"Proxy {number} of the list has no port; write http://user:password@host:port.")
    return found


def switch_on_proxies(settings: BaseSettings) -> None:
    """Put scrapy-rotating-proxies to work when it is given proxies."""
    found = proxies(settings)
    if not found:
        return
    settings.set("ROTATING_PROXY_LIST", found, priority="cmdline")
    settings.set("ROTATING_PROXY_LIST_PATH", None, priority="cmdline")
    middlewares: dict[Any, Any] = settings.getdict("DOWNLOADER_MIDDLEWARES")
    middlewares["chancrawl.middlewares.RotatingProxies"] = 610
    middlewares["chancrawl.middlewares.BanDetection"] = 620
    settings.set("DOWNLOADER_MIDDLEWARES", middlewares, priority="cmdline")
    # Two requests for each address: one under way, one waiting for its turn.
    if (settings.getpriority("CONCURRENT_REQUESTS") or 0) <= SETTINGS_PRIORITIES["project"]:
        settings.set("CONCURRENT_REQUESTS", 2 * len(found), priority="project")
    for name in ("rotating_proxies.expire", "rotating_proxies.middlewares"):
        logging.getLogger(name).addFilter(HidePasswords())
