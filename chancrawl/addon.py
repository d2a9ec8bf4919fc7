"""What is done with the settings before a crawl or a command begins: they are checked, and others follow from them."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings, default_settings

from chancrawl.arguments import home
from chancrawl.configuration import env_file, ini_file, place_of, secret_in, tweet_ini
from chancrawl.errors import UserError
from chancrawl.http import is_local
from chancrawl.proxies import PROJECT, check_environment, listed, switch_on
from chancrawl.setting_rows import DEFAULT_FOLDER, NAMES_IN_FILES, ROWS, SANDBOX_FOLDER, SECRETS, Setting
from chancrawl.surroundings import text_of

logger = logging.getLogger(__name__)


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


# --- checks of every command


def check(settings: BaseSettings) -> None:
    """Read each setting as its row says. UserError for the first with a bad value."""
    _take_secrets(settings)
    for row in ROWS:
        read(settings, row)
    _check_secrecy(settings)
    _check_order(settings)
    _check_names(settings)
    is_default = settings["CSV_FOLDER"] == DEFAULT_FOLDER
    if settings.getbool("SANDBOX") and is_default and (settings.getpriority("CSV_FOLDER") or 0) <= PROJECT:
        settings.set("CSV_FOLDER", SANDBOX_FOLDER, priority="project")


def read(settings: BaseSettings, row: Setting) -> None:
    """Read a setting as its row says. UserError for a bad value, with the place that it comes from."""
    value, priority = settings.get(row.name), settings.getpriority(row.name) or 0
    place = place_of(row) if row.is_in_files and priority <= PROJECT else None
    where = "" if place is None else f" (in {'its file' if place.file_of(row) else place.name})"
    new = row.kind.read(row.name + where, value)
    if new is not value:
        settings.set(row.name, new, priority=priority)


def _take_secrets(settings: BaseSettings) -> None:
    """Read the secrets that `-s NAME_FILE=…` names, or a program that starts Scrapy. UserError if NAME is given too.

    The settings module has none of these names: it has the values already.
    """
    for row in SECRETS:
        file, priority = settings.get(row.file_name), settings.getpriority(row.file_name) or 0
        own_priority = settings.getpriority(row.name) or 0
        if not file or priority < own_priority:
            continue
        secret = secret_in(row.file_name, str(file))
        if priority == own_priority and settings.get(row.name) not in (None, "", secret):
            raise UserError(f"{row.name} and {row.file_name} are both given; leave one of them out.")
        settings.set(row.name, secret, priority=priority)


def _check_secrecy(settings: BaseSettings) -> None:
    """UserError where the tokens of X would go over a network in the clear."""
    url = settings["X_API_URL"]
    if urlsplit(url).scheme == "http" and not is_local(url) and not settings.getbool("X_ALLOW_HTTP"):
        raise UserError(
            f"X_API_URL is {url}: over http the credentials can be read by everybody on the way. Write https, or set "
            "X_ALLOW_HTTP=1 for a network that is yours alone."
        )


def _check_order(settings: BaseSettings) -> None:
    """UserError if items would go through the pipelines side by side."""
    if str(settings.get("CONCURRENT_ITEMS")) != "1":
        raise UserError(
            f"CONCURRENT_ITEMS is {settings.get('CONCURRENT_ITEMS')!r}; it has to be 1: items go to the store in their "
            "order, posts before the state that speaks of them."
        )


def _check_names(settings: BaseSettings) -> None:
    """UserError for a name in chancrawl.ini that cannot be set there. `.env` may have names of other programs."""
    for name in sorted(ini_file().keys() - NAMES_IN_FILES):
        shown = name if re.fullmatch("[A-Z_]+", name) else "something"  # else it may be a part of a secret
        if name in settings:
            raise UserError(f"chancrawl.ini sets {shown}, which can only be set with -s {shown}=VALUE.")
        raise UserError(f"chancrawl.ini sets {shown}, which is no setting; write NAME = value.")


# --- checks of a crawl


def check_pace(settings: BaseSettings) -> None:
    """UserError for less time between two requests than 4chan allows."""
    host, delay = urlsplit(settings["CHAN_API_URL"]).hostname or "", settings.getfloat("DOWNLOAD_DELAY")
    if host.endswith("4cdn.org") and delay < 1:
        raise UserError(f"DOWNLOAD_DELAY is {delay:g}, but 4chan allows one request a second: 1 or more.")


def warn_of_readable(settings: BaseSettings) -> None:
    """Say once of each file with secrets that other users of this machine can read it."""
    files = [("X_CREDENTIALS", settings.get("X_CREDENTIALS")), ("proxies", settings.get("ROTATING_PROXY_LIST_PATH"))]
    for file, values in ((".env", env_file()), ("chancrawl.ini", ini_file())):
        if any(_has_password(value) for value in values.values()):
            files.append(("settings", file))
    if tweet_ini().get("dbpass"):
        files.append(("older settings", "tweet.ini"))
    for row in SECRETS:
        place = place_of(row)
        files.append((row.file_name, settings.get(row.file_name) or (place and place.file_of(row))))
    for name, file in files:
        if file and _is_readable(file):
            logger.warning(
                "%s (%s) holds secrets, and other users of this machine can read it: chmod 600 it.", file, name
            )


def _is_readable(file: str) -> bool:
    """Whether other users of this machine can read a file."""
    try:
        return os.name == "posix" and bool(Path(home(file)).stat().st_mode & 0o044)
    except OSError:
        return False


# --- what is given on the command line

IN_SCRAPYD = "SCRAPY_PROJECT" in os.environ
"""Whether this is a job of Scrapyd, which sets the variable for each."""


def check_given(settings: BaseSettings, given: Sequence[str]) -> None:
    """UserError for a `-s NAME=VALUE` that would do nothing, or would show a secret. `settings` have them already."""
    project = import_module("chancrawl.settings")
    known = {name for module in (default_settings, project) for name in dir(module) if name.isupper()} | NAMES_IN_FILES
    secrets = {row.name for row in SECRETS}
    for entry in given:
        name, _, value = entry.partition("=")
        name = name.strip()
        if name not in known:
            close = difflib.get_close_matches(name.upper().replace("-", "_"), known, 1, 0.8)
            if close:
                raise UserError(f"There is no setting {name}; {close[0]} is one.")
        if name.removesuffix("_FILE") in secrets and IN_SCRAPYD and _has_password(value):
            raise UserError(
                f"{name} has a password, and Scrapyd shows the settings of a job to all who may look: put it into the "
                "environment of the Scrapyd service or into chancrawl.ini in its folder, not into setting=."
            )
        if name in secrets:
            settings.set(name, text_of(value), priority="cmdline")


def _has_password(value: str) -> bool:
    return bool(re.search(r"(?:^|[,/\s])[^/\s,@]*:[^\s@]*@|password\s*=", value))
