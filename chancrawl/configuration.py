"""Where settings come from besides `-s`, and what follows from them."""

from __future__ import annotations

import configparser
import logging
import os
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from scrapy.crawler import Crawler
from scrapy.settings import SETTINGS_PRIORITIES, BaseSettings

from chancrawl.errors import UserError
from chancrawl.middlewares import HidePasswords

T = TypeVar("T")


def configured(name: str, default: T) -> T | str:
    """A setting from the environment variable of its name, else from chancrawl.ini, else the default.

    chancrawl.ini lies in the working folder: a section `[chancrawl]` with the settings' names as keys.
    """
    if name in os.environ:
        return os.environ[name]
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read("chancrawl.ini", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SystemExit(f"chancrawl.ini cannot be read: {str(error).splitlines()[0]}") from None
    return parser.get("chancrawl", name, fallback=None) or default


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
    for name, lowest in POSITIVE.items():
        value = settings.get(name)
        try:
            good = float(value) >= lowest
        except (TypeError, ValueError):
            good = False
        if not good:
            raise UserError(f"{name} is {value!r}; it has to be a number, {lowest} or more.")
    url = settings.get("DATABASE_URL")
    if url and urlsplit(url).scheme not in ("postgresql", "postgres"):
        raise UserError("DATABASE_URL is no PostgreSQL address; write postgresql://user:password@host:5432/name.")
    api = settings.get("CHAN_API_URL") or ""
    if urlsplit(api).scheme not in ("http", "https") or not urlsplit(api).hostname:
        raise UserError(f"CHAN_API_URL is {api!r}; it has to be an address such as https://a.4cdn.org.")
    if not settings.get("CSV_FOLDER"):
        raise UserError("CSV_FOLDER is empty; name a folder, or leave the setting out for ./data.")
    path = settings.get("ROTATING_PROXY_LIST_PATH")
    if path and not Path(path).is_file():
        raise UserError(f"ROTATING_PROXY_LIST_PATH is {path}, but there is no such file; it holds one proxy a line.")


POSITIVE: dict[str, float] = {
    "DOWNLOAD_DELAY": 0,
    "DOWNLOAD_TIMEOUT": 1,
    "BATCH_SIZE": 1,
    "BATCH_SECONDS": 0.1,
    "BACKOFF_MAX": 1,
    "CHAN_INDEX_INTERVAL": 0,
    "CHAN_THREAD_INTERVAL": 0,
    "RETRY_TIMES": 0,
}


def switch_on_proxies(settings: BaseSettings) -> None:
    """Put scrapy-rotating-proxies to work when it is given proxies."""
    path = settings.get("ROTATING_PROXY_LIST_PATH")
    proxies = Path(path).read_text(encoding="utf-8").split() if path else settings.getlist("ROTATING_PROXY_LIST")
    proxies = [proxy for proxy in proxies if proxy.strip() and not proxy.startswith("#")]
    if not proxies:
        return
    middlewares: dict[Any, Any] = settings.getdict("DOWNLOADER_MIDDLEWARES")
    middlewares["chancrawl.middlewares.RotatingProxies"] = 610
    middlewares["chancrawl.middlewares.BanDetection"] = 620
    settings.set("DOWNLOADER_MIDDLEWARES", middlewares, priority="cmdline")
    # Two requests for each address: one under way, one waiting for its turn.
    if (settings.getpriority("CONCURRENT_REQUESTS") or 0) <= SETTINGS_PRIORITIES["project"]:
        settings.set("CONCURRENT_REQUESTS", 2 * len(proxies), priority="project")
    for name in ("rotating_proxies.expire", "rotating_proxies.middlewares"):
        logging.getLogger(name).addFilter(HidePasswords())
