"""`scrapy forget`: removes posts and people from the store and its files, and keeps them out."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scrapy.exceptions import UsageError

from chancrawl.arguments import well_formed
from chancrawl.command import StoreCommand
from chancrawl.errors import UserError
from chancrawl.forget import removal
from chancrawl.forget.files import Cleaning, csv_files_of, rebuild_csv
from chancrawl.forget.removal import lists_of
from chancrawl.forget.retention import Retention
from chancrawl.forget.subjects import FORMS, subject_of
from chancrawl.forget.wiping import wipe
from chancrawl.storage.base import Store, from_json, moment
from chancrawl.storage.csv.files import STATE_FILE, ask_for_rebuild
from chancrawl.storage.factory import store_of
from chancrawl.storage.kinds import Kinds, Subject
from chancrawl.storage.sqlite.store import SqliteStore
from chancrawl.text import capitalized, visible

LIST = "SELECT removal_id, kind, requested_at, finished_at, lifted_at, reason, rows FROM removals ORDER BY removal_id"
NOT_REACHED = (
    "Exports that were made, and copies of CSV files elsewhere.",
    "CSV files, quarantines and spools of other machines that write to the same database: run it there too.",
    "Backups (scrapy backup): name each file with --backup, or make a new one and delete it.",
    "Replicas, base backups and archives of the write-ahead log.",
    "Logs of Scrapyd, journald and cron, unless LOG_FILE names them.",
)


class Command(StoreCommand):
    failure = "The removal failed"

    def syntax(self) -> str:
        return "WHAT … [--reason TEXT] [--backup FILE], or --undo WHAT …, --list, --old, --wipe"

    def short_desc(self) -> str:
        return "Remove posts and people from the store and its files, and keep them out"

    def long_desc(self) -> str:
        return (
            f"WHAT is {FORMS}. What was removed does not come back, whatever reads or imports it; --undo lifts that. "
            "The record of a removal says when and why, and not what it was."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--reason", default="", metavar="TEXT", help="why; it is kept, so name nobody in it")
        add("--backup", type=Path, action="append", default=[], metavar="FILE",
            help="also remove it from this backup of an embedded database")  # fmt: skip
        add("--undo", action="store_true", help="collect WHAT again from now on; what was removed stays removed")
        add("--list", action="store_true", help="list the removals")
        add("--old", action="store_true", help="remove posts that are older than KEEP_DAYS, and deleted posts older "
            "than KEEP_DELETED_DAYS")  # fmt: skip
        add("--wipe", action="store_true", help="write the database anew, so that nothing of it is left in unused "
            "parts of its files; takes as long as a copy, and no crawl may run into an embedded one")  # fmt: skip

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if not args and (opts.undo or not (opts.list or opts.old or opts.wipe)):
            raise UsageError(f"name what to remove: {FORMS}")
        if (args and (opts.list or opts.old or opts.wipe)) or (opts.undo and opts.backup):
            raise UsageError("--list, --old and --wipe take no names, and --undo no --backup")
        subjects = [subject_of(well_formed("what to remove", text)) for text in args]
        reason = well_formed("--reason", opts.reason)
        store = store_of(self.settings)
        self.folder = Path(self.settings["CSV_FOLDER"])
        if isinstance(store, SqliteStore) and not store.file.exists():
            raise UserError(f"There is no database {store.file}: nothing was collected yet.")
        try:
            if opts.wipe:
                store.open()
            else:
                store.open_beside()
            if not store.is_created:
                raise UserError(f"{capitalized(store.place)} has no tables of chancrawl: nothing was collected yet.")
            self.lists = lists_of(store)
            for settled in removal.settle(store, self.folder, self._clean):
                print(f"An earlier removal was completed ({settled[0][0]}).")
            if opts.list:
                _list(store)
            elif opts.undo:
                self._undo(store, subjects, args)
            else:
                for subject in subjects:
                    self._remove(store, subject, reason, opts.backup)
            if opts.old:
                self._remove_old(store)
            if opts.wipe:
                left = wipe(store)
                print("\n".join(["Wiped.", *(f"Not reached: {what}" for what in left)]))
        finally:
            store.close()

    def _remove(self, store: Store, subject: Subject, reason: str, backups: Sequence[Path]) -> None:
        names, done = removal.remove(store, subject, reason, self.folder, self._clean)
        for file in backups:
            done += _remove_from_backup(file, store.kinds, names)
        print(f"Removed: {_in_words(done)}.")
        for what in NOT_REACHED:
            print(f"Not reached: {what}")
        print("Its bytes can still be in unused parts of the database's files: scrapy forget --wipe overwrites them.")

    def _clean(self, subjects: Sequence[Subject]) -> tuple[Counter[str], bool]:
        assert self.settings is not None
        cleaning = Cleaning(self.settings, subjects, self.lists)
        cleaning.clean()
        for sentence in cleaning.left:
            print(sentence)
        return cleaning.done, cleaning.is_complete

    def _undo(self, store: Store, subjects: Sequence[Subject], args: Sequence[str]) -> None:
        for subject, text in zip(subjects, args, strict=True):
            if not removal.lift(store, subject, self.folder):
                raise UserError(f"{visible(text)} was not removed from {store.place}, or that was lifted already.")
            print(f"{visible(text)} is collected again from now on.")

    def _remove_old(self, store: Store) -> None:
        assert self.settings is not None
        files = csv_files_of(self.folder)
        retention = Retention(self.settings, store, lambda: ask_for_rebuild(self.folder, files))
        if not retention.is_on:
            raise UserError("Set KEEP_DAYS or KEEP_DELETED_DAYS: after how many days posts are removed.")
        while retention.step():
            pass
        if retention.done and (self.folder / STATE_FILE).exists():
            rebuild_csv(self.settings, files)
        print(f"Removed: {_in_words(retention.done)}.")


def _in_words(done: Counter[str]) -> str:
    return ", ".join(f"{what} {number:,}" for what, number in done.items() if number) or "nothing was stored of it"


def _list(store: Store) -> None:
    for number, kind, requested, finished, lifted, reason, rows in store.rows(LIST):
        counts = Counter(from_json(rows) or {})
        state = "lifted" if lifted else "done" if finished else "under way"
        print(f"{number}  {moment(requested):%Y-%m-%d %H:%M}  {kind}, {state}: {_in_words(counts)}  "
              f"{visible(reason or '')}".rstrip())  # fmt: skip


def _remove_from_backup(file: Path, kinds: Kinds, names: Sequence[Subject]) -> Counter[str]:
    """Remove something from a backup of an embedded database, and wipe it there."""
    if not file.is_file():
        raise UserError(f"There is no backup {file}.")
    backup = SqliteStore(file.parent, kinds, file.name)
    backup.open_beside()
    try:
        relatives = [each for name in names for each in removal.all_names(backup, name)]
        done = removal.remove_rows(backup, list(dict.fromkeys([*names, *relatives])))
        wipe(backup)
    finally:
        backup.close()
    return Counter({f"{what} of {file.name}": number for what, number in done.items()})
