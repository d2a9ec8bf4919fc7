"""CSV_FOLDER/forgotten.json: a copy of the tombstones beside the store. A restored backup lacks the younger ones."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from chancrawl.storage.base import Store
from chancrawl.storage.disk import sync, sync_folder
from chancrawl.storage.forgotten import KEY

FILE = "forgotten.json"


class Kept:
    """The copies in a folder, by the id of their database."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            copies: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
            return copies
        return {}

    def note(self, store: Store) -> None:
        """Copy the tombstones of a store."""
        rows = store.rows(KEY)
        if not rows:
            return
        key, changes = rows[0]
        copies, name = self._read(), _id_of(store)
        if copies.get(name, {}).get("changes") == changes:
            return
        copies[name] = {"key": key, "changes": changes,
                        "tombstones": dict(store.rows("SELECT mark, removal_id FROM tombstones"))}  # fmt: skip
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_name(f".{FILE}.new")
        new.touch(0o600)
        new.write_text(json.dumps(copies, indent=1), encoding="utf-8")
        sync(new)
        new.replace(self.file)
        sync_folder(self.file.absolute().parent)

    def is_ahead_of(self, store: Store) -> bool:
        """Whether the store was put back from a backup: it lacks tombstones that it had."""
        copy = self._read().get(_id_of(store))
        rows = store.rows(KEY)
        return copy is not None and copy["changes"] > (rows[0][1] if rows else 0)

    def restore(self, store: Store) -> None:
        """Put the tombstones into the store, in place of those that it has."""
        copy = self._read()[_id_of(store)]
        store.write([
            (store.sql_alone, ()),
            ("DELETE FROM tombstones", ()),
            ("DELETE FROM tombstone_keys", ()),
            ("INSERT INTO tombstone_keys (key, changes) VALUES (?, ?)", (copy["key"], copy["changes"] + 1)),
            *(("INSERT INTO tombstones (mark, removal_id) VALUES (?, ?)", row) for row in copy["tombstones"].items()),
        ])  # fmt: skip


def _id_of(store: Store) -> str:
    ((number,),) = store.rows("SELECT database_id FROM schema_version")
    return str(number)
