"""CSV_FOLDER/forgotten.json: a copy of the tombstones beside the store. A restored backup lacks the younger ones.

A folder can have copies of several databases, and a database copies in several folders. Of a tombstone that both have,
the one that was made or lifted later counts.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from chancrawl.errors import UserError
from chancrawl.storage.base import Statement, Store, moment
from chancrawl.storage.disk import replace_file
from chancrawl.storage.forgotten import KEYS

FILE = "forgotten.json"
TOMBSTONES = "SELECT mark, kind, removal, is_lifted, changed_at FROM tombstones"
ADD = """
INSERT INTO tombstones (mark, kind, removal, is_lifted, changed_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (mark) DO UPDATE SET is_lifted = excluded.is_lifted, changed_at = excluded.changed_at
"""


class Kept:
    """The copies in a folder, by the id of their database."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def _read(self) -> dict[str, Any]:
        try:
            copies = json.loads(self.file.read_text(encoding="utf-8"))
            if all("keys" in copy and "tombstones" in copy for copy in copies.values()):
                return dict(copies)
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError):
            pass
        raise UserError(f"{self.file} is damaged; it has a copy of the tombstones. Put back an earlier one; or delete "
                        "it, if no backup of the database was put back.")  # fmt: skip

    def note(self, store: Store) -> None:
        """Copy the tombstones of a store."""
        keys = store.rows(KEYS)
        if not keys:
            return
        copies, name = self._read(), _id_of(store)
        if copies.get(name, {}).get("keys") == dict(keys):
            return
        rows = {mark: [kind, removal, bool(lifted), _text(at)]
                for mark, kind, removal, lifted, at in store.rows(TOMBSTONES)}  # fmt: skip
        copies[name] = {"keys": dict(keys), "tombstones": rows}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.file, json.dumps(copies, indent=1).encode(), 0o600)

    def restore(self, store: Store) -> bool:
        """Put the tombstones that a store lacks into it. Returns whether there were some: it was put back from a
        backup."""
        copy = self._read().get(_id_of(store))
        if copy is None or copy["keys"] == dict(store.rows(KEYS)):
            return False
        held = {mark: _text(at) for mark, _, _, _, at in store.rows(TOMBSTONES)}
        lacking: list[Statement] = [
            (ADD, (mark, kind, removal, lifted, datetime.fromisoformat(at)))
            for mark, (kind, removal, lifted, at) in copy["tombstones"].items() if at > held.get(mark, "")
        ]  # fmt: skip
        if lacking:
            keys = [("INSERT INTO tombstone_keys (key, changes) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, changes))
                    for key, changes in copy["keys"].items()]  # fmt: skip
            changed = ("UPDATE tombstone_keys SET changes = changes + ?", (max(copy["keys"].values()) + 1,))
            store.write([(store.sql_alone, ()), *keys, *lacking, changed])
        return bool(lacking)


def _text(at: Any) -> str:
    time = moment(at)
    assert time is not None
    return time.isoformat(timespec="microseconds")


def _id_of(store: Store) -> str:
    ((number,),) = store.rows("SELECT database_id FROM schema_version")
    return str(number)
