"""Reading feeds of X: the pages of several walks at once, with an account of what could not be read."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl import twitter, walking
from chancrawl.access import Access
from chancrawl.client import reason_of, seen_at
from chancrawl.items import Account, Feed, Handle, Item, Tweet
from chancrawl.ledger import Ledger
from chancrawl.middlewares import stopping
from chancrawl.payload import Malformed
from chancrawl.quarantine import Quarantine
from chancrawl.twitter import SEARCH, TIMELINE, Endpoint, Page
from chancrawl.walking import Wants
from chancrawl.xclient import XClient, payload_of

logger = logging.getLogger(__name__)

TRIES = 7
"""So often is a page asked for that cannot be read; each time RetryMiddleware has tried what it can."""
DAY = timedelta(days=1)


@dataclass(slots=True)
class Walk:
    """A walk under way: a feed and what is asked of it. `account` is None for a search."""

    feed: Feed
    endpoint: Endpoint
    wants: Wants
    query: str = ""
    account: Account | None = None
    seen_id: int | None = None
    """The highest settled id that was known when the first page was asked for."""
    below: int | None = None
    """Where a walk goes on whose page token is not taken any more."""
    tries: int = 0
    refused: str | None = None
    refused_at: float = 0.0
    is_first_page: bool = True
    is_taken_up: bool = field(init=False)
    """It was begun by an earlier crawl: what has been posted since is still to be asked for."""
    urgency: float = 0.0
    done: Callable[[Walk], None] = field(default=lambda walk: None)

    def __post_init__(self) -> None:
        self.is_taken_up = self.feed.next_token is not None

    @property
    def is_new(self) -> bool:
        return self.feed.next_token is None and self.below is None


class Walker:
    """Keeps pages of walks coming, the longest walk first, so that all end at about the same time."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.stats = crawler.stats
        self.ledger = Ledger.of(crawler)
        self.access = Access.of(crawler)
        self.client = XClient(crawler)
        self.quarantine = Quarantine.of(crawler)
        self.most_under_way = crawler.settings.getint("CONCURRENT_REQUESTS")
        self.under_way = 0
        self.news = asyncio.Event()
        self.highest_id: int | None = None
        self.succeeded_at = 0.0
        self._waiting: list[tuple[float, int, Walk]] = []
        self._later: list[tuple[float, int, Walk]] = []  # by the time at which they are tried again
        self._number = count()

    # --- the queue

    def add(self, walk: Walk) -> None:
        """Have a walk made. Its first page is asked for when its turn comes."""
        heapq.heappush(self._waiting, (-walk.urgency, next(self._number), walk))
        self.news.set()

    @property
    def is_idle(self) -> bool:
        return not self.under_way and not self._waiting and not self._later

    def has_room(self) -> bool:
        return self.under_way < self.most_under_way

    def next_request(self) -> Request | None:
        """The next page, if one can be asked for now."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self.add(heapq.heappop(self._later)[2])
        if not self.has_room() or not self._waiting:
            return None
        return self._page_of(heapq.heappop(self._waiting)[2])

    async def wait(self) -> None:
        """For an answer, or for the time of a walk that is tried again; not longer than a person would after Ctrl-C."""
        self.news.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), 0.5)

    async def requests(self) -> AsyncIterator[Request]:
        """Pages until all walks that were added are made."""
        while not self.is_idle and not stopping(self.crawler):
            request = self.next_request()
            if request is None:
                await self.wait()
            else:
                yield request

    def begun(self) -> None:
        self.under_way += 1

    def ended(self) -> None:
        self.under_way -= 1
        self.news.set()

    # --- pages

    def _page_of(self, walk: Walk) -> Request:
        feed = walk.feed
        walk.is_first_page = walk.is_new
        if walk.is_new:
            if feed.walk_until_id is None:
                walking.begin(feed)
            if self.highest_id is not None:
                walk.seen_id = walking.settled_id(self.highest_id)
        smallest = twitter.SMALLEST_PAGE[walk.endpoint.name]
        asked = walking.parameters(feed, walk.wants, smallest, self._reach(walk)) | twitter.POST_PARAMETERS
        if feed.next_token is not None:
            asked["pagination_token" if walk.endpoint is TIMELINE else "next_token"] = feed.next_token
        elif walk.below is not None:
            asked["until_id"] = str(walk.below)
        if walk.query:
            asked["query"] = walk.query
        self.begun()
        return self.client.request(
            walk.endpoint,
            asked,
            self.answered,
            self.failed,
            bills=("posts", int(asked["max_results"])),
            least=smallest,
            argument=str(walk.account.id) if walk.account else "",
            walk=walk,
        )

    def _reach(self, walk: Walk) -> datetime | None:
        """As far back as a search goes; None for a timeline."""
        return walking.search_reach(self.server_now()) if walk.endpoint is SEARCH else None

    def server_now(self) -> datetime:
        return datetime.fromtimestamp(self.access.pool.clock.at(time.monotonic()), UTC)

    async def answered(self, response: Response, walk: Walk) -> AsyncIterator[Item]:
        try:
            payload = payload_of(response)
            page = twitter.parse_page(payload, walk.feed.feed, seen_at(response))
        except Malformed as error:
            await self.access.settle(response.request, 0)
            if response.status == 400 and walk.feed.next_token is not None:
                self._without_token(walk)
            else:
                self.quarantine.set_aside(response.url, response.body, str(error))
                walk.tries += 2 * (response.status == 400)  # it will hardly be right the next time
            self._again(walk, str(error))
            return
        except Exception as error:  # a payload that nobody has thought of must not pass for one that was stored
            await self.access.settle(response.request, 0)
            self.quarantine.set_aside(response.url, response.body, f"{type(error).__name__}: {error}")
            self._again(walk, str(error))
            return
        else:
            async for item in self._read(response, walk, page):
                yield item
        finally:
            self.ended()

    async def _read(self, response: Response, walk: Walk, page: Page) -> AsyncIterator[Item]:
        if page.problems:
            self.quarantine.set_aside(response.url, response.body, "; ".join(page.problems[:10]))
        new, changed, read_today = await self.ledger.x.sift(page.tweets)
        await self.access.settle(response.request, len(page.tweets) - len(read_today))
        if page.refusal is not None and walk.account is not None:
            for refusal in self._refused(walk, page.refusal):
                yield refusal
            return
        if self._is_cut_short(walk, page):
            self._again(walk, "an empty page in mid-walk")
            return
        walk.tries = 0
        walk.refused = walk.below = None
        self.succeeded_at = time.monotonic()
        self.note_highest(page.newest_id)
        for item in self._items(walk, page, new, changed):
            yield item
        goes_on = walking.advance(walk.feed, page, walk.wants, seen_at(response), walk.seen_id)
        if not goes_on:
            walk.feed.visited_at = datetime.now(UTC)
        yield replace(walk.feed)
        if goes_on or walking.begin_older(walk.feed, walk.wants, self._reach(walk)):
            walk.urgency -= 1
            self.add(walk)
        elif walk.is_taken_up:
            walk.is_taken_up, walk.seen_id = False, None
            self.add(walk)
        else:
            self.stats.inc_value("x/walks")
            walk.done(walk)

    def note_highest(self, tweet_id: int | None) -> None:
        """Remember the highest id seen; one of the future is of another making than X's, and tells no time."""
        if tweet_id is not None and (twitter.time_of(tweet_id) or self.server_now()) - self.server_now() < DAY:
            self.highest_id = max(self.highest_id or 0, tweet_id)

    def _items(self, walk: Walk, page: Page, new: list[Tweet], changed: list[Tweet]) -> list[Item]:
        items: list[Item] = [*new, *changed]
        account = walk.account
        # The first page: there, the account's count of posts and its newest post belong together.
        if account is not None and walk.is_first_page and (shown := page.authors.get(account.id)) is not None:
            merged = merge(account, shown)
            if merged is not None:
                if merged.username != account.username:
                    logger.info("@%s is called @%s now.", account.username, merged.username)
                    self.stats.inc_value("x/renamed")
                    handle = Handle(merged.username.lower(), merged.id, merged.status, shown.last_seen_at)  # type: ignore[arg-type]
                    items.append(handle)
                walk.account = merged
                items.append(merged)
        return items

    def _is_cut_short(self, walk: Walk, page: Page) -> bool:
        """Whether an empty page ends a first walk long before its account's posts do: an outage looks like that."""
        account = walk.account
        if page.tweets or page.next_token or account is None or walk.feed.walk_since_id is not None:
            return False
        if walk.wants.since is not None or walk.feed.walk_until_id is not None or walk.tries >= 2:
            return False
        expected = min(account.metrics.get("tweet_count", 0), twitter.REACHABLE)
        return walk.feed.posts < 0.9 * expected

    def _refused(self, walk: Walk, why: str) -> list[Item]:
        """An account whose timeline is not shown. Believed when it says so twice while others are shown.

        An outage can answer this for everybody: then nothing is noted, and it is asked again.
        """
        assert walk.account is not None
        if walk.refused == why and (self.succeeded_at > walk.refused_at or self._is_alone(walk)):
            self.stats.inc_value(f"x/accounts/{why}")
            logger.info("@%s is %s.", walk.account.username, why)
            now = datetime.now(UTC)
            walking.stop(walk.feed)
            walk.feed.visited_at = now
            walk.done(walk)
            account = replace(walk.account, status=why, last_seen_at=now)
            return [account, Handle(account.username.lower(), account.id, why, now), replace(walk.feed)]
        if walk.refused is None:
            walk.refused, walk.refused_at = why, time.monotonic()
        self._again(walk, why)
        return []

    def _is_alone(self, walk: Walk) -> bool:
        """Nothing else is read that could tell an outage."""
        return walk.tries >= 2 and not self._waiting and self.under_way <= 1

    def _without_token(self, walk: Walk) -> None:
        """A page's token is not taken any more: the walk goes on below the last post that was seen."""
        walk.feed.next_token = None
        walk.below = walk.feed.walk_oldest_id

    def _again(self, walk: Walk, why: str) -> None:
        """Ask for the same page once more, later; give up for this run after TRIES."""
        walk.tries += 1
        if walk.tries >= TRIES:
            self.stats.inc_value("x/walks_failed")
            logger.warning("%s is left for the next run: %s.", walk.feed.feed, why)
            walk.done(walk)
            return
        heapq.heappush(self._later, (time.monotonic() + pause_before(walk.tries), next(self._number), walk))

    async def failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        await self.access.settle(request, 0)
        walk: Walk = request.cb_kwargs["walk"]
        if stopping(self.crawler):
            walk.done(walk)
        else:
            self._again(walk, reason_of(failure))
        self.ended()


def pause_before(tries: int) -> float:
    """Seconds until something is asked for once more, after so many tries: half a minute in all."""
    return 0.5 * 2.0 ** (tries - 1)


def merge(held: Account, shown: Account) -> Account | None:
    """What is known of an account with what was just shown of it; None if that is nothing new.

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
