"""`scrapy find`: posts of 4chan and of X by the words in their texts, newest first."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice

from chancrawl.arguments import well_formed
from chancrawl.command import StoreCommand
from chancrawl.commands.filters import accounts_of, boards_of, stretch_of
from chancrawl.find.search import Search
from chancrawl.find.terms import Term, cut_around, terms_of
from chancrawl.find.texts import Hit
from chancrawl.storage.factory import store_of
from chancrawl.text import visible

TABLES = ("posts", "tweets", "board_hours", "accounts", "handles")
"""The tables that this command reads."""

AROUND = 80
"""Characters that are shown before and after what was found."""


class Command(StoreCommand):
    failure = "The search failed"
    formats = ("text", "json")

    def syntax(self) -> str:
        return "WORDS … [--board po,g] [--account @nasa] [--since TIME] [--until TIME] [--limit 100]"

    def short_desc(self) -> str:
        return "Find posts by words in their texts, newest first"

    def long_desc(self) -> str:
        return (
            "Finds the posts whose text has all words, in any case. An argument with spaces is a phrase ('climate "
            "change'), one with * at its end the beginning of a word (clim*). `scrapy initdb --find` builds an index "
            "of words; without it, all texts are read, which takes long in a large store."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--board", default="", metavar="po,g", help="only posts of these boards of 4chan")
        add("--account", default="", metavar="@nasa,id:5", help="only posts of these accounts of X")
        add("--since", default="", metavar="2026-11-01", help="only from this time on (UTC)")
        add("--until", default="", metavar="2026-12-01", help="only before this time (UTC)")
        add("--limit", type=int, default=100, metavar="N", help="so many posts at most (default 100)")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        terms = terms_of(well_formed("what to find", word) for word in args)
        store = store_of(self.settings)
        try:
            store.open_to_read(TABLES)
            boards, accounts = boards_of(opts.board, store), accounts_of(opts.account, store)[0]
            is_chosen = bool(boards or accounts)
            since, until = stretch_of(opts)
            search = Search(terms, boards if is_chosen else None, accounts if is_chosen else None, since, until)
            with store.snapshot(), closing(search.hits(store)) as found:
                hits = list(islice(found, max(opts.limit, 0)))
                is_more = next(found, None) is not None
        finally:
            store.close()
        if opts.format == "json":
            print(json.dumps({"hits": list(map(_as_json, hits)), "more": is_more, "notice": search.notice}, indent=2))
            return
        for hit in hits:
            _show(hit, terms)
        if search.notice:
            print(search.notice)
        print(f"The newest {len(hits):,}; there are more (--limit, --until)." if is_more else
              f"{len(hits):,} found." if hits else "Nothing found.")  # fmt: skip


def _as_json(hit: Hit) -> dict[str, object]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(hit).items()}


def _show(hit: Hit, terms: list[Term]) -> None:
    deleted = f"  [deleted {hit.deleted_at:%Y-%m-%d %H:%M:%S}]" if hit.deleted_at else ""
    time = f"{hit.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if hit.at else "?"
    print(f"{hit.key}  {time}  {visible(hit.author)}{deleted}")
    print(f"    {visible(excerpt(hit.text, terms[0]))}")


def excerpt(text: str, term: Term) -> str:
    """The part of a text with a term, on one line.

    >>> excerpt("x" * 100 + " word", Term("word"))[:3]
    '…xx'
    """
    return " ".join("".join(cut_around(text, term, AROUND)).split())
