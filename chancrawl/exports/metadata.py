"""The description of an exported folder in the forms of other programs: Croissant and RO-Crate, by their libraries.

http://mlcommons.org/croissant/1.0, https://www.researchobject.org/ro-crate/. Both are written if the libraries are
installed: pip install mlcroissant rocrate.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from chancrawl.exports.writers import json_text

CROISSANT, CRATE = "croissant.json", "ro-crate-metadata.json"

MOST_FILES = 100
"""A croissant.json describes each file by itself; programs get slow with more."""

ENCODINGS = {
    "csv": "text/csv", "jsonl": "application/jsonlines", "parquet": "application/x-parquet", "gz": "application/gzip",
    "zst": "application/zstd", "md": "text/markdown",
}  # fmt: skip
"""The media type of a file, by its ending."""

TYPES = {"integer": "INTEGER", "number": "FLOAT", "flag": "BOOL", "time": "DATETIME"}
"""Names in mlcroissant.DataType by the type of a column. All others are texts."""

Facts = dict[str, Any]


def write(folder: Path, facts: Facts) -> list[str]:
    """Write the descriptions for whose form the library is installed. Returns the names of the files.

    `facts` is what export.json has, with the sum of each file.
    """
    written = []
    for name, make in WRITERS.items():
        try:
            text = make(folder, facts)
        except ImportError:
            continue
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
            written.append(name)
    return written


def _about(facts: Facts) -> str:
    rows = ", ".join(f"{table['rows']:,} {name}" for name, table in facts["tables"].items())
    missing = "".join(
        f" /{board}/: {sums['missing']:,} of {sums['issued']:,} posts are missing."
        for board, sums in facts["coverage"].items()
    )
    return f"Posts collected by {facts['program']} from {', '.join(facts['collected']['sources'])}: {rows}.{missing}"


def croissant(folder: Path, facts: Facts) -> str | None:
    """The Croissant description; None for more than MOST_FILES files."""
    import mlcroissant as mlc

    if len(facts["files"]) > MOST_FILES:
        return None
    files = [
        mlc.FileObject(id=path, name=path, content_url=path, encoding_formats=[_encoding(path)], sha256=file["sha256"],
                       content_size=f"{file['bytes']} B")
        for path, file in facts["files"].items()
    ]  # fmt: skip
    records = [
        _records(mlc, path, facts["tables"][path.split("/")[0].split(".")[0]])
        for path, file in facts["files"].items()
        if path.endswith((".csv", ".jsonl", ".parquet")) and file["rows"]
    ]
    metadata = mlc.Metadata(
        name="chancrawl-export", description=_about(facts), url=next(iter(facts["collected"]["sources"]), None),
        license=["https://docs.x.com/developer-terms/policy", "https://github.com/4chan/4chan-API"],
        distribution=files, record_sets=records, date_published=datetime.fromisoformat(facts["exported_at"]),
        version="1.0.0", cite_as=f"{facts['program']}, exported at {facts['exported_at']}",
    )  # fmt: skip
    return json_text(_plain(metadata.to_json()))


def _records(mlc: Any, path: str, table: Facts) -> Any:
    name = path.rsplit(".", 1)[0]
    fields = [
        mlc.Field(
            id=f"{name}/{column['name']}", name=column["name"], description=column["about"],
            data_types=getattr(mlc.DataType, TYPES.get(column["type"], "TEXT")),
            source=mlc.Source(file_object=path, extract=mlc.Extract(column=column["name"])),
        )
        for column in table["columns"]
    ]  # fmt: skip
    return mlc.RecordSet(id=name, name=name, description=table["about"], fields=fields)


def crate(folder: Path, facts: Facts) -> str:
    """The RO-Crate description."""
    from rocrate.rocrate import ROCrate

    described = ROCrate()
    described.name = "chancrawl export"
    described.description = _about(facts)
    described.root_dataset["datePublished"] = facts["exported_at"]
    described.root_dataset["temporalCoverage"] = f"{facts['collected']['from']}/{facts['collected']['until']}"
    for path, file in facts["files"].items():
        described.add_file(folder / path, path, properties={
            "name": path, "contentSize": str(file["bytes"]), "sha256": file["sha256"],
            "encodingFormat": _encoding(path),
        })  # fmt: skip
    return json_text(described.metadata.generate())


def _encoding(path: str) -> str:
    return ENCODINGS.get(path.rsplit(".", 1)[-1], "application/octet-stream")


def _plain(value: Any) -> Any:
    """JSON without values that the json module does not know, such as dates."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


WRITERS: dict[str, Callable[[Path, Facts], str | None]] = {CROISSANT: croissant, CRATE: crate}
