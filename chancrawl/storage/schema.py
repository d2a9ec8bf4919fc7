"""The tables of both stores, as schema.sql describes them."""

from __future__ import annotations

import re
from importlib import resources

SCHEMA = resources.files("chancrawl").joinpath("schema.sql").read_text(encoding="utf-8")
VERSION = int(re.findall(r"^-- Version: (\d+)$", SCHEMA, re.MULTILINE)[0])

COLUMNS: dict[str, set[str]] = {
    table: set(re.findall(r"^    ([a-z0-9_]+) +[a-z]", body, re.MULTILINE))
    for table, body in re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+) \((.*?)^\);", SCHEMA, re.MULTILINE | re.DOTALL)
}
"""The columns of each table."""
COLUMNS["post_revisions"] |= COLUMNS["posts"]
