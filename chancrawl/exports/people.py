"""The people of whom a store knows: their handles, names and IDs, for pseudonyms."""

from __future__ import annotations

from pathlib import Path

from chancrawl.exports.pseudonyms import Pseudonyms, key_of, library
from chancrawl.storage.base import Store, from_json

HANDLES = (
    "SELECT handle, account_id FROM handles",
    "SELECT DISTINCT lower(username), author_id FROM tweets WHERE username IS NOT NULL",
    "SELECT lower(username), id FROM accounts",
    "SELECT DISTINCT lower(retweeted_username), NULL FROM tweets WHERE retweeted_username IS NOT NULL",
    "SELECT DISTINCT lower(in_reply_to_username), in_reply_to_user_id FROM tweets "
    "WHERE in_reply_to_username IS NOT NULL",
)
"""Handles in lower case, each with the number of its account."""

LISTS = (
    "SELECT former_usernames, id FROM accounts",
    "SELECT mention_usernames, mention_ids FROM tweets WHERE mention_usernames IS NOT NULL",
)
"""Lists of handles, each with the number of the account, or a list of numbers."""

DISPLAYS = (
    "SELECT name, id FROM accounts WHERE name IS NOT NULL",
    "SELECT DISTINCT retweeted_name, NULL FROM tweets WHERE retweeted_name IS NOT NULL",
)
NAMES = tuple(
    f"SELECT DISTINCT {name} FROM {table} WHERE {name} IS NOT NULL"
    for table in ("posts", "post_revisions") for name in ("name", "tripcode", "email")
)  # fmt: skip
POSTERS = "SELECT DISTINCT poster_id FROM posts WHERE poster_id IS NOT NULL"


def pseudonyms_of(store: Store, file: Path) -> Pseudonyms:
    """The pseudonyms of the people in a store, by the key in a file."""
    library()
    key = key_of(file)
    accounts: dict[str, int | None] = {}
    displays: dict[str, int | None] = {}
    for sql in HANDLES:
        for handle, number in store.stream(sql):
            accounts[handle] = number or accounts.get(handle)
    for sql in LISTS:
        for texts, numbers in store.stream(sql):
            handles = from_json(texts)
            known = [numbers] * len(handles) if isinstance(numbers, int) else from_json(numbers) or []
            for handle, number in zip(handles, [*known, *[None] * len(handles)], strict=False):
                accounts[handle.lower()] = accounts.get(handle.lower()) or number
    for sql in DISPLAYS:
        for name, number in store.stream(sql):
            displays[name] = displays.get(name) or number
    names = {name for sql in NAMES for (name,) in store.stream(sql)}
    posters = (poster for (poster,) in store.stream(POSTERS))
    return Pseudonyms(key, accounts, displays, names, posters)
