"""Both stores read back into the same form, to be compared."""

from __future__ import annotations

import csv
import json
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from chancrawl.items import Post
from tests.support.databases import Database

TYPES = {field.name: str(field.type) for field in fields(Post)}
COLUMNS = [name for name in TYPES if name != "digest"]

T = TypeVar("T")

Posts = dict[tuple[str, int], dict[str, Any]]


def posts_of(store: Path | Database, earlier: bool = False) -> Posts:
    """The posts of a store by board and number, in their latest versions, or in their first if they have several."""
    if isinstance(store, Database):
        rows = store.rows(f"SELECT {', '.join(COLUMNS)} FROM {'post_revisions' if earlier else 'posts'}")
        posts = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        return {(post["board"], post["no"]): post for post in posts}
    versions: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for file in sorted(store.glob("chan/*/posts-*.csv")):
        for row in read(file):
            post = {name: value_of(name, text) for name, text in row.items()}
            versions.setdefault((post["board"], post["no"]), []).append(post)
    if earlier:
        return {key: posts[0] for key, posts in versions.items() if len(posts) > 1}
    latest = {key: max(posts, key=lambda post: int(post["revision"])) for key, posts in versions.items()}
    for file in sorted(store.glob("chan/*/deletions.csv")):
        for row in read(file):
            post = latest[row["board"], int(row["no"])]
            for name in ("deleted_at", "deletion_confirmed_at"):
                post[name] = value_of(name, row[name])
            post["last_seen_at"] = value_of("last_seen_at", row["last_seen_at"]) or post["last_seen_at"]
    return latest


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def value_of(name: str, text: str) -> Any:
    """A CSV field as the value that it stands for, as docs/data.md describes it."""
    kind = TYPES[name]
    if "list" in kind or kind == "Raw":
        return json.loads(text)
    if text == "":
        return "" if kind == "str" else None
    if "datetime" in kind:
        return datetime.fromisoformat(text).astimezone(UTC)
    if "bool" in kind:
        return {"true": True, "false": False}[text]
    return int(text) if "int" in kind else text


def replaced(item: T, **values: Any) -> T:
    """An item with other values, whatever its class."""
    for name, value in values.items():
        setattr(item, name, value)
    return item
