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

from chancrawl.engine import stopping
from chancrawl.errors import UserError
from chancrawl.http import reason_of
from chancrawl.items import Account, Feed, Gap, Handle, Item, Tweet
from chancrawl.payload import Malformed
from chancrawl.storage.quarantine import Quarantine
from chancrawl.x import api, pagination
from chancrawl.x.access import Access, Bill
from chancrawl.x.api import Page
from chancrawl.x.client import TIMES, TOKENS, BadRequest, XClient, payload_of
from chancrawl.x.ledger import XLedger
from chancrawl.x.pagination import Again, Done, GiveUp, GoOn, Step, Walk

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)


@dataclass(slots=True)
class Visit:
    """A walk that is being made, and for whom. `account` is None for a search."""

    walk: Walk
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
    done: Callable[[Visit], None] = field(default=lambda visit: None)
    closed: Callable[[Visit], None] = field(default=lambda visit: None)
    """No credential is shown the account, which is not protected as far as is known."""

    def __post_init__(self) -> None:
        self.is_taken_up = self.walk.is_under_way

    @property
    def feed(self) -> Feed:
        return self.walk.feed


class Walker:
    """Keeps pages of walks coming, the longest walk first, so that all end at about the same time."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.stats = crawler.stats
        self.ledger = XLedger.of(crawler)
        self.access = Access.of(crawler)
        self.client = XClient(crawler)
        self.quarantine = Quarantine.of(crawler)
        self.most_under_way = crawler.settings.getint("CONCURRENT_REQUESTS")
        self.under_way = 0
        self.news = asyncio.Event()
        self.highest_id: int | None = None
        self.succeeded_at = 0.0
        self._waiting: list[tuple[float, int, Visit]] = []
        self._later: list[tuple[float, int, Visit]] = []  # by the time at which they are tried again
        self._number = count()

    # --- the queue

    def add(self, visit: Visit) -> None:
        """Have a walk made. Its first page is asked for when its turn comes."""
        heapq.heappush(self._waiting, (-visit.urgency, next(self._number), visit))
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

    def _page_of(self, visit: Visit) -> Request:
        walk = visit.walk
        walk.expected = visit.account.metrics.get("tweet_count", 0) if visit.account else 0
        if not walk.is_under_way and self.highest_id is not None:
            walk.seen_id = pagination.settled_id(self.highest_id)
        asked = walk.ask(self.server_now()) | api.POST_PARAMETERS
        if visit.query:
            asked["query"] = visit.query
        self.begun()
        return self.client.request(
            walk.endpoint,
            asked,
            self.answered,
            self.failed,
            bills=("posts", int(asked["max_results"])),
            least=walk.endpoint.smallest,
            argument=str(visit.account.id) if visit.account else "",
            avoid=visit.avoid,
            visit=visit,
        )

    def server_now(self) -> datetime:
        return datetime.fromtimestamp(self.access.pool.clock.at(time.monotonic()), UTC)

    async def answered(self, response: Response, visit: Visit) -> AsyncIterator[Item]:
        try:
            page = await self.read(response, visit.feed.feed)
        except BadRequest as error:
            self._wrong(visit, error)
        except Malformed as error:
            self._again(visit, visit.walk.again(str(error)))
        else:
            try:
                async for item in self._read(response, visit, page):
                    yield item
            except UserError as error:
                self.access.end(error)
        finally:
            await self.access.settle(response.request)
            self.ended()

    async def read(self, response: Response, feed: str) -> Page:
        """The page of an answer, whose cost is put on the bill. Malformed, and the answer set aside, if it is none."""
        page: Page | None = None
        try:
            page = api.parse_page(payload_of(response, self.quarantine), feed, self.client.dates.now(response))
        except BadRequest:
            raise
        except Malformed as error:
            self.quarantine.set_aside(response.url, response.body, str(error))
            raise
        except Exception as error:  # a payload that nobody has thought of must not pass for one that was stored
            self.quarantine.set_aside(response.url, response.body, f"{type(error).__name__}: {error}")
            raise Malformed(f"{type(error).__name__}: {error}") from None
        finally:
            if page is None:
                await self.access.settle(response.request)
        if page.problems:
            self.quarantine.set_aside(response.url, response.body, "; ".join(page.problems[:10]))
        return page

    async def sift(self, response: Response, page: Page, returned: list[int]) -> tuple[list[Tweet], list[Tweet]]:
        """New posts and those that are to be noted again; `returned` are the ids that X has sent, for the bill."""
        new, changed, read_today = await self.ledger.sift(page.tweets)
        posts, users = self.access.came_along(page.included_posts, page.included_users)
        own = len(set(returned) - read_today)
        await self.access.settle(response.request, Bill(posts=own + posts, users=users))
        return new, changed

    def _wrong(self, visit: Visit, error: BadRequest) -> None:
        """X refuses a request as wrong: its token, its times, what all requests have, or what is asked for."""
        walk = visit.walk
        if error.is_ours:
            self.access.end(wrong_parameters(error))
            self._give_up(visit, str(error))
        elif walk.feed.next_token is not None and (error.parameters & TOKENS or not error.parameters):
            self._again(visit, walk.token_refused(str(error)))
        elif error.parameters & TIMES and not visit.time_tries:
            visit.time_tries += 1  # our clock was wrong; the answer has told the time
            self._again(visit, walk.again(str(error)))
        else:
            self._give_up(visit, str(error))

    async def _read(self, response: Response, visit: Visit, page: Page) -> AsyncIterator[Item]:
        returned = [tweet.id for tweet in page.tweets]
        if page.refusal is not None and visit.account is not None:
            await self.access.settle(response.request)
            for refusal in self._refused(visit, page.refusal, response.meta.get("x_credential")):
                yield refusal
            return
        self._name_authors(visit, page)
        self.note_highest(page.newest_id)
        seen_at = self.client.dates.now(response)
        is_first_page = visit.walk.is_first_page
        step = visit.walk.take(page, seen_at)
        new, changed = await self.sift(response, page, returned)
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
                self._tell_gap(gap)
                yield gap
        yield replace(visit.feed)
        self._go_on(visit, step)

    def _go_on(self, visit: Visit, step: Step) -> None:
        if isinstance(step, GiveUp):
            self._give_up(visit, step.why)
        elif isinstance(step, GoOn) or visit.walk.begin_older(self.server_now()):
            visit.urgency -= 1
            self.add(visit)
        elif visit.is_taken_up:
            visit.is_taken_up, visit.walk.seen_id = False, None
            self.add(visit)
        else:
            self.stats.inc_value("x/walks")
            visit.done(visit)

    def _tell_gap(self, gap: Gap) -> None:
        if gap.reason == "limit":
            return  # it was asked for
        self.stats.inc_value("x/gaps")
        times = (f"{time:%Y-%m-%d %H:%M}" if time else "?" for time in (gap.starts_at, gap.ends_at))
        logger.warning("%s could not be read from %s to %s: X shows no more than the latest %s.", gap.feed, *times,
                       "3,200 posts" if gap.feed.startswith("timeline:") else "seven days")  # fmt: skip

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
        """An account whose timeline is not shown. Believed when it says so twice while others are shown.

        An outage can answer this for everybody: then nothing is noted, and it is asked again. An account that is not
        protected, and does not show itself, has blocked the user whose token is used: others may see it.
        """
        account = visit.account
        assert account is not None
        if why == "protected" and account.raw.get("protected") is False and credential is not None:
            visit.avoid.add(credential)
            if self.access.pool.usable(visit.walk.endpoint.name, visit.avoid):
                self._again(visit, visit.walk.again(f"closed to one of the credentials ({why})"))
                return []
            visit.closed(visit)  # or it is protected now
            return []
        if visit.refused == why and (self.succeeded_at > visit.refused_at or self._is_alone(visit)):
            visit.done(visit)
            return self.ended_as(visit, why)
        if visit.refused is None:
            visit.refused, visit.refused_at = why, time.monotonic()
        self._again(visit, visit.walk.again(why))
        return []

    def ended_as(self, visit: Visit, status: str) -> list[Item]:
        """What is known of an account whose timeline is not shown."""
        account = visit.account
        assert account is not None
        self.stats.inc_value(f"x/accounts/{status}")
        logger.info("@%s %s.", account.username, STATUS[status])
        now = datetime.now(UTC)
        pagination.stop(visit.feed)
        visit.feed.visited_at = now
        told = replace(account, status=status, last_seen_at=now)
        return [told, Handle(told.username.lower(), told.id, status, now), replace(visit.feed)]

    def _is_alone(self, visit: Visit) -> bool:
        """Nothing else is read that could tell an outage."""
        return visit.walk.tries >= 2 and not self._waiting and self.under_way <= 1

    def _again(self, visit: Visit, step: Again | GiveUp) -> None:
        """Ask for the same page once more, later; or leave it for the next run."""
        if isinstance(step, GiveUp):
            self._give_up(visit, step.why)
        else:
            due = time.monotonic() + pause_before(visit.walk.tries)
            heapq.heappush(self._later, (due, next(self._number), visit))

    def _give_up(self, visit: Visit, why: str) -> None:
        self.stats.inc_value("x/walks_failed" if visit.account else "x/queries_failed")
        name = f"The timeline of @{visit.account.username}" if visit.account else f"The search {visit.query[:80]}"
        logger.warning("%s was not read to its end (%s); the next run goes on with it.", name, why)
        visit.done(visit)

    async def failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        await self.access.settle(request)
        visit: Visit = request.cb_kwargs["visit"]
        if stopping(self.crawler):
            visit.done(visit)
        else:
            self._again(visit, visit.walk.again(reason_of(failure)))
        self.ended()


STATUS = {
    "suspended": "is suspended",
    "protected": "is protected",
    "missing": "is missing",
    "blocked": "shows itself to none of the credentials: it is not protected, so it has blocked their users",
}


def wrong_parameters(error: BadRequest) -> UserError:
    """The end of a crawl whose every request X refuses."""
    return UserError(
        f"X refuses a parameter that every request has ({', '.join(sorted(error.parameters))}): {error}. Its API has "
        "changed; a newer version of chancrawl is needed.",
        reason="refused",
    )


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
