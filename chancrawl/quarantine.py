"""Payloads that could not be read, set aside under CSV_FOLDER/quarantine for a person to look at."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)


class Quarantine:
    """An extension. Each payload becomes NAME.body, to the byte, and NAME.json with its URL, time and reason.

    The name begins with the day and ends with a hash of URL and body, so that one bad payload met again and again in a
    day takes its place once.
    """

    def __init__(self, folder: Path, base_url: str, crawler: Crawler) -> None:
        self.folder = folder
        self.base_url = base_url
        self.stats = crawler.stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        folder = Path(crawler.settings["CSV_FOLDER"]) / "quarantine"
        return cls(folder, crawler.settings["CHAN_API_URL"].rstrip("/"), crawler)

    @classmethod
    def of(cls, crawler: Crawler) -> Quarantine:
        """The quarantine of a crawl."""
        quarantine = crawler.get_extension(cls)
        assert quarantine is not None, "chancrawl.quarantine.Quarantine is not among the EXTENSIONS"
        return quarantine

    def set_aside(self, path: str, body: bytes, reason: str) -> None:
        """Keep a payload that came from a path of 4chan's API, or a whole address. A full disk costs the copy only."""
        now = datetime.now(UTC)
        url = path if path.startswith("http") else self.base_url + path
        name = f"{now:%Y-%m-%d}-{sha256(url.encode() + body).hexdigest()[:16]}"
        self.stats.inc_value("quarantine/payloads")
        logger.warning("Set aside as %s in %s: %s: %s", name, self.folder, url, reason)
        report = {"url": url, "time": now.isoformat(timespec="seconds"), "reason": reason, "bytes": len(body)}
        asyncio.get_running_loop().run_in_executor(None, self._keep, name, body, report)

    def _keep(self, name: str, body: bytes, report: dict[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{name}.body").write_bytes(body)
            (self.folder / f"{name}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        except OSError as error:
            self.stats.inc_value("quarantine/not_kept")
            logger.error("Could not keep %s: %s", name, error)
