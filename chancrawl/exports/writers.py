"""Writes rows to files: CSV, JSON Lines, Parquet.

A file has a temporary name until it is complete and synced, so that an export that was killed leaves nothing that looks
whole.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from chancrawl.errors import UserError
from chancrawl.exports.columns import AS_JSON, COUNTS, Column, Type, in_csv, in_json
from chancrawl.storage.csv.lines import encoded, header_of
from chancrawl.storage.disk import sync, sync_folder

ROW_GROUP = 50_000
"""Rows of one row group of a Parquet file. They are in memory until they are written."""

Rows = Sequence[Sequence[Any]]


class Writer(Protocol):
    """Writes the rows of one file."""

    def write(self, rows: Rows) -> None: ...

    def close(self) -> None: ...


class CsvWriter:
    """RFC 4180, UTF-8, with a header. Every text is quoted, so that programs that guess types guess right."""

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self.stream = stream
        self.converts = list(map(in_csv, columns))
        stream.write(encoded(header_of([column.name for column in columns])))

    def write(self, rows: Rows) -> None:
        cells = [
            list(map(convert, values)) for convert, values in zip(self.converts, zip(*rows, strict=True), strict=True)
        ]
        self.stream.write(encoded("".join(f"{','.join(line)}\r\n" for line in zip(*cells, strict=True))))

    def close(self) -> None: ...


class JsonLinesWriter:
    """One JSON object a line. Lists and objects are JSON, not texts that contain JSON."""

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self.stream = stream
        self.names = [column.name for column in columns]
        self.converts = [(place, convert) for place, column in enumerate(columns) if (convert := in_json(column))]

    def write(self, rows: Rows) -> None:
        lines = []
        for row in rows:
            values = list(row)
            for place, convert in self.converts:
                values[place] = convert(values[place])
            lines.append(orjson.dumps(dict(zip(self.names, values, strict=True))))
        self.stream.write(b"\n".join(lines) + b"\n")

    def close(self) -> None: ...


class ParquetWriter:
    """Parquet with zstd. The schema follows from the types of the columns, not from the values."""

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self.columns = columns
        self.arrow = arrow()
        self.schema = self.arrow.schema([(column.name, self._type(column)) for column in columns])
        self.file = self.arrow.parquet.ParquetWriter(stream, self.schema, compression="zstd")
        self.batches: list[Any] = []
        self.rows = 0

    def _type(self, column: Column) -> Any:
        pa = self.arrow
        quote = pa.struct([("board", pa.string()), ("thread_no", pa.int64()), ("no", pa.int64()), ("dead", pa.bool_())])
        return {
            Type.TEXT: pa.string(),
            Type.INTEGER: pa.int64(),
            Type.NUMBER: pa.float64(),
            Type.FLAG: pa.bool_(),
            Type.TIME: pa.timestamp("us", tz="UTC"),
            Type.TEXTS: pa.list_(pa.string()),
            Type.INTEGERS: pa.list_(pa.int64()),
            Type.QUOTES: pa.list_(quote),
            Type.COUNTS: pa.struct([(name, pa.int64()) for name in COUNTS]),
            Type.JSON: pa.string(),
        }[column.type]

    def write(self, rows: Rows) -> None:
        arrays = [self._array(*pair) for pair in zip(self.columns, zip(*rows, strict=True), strict=True)]
        self.batches.append(self.arrow.record_batch(arrays, schema=self.schema))
        self.rows += len(rows)
        if self.rows >= ROW_GROUP:
            self._write_group()

    def _array(self, column: Column, values: Sequence[Any]) -> Any:
        pa, kind = self.arrow, self._type(column)
        if column.type is Type.TIME:
            return pa.array(values, pa.string()).cast(kind)
        if column.type in AS_JSON and column.type is not Type.JSON:
            values = [None if text is None else orjson.loads(text) for text in values]
        elif column.type is Type.FLAG:
            values = [None if flag is None else bool(flag) for flag in values]
        return pa.array(values, kind)

    def _write_group(self) -> None:
        if self.batches:
            self.file.write_table(self.arrow.Table.from_batches(self.batches), row_group_size=ROW_GROUP)
        self.batches, self.rows = [], 0

    def close(self) -> None:
        self._write_group()
        self.file.close()


def needs_arrow(format: str, compression: str) -> bool:
    """Whether a file can be written with pyarrow alone."""
    return format == "parquet" or compression == "zst"


def arrow() -> Any:
    """The library. UserError if it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            "Parquet files and .zst files need pyarrow: pip install pyarrow, or write .csv or .jsonl."
        ) from None
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # the default one keeps the memory of each row group
    return pyarrow


MakeWriter = Callable[[Any, Sequence[Column]], Writer]

FORMATS: dict[str, MakeWriter] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}

COMPRESSIONS = ("gz", "zst")


class File:
    """A file that gets its name when it is complete. `digest` is its SHA-256, `rows` the number of its rows."""

    def __init__(self, path: Path, columns: Sequence[Column], writer: MakeWriter, compression: str = "") -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.part")
        self.rows = 0
        self.digest = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._raw = self.temporary.open("wb")
        self._stream: Any = self._raw
        try:
            self.writer = self._begin(columns, writer, compression)
        except BaseException:
            self.discard()
            raise

    def _begin(self, columns: Sequence[Column], writer: MakeWriter, compression: str) -> Writer:
        if compression == "gz":
            self._stream = io.BufferedWriter(gzip.GzipFile("", "wb", 6, self._raw, mtime=0), 1 << 20)
        elif compression == "zst":
            self._stream = arrow().CompressedOutputStream(self._raw, "zstd")
        return writer(self._stream, columns)

    def write(self, rows: Rows) -> None:
        if rows:
            self.writer.write(rows)
            self.rows += len(rows)

    def complete(self) -> None:
        """Sync the file, and give it its name."""
        self.writer.close()
        if self._stream is not self._raw:
            self._stream.close()
        self._raw.close()
        self.digest = digest_of(self.temporary)
        sync(self.temporary)
        self.temporary.replace(self.path)
        sync_folder(self.path.absolute().parent)

    def discard(self) -> None:
        """Close and remove the file. What its writer still has is lost."""
        for part in (getattr(self, "writer", None), self._stream, self._raw):
            with contextlib.suppress(Exception):  # a full disk, for one
                if part is not None:
                    part.close()
        self.temporary.unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
