"""Pagination of a feed: the parameters of the next page, and what an answer means. Sans I/O.

Nothing is the end, gone or complete unless an answer says so itself. A page is the last one if it has posts and says
that there is no next one. An empty page in the middle of a feed, an error, a page that is torn, a token that was used
before: none of these is the end. What was to be read stays to be read, in this run with a bound, and in the next one.
What can never be read any more becomes a `Gap`, and `complete_since` does not reach behind it.

A walk is one pass through a feed, page by page; the columns `walk_…` of `feeds` hold how far it has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from chancrawl.items import Feed, Gap
from chancrawl.x.api import FIRST_START, FIRST_TIMED, Endpoint, account_of_feed, id_at, settled, time_of
from chancrawl.x.pace import note_pace, pace_of
from chancrawl.x.payloads import Page

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TRIES = 7
"""Attempts to read one page. Before each counts as failed, RetryMiddleware has tried what it can."""


def pause_before(tries: int) -> float:
    """Seconds to wait after so many failed attempts: half a minute in all.

    >>> [pause_before(tries) for tries in (1, 2, 3)]
    [0.5, 1.0, 2.0]
    """
    return 0.5 * 2.0 ** (tries - 1)


EMPTY_WITH_TOKEN = STRAYS_WITH_TOKEN = 2
"""After so many empty or wrong answers to a page's token the pager drops it and goes on below the last post."""
EMPTY_CONFIRMED = 3
"""So many empty answers in a row to a request without a token, in the middle of a feed, are taken for its end."""

BARREN = 10
"""After so many pages in a row that bring nothing new, the pager drops its token."""

REACH_MARGIN = 0.97
"""A timeline that has shown so much of `reach_posts` may have been cut off there: deleted posts count, too."""


@dataclass(frozen=True, slots=True)
class Wants:
    """How far back a feed is to be read: to a time, to a number of posts, or as far as it goes.

    `limit` is for all that was read of the feed, or for `each_visit`: then what lies between two visits is left out.
    """

    since: datetime | None = None
    limit: int | None = None
    each_visit: bool = False

    def left(self, feed: Feed) -> int | None:
        """Posts that the walk under way may still read; None: no bound. What is new is always read whole."""
        if self.limit is None or (feed.walk_since_id is not None and not self.each_visit):
            return None
        return self.limit - (feed.walk_posts if self.each_visit else feed.posts)


# --- what an answer means


@dataclass(frozen=True, slots=True)
class GoOn:
    """The next page is to be asked for."""


