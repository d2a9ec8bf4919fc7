"""Payloads that could not be read, set aside under CSV_FOLDER/quarantine for a person to look at."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

from scrapy.crawler import Crawler

from chancrawl.items import Item, columns
from chancrawl.spool import encoded

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
        url = path if path.startswith("http") else self.base_url + path
        name = name_of(datetime.now(UTC), url, body)
        self.stats.inc_value("quarantine/payloads")
        logger.warning("Set aside as %s in %s: %s: %s", name, self.folder, url, reason)
        asyncio.get_running_loop().run_in_executor(None, self._keep, url, body, reason)

    def _keep(self, url: str, body: bytes, reason: str) -> None:
        try:
            keep(self.folder, url, body, reason)
        except OSError as error:
            self.stats.inc_value("quarantine/not_kept")
            logger.error("Could not keep what %s answered: %s", url, error)


def keep(folder: Path, url: str, body: bytes, reason: str) -> str:
    """Put something aside; its name. Blocks."""
    now = datetime.now(UTC)
    name = name_of(now, url, body)
    report = {"url": url, "time": now.isoformat(timespec="seconds"), "reason": reason, "bytes": len(body)}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.body").open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return name


def name_of(now: datetime, url: str, body: bytes) -> str:
    return f"{now:%Y-%m-%d}-{sha256(url.encode(errors='replace') + body).hexdigest()[:16]}"


def keep_row(folder: Path, item: Item, reason: str) -> bool:
    """Put a row aside that the database rejects, as JSON; into the log if that cannot be (False). Blocks."""
    names = "/".join(str(getattr(item, key)) for key in columns(type(item))[:2])
    what = f"{type(item).__name__.lower()} {names}"
    try:
        name = keep(folder, what, encoded(item).encode(), f"the database rejects it: {reason}")
    except OSError as error:
        logger.error(
            "The database rejects %s (%s), and it cannot be set aside in %s (%s). This is the row: %s",
            what, reason, folder, error.strerror, encoded(item),
        )  # fmt: skip
        return False
    logger.warning("The database rejects %s (%s); it is set aside as %s in %s.", what, reason, name, folder)
    return True
