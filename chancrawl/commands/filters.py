"""The filters of the commands that read posts, from their options."""

from __future__ import annotations

import argparse
from datetime import datetime

from chancrawl.arguments import board_names, moment_of, well_formed
from chancrawl.errors import UserError
from chancrawl.exports.tables import Filters
from chancrawl.imageboards.stored_coverage import stored_boards
from chancrawl.storage.base import Store
from chancrawl.text import capitalized, visible
from chancrawl.x.accounts import account_of
from chancrawl.x.handles import handles_of


def filters_of(opts: argparse.Namespace, store: Store) -> Filters:
    """The filters of an export. UserError for a board or an account of which nothing is stored."""
    for name, value in vars(opts).items():
        if isinstance(value, str):
            well_formed(f"--{name.replace('_', '-')}", value)
    accounts, names = accounts_of(opts.account, store)
    since, until = stretch_of(opts)
    return Filters(
        boards=tuple(boards_of(opts.board, store)) or None,
        threads=_numbers(opts.thread),
        accounts=tuple(accounts) or None,
        account_names=tuple(names),
        query=opts.query,
        since=since,
        until=until,
        only_deleted=opts.only_deleted,
        match=opts.match,
    )


def boards_of(text: str, store: Store) -> list[str]:
    """The boards of --board; empty if it was not given."""
    boards = board_names("--board", text)
    stored_boards(store, boards)
    return boards


def accounts_of(text: str, store: Store) -> tuple[list[int], list[str]]:
    """The numbers of the accounts of --account, and the names among them, in lower case."""
    accounts, odd = handles_of(text)
    if odd:
        raise UserError(f"--account {odd[0]}: a handle is wanted, or the number of an account as id:783214.")
    names = [name.lower() for name in accounts if not name.startswith("id:")]
    return [_account(store, name) for name in accounts], names


def stretch_of(opts: argparse.Namespace) -> tuple[datetime | None, datetime | None]:
    """--since and --until."""
    since, until = moment_of("--since", opts.since), moment_of("--until", opts.until)
    if since is not None and until is not None and since >= until:
        raise UserError("--since is not before --until.")
    return since, until


def _numbers(text: str) -> tuple[int, ...] | None:
    numbers = [number.strip() for number in text.split(",") if number.strip()]
    for number in numbers:
        if not number.isascii() or not number.isdigit() or len(number) > 18:
            raise UserError(f"--thread {number}: the number of a thread is wanted.")
    return tuple(map(int, numbers)) or None


def _account(store: Store, name: str) -> int:
    """The number of an account; 0 if only rows of the older crawler have its name. UserError if nothing has."""
    if name.startswith("id:"):
        return int(name.removeprefix("id:"))
    number = account_of(store, name.lower())
    older = "SELECT 1 FROM tweets WHERE author_id IS NULL AND lower(username) = ? LIMIT 1"
    if not number and not store.rows(older, name.lower()):
        raise UserError(f"{capitalized(store.place)} holds nothing of @{visible(name)}.")
    return int(number or 0)
