"""Reading feeds of X: the pages of many feeds at once, with an account of what could not be read.

*Flow:* `add` queues a `Visit` → `next_request` takes the most urgent one → `_page_of` → `FeedPager.ask` →
`XClient.request` → the page comes to `_answered`:

- the account is not shown → `_refused`
- else `FeedPager.take` gives a step → `sift` drops what is stored, and settles the bill → posts, gaps and then the
  feed's state are yielded → `_go_on`: `GoOn` → `add`; `Done` → `Visit.done`; `GiveUp` → the next run
- the step is `Again` → the same page after a pause

A request without a usable answer comes to `_failed`: it is asked again, or given up.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from scrapy import Request
from scrapy.crawler import Crawler

from chancrawl.engine import stopping, wait_for
from chancrawl.items import Account, Feed, Gap, Handle, Item, Tweet
from chancrawl.x import api, pagination
from chancrawl.x.access import Access
from chancrawl.x.accounts import merge
from chancrawl.x.budget import Bill
from chancrawl.x.client import TIMES, TOKENS, Answer, BadRequest, Problem, XClient
from chancrawl.x.ledger import XLedger
from chancrawl.x.pagination import Again, Done, FeedPager, GiveUp, GoOn, Step, pause_before
from chancrawl.x.payloads import Page, parse_page

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)


@dataclass(slots=True)
class Visit:
    """A feed that is being read, and for whom. `account` is None for a search."""

    pager: FeedPager
    query: str = ""
    account: Account | None = None
    refused: str | None = None
    refused_at: float = 0.0
    avoid: set[str] = field(default_factory=set)
    """Credentials to whose users the account is closed."""
    is_taken_up: bool = field(init=False)
    """It was begun by an earlier crawl: what has been posted since is still to be asked for."""
    time_tries: int = 0
    urgency: float = 0.0
    on_done: Callable[[Visit], None] = field(default=lambda visit: None)
    on_blocked: Callable[[Visit], None] = field(default=lambda visit: None)
    """No credential is shown the account, which is not protected as far as is known."""

    def __post_init__(self) -> None:
        self.is_taken_up = self.pager.is_under_way

    @property
    def feed(self) -> Feed:
        return self.pager.feed


class Reader:
    """Keeps pages of feeds coming, the longest feed first, so that all end at about the same time."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.stats = crawler.stats
        self.ledger = XLedger.of(crawler)
        self.access = Access.of(crawler)
        self.client = XClient(crawler)
        self.most_under_way = crawler.settings.getint("CONCURRENT_REQUESTS")
        self.highest_id: int | None = None
        self.succeeded_at = 0.0
        self._waiting: list[tuple[float, int, Visit]] = []
        self._later: list[tuple[float, int, Visit]] = []  # by the time at which they are tried again
        self._number = count()

    # --- the queue

    def add(self, visit: Visit) -> None:
        """Have a feed read. Its first page is asked for when its turn comes."""
        heapq.heappush(self._waiting, (-visit.urgency, next(self._number), visit))
        self.client.progress.set()

    @property
    def is_idle(self) -> bool:
        """Whether no request of the client is under way, and no feed waits to be read."""
        return not self.client.under_way and not self._waiting and not self._later

    def has_room(self) -> bool:
        """Whether one more request may be under way."""
        return self.client.under_way < self.most_under_way

    def next_request(self) -> Request | None:
        """The request for the next page, if one can be asked for now."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self.add(heapq.heappop(self._later)[2])
        if not self.has_room() or not self._waiting:
            return None
        return self._page_of(heapq.heappop(self._waiting)[2])

    async def wait(self) -> None:
        """For the end of a request, or half a second: a feed may be due to be tried again."""
        self.client.progress.clear()
        await wait_for(self.crawler, self.client.progress, 0.5)

    async def requests(self) -> AsyncIterator[Request]:
        """Requests for pages until all feeds that were added are read."""
        while not self.is_idle and not stopping(self.crawler):
            request = self.next_request()
            if request is None:
                await self.wait()
            else:
                yield request

    # --- pages

    def _page_of(self, visit: Visit) -> Request:
        pager = visit.pager
        pager.expected = visit.account.metrics.get("tweet_count", 0) if visit.account else 0
        self.set_seen_id(pager)
        asked = pager.ask(self.server_now())
        if visit.query:
            asked["query"] = visit.query
        return self.client.request(
            pager.endpoint,
            asked,
            lambda payload, seen_at: parse_page(payload, visit.feed.feed, seen_at),
            lambda answer: self._answered(visit, answer),
            lambda problem: self._failed(visit, problem),
            reads=int(asked["max_results"]),
            argument=str(visit.account.id) if visit.account else "",
            avoid=visit.avoid,
        )

    def set_seen_id(self, pager: FeedPager) -> None:
        """Before the first page: up to which id everything has appeared by now."""
        if not pager.is_under_way and self.highest_id is not None:
            pager.seen_id = api.settled_id(self.highest_id)

    def server_now(self) -> datetime:
        """The server's time."""
        return datetime.fromtimestamp(self.access.pool.clock.at(time.monotonic()), UTC)

    async def sift(self, answer: Answer[Page], returned: list[int]) -> tuple[list[Tweet], list[Tweet]]:
        """New posts and those that are to be noted again. Settles the bill: `returned` are the ids that X has sent."""
        page = answer.content
        new, changed, read_today = await self.ledger.sift(page.tweets)
        posts, users = self.access.budget.bill_included(page.included_posts, page.included_users)
        own = len(set(returned) - read_today)
        await answer.settle(Bill(posts=own + posts, users=users))
        return new, changed

    def _failed(self, visit: Visit, problem: Problem) -> None:
        """Ask again, or leave the feed for the next run. X may refuse a page's token, a time, or what is asked for."""
        pager, why = visit.pager, str(problem)
        if not isinstance(problem, BadRequest):
            self._again(visit, pager.again(why))
        elif problem.is_ours:
            self._give_up(visit, why)
        elif pager.feed.next_token is not None and (problem.parameters & TOKENS or not problem.parameters):
            self._again(visit, pager.token_refused(why))
        elif problem.parameters & TIMES and not visit.time_tries:
            visit.time_tries += 1  # our clock was wrong; the answer has told the time
            self._again(visit, pager.again(why))
        else:
            self._give_up(visit, why)

    async def _answered(self, visit: Visit, answer: Answer[Page]) -> AsyncGenerator[Item, None]:
        page = answer.content
        returned = [tweet.id for tweet in page.tweets]
        if page.refusal is not None and visit.account is not None:
            await answer.settle(Bill())
            for refusal in self._refused(visit, page.refusal, answer.credential):
                yield refusal
            return
        self._name_authors(visit, page)
        self.note_highest(page.newest_id)
        is_first_page = visit.pager.is_first_page
        step = visit.pager.take(page, answer.seen_at)
        new, changed = await self.sift(answer, returned)
        if page.tweets:
            self.succeeded_at = time.monotonic()
            visit.refused = None
        for item in self._items(visit, page, new, changed, is_first_page):
            yield item
        if isinstance(step, Again):
            self._again(visit, step)
            return
        if isinstance(step, Done):
            visit.feed.visited_at = datetime.now(UTC)
            if step.is_doubtful:
                self.stats.inc_value("x/timelines_empty")
            for gap in step.gaps:
                self._log_gap(visit, gap)
                yield gap
        yield replace(visit.feed)
        self._go_on(visit, step)

    def _go_on(self, visit: Visit, step: Step) -> None:
        if isinstance(step, GiveUp):
            self._give_up(visit, step.why)
        elif isinstance(step, GoOn) or visit.pager.begin_older(self.server_now()):
            visit.urgency -= 1
            self.add(visit)
        elif visit.is_taken_up:
            visit.is_taken_up, visit.pager.seen_id = False, None
            self.add(visit)
        else:
            self.stats.inc_value("x/walks")
            visit.on_done(visit)

    def _log_gap(self, visit: Visit, gap: Gap) -> None:
        if gap.reason == "limit":
            return  # it was asked for
        self.stats.inc_value("x/gaps")
        times = (f"{time:%Y-%m-%d %H:%M}" if time else "?" for time in (gap.starts_at, gap.ends_at))
        logger.warning("%s could not be read from %s to %s: X shows no more than the latest %s.", gap.feed, *times,
                       visit.pager.endpoint.reach_text)  # fmt: skip

    def note_highest(self, tweet_id: int | None) -> None:
        """Remember the highest id seen; one of the future is of another making than X's, and tells no time."""
        if tweet_id is not None and (api.time_of(tweet_id) or self.server_now()) - self.server_now() < DAY:
            self.highest_id = max(self.highest_id or 0, tweet_id)

    def _name_authors(self, visit: Visit, page: Page) -> None:
        """The posts of a timeline are its account's, whether the answer says so or not."""
        account = visit.account
        for tweet in page.tweets if account is not None else ():
            assert account is not None
            if tweet.author_id in (None, account.id):
                tweet.author_id = account.id
                tweet.username = tweet.username or account.username

    def _items(
        self, visit: Visit, page: Page, new: list[Tweet], changed: list[Tweet], is_first_page: bool
    ) -> list[Item]:
        items: list[Item] = [*new, *changed]
        account = visit.account
        # The first page: there, the account's count of posts and its newest post belong together.
        if account is not None and is_first_page and (shown := page.authors.get(account.id)) is not None:
            merged = merge(account, shown)
            if merged is not None:
                if merged.username != account.username:
                    logger.info("@%s is called @%s now.", account.username, merged.username)
                    self.stats.inc_value("x/renamed")
                    handle = Handle(merged.username.lower(), merged.id, merged.status, shown.last_seen_at)  # type: ignore[arg-type]
                    items.append(handle)
                visit.account = merged
                items.append(merged)
        return items

    def _refused(self, visit: Visit, why: str, credential: str | None) -> list[Item]:
        """The items of an account whose timeline is not shown, once it was said twice while others were shown.

        An outage can answer this for everybody: then nothing is noted, and it is asked again. An account that is not
        protected, and does not show itself, has blocked the user whose token is used: others may see it.
        """
        account = visit.account
        assert account is not None
        if why == "protected" and account.raw.get("protected") is False and credential is not None:
            visit.avoid.add(credential)
            if self.access.pool.usable(visit.pager.endpoint.name, visit.avoid):
                self._again(visit, visit.pager.again(f"closed to one of the credentials ({why})"))
                return []
            visit.on_blocked(visit)  # or it is protected now
            return []
        if visit.refused == why and (self.succeeded_at > visit.refused_at or self._is_alone(visit)):
            visit.on_done(visit)
            return self.ended_as(visit, why)
        if visit.refused is None:
            visit.refused, visit.refused_at = why, time.monotonic()
        self._again(visit, visit.pager.again(why))
        return []

    def ended_as(self, visit: Visit, status: str) -> list[Item]:
        """The items that say that an account's timeline is not shown, and why."""
        account = visit.account
        assert account is not None
        self.stats.inc_value(f"x/accounts/{status}")
        logger.info("@%s %s.", account.username, STATUS[status])
        now = datetime.fromtimestamp(self.access.pool.clock.latest, UTC)  # by the clock that will tell its return
        pagination.stop(visit.feed)
        visit.feed.visited_at = datetime.now(UTC)
        ended = replace(account, status=status, last_seen_at=now)
        return [ended, Handle(ended.username.lower(), ended.id, status, now), replace(visit.feed)]

    def _is_alone(self, visit: Visit) -> bool:
        """Whether nothing else is read that could tell an outage."""
        return visit.pager.tries >= 2 and not self._waiting and self.client.under_way <= 1

    def _again(self, visit: Visit, step: Again | GiveUp) -> None:
        """Ask for the same page once more, later; or leave it for the next run."""
        if isinstance(step, GiveUp):
            self._give_up(visit, step.why)
        else:
            due = time.monotonic() + pause_before(visit.pager.tries)
            heapq.heappush(self._later, (due, next(self._number), visit))

    def _give_up(self, visit: Visit, why: str) -> None:
        self.stats.inc_value("x/walks_failed" if visit.account else "x/queries_failed")
        name = f"The timeline of @{visit.account.username}" if visit.account else f"The search {visit.query[:80]}"
        logger.warning("%s was not read to its end (%s); the next run goes on with it.", name, why)
        visit.on_done(visit)


STATUS = {
    "suspended": "is suspended",
    "protected": "is protected",
    "missing": "is missing",
    "blocked": "shows itself to none of the credentials: it is not protected, so it has blocked their users",
}
