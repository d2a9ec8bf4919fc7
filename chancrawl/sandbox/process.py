"""`-s SANDBOX=1`: starts a sandbox for one crawl, in a separate process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.settings import SETTINGS_PRIORITIES, BaseSettings

from chancrawl.errors import UserError
from chancrawl.setting_rows import ROWS

logger = logging.getLogger(__name__)


def start_for(crawler: Crawler, settings: BaseSettings) -> None:
    """Start a sandbox, turn the crawl's settings to it, and end it with the crawl.

    Its boards live on between crawls into one CSV_FOLDER: sandbox.json there remembers when they began.
    """
    memory = Path(settings["CSV_FOLDER"]) / "sandbox.json"
    began, clock = _remembered(memory)
    command = [sys.executable, "-m", "chancrawl.sandbox", "--port", "0", "--until-eof"]
    command += ["--start", str(began), "--clock", str(clock), "--speed", str(settings.getfloat("SANDBOX_SPEED"))]
    # Its standard input ends when this process does, however it ends; and it is no business of Ctrl-C.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONIOENCODING": "utf-8"},
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        raise UserError("The sandbox did not start; see the lines above.")
    logger.info("Reading the sandbox at %s, not the real site.", url)
    settings.set("CHAN_API_URL", url, priority="cmdline")
    settings.set("X_API_URL", url, priority="cmdline")
    bundled = ExitStack()  # in an egg, the file has to be unpacked for as long as the crawl runs
    credentials = resources.as_file(resources.files("chancrawl.sandbox").joinpath("credentials.csv"))
    settings.set("X_CREDENTIALS", str(bundled.enter_context(credentials)), priority="cmdline")
    for row in ROWS:  # the pace: it bothers nobody
        is_given = (settings.getpriority(row.name) or 0) > SETTINGS_PRIORITIES["project"]  # with -s
        if row.sandbox is not None and not is_given:
            settings.set(row.name, row.sandbox, priority="cmdline")

    def ask(what: str) -> bytes:
        with build_opener(ProxyHandler({})).open(f"{url}/sandbox/{what}") as answer:
            content: bytes = answer.read()
        return content

    def first_item() -> None:
        crawler.signals.disconnect(first_item, signals.item_scraped, weak=False)  # as it was connected
        _remember(memory, began, clock)  # now, for the crawl may be killed

    def spider_closed() -> None:
        if memory.exists():
            _remember(memory, began, json.loads(ask("clock"))["now"])
        if truth := settings.get("SANDBOX_TRUTH"):
            Path(truth).write_bytes(ask("truth"))
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=10)
        assert process.stdout is not None
        process.stdout.close()
        bundled.close()

    crawler.signals.connect(first_item, signals.item_scraped, weak=False)
    crawler.signals.connect(spider_closed, signals.spider_closed, weak=False)


def _remember(file: Path, began: float, clock: float) -> None:
    """Write sandbox.json atomically."""
    new = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps({"began": began, "clock": clock}), encoding="utf-8")
        new.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        logger.warning("%s could not be written: %s", file, error.strerror)


def _remembered(file: Path) -> tuple[float, float]:
    """When the boards began to live, and where their clock starts now: never behind where it was."""
    now = time.time()
    if not file.exists():
        return now, now
    try:
        memory = json.loads(file.read_text(encoding="utf-8"))
        return float(memory["began"]), max(now, float(memory["clock"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{file} cannot be read, and without it the sandbox is another one; name another CSV_FOLDER."
        ) from None
