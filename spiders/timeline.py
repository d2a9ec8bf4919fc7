"""Timelines of X accounts: `scrapy crawl timeline -a handles=handle.txt`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.arguments import argument, duration, home, number, one_of, parsed, texts, words, yes_or_no
from chancrawl.configuration import tweet_ini
from chancrawl.engine import stopping
from chancrawl.errors import UserError
from chancrawl.http import reason_of
from chancrawl.items import Account, Feed, Handle, Item
from chancrawl.text import counted
from chancrawl.x import api, pagination
from chancrawl.x.access import Bill
from chancrawl.x.api import TIMELINE, USERS, USERS_AT_ONCE, USERS_BY_ID, Users, feed_of
from chancrawl.x.batched_search import PackReader
from chancrawl.x.client import BadRequest, payload_of
from chancrawl.x.fields import id_of
from chancrawl.x.handles import Handles, is_file
from chancrawl.x.pagination import TRIES, Walk, Wants
from chancrawl.x.reader import Visit, merge, pause_before, wrong_parameters
from chancrawl.x.spider import XSpider, first_time

logger = logging.getLogger(__name__)

WINDOW = 1000
"""So many accounts are in work at a time; the rest of the file waits to be read."""


@dataclass(frozen=True)
class TimelineArguments:
    handles: str = argument(
        words,
        "a file, or handles separated by commas; a CSV file needs a column of names (`username`, `handle`, "
        "`screen_name`) or of numbers (`id`, `user_id`, `author_id`)",
        "`handlesFile` of tweet.ini",
    )
    since: datetime | None = argument(
        first_time, "no posts older than this day; the earliest that X accepts is 2010-11-06", "as far back as X shows"
    )
    limit: int | None = argument(
        number, "maximum number of posts an account, newest first", "3,200, which is all that X shows"
    )
    follow: timedelta | None = argument(
        duration,
        "`15m`: keep running; revisit each account when a post is expected, at most every 15 minutes, at least daily",
        "once",
    )
    plan: str = argument(
        one_of("timeline", "search"),
        "`search`: read the new posts of several known accounts with one search",
        "`timeline`",
        "timeline",
    )
    snowball: bool = argument(
        yes_or_no,
        "`1`: write `handle.next.txt`, the retweeted accounts that are not collected yet, most retweeted first",
        "`0`",
        "0",
    )
    sample: int | None = argument(number, "maximum number of accounts, for a short first run", "all")


class TimelineSpider(XSpider):
    """The posts of accounts: all that can be reached at first, afterwards what is new.

    A name in the list stands for the account that had it when it was looked up first; see X_FOLLOW.
    """

    name = "timeline"
    Arguments = TimelineArguments
    EXAMPLES = (
        "scrapy crawl timeline -a handles=handle.txt",
        "scrapy crawl timeline -a handles=nasa,@esa -a since=2026-01-01",
        "scrapy crawl timeline -a handles=handle.txt -a follow=15m",
    )

    def __init__(self, **given: str) -> None:
        super().__init__()
        handles = given.get("handles", "").strip() or tweet_ini().get("handlesfile", "")
        self.arguments = texts(self.name, TimelineArguments, given | {"handles": handles})
        self.given = parsed(TimelineArguments, self.arguments)
        self.wants = Wants(self.given.since, self.given.limit)
        self.follow = self.given.follow
        if not handles:
            raise UserError("Whose timelines? Give -a handles=handle.txt (one a line) or -a handles=nasa,esa.")
        self.handles_value = home(handles)

    async def estimate(self) -> str:
        number = await asyncio.to_thread(self.handles.count)
        posts = min(self.wants.limit or api.REACHABLE, api.REACHABLE)
        each = posts * self.access.price["posts"] + self.access.price["users"]
        if number is None:
            return f"each account can cost up to ${each:,.2f} at its first visit ({posts:,} posts)"
        number = min(number, self.given.sample or number)
        return f"{counted(number, 'account')} can cost up to ${number * each:,.2f} ({posts:,} posts each)"

    def check(self) -> None:
        self.handles = Handles(self.handles_value, self.crawler.stats)

    async def round(self) -> AsyncIterator[Request]:
        self.names: list[str] = []  # to be looked up
        self.tries: dict[str, int] = {}
        self.paused_until = 0.0  # no look-up before: the last one came to nothing
        self.closed: dict[int, Visit] = {}  # accounts that are shown to no credential, and are looked up for that
        self.names_at_once = USERS_AT_ONCE
        self.lost: dict[str, Account] = {}  # known accounts that could not be parsed, and are asked for again
        self.active: set[int] = set()  # accounts of this round that are in work
        self.in_packs: list[Feed] = []
        self.left = self.given.sample
        self.began = datetime.now(UTC)
        self.by_name = self.crawler.settings["X_FOLLOW"] == "name"
        recheck = self.crawler.settings.getfloat("X_RECHECK_DAYS")
        self.stale = self.began - timedelta(days=recheck)
        chunks = self.handles.chunks()
        is_read = False
        while not stopping(self.crawler):
            if len(self.in_packs) >= WINDOW:
                async for page in self._by_search():
                    yield page
            is_batch = len(self.names) >= USERS_AT_ONCE or (is_read and self.names)
            if is_batch and self.walker.has_room() and time.monotonic() >= self.paused_until:
                yield await self._look_up()
            elif not is_read and len(self.active) < WINDOW and len(self.names) < USERS_AT_ONCE:
                try:
                    await self._take(await anext(chunks))
                except StopAsyncIteration:
                    is_read = True
            elif (request := self.walker.next_request()) is not None:
                yield request
            elif self.walker.is_idle and is_read and not self.names:
                break
            else:
                await self.walker.wait()
        if self.in_packs:
            async for request in self._by_search():
                yield request

    # --- from names to accounts

    async def _take(self, chunk: dict[str, str]) -> None:
        """Sort names: known accounts are visited, unknown names looked up, and those that led nowhere left alone."""
        held = await self.ledger.handles(chunk)
        numbers = {number for lower in chunk if (number := _number(lower)) is not None}
        numbers |= {h.account_id for h in held.values() if h.account_id is not None}
        accounts = await self.ledger.accounts(numbers)
        feeds = await self.ledger.feeds([feed_of(number) for number in accounts])
        for lower, name in chunk.items():
            if self.left is not None and self.left <= 0:
                return
            handle = held.get(lower)
            number = _number(lower)
            if handle is None and number in accounts:
                handle = Handle(lower, number, accounts[number].status, accounts[number].last_seen_at or self.stale)
            if handle is not None and (handle.status == "active" or handle.checked_at > self.stale):
                account = accounts.get(handle.account_id or 0)
                is_renamed = account is not None and number is None and account.username.lower() != lower
                if is_renamed and handle.checked_at <= self.stale:
                    self._ask_for(name)  # who has that name now?
                    if self.by_name:
                        continue
                if account is not None and account.status == "active":
                    self._visit(account, feeds[feed_of(account.id)])
                elif account is not None and (account.last_seen_at or self.stale) < self.stale:
                    self._ask_for(account.username)  # the name that it has now
                    self.lost[account.username.lower()] = account
                else:
                    self.stats.inc_value("x/handles_passed_over")
            else:
                self._ask_for(name)

    def _ask_for(self, name: str) -> None:
        if name.lower() not in self.tries:
            self.names.append(name)
            self.tries[name.lower()] = 0
            self._count_down()

    def _count_down(self) -> None:
        if self.left is not None:
            self.left -= 1

    async def _look_up(self) -> Request:
        number = max(min(self.names_at_once, await self.access.affordable("users")), 1)
        is_number = api.is_number(self.names[0])
        names = [name for name in self.names if api.is_number(name) == is_number][:number]
        asked = set(names)
        self.stats.inc_value("x/handles_asked", len([name for name in names if not self.tries.get(name.lower())]))
        self.names = [name for name in self.names if name not in asked]
        self.walker.begun()
        return self.walker.client.request(
            USERS_BY_ID if is_number else USERS,
            api.users_parameters(names),
            self.looked_up,
            self.not_looked_up,
            bills=("users", len(names)),
            least=len(names),
            names=names,
        )

    async def looked_up(self, response: Response, names: list[str]) -> AsyncIterator[Item]:
        users: Users | None = None
        try:
            users = api.parse_users(
                payload_of(response, self.walker.quarantine), names, self.walker.client.dates.now(response)
            )
        except BadRequest as error:
            self._wrong(names, error)
        except Exception as error:  # Malformed, or something that nobody has thought of
            self.walker.quarantine.set_aside(response.url, response.body, f"{type(error).__name__}: {error}")
            self._again(names, str(error))
        try:
            await self.access.settle(response.request, Bill(users=len(users.accounts) if users else 0))
            if users is not None:
                async for item in self._found(response, users, names):
                    yield item
        except UserError as error:
            self.access.end(error)
        finally:
            self.walker.ended()

    async def _found(self, response: Response, users: Users, names: list[str]) -> AsyncIterator[Item]:
        if users.problems:
            self.walker.quarantine.set_aside(response.url, response.body, "; ".join(users.problems[:10]))
        answered = {handle.handle for handle in users.handles}
        if not users.accounts and len(names) > 4 and self.tries.get(names[0].lower(), 0) < 2:
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
            if (closed := self.closed.pop(account.id, None)) is not None:
                status = "protected" if account.status == "protected" else "blocked"
                closed.account = account
                for item in self.walker.ended_as(closed, status):
                    yield item
            elif account.status == "active" and not self._is_somebody_else(account, known):
                self._visit(account, feeds[feed_of(account.id)], is_fresh=True)
        for handle in users.handles:
            if handle.handle in answered:
                self.tries.pop(handle.handle, None)
                before = known.get(handle.handle)
                if before is not None and before.account_id not in (None, handle.account_id) and not self.by_name:
                    self._tell_taken(before, handle)
                    yield replace(before, checked_at=handle.checked_at)
                    continue
                self._tell(handle)
                yield handle
                lost = self.lost.pop(handle.handle, None)
                if lost is not None and handle.account_id is None:
                    yield replace(lost, status=handle.status, last_seen_at=handle.checked_at)

    def _is_somebody_else(self, account: Account, known: dict[str, Handle]) -> bool:
        """Whether an account has the name that the list means another account by."""
        before = known.get(account.username.lower())
        return before is not None and before.account_id not in (None, account.id) and not self.by_name

    def _tell_taken(self, before: Handle, now: Handle) -> None:
        """The account that a name of the list stands for has another name now."""
        self.stats.inc_value("x/names_taken")
        if now.account_id is None:
            logger.warning("@%s is a name that nobody has now (%s); the account that had it, id:%d, is still read.",
                           before.handle, now.status, before.account_id)  # fmt: skip
        else:
            logger.warning(
                "@%s is somebody else now: id:%d. The account that had the name, id:%d, is still read. Write id:%d in "
                "the list for the new one, or set X_FOLLOW=name to go by names.",
                before.handle, now.account_id, before.account_id, now.account_id,
            )  # fmt: skip

    def _wrong(self, names: list[str], error: BadRequest) -> None:
        """X refuses a look-up as wrong: if one name is the reason, it costs itself alone."""
        if error.is_ours or "user.fields" in error.parameters:
            self.access.end(wrong_parameters(error))
        elif len(names) > 1:
            self.names_at_once = max(len(names) // 2, 1)
            self.names += names
        else:
            self.stats.inc_value("x/handles_failed")
            logger.warning("@%s could not be looked up: %s.", names[0], error)

    def _tell(self, handle: Handle) -> None:
        self.stats.inc_value(f"x/accounts/{handle.status}")
        if handle.status != "active":
            logger.info("@%s is %s.", handle.handle, handle.status)

    async def not_looked_up(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        await self.access.settle(request)
        if not stopping(self.crawler):
            self._again(request.cb_kwargs["names"], reason_of(failure))
        self.walker.ended()

    def _again(self, names: list[str], why: str) -> None:
        tries = 1 + max(self.tries.get(name.lower(), 0) for name in names)
        self.paused_until = time.monotonic() + pause_before(tries)
        for name in names:
            self.tries[name.lower()] = tried = self.tries.get(name.lower(), 0) + 1
            if tried < TRIES:
                self.names.append(name)
            else:
                self.stats.inc_value("x/handles_failed")
                logger.warning("@%s could not be looked up (%s); the next run asks again.", name, why)

    # --- visits

    def _visit(self, account: Account, feed: Feed, is_fresh: bool = False) -> None:
        """New posts of many accounts with few searches; then timelines, where the counts say that more is there."""
        if account.id in self.active or (feed.visited_at is not None and feed.visited_at >= self.began):
            return
        if self.follow is not None and feed.visited_at is not None and not pagination.is_under_way(feed):
            due = feed.visited_at + pagination.interval(feed, self.follow)
            if due > self.began + self.follow / 2:
                return
        if feed.visited_at is not None:
            self._count_down()  # a new one was counted when it was looked up
        self.active.add(account.id)
        self.stats.inc_value("x/timelines")
        is_quiet = feed.seen_id is not None and not pagination.is_under_way(feed)
        if self.given.plan == "search" and is_quiet and not pagination.wants_timeline(feed, self.began):
            self.in_packs.append(feed)
            return
        if is_fresh and account.metrics.get("tweet_count") == 0:
            self.active.discard(account.id)
        else:
            self._walk(account, feed)

    def _walk(self, account: Account, feed: Feed) -> None:
        expected = min(account.metrics.get("tweet_count", 0), self.wants.limit or api.REACHABLE) - feed.posts
        urgency = expected / api.PAGE if feed.newest_id is None or feed.next_token else feed.posts_per_day or 0.0
        visit = Visit(Walk(feed, TIMELINE, self.wants), account=account, urgency=urgency)
        visit.done, visit.closed = self._done, self._closed
        self.walker.add(visit)

    def _done(self, visit: Visit) -> None:
        assert visit.account is not None
        self.active.discard(visit.account.id)

    def _closed(self, visit: Visit) -> None:
        """An account that is shown to no credential: it is protected now, or it has blocked their users."""
        assert visit.account is not None
        self._done(visit)
        self.closed[visit.account.id] = visit
        self.names.append(f"id:{visit.account.id}")
        self.tries.setdefault(f"id:{visit.account.id}", 0)
        self.walker.news.set()

    async def _by_search(self) -> AsyncIterator[Request]:
        """The new posts of many accounts with few searches; then timelines, where the counts say that more is there."""
        reach = pagination.search_reach(datetime.now(UTC))
        longest = self.crawler.settings.getint("X_QUERY_LENGTH")
        feeds, self.in_packs = self.in_packs, []
        packs, alone = pagination.pack(feeds, longest, reach)
        accounts = await self.ledger.accounts([api.account_of_feed(feed) for feed in feeds])
        reader = PackReader(self.walker, accounts)
        for pack in packs:
            reader.add(pack)
        for feed in alone:
            self._walk(accounts[api.account_of_feed(feed)], feed)
        async for request in reader.requests():
            yield request
        for feed in reader.incomplete():
            self.stats.inc_value("x/reconciled")
            self._walk(accounts[api.account_of_feed(feed)], feed)
        async for request in self.walker.requests():
            yield request
        self.active -= accounts.keys()

    # --- the next level

    async def finish(self) -> None:
        if self.given.snowball and not stopping(self.crawler):
            self.session.before_closing.append(self._write_next_level)  # when all is stored

    async def _write_next_level(self) -> None:
        """A file of the accounts that were retweeted and were never looked up."""
        names = await self.ledger.retweeted()
        given = Path(self.handles_value)
        file = given if is_file(self.handles_value) else Path(self.settings["CSV_FOLDER"]) / "handle.txt"
        file = file.with_name(f"{file.stem}.next{file.suffix or '.txt'}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        except OSError as error:
            UserError(f"{file} cannot be written ({error.strerror}).").tell(self.crawler)
        else:
            logger.info("%d accounts were retweeted and are not collected yet: %s.", len(names), file)


def _number(name: str) -> int | None:
    """The number of an account that is named by it.

    >>> _number("id:783214"), _number("nasa")
    (783214, None)
    """
    return id_of(name.removeprefix("id:")) if api.is_number(name) else None
