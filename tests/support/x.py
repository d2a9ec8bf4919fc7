"""Crawls of the sandbox's X, and what they stored."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chancrawl.text import list_text
from chancrawl.x.legacy import COLUMNS
from tests.support import ROOT
from tests.support.crawls import Crawler, Run
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox

BUNDLED = ROOT / "chancrawl" / "sandbox" / "credentials.csv"
LISTS = ("hashtags", "urls", "user_mentions_id", "media", "user_mentions_name", "retweeted_status_url")


@dataclass
class XCrawler(Crawler):
    """Crawls of X into one store."""

    credentials: Path = BUNDLED

    def x(self, spider: str, *arguments: str, timeout: float = 60, cwd: Path = ROOT) -> Run:
        return super().__call__(*self.with_settings(*arguments), spider=spider, timeout=timeout, cwd=cwd)

    def with_settings(self, *arguments: str) -> list[str]:
        given = " ".join(arguments)
        values = {"X_API_URL": self.url, "X_CREDENTIALS": str(self.credentials), "DOWNLOAD_DELAY": "0"}
        values |= {"X_BILL_INCLUDES": "0"}
        settings = [
            part for name, value in values.items() if f"{name}=" not in given for part in ("-s", f"{name}={value}")
        ]
        return [*arguments, *settings]

    def timeline(self, handles: str, *arguments: str, timeout: float = 60) -> Run:
        return self.x("timeline", "-a", f"handles={handles}", *arguments, timeout=timeout)

    # --- what is in the store

    def rows(self, sql: str) -> list[Any]:
        """From the database of the crawl."""
        if self.database_url:
            return Database(self.database_url).rows(sql)
        import sqlite3

        connection = sqlite3.connect(self.folder / "chancrawl.sqlite")
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def articles(self) -> list[dict[str, str]]:
        """The rows of tweet_articles_tweepy, or of all CSV files of handles: texts, empty for null."""
        if self.database_url:
            rows = Database(self.database_url).rows(f"SELECT {', '.join(COLUMNS)} FROM tweet_articles_tweepy")
            return [{n: "" if v is None else str(v) for n, v in zip(COLUMNS, row, strict=True)} for row in rows]
        found = []
        for file in sorted((self.folder / "twitter").glob("*.csv")):
            if not file.name.startswith("x.") or file.name == "x.trends.csv":
                with file.open(newline="", encoding="utf-8") as stream:
                    rows_ = list(csv.DictReader(stream))
                if rows_ and "tweet_from" in rows_[0]:
                    found += [{name: row[name] for name in COLUMNS} for row in rows_]
        return found

    def ids(self) -> Counter[int]:
        return Counter(int(row["id"]) for row in self.articles())


def expected(truth: dict[str, Any]) -> dict[str, str]:
    """A row of the truth as texts."""
    values = {name: list_text(truth[name]) if name in LISTS else truth[name] for name in COLUMNS}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def handles_of(sandbox: Sandbox, status: str = "active") -> list[str]:
    return [account["username"] for account in sandbox.x_accounts() if account["status"] == status]


def pages(requests: list[dict[str, Any]], endpoint: str = "timeline") -> list[dict[str, Any]]:
    return [request for request in requests if request["endpoint"] == endpoint and request["status"] == 200]


def served(requests: list[dict[str, Any]]) -> Counter[int]:
    return Counter(number for request in requests for number in request["ids"])
