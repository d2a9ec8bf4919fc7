"""`scrapy export`: tables of the store as files that other programs read."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from scrapy.exceptions import UsageError

from chancrawl.arguments import home, well_formed
from chancrawl.command import StoreCommand
from chancrawl.commands.filters import filters_of
from chancrawl.commands.progress import Shown
from chancrawl.errors import UserError
from chancrawl.exports.datasheet import describe, verify
from chancrawl.exports.export import NAMES, Exported, Target, check_columns, check_filters, check_shape, export
from chancrawl.exports.people import pseudonyms_of
from chancrawl.exports.pseudonyms import Pseudonyms
from chancrawl.exports.shapes import SHAPES
from chancrawl.exports.shapes import names as shape_names
from chancrawl.exports.tables import Filters
from chancrawl.exports.writers import COMPRESSIONS, FORMATS, arrow, needs_arrow
from chancrawl.storage.backup import back_up
from chancrawl.storage.base import Store
from chancrawl.storage.disk import sync_folder
from chancrawl.storage.factory import store_of
from chancrawl.storage.sqlite.store import FILE, SqliteStore
from chancrawl.text import counted, visible

TABLES = ("posts", "post_revisions", "threads", "board_hours", "board_coverage", "board_polls", "removed_hours",
          "tweets", "accounts", "handles", "trends", "feeds", "gaps", "runs",
          "credential_limits")  # fmt: skip
"""The tables that this command reads."""


class Command(StoreCommand):
    failure = "The export failed"

    def syntax(self) -> str:
        return f"{'|'.join(NAMES)} … -o FILE_OR_FOLDER [options], or --verify FOLDER"

    def short_desc(self) -> str:
        return "Write posts, tweets, coverage, … to CSV, JSON Lines or Parquet files"

    def long_desc(self) -> str:
        return (
            "Writes tables of the store, also while a crawl runs. -o FILE.csv, .jsonl or .parquet (also with .gz or "
            ".zst) is one file. -o FOLDER is a folder that explains itself: README.md says what is in it and what is "
            "missing, export.json has the sum of each file."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("-o", dest="path", metavar="FILE_OR_FOLDER", help="a new file, or a folder that is new or empty")
        add("--format", choices=FORMATS, help="of the files in a folder (default csv)")
        add("--compress", choices=COMPRESSIONS, help="of the files in a folder (default: none)")
        add(
            "--as",
            dest="shape",
            choices=SHAPES,
            help=f"one file in the form of another tool: {', '.join(shape_names())}",
        )
        add("--board", default="", metavar="po,g", help="only these boards")
        add("--thread", default="", metavar="570368", help="only these threads")
        add("--account", default="", metavar="@nasa,id:5", help="only posts of these accounts")
        add("--query", metavar="#science", help="only posts that this search or trend has found")
        add("--since", default="", metavar="2026-11-01", help="only from this time on (UTC)")
        add("--until", default="", metavar="2026-12-01", help="only before this time (UTC)")
        add("--only-deleted", action="store_true", help="only posts that were deleted")
        add("--match", metavar="WORDS", help="only posts with these words in their text, in any case")
        add("--copy-first", action="store_true", help="embedded database: export a copy, so that a long export does "
            "not keep the log of a running crawl from being emptied")  # fmt: skip
        add("--columns", default="", metavar="no,comment_text", help="only these columns")
        add("--pack", action="store_true", help="in a folder: one file for each table, and not for each month")
        add("--pseudonymise", type=Path, metavar="KEYFILE", help="replace names, handles and IDs of people by hashes "
            "with the key in this file, made if it does not exist; keep it out of the export")  # fmt: skip
        add("--verify", type=Path, metavar="FOLDER", help="check the files of an exported folder, and do nothing else")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if opts.verify is not None:
            self._verify(opts.verify)
            return
        if not args or not opts.path:
            raise UsageError(f"name what to export ({', '.join(NAMES)}) and where to: scrapy export posts -o posts.csv")
        if odd := [name for name in args if name not in NAMES]:
            raise UserError(f"{odd[0]} cannot be exported; there are {', '.join(NAMES)}.")
        names = list(dict.fromkeys(args))
        path = Path(home(well_formed("-o", opts.path)))
        target = replace(Target.of(path, opts.format, opts.compress, names), is_packed=opts.pack)
        chosen = [column.strip() for column in opts.columns.split(",") if column.strip()]
        check_columns(names, chosen)
        if opts.shape and (chosen or opts.pseudonymise):
            raise UserError("--as writes the columns of another tool as they are; leave --columns and --pseudonymise "
                            "out.")  # fmt: skip
        if opts.pseudonymise is not None and opts.pseudonymise.absolute().is_relative_to(path.absolute()):
            raise UserError(f"--pseudonymise {opts.pseudonymise}: keep the key outside of {path}.")
        if needs_arrow(target.format, target.compression):
            arrow()
        store = store_of(self.settings)
        copies = None
        try:
            store.open_to_read(TABLES)
            place = store.place
            filters = filters_of(opts, store)
            shape = SHAPES[opts.shape] if opts.shape else None
            if shape is not None:
                check_shape(opts.shape, shape, names, filters, target)
            else:
                check_filters(names, filters)
            if opts.copy_first:
                path.absolute().parent.mkdir(parents=True, exist_ok=True)
                copies = Path(tempfile.mkdtemp(prefix=".copy-", dir=path.absolute().parent))
                store = _copied(store, copies)
            log = _log_size(store)
            with store.snapshot(), Shown() as shown:
                pseudonyms = pseudonyms_of(store, opts.pseudonymise) if opts.pseudonymise else None
                write = partial(export, progress=shown, shape=shape, chosen=chosen, pseudonyms=pseudonyms)
                done = _exported(store, names, filters, target, write, pseudonyms)
            _say(done, names, target, place, _log_size(store) - log)
        finally:
            store.close()
            if copies is not None:
                shutil.rmtree(copies)

    def _verify(self, folder: Path) -> None:
        number, wrong = verify(folder)
        for what in wrong:
            print(visible(what))
        if wrong:
            raise UserError(f"{folder} is not as it was exported.")
        print(f"{counted(number, 'file')} as exported.")


def _exported(
    store: Store,
    names: list[str],
    filters: Filters,
    target: Target,
    write: Callable[..., Exported],
    pseudonyms: Pseudonyms | None,
) -> Exported:
    """Export to a file, or to a folder that gets its name when everything in it is complete."""
    if not target.is_folder:
        return write(store, names, filters, target)
    part = target.under_way
    shutil.rmtree(part.path, ignore_errors=True)  # of an export that was killed
    try:
        done = write(store, names, filters, part)
        describe(store, part.path, names, filters, done, pseudonyms)
        part.path.replace(target.path)
        sync_folder(target.path.absolute().parent)
    except BaseException:
        shutil.rmtree(part.path, ignore_errors=True)
        raise
    return done


def _copied(store: Store, folder: Path) -> Store:
    """A copy of an embedded database, opened to read."""
    if not isinstance(store, SqliteStore):
        raise UserError("--copy-first is for the embedded database; export from a dump restored into another database.")
    back_up(store, folder / FILE)
    store.close()
    copy = SqliteStore(folder, store.kinds)
    copy.open_to_read(TABLES)
    return copy


def _log_size(store: Store) -> int:
    """Bytes of the log of an embedded database, which a reader keeps from being emptied."""
    log = store.log if isinstance(store, SqliteStore) else None
    return log.stat().st_size if log is not None and log.exists() else 0


def _say(done: Exported, names: list[str], target: Target, place: str, grown: int) -> None:
    rows = ", ".join(f"{name} {done.rows[name]:,}" for name in names)
    size = sum((target.file_of(name)).stat().st_size for name in done.files)
    print(f"Exported from {place}: {rows}; {counted(len(done.files), 'file')} of {size / 1e6:,.1f} MB in "
          f"{done.seconds:,.1f} s.")  # fmt: skip
    if grown > 1_000_000:
        print(f"Meanwhile the log of the database grew by {grown / 1e6:,.0f} MB, because an export reads one state of "
              "it; the crawl empties it now (--copy-first avoids that).")  # fmt: skip
    if target.is_folder:
        print(f"{target.path / 'README.md'} says what is in it and what is missing.")
