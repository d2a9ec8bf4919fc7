"""How a feed is read: what to ask for, what an answer means, when to come again, what fits into one search. Sans I/O.

Nothing is the end, gone or complete unless an answer says so itself. A page ends a walk if it has posts and says that
there is no next one. An empty page in mid-walk, an error, a page that is torn, a token that was used before: none of
these is the end. What was to be read stays to be read, in this run with a bound, and in the next one. What can never be
read any more becomes a `Gap`, and `complete_since` does not reach behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from chancrawl.items import Feed, Gap
from chancrawl.x.api import (
    FIRST_START,
    FIRST_TIMED,
    PAGE,
    SEARCH_DAYS,
    Endpoint,
    Page,
    account_of_feed,
    id_at,
    time_of,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DISORDER = timedelta(seconds=10)
"""Ids are not strictly in the order in which posts appear: what is younger than this is asked for once more."""

TRIES = 7
"""So often is a page asked for that cannot be read; each time RetryMiddleware has tried what it can."""

EMPTY_WITH_TOKEN = STRAYS_WITH_TOKEN = 2
"""After so many empty or wrong answers to a page's token the walk goes on without it, below the last post."""
EMPTY_CONFIRMED = 3
"""So many empty answers in a row to a request without a token, in the middle of a walk, are taken for its end."""

BARREN = 10
"""After so many pages in a row that bring nothing new, a walk goes on without its token."""

