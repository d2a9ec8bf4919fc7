"""Items as lines of JSON, `["Post", {"board": "po", …}]`, for the spool and the quarantine."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chancrawl.items import Form, columns, forms
from chancrawl.payload import dumps, loads
from chancrawl.storage.kinds import Kinds


def encoded(item: Any) -> str:
    """An item as a line of JSON, without the line's end."""
    kind = type(item)
    values = {name: getattr(item, name) for name in columns(kind)}
    for name, form in forms(kind).items():
        if form is Form.TIME and values[name] is not None:
            values[name] = values[name].isoformat()
    return dumps([kind.__name__, values])


def decoded(line: bytes, kinds: Kinds) -> Any:
    """The item of a line. KeyError if no source has its class; ValueError or TypeError if the line is not an item."""
    name, values = loads(line)
    kind = kinds.named(name).item
    for column, form in forms(kind).items():
        if form is Form.TIME and values.get(column) is not None:
            values[column] = datetime.fromisoformat(values[column])
    if isinstance(values.get("found_in"), str):
        values["found_in"] = [values["found_in"]]  # spools of version 2 have a text here
    return kind(**{column: values[column] for column in columns(kind) if column in values})
