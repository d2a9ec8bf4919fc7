"""`scrapy quarantine`: shows what was set aside. `scrapy quarantine take-in` stores its rows."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.errors import UserError
from chancrawl.items import Item
from chancrawl.storage.base import Store, parts
from chancrawl.storage.csv.sink import CsvSink, is_on
from chancrawl.storage.factory import store_of
from chancrawl.storage.forgotten import Forgotten
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.quarantine import TAKING, KeptRow, begin_taking, end_taking, kept_rows, kind_of, report_of
from chancrawl.text import counted, visible

AT_ONCE = 500


class Command(StoreCommand):
    failure = "The rows cannot be stored"
    formats = ("text", "json")

    def syntax(self) -> str:
        return "[take-in]"

    def short_desc(self) -> str:
        return "Show what could not be read or stored, or store its rows"

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if args not in ([], ["take-in"]):
            raise UsageError("quarantine takes no arguments, or take-in")
        folder = Path(self.settings["CSV_FOLDER"]) / "quarantine"
        if args:
            self._take_in(folder)
        else:
            show(folder, Kinds.from_settings(self.settings), opts.format)

    def _take_in(self, folder: Path) -> None:
        assert self.settings is not None
        stored = left = removed = 0
        if not any(folder.glob("rows-*")):
            print(f"No row waits in {folder}.")
            return
        store = store_of(self.settings)
        try:
            store.open_beside()
            begin_taking(folder)
            forgotten = Forgotten(store.kinds)
            forgotten.refresh(store.rows)
            for file, rows in kept_rows(folder, store.kinds, f"rows-*{TAKING}"):
                rejected: list[KeptRow] = []
                for some in parts(rows, AT_ONCE):
                    rejected += take_in(store, some)
                items = forgotten.left([row.item for row in rows if row not in rejected])
                self._to_files(items)
                end_taking(file, rejected)
                stored, left = stored + len(items), left + len(rejected)
                removed += len(rows) - len(rejected) - len(items)
        finally:
            store.close()
        print(f"Stored in {store.place}: {counted(stored, 'row')}.")
        if removed:
            print(f"Not stored, because it was removed (scrapy forget): {counted(removed, 'row')}.")
        if left:
            print(f"Still rejected, and kept in {folder}: {counted(left, 'row')}.")
            self.exitcode = 1

    def _to_files(self, items: Sequence[Item]) -> None:
        """Rows that were stored go to the CSV files too, if a crawl does not write them."""
        assert self.settings is not None
        if not is_on(self.settings):
            return
        sink = CsvSink(self.settings)
        try:
            sink.announce(items)
            sink.write(items)
        except UserError:
            print("A crawl writes the CSV files; `scrapy csv` adds these rows to them when it has ended.")
        finally:
            sink.close()


def take_in(store: Store, rows: list[KeptRow]) -> list[KeptRow]:
    """Store rows. Returns the rows that are rejected again, with new reasons. Rows that are stored do not change."""
    items: dict[int, KeptRow] = {}
    batch: list[Item] = []
    reasons: dict[int, str] = {}
    for row in rows:
        item = row.item
        try:
            store.kinds.of(item).describe(item)
        except Exception as error:  # the reason why it was set aside remains
            reasons[id(row)] = f"{type(error).__name__}: {error}"
            continue
        items[id(item)] = row
        batch.append(item)
    reasons |= {id(items[id(item)]): reason for item, reason in store.take_in(batch)}
    return [replace(row, reason=reasons[id(row)]) for row in rows if id(row) in reasons]


def show(folder: Path, kinds: Kinds, form: str) -> None:
    payloads: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for file in sorted(folder.glob("*.json")):
        report = report_of(file)
        kind = kind_of(report.get("reason", "?"))
        payloads[kind] += 1
        examples[kind] = f"{file.with_suffix('.body').name} from {report.get('url', '?')}"
    rows = Counter(
        (kept.what.partition(" ")[0], kept.reason.partition(" DETAIL:")[0])
        for _, found in kept_rows(folder, kinds)
        for kept in found
    )
    if form == "json":
        found = {
            "payloads": [{"problem": k, "kept": n, "example": examples[k]} for k, n in payloads.most_common()],
            "rows": [{"kind": k, "reason": reason, "rows": n} for (k, reason), n in rows.most_common()],
        }
        print(json.dumps(found, indent=1))
        return
    if not payloads and not rows:
        print(f"Nothing is in {folder}.")
    if rows:
        print(f"Rows that could not be stored, in {folder} (`scrapy quarantine take-in` stores them):")
        for (kind, reason), number in rows.most_common(50):
            print(f"{number:9,}  {visible(kind)}: {visible(reason)[:200]}")
    if payloads:
        print(f"Payloads with something unreadable, in {folder} (examples of each kind and day):")
        for kind, number in payloads.most_common(50):
            print(f"{number:9,}  {visible(kind)}: {visible(examples[kind])}")
