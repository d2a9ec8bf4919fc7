"""From names to accounts: look-ups of up to 100 names, and what they say of names and accounts."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from scrapy import Request

from chancrawl.items import Account, Feed, Handle, Item
from chancrawl.storage.base import Store
from chancrawl.x import api
from chancrawl.x.api import USERS, USERS_BY_ID, feed_of
from chancrawl.x.budget import Bill
from chancrawl.x.client import Answer, BadRequest, Problem, XClient
from chancrawl.x.fields import id_of
from chancrawl.x.ledger import XLedger
from chancrawl.x.pagination import TRIES, pause_before
from chancrawl.x.payloads import Users, parse_users

logger = logging.getLogger(__name__)


class LookUps:
    """Names that are to be looked up, and the look-ups of them.

    `found` is called with each account that was found, its feed, and whether the list means this account; it returns
    further items. A name in the list stands for the account that had it when it was looked up first, unless `by_name`.
    """

    def __init__(
        self, client: XClient, ledger: XLedger, by_name: bool, found: Callable[[Account, Feed, bool], list[Item]]
    ) -> None:
        self.client = client
        self.ledger = ledger
        self.by_name = by_name
        self.found = found
        self.stats = client.crawler.stats
        self.names: list[str] = []
        self._tries: dict[str, int] = {}
        self._paused_until = 0.0  # no look-up before: the last one failed
        self._names_at_once = USERS.page_size
        self._lost: dict[str, Account] = {}  # known accounts that were not shown, by the names they had

    def ask_for(self, name: str) -> bool:
        """Have a name looked up; whether it was not asked for before."""
        if name.lower() in self._tries:
            return False
        self.names.append(name)
        self._tries[name.lower()] = 0
        return True

    def ask_about(self, lost: Account) -> bool:
        """Have the name of a known account looked up that was not shown the last time."""
        is_new = self.ask_for(lost.username)
        self._lost[lost.username.lower()] = lost
        return is_new

    def ask_again_for(self, name: str) -> None:
        """Have a name looked up, whether it was asked for before or not."""
        self.names.append(name)
        self._tries.setdefault(name.lower(), 0)
        self.client.progress.set()

    @property
    def is_full(self) -> bool:
        """Whether there are enough names for a look-up."""
        return len(self.names) >= USERS.page_size

    def is_due(self) -> bool:
        """Whether the pause after a look-up that failed is over."""
        return time.monotonic() >= self._paused_until

    async def next_request(self) -> Request:
        """The request for the next names: as many as one look-up takes and the budget allows."""
        number = max(min(self._names_at_once, await self.client.budget.affordable("users")), 1)
        is_number = api.is_number(self.names[0])
        names = [name for name in self.names if api.is_number(name) == is_number][:number]
        asked = set(names)
        self.stats.inc_value("x/handles_asked", len([name for name in names if not self._tries.get(name.lower())]))
        self.names = [name for name in self.names if name not in asked]
        return self.client.request(
            USERS_BY_ID if is_number else USERS,
            api.users_parameters(names),
            lambda payload, seen_at: parse_users(payload, names, seen_at),
            lambda answer: self._answered(names, answer),
            lambda problem: self._failed(names, problem),
            reads=len(names),
            bill=lambda users: Bill(users=len(users.accounts)),
        )

    async def _answered(self, names: list[str], answer: Answer[Users]) -> AsyncGenerator[Item, None]:
        users = answer.content
        answered = {handle.handle for handle in users.handles}
        if not users.accounts and len(names) > 4 and self._tries.get(names[0].lower(), 0) < 2:
            answered = set()  # nobody is there: that is an outage rather than so many accounts
        unanswered = [name for name in names if name.lower() not in answered]
        if unanswered:
            self._again(unanswered, "no answer about them")
        known = await self.ledger.handles([handle.handle for handle in users.handles])
        held = await self.ledger.accounts([account.id for account in users.accounts])
        feeds = await self.ledger.feeds([feed_of(account.id) for account in users.accounts])
        for shown in users.accounts:
            account = (merge(held[shown.id], shown) or held[shown.id]) if shown.id in held else shown
            yield account
            is_meant = not self._is_another(account.id, known.get(account.username.lower()))
            for item in self.found(account, feeds[feed_of(account.id)], is_meant):
                yield item
        for handle in users.handles:
            if handle.handle in answered:
                for item in self._answered_about(handle, known.get(handle.handle)):
                    yield item

    def _answered_about(self, handle: Handle, before: Handle | None) -> list[Item]:
        """The items that say what a name stands for now."""
        self._tries.pop(handle.handle, None)
        if before is not None and self._is_another(handle.account_id, before):
            self._log_taken(before, handle)
            return [replace(before, checked_at=handle.checked_at)]
        self.stats.inc_value(f"x/accounts/{handle.status}")
        if handle.status != "active":
            logger.info("@%s is %s.", handle.handle, handle.status)
        lost = self._lost.pop(handle.handle, None)
        if lost is not None and handle.account_id is None:
            return [handle, replace(lost, status=handle.status, last_seen_at=handle.checked_at)]
        return [handle]

    def _is_another(self, number: int | None, before: Handle | None) -> bool:
        """Whether a name has passed from the account that the list means to another one, or to nobody."""
        return before is not None and before.account_id not in (None, number) and not self.by_name

    def _log_taken(self, before: Handle, now: Handle) -> None:
        """The account that a name of the list stands for has another name now."""
        self.stats.inc_value("x/names_taken")
        if now.account_id is None:
            logger.warning("No account has the name @%s now (%s); the account that had it, id:%d, is still read.",
                           before.handle, now.status, before.account_id)  # fmt: skip
        else:
            logger.warning(
                "@%s now belongs to another account: id:%d. The account that had the name, id:%d, is still read. Write "
                "id:%d in the list for the new one, or set X_FOLLOW=name to go by names.",
                before.handle, now.account_id, before.account_id, now.account_id,
            )  # fmt: skip

    def _failed(self, names: list[str], problem: Problem) -> None:
        """Ask again. X may refuse a look-up as wrong: if one name is the reason, it costs itself alone."""
        if not isinstance(problem, BadRequest):
            self._again(names, str(problem))
        elif problem.is_ours:
            return  # the crawl ends
        elif len(names) > 1:
            self._names_at_once = max(len(names) // 2, 1)
            self.names += names
        else:
            self.stats.inc_value("x/handles_failed")
            logger.warning("@%s could not be looked up: %s.", names[0], problem)

    def _again(self, names: list[str], why: str) -> None:
        tries = 1 + max(self._tries.get(name.lower(), 0) for name in names)
        self._paused_until = time.monotonic() + pause_before(tries)
        for name in names:
            self._tries[name.lower()] = tried = self._tries.get(name.lower(), 0) + 1
            if tried < TRIES:
                self.names.append(name)
            else:
                self.stats.inc_value("x/handles_failed")
                logger.warning("@%s could not be looked up (%s); the next run asks again.", name, why)


def number_of(name: str) -> int | None:
    """The number of an account that is named by it.

    >>> number_of("id:783214"), number_of("nasa")
    (783214, None)
    """
    return id_of(name.removeprefix("id:")) if api.is_number(name) else None


def merge(held: Account, shown: Account) -> Account | None:
    """What is known of an account, brought up to date with what was just shown of it; None if that is nothing new.

    A timeline shows less of an account than a look-up: what it does not show stays.
    """
    names = list(held.former_usernames)
    if shown.username != held.username:
        names = [*(name for name in names if name != shown.username), held.username]
    merged = replace(
        held,
        username=shown.username,
        name=shown.name if shown.name is not None else held.name,
        status=shown.status,
        metrics=held.metrics | shown.metrics,
        former_usernames=names,
        last_seen_at=shown.last_seen_at,
    )
    for name in "created_at description location url verified verified_type pinned_id profile_image_url".split():
        value = getattr(shown, name)
        if value is not None:
            setattr(merged, name, value)
    if len(shown.raw) > len(held.raw):
        merged.raw = shown.raw
    if replace(merged, last_seen_at=held.last_seen_at, raw=held.raw) == held:
        return None
    return merged


def account_of(store: Store, handle: str) -> str:
    """The number of the account with a name, in lower case; empty if it is not known."""
    sql = (
        "SELECT account_id, 1 FROM handles WHERE handle = ? AND account_id IS NOT NULL "
        "UNION ALL SELECT id, 2 FROM accounts WHERE lower(username) = ? ORDER BY 2"
    )
    return next((str(number) for number, _ in store.stream(sql, handle, handle)), "")
