"""The search page: posts of both platforms by their words."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from chancrawl.arguments import board_names, moment_of, well_formed
from chancrawl.dashboard.pages import account_number
from chancrawl.dashboard.queries import Desk
from chancrawl.errors import UserError
from chancrawl.find.search import Search, index_of
from chancrawl.find.terms import Term, terms_of
from chancrawl.find.texts import Hit
from chancrawl.imageboards.stored_coverage import stored_boards
from chancrawl.storage.base import moment

LATELY = timedelta(days=3)
"""Without an index, so much of the time before now is searched."""

ROWS = 50
AROUND = 160
"""Characters that are shown before and after what was found."""

LAST_HOURS = ("SELECT max(hour) FROM board_hours", "SELECT max(hour) FROM account_hours")
"""The latest post of a store that is not written to any more is earlier than now."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched, as it was asked for."""

    words: str = ""
    board: str = ""
    account: str = ""
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found. `stretch` says what was searched without an index; empty if an index was used."""

    hits: list[Hit]
    terms: list[Term]
    is_more: bool
    stretch: str = ""


def search(desk: Desk, wanted: Wanted, now: datetime, most: int = ROWS) -> Found:
    """The newest posts with all words. UserError for words that cannot be searched."""
    store = desk.store
    terms = terms_of([well_formed("what to find", wanted.words)])
    boards = board_names("board", wanted.board)
    stored_boards(store, boards)
    names = [name.strip().removeprefix("@") for name in wanted.account.split(",") if name.strip().strip("@")]
    accounts = [int(name.removeprefix("id:")) if _is_number(name) else account_number(desk, name) for name in names]
    since, until = moment_of("since", wanted.since), moment_of("until", wanted.until)
    if since is not None and until is not None and since >= until:
        raise UserError("The beginning is not before the end.")
    is_chosen = bool(boards or accounts)
    stretch = ""
    index = index_of(store)
    if not index.is_complete() or not all(term.is_indexed for term in terms):
        latest = [time for sql in LAST_HOURS for (value,) in store.rows(sql) if (time := moment(value)) is not None]
        end = min([until or now, *([max(latest) + timedelta(hours=1)] if latest else [])])
        if since is None or since < end - LATELY:
            since = end - LATELY
            why = "" if index.is_complete() else " There is no index of words: scrapy initdb --find builds one."
            stretch = f"Only posts since {since:%Y-%m-%d %H:%M} UTC were searched.{why}"
    found = Search(terms, boards if is_chosen else None, accounts if is_chosen else None, since, until)
    with closing(found.hits(store)) as hits:
        first = list(islice(hits, most))
        return Found(first, terms, next(hits, None) is not None, stretch)


def _is_number(name: str) -> bool:
    return name.startswith("id:") and name[3:].isascii() and name[3:].isdigit() and len(name) < 22


def command(wanted: Wanted) -> list[str]:
    """The words of the command that finds the same."""
    options: list[tuple[str, Any]] = [("--board", wanted.board), ("--account", wanted.account),
                                      ("--since", wanted.since), ("--until", wanted.until)]  # fmt: skip
    return ["scrapy", "find", wanted.words, *(word for name, value in options if value for word in (name, value))]
