"""The description of an exported folder: README.md for people, export.json for programs, and the check of both.

After Gebru et al., Datasheets for Datasets (https://arxiv.org/abs/1803.09010): what is in it, how it was collected,
and what is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chancrawl import __version__
from chancrawl.errors import UserError
from chancrawl.exports import metadata
from chancrawl.exports.columns import Column
from chancrawl.exports.coverage import hours_of
from chancrawl.exports.export import Exported, about
from chancrawl.exports.pseudonyms import LEFT_OUT, Pseudonyms
from chancrawl.exports.tables import TABLES, Filters
from chancrawl.exports.writers import digest_of, json_text
from chancrawl.storage.base import Store, moment
from chancrawl.storage.schema import SCHEMA

README, MANIFEST = "README.md", "export.json"

OF_BOARDS = ("posts", "revisions", "deletions", "quotes", "threads", "coverage")
OF_X = ("tweets", "retweets", "accounts", "trends")

SOURCES = {
    "4chan": (
        OF_BOARDS, "https://www.4chan.org",
        "the read-only API of 4chan (https://github.com/4chan/4chan-API). Its terms: name the source with a link, do "
        "not call a project official, do not host a copy of the site.",
    ),
    "X": (
        OF_X, "https://x.com",
        "the X API (https://docs.x.com). Its developer policy (https://docs.x.com/developer-terms/policy): to others "
        "you may give the numbers of posts and accounts, and not their content; what was deleted or protected at X has "
        "to be removed within 24 hours of being asked.",
    ),
}  # fmt: skip

GAPS = "SELECT feed, starts_at, ends_at, reason FROM gaps ORDER BY feed, before_id"
RUNS = "SELECT min(started_at), max(coalesce(finished_at, alive_at, started_at)), count(*) FROM runs"
ADDRESSES = "SELECT DISTINCT source FROM runs WHERE source IS NOT NULL ORDER BY source"


def describe(
    store: Store,
    folder: Path,
    names: Sequence[str],
    filters: Filters,
    done: Exported,
    pseudonyms: Pseudonyms | None = None,
) -> None:
    """Write README.md and export.json into a folder that was exported."""
    missing = coverage_of(store, filters) if set(names) & set(OF_BOARDS) else {}
    ((first, last, runs),) = store.stream(RUNS)
    facts: dict[str, Any] = {
        "program": f"chancrawl {__version__}",
        "exported_at": _time(done.began),
        "asked_for": {"tables": list(names), "filters": _plain(filters.given())},
        "collected": {"from": _time(first), "until": _time(last), "crawls": runs,
                      "sources": [address for (address,) in list(store.stream(ADDRESSES))]},
        "tables": {
            name: {"rows": done.rows[name], "about": about(name), "columns": list(described(name, done.columns[name]))}
            for name in names
        },
        "coverage": missing,
        "not_read": [
            {"feed": feed, "from": _time(start), "until": _time(end), "reason": reason}
            for feed, start, end, reason in list(store.stream(GAPS))
        ] if set(names) & set(OF_X) else [],
        "files": {
            path: {"rows": file.rows, "bytes": file.path.stat().st_size, "sha256": file.digest}
            for path, file in sorted(done.files.items())
        },
    }  # fmt: skip
    if pseudonyms is not None:
        for name in ("asked_for", "not_read"):
            facts[name] = pseudonyms.value(facts[name], False)
        facts["pseudonyms"] = {"key": pseudonyms.fingerprint, "left_out": sorted(LEFT_OUT)}
    readme = "\n".join(_lines(facts))
    (folder / README).write_text(readme, encoding="utf-8")
    facts["files"][README] = _file(folder / README)
    for name in metadata.write(folder, facts):
        facts["files"][name] = _file(folder / name)
    (folder / MANIFEST).write_text(json_text(facts), encoding="utf-8")


def _file(path: Path) -> dict[str, Any]:
    return {"rows": 0, "bytes": path.stat().st_size, "sha256": digest_of(path)}


COUNTS = ("issued", "held", "deleted", "missing", "removed")
"""The counts of an hour in the datasheet."""


def coverage_of(store: Store, filters: Filters) -> dict[str, dict[str, Any]]:
    """How complete the chosen boards and times are, by board."""
    found: dict[str, dict[str, Any]] = {}
    for board, hour in hours_of(store, filters):
        sums = found.setdefault(board, {**dict.fromkeys(COUNTS, 0), "unwatched_seconds": 0.0,
                                        "from": _time(hour.start), "until": ""})  # fmt: skip
        counts = hour.issued, hour.held, hour.deleted, hour.missing_count, hour.removed
        for name, count in zip(COUNTS, counts, strict=True):
            sums[name] += count
        sums["unwatched_seconds"] += hour.unwatched.total_seconds()
        sums["until"] = _time(hour.start)
    return found


def described(name: str, columns: Sequence[Column]) -> Iterator[dict[str, str]]:
    """The columns of a table with their types and meanings."""
    table = TABLES[name].rows if name in TABLES else "board_hours"
    for column in columns:
        yield {"name": column.name, "type": column.type.value, "about": _comment(column, table)}


def _comment(column: Column, table: str) -> str:
    places = [column.source, f"{table}.{column.name}", f"posts.{column.name}"]
    return column.about or next((text for place in places if (text := COMMENTS.get(place))), "")


COMMENTS = {
    name: text.replace("''", "'")
    for name, text in re.findall(r"^COMMENT ON COLUMN ([\w.]+) IS '((?:[^']|'')*)';", SCHEMA, re.MULTILINE)
}
"""The comments of schema.sql, by table and column."""


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """The lines of README.md."""
    tables = facts["tables"]
    yield "# What this folder is\n"
    collected = facts["collected"]
    yield (f"Posts that {facts['program']} collected between {collected['from']} and {collected['until']} "
           f"({collected['crawls']} crawls), exported at {facts['exported_at']}. Times are UTC.\n")  # fmt: skip
    if given := facts["asked_for"]["filters"]:
        chosen = "; ".join(f"{name}: {_words(value)}" for name, value in given.items())
        yield f"Only a part was exported: {chosen}.\n"
    yield "| table | rows | one row is |\n|---|---|---|"
    yield from (f"| {name} | {table['rows']:,} | {table['about']} |" for name, table in tables.items())
    if facts["coverage"]:
        yield "\n# What is missing\n"
        yield ("A board numbers its posts in one sequence. A number that is not stored is a post that was deleted "
               "before it was seen, or was not read. Counted from the first visit of a board on.\n")  # fmt: skip
        yield ("| board | first hour | last hour | posts made | stored | deleted later | missing | removed since | "
               "not watched |")  # fmt: skip
        yield "|---|---|---|---|---|---|---|---|---|"
        for board, sums in facts["coverage"].items():
            numbers = " | ".join(f"{sums[name]:,}" for name in COUNTS)
            unwatched = f"{sums['unwatched_seconds'] / 60:,.0f} min"
            yield f"| {board} | {sums['from']} | {sums['until']} | {numbers} | {unwatched} |"
        yield "\nThe table `coverage` (`scrapy export coverage`) has each hour and the missing numbers."
    if facts["not_read"]:
        yield "\n# What was not read at X\n"
        yield "| feed | from | until | reason |\n|---|---|---|---|"
        yield from (
            f"| {gap['feed']} | {gap['from']} | {gap['until']} | {gap['reason']} |" for gap in facts["not_read"]
        )
    yield "\n# Where it comes from\n"
    for source, (of_source, address, terms) in SOURCES.items():
        if set(of_source) & tables.keys():
            yield f"- [{source}]({address}), by {terms}"
    if "pseudonyms" in facts:
        yield "\n# Pseudonyms\n"
        yield ("Names, handles, tripcodes, IDs of posters and numbers of accounts are replaced by keyed hashes; in "
               "texts, as whole words of four letters or more. The key is not here; its fingerprint is "
               f"{facts['pseudonyms']['key']}. Left out, where there were such columns: "
               f"{', '.join(facts['pseudonyms']['left_out'])}.")  # fmt: skip
    yield "\nThe posts belong to their authors. Numbers, times and texts identify people, also without their names."
    for name, table in tables.items():
        yield f"\n# The columns of {name}\n\n| column | type | meaning |\n|---|---|---|"
        yield from (f"| {c['name']} | {c['type']} | {c['about']} |" for c in table["columns"])
    yield "\n# Files\n\n`scrapy export --verify FOLDER` compares them with these sums.\n"
    yield "| file | rows | bytes | SHA-256 |\n|---|---|---|---|"
    yield from (
        f"| {path} | {file['rows']:,} | {file['bytes']:,} | {file['sha256']} |" for path, file in facts["files"].items()
    )
    yield ""


def verify(folder: Path) -> tuple[int, list[str]]:
    """Compare the files of an exported folder with export.json. Returns their number, and what is wrong."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sums = {path: str(known["sha256"]) for path, known in manifest["files"].items()}
    except FileNotFoundError:
        raise UserError(f"{folder} has no {MANIFEST}: it is no folder that was exported, or not complete.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{folder / MANIFEST} is damaged.") from None
    wrong = []
    for path, digest in sums.items():
        file = folder / path
        if not file.is_file():
            wrong.append(f"{path} is missing")
        elif digest_of(file) != digest:
            wrong.append(f"{path} was changed")
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    wrong += [f"{path} does not belong to it" for path in sorted(there - sums.keys() - {MANIFEST})]
    return len(sums), wrong


def _time(value: Any) -> str:
    time = moment(value)
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _time(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)
