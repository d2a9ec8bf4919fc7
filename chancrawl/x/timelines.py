"""A round over timelines: every account of the list once, by its timeline or by searches over several.

*Flow:* names come from the list in chunks → `_take` sorts them: known accounts are visited, unknown names looked up
(accounts.py) → `_visit` chooses between the account's own timeline (reader.py) and a search (batched_search.py).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scrapy import Request
from scrapy.crawler import Crawler

from chancrawl.engine import stopping
from chancrawl.errors import UserError
from chancrawl.items import Account, Feed, Handle, Item
from chancrawl.text import noted
from chancrawl.x import api, pagination
from chancrawl.x.accounts import LookUps, number_of
from chancrawl.x.api import SEARCH, TIMELINE, feed_of
from chancrawl.x.batched_search import BatchReader
from chancrawl.x.handles import Handles, is_file, next_of
from chancrawl.x.ledger import XLedger
from chancrawl.x.pace import interval, wants_timeline
from chancrawl.x.pagination import FeedPager, Wants
from chancrawl.x.query_batches import batch_queries
from chancrawl.x.reader import Reader, Visit

logger = logging.getLogger(__name__)

WINDOW = 1000
"""So many accounts are in work at a time; the rest of the file waits to be read."""


class TimelineRound:
    """Reads the new posts of all accounts of a list, once.

    `sample` is the most accounts that are read; `follow` the shortest time between two visits of one account;
    `by_search` has the new posts of several known accounts read with one search.
    """

    def __init__(
        self,
        reader: Reader,
        handles: Handles,
        wants: Wants,
        *,
        sample: int | None = None,
        follow: timedelta | None = None,
        by_search: bool = False,
    ) -> None:
        settings = reader.crawler.settings
        self.reader = reader
        self.ledger = reader.ledger
        self.stats = reader.stats
        self.handles = handles
        self.wants = wants
        self.left = sample
        self.follow = follow
        self.by_search = by_search
        self.by_name = settings["X_FOLLOW"] == "name"
        self.longest_query = settings.getint("X_QUERY_LENGTH")
        self.began = datetime.now(UTC)
        self.stale = self.began - timedelta(days=settings.getfloat("X_RECHECK_DAYS"))
        self.look_ups = LookUps(reader.client, self.ledger, self.by_name, self._found)
        self.active: set[int] = set()  # accounts that are in work
        self.blocked: dict[int, Visit] = {}  # accounts that are shown to no credential, and are looked up for that
        self.to_search: list[Feed] = []

    async def requests(self) -> AsyncIterator[Request]:
        """Requests until every account of the list is read."""
        chunks = self.handles.chunks()
        is_read = False
        while not stopping(self.reader.crawler):
            if len(self.to_search) >= WINDOW:
                async for request in self._search():
                    yield request
            is_batch = self.look_ups.is_full or (is_read and self.look_ups.names)
            if is_batch and self.reader.has_room() and self.look_ups.is_due():
                yield await self.look_ups.next_request()
            elif not is_read and len(self.active) < WINDOW and not self.look_ups.is_full:
                try:
                    await self._take(await anext(chunks))
                except StopAsyncIteration:
                    is_read = True
            elif (page := self.reader.next_request()) is not None:
                yield page
            elif self.reader.is_idle and is_read and not self.look_ups.names:
                break
            else:
                await self.reader.wait()
        if self.to_search:
            async for request in self._search():
                yield request

    # --- from the list to accounts

    async def _take(self, chunk: dict[str, str]) -> None:
        """Sort names: known accounts are visited, unknown names looked up, and those that led nowhere left alone."""
        chunk = self._allowed(chunk)
        held = await self.ledger.handles(chunk)
        numbers = {number for lower in chunk if (number := number_of(lower)) is not None}
        numbers |= {h.account_id for h in held.values() if h.account_id is not None}
        accounts = await self.ledger.accounts(numbers)
        feeds = await self.ledger.feeds([feed_of(number) for number in accounts])
        for lower, name in chunk.items():
            if self.left is not None and self.left <= 0:
                return
            handle = held.get(lower)
            number = number_of(lower)
            if handle is None and number in accounts:
                handle = Handle(lower, number, accounts[number].status, accounts[number].last_seen_at or self.stale)
            if handle is not None and (handle.status == "active" or handle.checked_at > self.stale):
                self._take_known(name, handle, accounts.get(handle.account_id or 0), feeds)
            else:
                self._look_up(name)

    def _allowed(self, chunk: dict[str, str]) -> dict[str, str]:
        """The names without those of accounts that were removed."""
        forgotten = self.ledger.session.forgotten
        left = {}
        for lower, name in chunk.items():
            number = number_of(lower)
            subjects = [("handle", lower), ("name", lower)] if number is None else [("account", str(number))]
            if not any(map(forgotten.has, subjects)):
                left[lower] = name
        if removed := len(chunk) - len(left):
            self.reader.stats.inc_value("x/removed", removed)
            logger.warning("%s.", noted(removed, "accounts of the list were removed (scrapy forget) and are not read"))
        return left

    def _take_known(self, name: str, handle: Handle, account: Account | None, feeds: dict[str, Feed]) -> None:
        """A name that was looked up before."""
        is_renamed = (
            account is not None and not api.is_number(name.lower()) and (account.username.lower() != name.lower())
        )
        if is_renamed and handle.checked_at <= self.stale:
            self._look_up(name)  # who has that name now?
            if self.by_name:
                return
        if account is not None and account.status == "active":
            self._visit(account, feeds[feed_of(account.id)])
        elif account is not None and (account.last_seen_at or self.stale) < self.stale:
            if self.look_ups.ask_about(account):  # by the name that it has now
                self._count_down()
        else:
            self.stats.inc_value("x/handles_passed_over")

    def _look_up(self, name: str) -> None:
        if self.look_ups.ask_for(name):
            self._count_down()

    def _count_down(self) -> None:
        if self.left is not None:
            self.left -= 1

    def _found(self, account: Account, feed: Feed, is_meant: bool) -> list[Item]:
        """An account was looked up: it is visited, unless a name has passed to it that the list means another by."""
        if (visit := self.blocked.pop(account.id, None)) is not None:
            visit.account = account
            return self.reader.ended_as(visit, "protected" if account.status == "protected" else "blocked")
        if account.status == "active" and is_meant:
            self._visit(account, feed, is_fresh=True)
        return []

    # --- visits

    def _visit(self, account: Account, feed: Feed, is_fresh: bool = False) -> None:
        """Have an account's new posts read, if it is due: by a search, or by its timeline."""
        if account.id in self.active or (feed.visited_at is not None and feed.visited_at >= self.began):
            return
        if self.follow is not None and feed.visited_at is not None and not pagination.is_under_way(feed):
            due = feed.visited_at + interval(feed, self.follow)
            if due > self.began + self.follow / 2:
                return
        if feed.visited_at is not None:
            self._count_down()  # a new one was counted when it was looked up
        self.active.add(account.id)
        self.stats.inc_value("x/timelines")
        is_quiet = feed.seen_id is not None and not pagination.is_under_way(feed)
        if self.by_search and is_quiet and not wants_timeline(feed, self.began):
            self.to_search.append(feed)
        elif is_fresh and account.metrics.get("tweet_count") == 0:
            self.active.discard(account.id)
        else:
            self._read_timeline(account, feed)

    def _read_timeline(self, account: Account, feed: Feed) -> None:
        most = self.wants.limit or api.REACHABLE
        expected = min(account.metrics.get("tweet_count", 0), most) - feed.posts
        is_long = feed.newest_id is None or feed.next_token
        urgency = expected / TIMELINE.page_size if is_long else feed.posts_per_day or 0.0
        visit = Visit(FeedPager(feed, TIMELINE, self.wants), account=account, urgency=urgency)
        visit.on_done, visit.on_blocked = self._done, self._look_up_blocked
        self.reader.add(visit)

    def _done(self, visit: Visit) -> None:
        assert visit.account is not None
        self.active.discard(visit.account.id)

    def _look_up_blocked(self, visit: Visit) -> None:
        """An account that is shown to no credential: it is protected now, or it has blocked their users."""
        assert visit.account is not None
        self._done(visit)
        self.blocked[visit.account.id] = visit
        self.look_ups.ask_again_for(f"id:{visit.account.id}")

    async def _search(self) -> AsyncIterator[Request]:
        """Search for the new posts of many accounts; then read timelines, where the counts say that more is there."""
        reach = SEARCH.reach(datetime.now(UTC))
        assert reach is not None
        feeds, self.to_search = self.to_search, []
        batches, alone = batch_queries(feeds, self.longest_query, reach)
        accounts = await self.ledger.accounts([api.account_of_feed(feed) for feed in feeds])
        searches = BatchReader(self.reader, accounts)
        for batch in batches:
            searches.add(batch)
        for feed in alone:
            self._read_timeline(accounts[api.account_of_feed(feed)], feed)
        async for request in searches.requests():
            yield request
        for feed in searches.incomplete():
            self.stats.inc_value("x/reconciled")
            self._read_timeline(accounts[api.account_of_feed(feed)], feed)
        async for request in self.reader.requests():
            yield request
        self.active -= accounts.keys()


async def write_next_level(crawler: Crawler, handles: str) -> None:
    """Write a file of the accounts that were retweeted and were never looked up, beside the list `handles`."""
    names = await XLedger.of(crawler).retweeted()
    file = next_of(Path(handles) if is_file(handles) else Path(crawler.settings["CSV_FOLDER"]) / "handle.txt")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    except OSError as error:
        UserError(f"{file} cannot be written ({error.strerror}).").tell(crawler)
    else:
        logger.info("%d accounts were retweeted and are not collected yet: %s.", len(names), file)