@dataclass(frozen=True, slots=True)
class Done:
    """Everything was read that the walk was for, but for the gaps.

    `is_doubtful`: X showed an empty timeline again and again, of an account that has posts.
    """

    gaps: tuple[Gap, ...] = ()
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """The answer was none: the same place is to be asked for once more, after a pause."""

    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The walk is left for the next run, where it stopped."""

    why: str


Step = GoOn | Done | Again | GiveUp


@dataclass(slots=True)
class FeedPager:
    """Pages through a feed: from its newest post down to what is stored, or downwards from its oldest one.

    `feed` is what the store keeps of it; the rest is known to this run alone. `reach` is as far back as the endpoint
    goes now, None for as far as there are posts. `expected` is how many posts there should be, for all that is known;
    `total` is how many posts the account has by the answers of this walk.
    """

    feed: Feed
    endpoint: Endpoint
    wants: Wants
    reach: datetime | None = None
    seen_id: int | None = None
    """The highest settled id that was known when the first page was asked for."""
    expected: int = 0
    total: int | None = None
    tries: int = 0
    empties: int = 0
    strays: int = 0
    barren: int = 0
    tokens: set[str] = field(default_factory=set)
    dropped_at: int | None = None
    is_first_page: bool = True
    _low: int | None = None
    is_resumed: bool = field(init=False)
    """It was begun by an earlier run: nobody knows what was posted since."""

    def __post_init__(self) -> None:
        self.is_resumed = self.is_under_way

    @property
    def is_under_way(self) -> bool:
        return is_under_way(self.feed)

    @property
    def is_from_top(self) -> bool:
        return self.feed.walk_until_id is None or self.feed.walk_newest_id is not None

    def ask(self, now: datetime) -> dict[str, str]:
        """The parameters of the request for the next page. `now` is the server's time."""
        feed = self.feed
        self.is_first_page = not self.is_under_way
        if self.is_first_page:
            feed.walk_since_id = feed.newest_id
        if self.endpoint.reach_days is not None and (self.is_first_page or self.reach is None):
            self.reach = self.endpoint.reach(now)
        self._low = None
        left = self.wants.left(feed)
        asked = {"max_results": str(self._page_size(left))}
        since = self._since()
        if feed.walk_since_id is not None:
            self._low = feed.walk_since_id if self.reach is None else max(feed.walk_since_id, id_at(self.reach))
            asked["since_id"] = str(self._low)
        elif since is not None:
            asked["start_time"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if feed.walk_until_id is not None:
            asked["until_id"] = str(feed.walk_until_id)
        if feed.next_token is not None:
            asked[self.endpoint.page_token_parameter] = feed.next_token
        return asked

    def _page_size(self, left: int | None) -> int:
        largest = self.endpoint.page_size
        return largest if left is None else max(min(left, largest), self.endpoint.smallest_page)

    def _since(self) -> datetime | None:
        """The earliest time to be asked for, where one is wanted that can be asked for."""
        since = self.wants.since
        if since is None or (self.reach is not None and since <= self.reach):
            return None
        return max(since, FIRST_START)

    def take(self, page: Page, seen_at: datetime) -> Step:
        """Take note of a page; what to do next. Its posts are to be stored, and then, unless it is Again, `feed`."""
        if page.is_torn:
            return self._again("a page that does not tell whether it is whole")
        if not page.tweets and page.next_token is None:
            return self._empty(page, seen_at)
        placed = self._in_place(page)
        if self.is_first_page and not placed and {tweet.id for tweet in page.tweets} == {self._low}:
            return self._empty(page, seen_at)  # since_id itself: there is nothing else
        if page.tweets and not placed and (page.next_token is None or self.is_first_page):
            return self._astray()
        if placed:
            self._note_total(page)
        is_cut = self._cut(page)
        self.empties = self.strays = 0
        self._note(page, placed)
        self.barren = 0 if placed else self.barren + 1
        if page.next_token is None and not is_cut:
            return self._finish(page, seen_at, is_limited=False)
        left = self.wants.left(self.feed)
        if left is not None and left <= 0:
            return self._finish(page, seen_at, is_limited=True)
        token = page.next_token
        if token is None or token in self.tokens or self.barren > (BARREN if not page.tweets else 0):
            return self._without_token("a page token that leads round in a circle")
        self.tokens.add(token)
        self.feed.next_token = token
        self.tries = 0
        return GoOn()

    def _in_place(self, page: Page) -> list[int]:
        """The posts of a page that lie where it was asked for: a cache can answer with another page."""
        feed = self.feed
        lowest, highest = self._low or 0, feed.walk_until_id or 2**63
        below = feed.walk_oldest_id or 2**63
        return [tweet.id for tweet in page.tweets if lowest < tweet.id < min(highest, below)]

    def _note_total(self, page: Page) -> None:
        if self.endpoint.tells_total:
            account = page.authors.get(account_of_feed(self.feed))
            if account is not None:
                self.total = account.metrics.get("tweet_count", self.total)

    def _cut(self, page: Page) -> bool:
        """Leave out what is beyond the limit: the smallest page of an endpoint can have more. Whether that was so."""
        left = self.wants.left(self.feed)
        if left is None or len(page.tweets) <= left:
            return False
        page.tweets = sorted(page.tweets, key=lambda tweet: -tweet.id)[: max(left, 0)]
        return True

    def _note(self, page: Page, placed: Sequence[int] = ()) -> None:
        feed = self.feed
        if feed.walk_oldest_id is None and feed.walk_until_id is None:  # the first page with posts
            feed.walk_newest_id = max(*placed, feed.newest_id or 0, 0) or None
            if feed.walk_since_id is None:
                feed.posts_per_day = pace_of(page)
        feed.pages += 1
        feed.posts += len(page.tweets)
        feed.walk_posts += len(page.tweets)
        if placed and page.tweets:
            lowest = max(min(placed), min(tweet.id for tweet in page.tweets))
            feed.walk_oldest_id = min(feed.walk_oldest_id or lowest, lowest)
            feed.oldest_id = min(feed.oldest_id or lowest, lowest)

    def _astray(self) -> Step:
        """A page that says it is the last one, with posts that were not asked for: a cache's, or a wrong token's."""
        self.strays += 1
        if self.strays >= STRAYS_WITH_TOKEN and self.feed.next_token is not None:
            self._drop_token()
        return self._again("posts that were not asked for")

    def _empty(self, page: Page, seen_at: datetime) -> Step:
        """An empty page that says itself that it is empty. For a walk that has begun, that can be an outage, too."""
        is_start = self.is_first_page and self.feed.walk_until_id is None
        if is_start:
            is_odd = not self.endpoint.is_empty_believed and self.feed.walk_since_id is None and self.expected > 0
            if is_odd and self.tries < 2:
                return self._again("no posts, although there are some")
            self._note(page)
            done = self._finish(page, seen_at, is_limited=False)  # without a post, complete_since does not move
            if is_odd and self._since() is None:
                self.feed.timeline_at = None
                return replace(done, is_doubtful=True)
            return done
        self.empties += 1
        if self.feed.next_token is not None:
            if self.empties >= EMPTY_WITH_TOKEN:
                self._drop_token()
        elif self.empties >= EMPTY_CONFIRMED:
            self._note(page)
            return self._finish(page, seen_at, is_limited=False)
        return self._again("an empty page in mid-walk")

    def again(self, why: str) -> Again | GiveUp:
        """The answer was none. After TRIES the walk is left for the next run.

        Empty pages before it prove nothing any more: they can have come from the same outage.
        """
        self.empties = 0
        return self._again(why)

    def _again(self, why: str) -> Again | GiveUp:
        self.tries += 1
        return GiveUp(why) if self.tries >= TRIES else Again(why)

    def token_refused(self, why: str) -> Again | GiveUp:
        """A page's token is not taken any more."""
        self._drop_token()
        return self.again(why)

    def _without_token(self, why: str) -> Step:
        """GoOn below the last post that was seen, without a token; GiveUp the second time at one place."""
        lowest = self.feed.walk_oldest_id
        if lowest is None or lowest == self.dropped_at:
            self._drop_token()
            return GiveUp(why)
        self.dropped_at = lowest
        self.barren = 0
        self._drop_token()
        return GoOn()

    def _drop_token(self) -> None:
        self.feed.next_token = None
        self.empties = self.strays = 0
        if self.feed.walk_oldest_id is not None:
            self.feed.walk_until_id = self.feed.walk_oldest_id

    # --- the end of a walk

    def _finish(self, page: Page, seen_at: datetime, is_limited: bool) -> Done:
        feed = self.feed
        floor, reason = self._floor(is_limited)
        gaps: list[Gap] = []
        if feed.walk_since_id is not None and self.is_from_top:
            if floor is not None and floor > feed.walk_since_id:
                ends_at = time_of(floor) or FIRST_TIMED
                gaps.append(
                    Gap(feed.feed, floor, feed.walk_since_id, time_of(feed.walk_since_id), ends_at, reason, seen_at)
                )
                feed.complete_since = max(feed.complete_since or EPOCH, ends_at)
                feed.bottom_at = seen_at  # what is older than the gap does not make the feed any more complete
        elif feed.oldest_id is not None:
            since = (time_of(floor) or FIRST_TIMED) if floor is not None else EPOCH
            wanted = self._since() if feed.walk_since_id is None and not is_limited else None
            feed.complete_since = max(since, wanted or EPOCH)
            if not is_limited and wanted is None:
                feed.bottom_at = seen_at
        if self.is_from_top:
            note_pace(feed, seen_at)
            if feed.walk_newest_id is not None and feed.walk_newest_id != feed.newest_id:
                feed.newest_id = max(settled(feed.walk_newest_id, seen_at), feed.newest_id or 0)
            feed.seen_id = max(feed.newest_id or 0, self.seen_id or 0, feed.seen_id or 0) or None
        if self.endpoint.shows_all_kinds:
            feed.timeline_at = seen_at
        stop(feed)
        self._begin_anew()
        return Done(tuple(gaps))

    def _floor(self, is_limited: bool) -> tuple[int | None, str]:
        """The id down to which this walk has read, if it did not come to the end of the feed, and why it did not."""
        feed = self.feed
        if is_limited:
            return feed.walk_oldest_id, "limit"
        if self.reach is not None:  # which has moved on, if the walk took long
            return min(id_at(self.reach), feed.walk_oldest_id or 2**63), "reach"
        if self._is_beyond_reach():
            return feed.walk_oldest_id or feed.oldest_id, "reach"
        return None, ""

    def _is_beyond_reach(self) -> bool:
        """Whether there may be posts beyond those that were read which are shown no more."""
        if self.endpoint.reach_posts is None:
            return False
        feed, most = self.feed, REACH_MARGIN * self.endpoint.reach_posts
        if feed.walk_since_id is not None and self.is_from_top:
            return feed.walk_posts >= most or (self.is_resumed and (self.total is None or self.total >= most))
        if self.total is not None:
            return self.total >= most
        return feed.posts >= most or self.is_resumed

    def _begin_anew(self) -> None:
        self.tries = self.empties = self.strays = self.barren = 0
        self.tokens.clear()
        self.dropped_at = None
        self.reach = None
        self.is_resumed = False

    def begin_older(self, now: datetime) -> bool:
        """Begin a walk downwards from the oldest post; False if no more is wanted than was read, or none can be had."""
        feed, wants = self.feed, self.wants
        if feed.newest_id is None or feed.oldest_id is None or feed.complete_since is None or wants.each_visit:
            return False
        if feed.bottom_at is not None:
            return False
        if wants.limit is not None and feed.posts >= wants.limit:
            return False
        if self.endpoint.reach_posts is not None and feed.posts >= REACH_MARGIN * self.endpoint.reach_posts:
            return False
        floor = max(wants.since or EPOCH, EPOCH)
        if wants.since is not None:
            floor = max(floor, FIRST_START)
        if (reach := self.endpoint.reach(now)) is not None:
            floor = max(floor, reach)
            if feed.oldest_id <= id_at(floor):
                return False
        if feed.complete_since <= floor:
            return False
        feed.walk_until_id = feed.oldest_id
        return True


def is_under_way(feed: Feed) -> bool:
    """Whether a walk through a feed was begun and is not at its end."""
    return feed.next_token is not None or feed.walk_until_id is not None or feed.walk_oldest_id is not None


def stop(feed: Feed) -> None:
    """Note that no walk is under way any more."""
    feed.next_token = feed.walk_since_id = feed.walk_until_id = feed.walk_newest_id = feed.walk_oldest_id = None
    feed.walk_posts = 0
