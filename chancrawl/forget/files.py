"""Takes what was removed out of the files beside a store: CSV files, the quarantine, spools, lists, the log.

*Flow:* `clean` → each kind of file. A file that a running crawl writes is left to it: CSV files are asked for by
csv.rebuild, and what waits in its spool is stored by the rules of the tombstones.
"""

from __future__ import annotations

import contextlib
import csv
import glob
import io
import json
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scrapy.settings import BaseSettings

from chancrawl.errors import UserError
from chancrawl.forget.subjects import is_of_x, pattern_of
from chancrawl.storage.csv.files import STATE_FILE, ask_for_rebuild
from chancrawl.storage.csv.sink import CsvSink
from chancrawl.storage.disk import replace_file
from chancrawl.storage.item_json import decoded, encoded
from chancrawl.storage.kinds import Kinds, Subject
from chancrawl.storage.postgres.spool import Damaged, spools
from chancrawl.x.handles import next_of


class Cleaning:
    """The removal of something from the files beside a store. `done` counts what was changed, `left` tells the rest.

    `lists` are files of handles and queries that crawls were given.
    """

    def __init__(self, settings: BaseSettings, subjects: Sequence[Subject], lists: Iterable[Path] = ()) -> None:
        self.settings = settings
        self.folder = Path(settings["CSV_FOLDER"])
        self.kinds = Kinds.from_settings(settings)
        self.lists = lists
        self.subjects = subjects
        self.pattern = pattern_of(subjects)
        self.is_forgotten = set(subjects).__contains__
        self.done: Counter[str] = Counter()
        self.left: list[str] = []
        self.is_complete = True
        """Whether every file could be read and written."""

    def clean(self) -> None:
        for part in (self._csv_files, self._edited_files, self._quarantine, self._spools, self._lists, self._logs):
            try:
                part()
            except OSError as error:
                self.is_complete = False
                self.left.append(f"{error.filename} cannot be used ({error.strerror}): mend that, and the next removal "
                                 "or crawl completes this one.")  # fmt: skip

    def _logs(self) -> None:
        """Overwrite it in the log, and in earlier logs beside it."""
        if not (log := self.settings.get("LOG_FILE")):
            return
        for file in Path(log).absolute().parent.glob(f"{glob.escape(Path(log).name)}*"):
            if file.suffix == ".gz":
                self.left.append(f"{file} is packed and was not searched.")
            elif file.is_file():
                self._mask(file)

    # --- CSV files

    def _csv_files(self) -> None:
        """Have the files that name it written anew, by the crawl that writes them or at once."""
        paths = [path for path in csv_files_of(self.folder) if self._is_in(self.folder / path)]
        if not paths:
            return
        if not (self.folder / STATE_FILE).exists():
            self.left.append(f"{len(paths)} CSV files of {self.folder} name it, and they are not chancrawl's.")
            return
        self.done["CSV files"] += len(paths)
        rebuild_csv(self.settings, paths)
        for file in self.folder.rglob(".*.csv.new"):  # of a rebuilding that was killed
            if self._is_in(file):
                file.unlink(missing_ok=True)

    def _edited_files(self) -> None:
        """Take its rows out of files that a person has changed."""
        for file in self.folder.rglob("*.edited"):
            if self._is_in(file):
                text = file.read_text(encoding="utf-8", errors="surrogateescape")
                rows = list(csv.reader(io.StringIO(text, newline="")))
                kept = [row for row in rows if not self._names(dict(zip(rows[0], row, strict=False)))]
                if len(kept) < len(rows):
                    self.done["rows of edited files"] += len(rows) - len(kept)
                    out = io.StringIO(newline="")
                    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(kept)
                    replace_file(file, out.getvalue().encode(errors="surrogateescape"))

    def _names(self, row: dict[str, str]) -> bool:
        """Whether a row of a CSV file is about what was removed, or a row of X names it."""
        if any(map(is_of_x, self.subjects)):
            return bool(self.pattern.search("\n".join(row.values()).encode(errors="surrogateescape")))
        board, no, thread = row.get("board"), row.get("no"), row.get("thread_no")
        return any(map(self.is_forgotten, (
            ("post", f"{board}/{no}"), ("thread", f"{board}/{thread or no}"),
            ("poster", f"{board}/{thread}/{row.get('poster_id')}"),
        )))  # fmt: skip

    # --- quarantine and spools

    def _quarantine(self) -> None:
        folder = self.folder / "quarantine"
        for report in folder.glob("*.json"):
            body = report.with_suffix(".body")
            if self._is_in(report) or (body.exists() and self._is_in(body)):
                body.unlink(missing_ok=True)
                report.unlink()
                self.done["payloads of the quarantine"] += 1
        for file in folder.glob("rows-*"):
            if self._is_in(file):
                replace_file(file, b"".join(self._kept_lines(file)))

    def _kept_lines(self, file: Path) -> Iterator[bytes]:
        for line in file.read_bytes().splitlines(keepends=True):
            if not self.pattern.search(line):
                yield line
                continue
            try:
                kept = json.loads(line)
                item = decoded(kept["row"].encode(), self.kinds)
            except (ValueError, KeyError, TypeError, LookupError):
                self.done["rows of the quarantine"] += 1  # nobody can read it
                continue
            left = self._without(item)
            self.done["rows of the quarantine"] += left is not item
            if left is not None:
                yield json.dumps(kept | {"row": encoded(left)}).encode() + b"\n"

    def _without(self, item: Any) -> Any:
        """An item without what was removed; None if it is about that."""
        return self.kinds.of(item).left(item, self.is_forgotten)

    def _spools(self) -> None:
        for spool in spools(self.folder / "spool", self.kinds):
            if damaged := list(spool.folder.glob("*.damaged")):
                self.left.append(f"{spool.folder} has damaged batches ({len(damaged)}), which cannot be searched: "
                                 "delete them.")  # fmt: skip
            if not spool.numbers:
                continue
            if not spool.lock():
                self.left.append(f"{spool.folder} belongs to a running crawl: what waits in it is not stored if it was "
                                 "removed, and its files are gone when the database is back.")  # fmt: skip
                continue
            for number in spool.numbers:
                with contextlib.suppress(Damaged):
                    items = spool.read(number)
                    kept = [item for each in items if (item := self._without(each)) is not None]
                    if len(kept) < len(items) or any(new is not old for new, old in zip(kept, items, strict=False)):
                        spool.rewrite(number, kept)
                        self.done["batches of spools"] += 1
            spool.unlock()

    # --- other files

    def _lists(self) -> None:
        """Take its lines out of the lists that crawls write, and say which lists of the user name it."""
        for file in self.lists:
            if file.is_file() and self._is_in(file):
                self.left.append(f"{file} names it: take it out, so that no crawl asks for it.")
            beside = next_of(file)
            if beside.is_file() and self._is_in(beside):
                lines = [line for line in beside.read_bytes().splitlines(True) if not self.pattern.search(line)]
                replace_file(beside, b"".join(lines))
                self.done["lists of handles"] += 1

    def _is_in(self, file: Path) -> bool:
        if not file.stat().st_size:
            return False
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return self.pattern.search(content) is not None

    def _mask(self, file: Path) -> None:
        """Overwrite its words in a file that others may be writing to: nothing moves in it."""
        if not file.stat().st_size:
            return
        with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as content:
            places = [match.span() for match in self.pattern.finditer(content)]
            for start, end in places:
                content[start:end] = b"*" * (end - start)
            content.flush()
        if places:
            self.done[f"places in {file}"] += len(places)


def rebuild_csv(settings: BaseSettings, paths: Sequence[str]) -> None:
    """Have CSV files written anew: at once, or by the crawl that writes them, with its next rows."""
    ask_for_rebuild(Path(settings["CSV_FOLDER"]), paths)
    sink = CsvSink(settings)
    try:
        sink.open()
    except UserError:
        pass  # a crawl writes them
    finally:
        sink.close()


def csv_files_of(folder: Path) -> list[str]:
    """The paths of the CSV files in a folder."""
    return [
        file.relative_to(folder).as_posix() for name in ("chan", "twitter") for file in (folder / name).rglob("*.csv")
    ]