REACH_MARGIN = 0.97
"""A timeline that has shown so much of what can be reached has been cut off there: deleted posts count, too."""


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
    """The walk is whole: everything was read that it set out for, but for the gaps.

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
class Walk:
    """A walk under way through a feed: from its newest post down to what is stored, or downwards from its oldest one.

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
        """What the next page is asked with. `now` is the server's time."""
        feed = self.feed
        self.is_first_page = not self.is_under_way
        if self.is_first_page:
            feed.walk_since_id = feed.newest_id
        if self.endpoint.days is not None and (self.is_first_page or self.reach is None):
            self.reach = search_reach(now)
        self._low = None
        left = self.wants.left(feed)
        asked = {"max_results": str(PAGE if left is None else max(min(left, PAGE), self.endpoint.smallest))}
        since = self._since()
        if feed.walk_since_id is not None:
            self._low = feed.walk_since_id if self.reach is None else max(feed.walk_since_id, id_at(self.reach))
            asked["since_id"] = str(self._low)
        elif since is not None:
            asked["start_time"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if feed.walk_until_id is not None:
            asked["until_id"] = str(feed.walk_until_id)
        if feed.next_token is not None:
            asked[self.endpoint.token] = feed.next_token
        return asked

    def _since(self) -> datetime | None:
        """The earliest time to be asked for, where one is wanted that can be asked for."""
        since = self.wants.since
        if since is None or (self.reach is not None and since <= self.reach):
            return None
        return max(since, FIRST_START)

    def take(self, page: Page, seen_at: datetime) -> Step:
        """Take note of a page. Its posts are to be stored, and then, unless the step is Again, `feed`."""
        if page.is_torn:
            return self.again("a page that does not tell whether it is whole")
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
        """A timeline's answers tell how many posts its account has."""
        if self.endpoint.posts is not None and self.feed.feed.startswith("timeline:"):
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
                feed.posts_per_day = _pace_of(page)
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
        return self.again("posts that were not asked for")

    def _empty(self, page: Page, seen_at: datetime) -> Step:
        """An empty page that says itself that it is empty. For a walk that has begun, that can be an outage, too."""
        is_start = self.is_first_page and self.feed.walk_until_id is None
        if is_start:
            is_odd = self.feed.walk_since_id is None and self.expected > 0
            if is_odd and self.tries < 2:
                return self.again("no posts, although there are some")
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
        return self.again("an empty page in mid-walk")

    def again(self, why: str) -> Again | GiveUp:
        """The answer was none. After TRIES the walk is left for the next run."""
        self.tries += 1
        return GiveUp(why) if self.tries >= TRIES else Again(why)

    def token_refused(self, why: str) -> Again | GiveUp:
        """A page's token is not taken any more."""
        self._drop_token()
        return self.again(why)

    def _without_token(self, why: str) -> Step:
        """Go on below the last post that was seen; once at a place."""
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
            _note_pace(feed, seen_at)
            if feed.walk_newest_id is not None and feed.walk_newest_id != feed.newest_id:
                feed.newest_id = max(_settled(feed.walk_newest_id, seen_at), feed.newest_id or 0)
            feed.seen_id = max(feed.newest_id or 0, self.seen_id or 0, feed.seen_id or 0) or None
        if self.endpoint.posts is not None:
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
        if self.endpoint.posts is None:
            return False
        feed, most = self.feed, REACH_MARGIN * self.endpoint.posts
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
        """Set out downwards from the oldest post; False if no more is wanted than was read, or none can be had."""
        feed, wants = self.feed, self.wants
        if feed.newest_id is None or feed.oldest_id is None or feed.complete_since is None or wants.each_visit:
            return False
        if feed.bottom_at is not None:
            return False
        if wants.limit is not None and feed.posts >= wants.limit:
            return False
        if self.endpoint.posts is not None and feed.posts >= REACH_MARGIN * self.endpoint.posts:
            return False
        floor = max(wants.since or EPOCH, EPOCH)
        if wants.since is not None:
            floor = max(floor, FIRST_START)
        if self.endpoint.days is not None:
            floor = max(floor, search_reach(now))
            if feed.oldest_id <= id_at(floor):
                return False
        if feed.complete_since <= floor:
            return False
        feed.walk_until_id = feed.oldest_id
        return True


def is_under_way(feed: Feed) -> bool:
    """Whether a walk of a feed was begun and is not whole."""
    return feed.next_token is not None or feed.walk_until_id is not None or feed.walk_oldest_id is not None


def search_reach(now: datetime) -> datetime:
    """As far back as recent search goes, with a margin for the time under way."""
    return now - timedelta(days=SEARCH_DAYS) + timedelta(minutes=2)


def found(feed: Feed, newest_id: int | None, seen_at: datetime, seen_id: int | None) -> None:
    """Take note of what a search over several feeds has found of one.

    A search shows no retweets, and perhaps not everything else: where the account's own timeline goes on stays where it
    is.
    """
    feed.pages += 1
    settled = _settled(newest_id, seen_at) if newest_id else 0
    feed.seen_id = max(settled, seen_id or 0, feed.seen_id or 0) or None


def stop(feed: Feed) -> None:
    """No walk is under way any more."""
    feed.next_token = feed.walk_since_id = feed.walk_until_id = feed.walk_newest_id = feed.walk_oldest_id = None
    feed.walk_posts = 0


def _settled(newest_id: int, seen_at: datetime) -> int:
    """The highest id below which nothing is still to appear."""
    time = time_of(newest_id)
    if time is None or seen_at - time > DISORDER or time - seen_at > timedelta(days=1):  # or ids of another making
        return newest_id
    return min(newest_id, id_at(seen_at - DISORDER))


def settled_id(highest_id: int) -> int:
    """An id seen somewhere says that its time has come: everything some seconds older has appeared."""
    return max(highest_id - (int(DISORDER.total_seconds() * 1000) << 22), 1)


def _note_pace(feed: Feed, seen_at: datetime) -> None:
    """Posts a day: half of what was thought, and half of what came since the last visit."""
    last = time_of(feed.seen_id or feed.walk_since_id or 0)
    if feed.walk_since_id is not None and last is not None and seen_at > last:
        feed.posts_per_day = _mean_pace(feed.posts_per_day, feed.walk_posts, seen_at - last)


def _mean_pace(before: float | None, posts: int, time: timedelta) -> float:
    pace = posts / max(time / timedelta(days=1), 1e-3)
    return pace if before is None else (before + pace) / 2


def _pace_of(page: Page) -> float | None:
    """Posts a day, as the newest page shows them."""
    newest, oldest = time_of(page.newest_id or 0), time_of(page.oldest_id or 0)
    if newest is None or oldest is None or len(page.tweets) < 2:
        return None
    return len(page.tweets) / max((newest - oldest) / timedelta(days=1), 1e-3)


def interval(feed: Feed, shortest: timedelta, longest: timedelta = timedelta(days=1)) -> timedelta:
    """The time between two visits: until one new post is to be expected.

    >>> interval(Feed("timeline:1", posts_per_day=24), timedelta(minutes=15))
    datetime.timedelta(seconds=3600)
    """
    pace = feed.posts_per_day or 0.0
    expected = timedelta(days=1 / pace) if pace > 1e-3 else longest
    return max(min(expected, longest), shortest)


# --- several timelines in one search

TIMELINE_EVERY = timedelta(days=7)
"""So often, at the least, is an account read by its own timeline that is otherwise read by searches."""


def wants_timeline(feed: Feed, now: datetime) -> bool:
    """Whether an account's own timeline is to be read, whatever a search finds.

    Since May 2026 searches show no retweets, and an account's count of posts does not prove that none was made: others
    may have been deleted. So the timeline is read once a week, and before half of what it can show has been posted.
    """
    if feed.timeline_at is None:
        return True
    days = (now - feed.timeline_at) / timedelta(days=1)
    return now - feed.timeline_at >= TIMELINE_EVERY or (feed.posts_per_day or 0.0) * days >= 1600


@dataclass(slots=True)
class Pack:
    """Timelines that one search asks for together, from `since_id` on."""

    feeds: list[Feed]
    since_id: int

    @property
    def query(self) -> str:
        return " OR ".join(_term(feed) for feed in self.feeds)


def _term(feed: Feed) -> str:
    """By number, not by name: names change."""
    return f"from:{account_of_feed(feed)}"


def pack(feeds: Iterable[Feed], longest: int, reach: datetime) -> tuple[list[Pack], list[Feed]]:
    """Searches of at most `longest` characters, and the feeds that are better asked for one by one.

    A search has one since_id for all, so feeds go together that were last seen at about the same time: at most one post
    in a hundred is to be shown twice. What was last seen before `reach` cannot be searched for.
    """
    earliest = id_at(reach)
    packs: list[Pack] = []
    alone: list[Feed] = []
    for feed in sorted(feeds, key=lambda feed: -(feed.seen_id or 0)):
        if feed.seen_id is None or feed.newest_id is None or feed.seen_id < earliest:
            alone.append(feed)
            continue
        if packs and _fits(packs[-1], feed, longest):
            packs[-1].feeds.append(feed)
            packs[-1].since_id = feed.seen_id
        else:
            packs.append(Pack([feed], feed.seen_id))
    alone += [pack.feeds[0] for pack in packs if len(pack.feeds) == 1]
    return [pack for pack in packs if len(pack.feeds) > 1], alone


def _fits(pack: Pack, feed: Feed, longest: int) -> bool:
    assert feed.seen_id is not None
    if len(pack.query) + len(" OR ") + len(_term(feed)) > longest:
        return False
    return _shown_twice(pack.feeds, feed.seen_id) <= max(0.002 * _pace(pack.feeds), 0.05)


def _shown_twice(feeds: Sequence[Feed], since_id: int) -> float:
    """Posts to be expected between a search's since_id and where each feed was last seen."""
    days = (((feed.seen_id or 0) - since_id) / (86_400_000 << 22) for feed in feeds)
    return sum((feed.posts_per_day or 0.0) * gap for feed, gap in zip(feeds, days, strict=True))


def _pace(feeds: Sequence[Feed]) -> float:
    """Posts a day of all feeds together."""
    return sum(feed.posts_per_day or 0.0 for feed in feeds)
