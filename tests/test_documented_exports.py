"""The commands and recipes of docs/exporting.md, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chancrawl.exports.export import NAMES
from tests.support import ROOT
from tests.support.crawls import Crawler, environment
from tests.support.sandboxes import Sandbox
from tests.support.x import XCrawler, handles_of

PAGE = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")


@pytest.mark.soak
def test_commands_and_recipes(sandbox: Sandbox, tmp_path: Path) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url)
    crawler("-aboard=po,wsr").ok()
    name = handles_of(sandbox)[0]
    XCrawler(tmp_path / "data", sandbox.url).timeline(name, "-a", "limit=20").ok()
    commands = re.findall(r"^    scrapy (export [^#\n]*\S)(?: +# .*)?$", PAGE, re.MULTILINE)
    assert len(commands) == 11
    for command in commands:
        words = command.replace("pol", "po").replace("@nasa", f"@{name}").split()
        words = [word for word in words if word not in ("--since", "2026-11-01", "--until", "2026-12-01")]
        done = subprocess.run(
            [sys.executable, "-m", "scrapy", *words, "-s", f"CSV_FOLDER={tmp_path / 'data'}"], cwd=tmp_path,
            env=environment() | {"SCRAPY_SETTINGS_MODULE": "chancrawl.settings", "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    crawler.other("export", "posts", "-o", str(tmp_path / "posts.jsonl")).ok()
    code += "assert len(posts) > 1000 and len(days.fetchall()) > 1 and posts['no'].dtype == 'Int64'\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_table_is_on_the_page() -> None:
    for name in NAMES:
        assert f"| `{name}` |" in PAGE
