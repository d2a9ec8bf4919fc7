"""What is already stored of X: names, accounts, how far each feed was read, and which posts.

What is on its way to the store counts as stored, so that two pages that show the same post, or
two lines that name the same account, are one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from scrapy.crawler import Crawler

from chancrawl.engine import PerCrawl
from chancrawl.errors import StoreAway
from chancrawl.items import Account, Feed, Gap, Handle, Item, Trend, Tweet
from chancrawl.storage.base import from_json, marks, moment, parts
from chancrawl.storage.session import Session

S = TypeVar("S", Account, Feed, Handle)

KEYS: dict[type[Item], str] = {Account: "id", Feed: "feed", Handle: "handle"}


class XLedger(PerCrawl):
    """The extension that knows what is stored of X."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.session = Session.of(crawler)
        self._under_way: dict[tuple[type[Item], Any], Item] = {}
        self._claimed: dict[int, set[str]] = {}  # posts on their way to the store, and the feeds that showed them
        self._claims: dict[int, int] = {}  # and how many items of each

    # --- state

    async def handles(self, names: Collection[str]) -> dict[str, Handle]:
        return await self._held(Handle, names)

    async def accounts(self, ids: Collection[int]) -> dict[int, Account]:
        return await self._held(Account, ids)

    async def feeds(self, names: Collection[str]) -> dict[str, Feed]:
        """What is known of feeds; a new one for those that were never read."""
        held = await self._held(Feed, names)
        return {name: replace(held[name]) if name in held else Feed(name) for name in names}

    async def _held(self, kind: type[S], keys: Collection[Any]) -> dict[Any, S]:
        name = KEYS[kind]
        held: dict[Any, S] = {}
        for some in parts(keys):
            where = f"WHERE {name} IN ({marks(some)})"
            held |= {getattr(item, name): item for item in await self.session.select(kind, where, *some)}
        held |= {key: item for key in keys if isinstance(item := self._under_way.get((kind, key)), kind)}
        return held

    async def trends(self, woeid: int, since: datetime) -> list[Trend]:
        """The trends of a place when they were read last, if that was after `since`."""
        latest = "SELECT max(seen_at) FROM trends WHERE woeid = ? AND seen_at > ?"
        where = f"WHERE woeid = ? AND seen_at = ({latest}) ORDER BY rank"
        return await self.session.select(Trend, where, woeid, woeid, since)

    async def retweeted(self) -> list[str]:
        """The names of accounts that were retweeted and never looked up, the ones most often retweeted first."""
        sql = (
            "SELECT lower(retweeted_username) FROM tweets WHERE retweeted_username IS NOT NULL "
            "AND lower(retweeted_username) NOT IN (SELECT handle FROM handles) "
            "AND lower(retweeted_username) NOT IN (SELECT lower(username) FROM accounts) "
            "GROUP BY 1 ORDER BY count(*) DESC, 1"
        )
        return [name for (name,) in await self.session.call(self.session.store.rows, sql)]

    async def gaps(self, feeds: Collection[str]) -> list[Gap]:
        """The intervals of feeds that were not read, the earliest first."""
        where = f"WHERE feed IN ({marks(feeds)}) ORDER BY feed, before_id"
        return await self.session.select(Gap, where, *feeds) if feeds else []

    # --- posts

    async def sift(self, tweets: Iterable[Tweet]) -> tuple[list[Tweet], list[Tweet], set[int]]:
        """New posts, known ones that are to be noted, and the ids of those that were read earlier on the same day.

        A known post is to be noted if its counts have changed, or if this feed has not shown it before; `found_in` are
        then all feeds that are known. So is one that another page is just bringing to the store.
        """
        mine: dict[int, Tweet] = {}
        again: list[Tweet] = []
        read_today = set()
        for tweet in tweets:
            if tweet.id in self._claimed:
                read_today.add(tweet.id)
                if not self._claimed[tweet.id].issuperset(tweet.found_in):
                    tweet.first_seen_at = None
                    tweet.known_in = tuple(self._claimed[tweet.id])
                    again.append(tweet)
                    self._claimed[tweet.id].update(tweet.found_in)
                    self._claims[tweet.id] += 1
            elif tweet.id not in mine:
                self._claimed[tweet.id] = set(tweet.found_in)
                self._claims[tweet.id] = 1
                mine[tweet.id] = tweet
        try:
            known = await self._known(mine)
        except BaseException:
            for number in mine:
                self._release(number)
            raise
        new: list[Tweet] = []
        changed: list[Tweet] = again
        for tweet in mine.values():
            if tweet.id not in known:
                new.append(tweet)
                continue
            first_seen_at, last_seen_at, metrics, feeds = known[tweet.id]
            assert tweet.last_seen_at is not None
            if last_seen_at is not None and last_seen_at.date() == tweet.last_seen_at.date():
                read_today.add(tweet.id)
            if metrics != tweet.metrics or first_seen_at is None or not set(feeds).issuperset(tweet.found_in):
                tweet.first_seen_at, tweet.first_metrics = first_seen_at, metrics
                tweet.found_in = list(dict.fromkeys([*feeds, *tweet.found_in]))
                tweet.known_in = feeds
                changed.append(tweet)
            else:
                self._release(tweet.id)
        return new, changed, read_today

    def _release(self, number: int) -> None:
        """Note that a post is no longer on its way to the store."""
        if number in self._claims:
            self._claims[number] -= 1
            if not self._claims[number]:
                del self._claims[number], self._claimed[number]

    async def _known(self, ids: Collection[int]) -> dict[int, tuple[datetime | None, datetime | None, Any, list[str]]]:
        if not ids or self.session.is_away:
            return {}  # without the store all count as new; it knows better when it merges them
        names = "id, first_seen_at, last_seen_at, metrics, found_in"
        sql = f"SELECT {names} FROM tweets WHERE id IN ({marks(ids)})"
        try:
            rows = await self.session.attempt(self.session.store.rows, sql, *ids)
        except StoreAway:
            return {}
        return {
            number: (moment(first), moment(last), from_json(metrics), from_json(feeds) or [])
            for number, first, last, metrics, feeds in rows
        }

    # --- items on their way to the store

    def accept(self, item: Any) -> str | None:
        """Note that an item goes to the store; what it is counted as."""
        if type(item) in KEYS:
            key = type(item), getattr(item, KEYS[type(item)])
            held = self._under_way.get(key)
            if not (isinstance(item, Feed) and isinstance(held, Feed) and held.pages > item.pages):
                self._under_way[key] = item
        if isinstance(item, Tweet) and item.is_seen_again:
            return "tweet/changed"
        return type(item).__name__.lower()

    def committed(self, item: Any) -> None:
        """Note that an item is stored."""
        if isinstance(item, Tweet):
            self._release(item.id)
        elif type(item) in KEYS:
            key = type(item), getattr(item, KEYS[type(item)])
            if self._under_way.get(key) == item:
                del self._under_way[key]

    def reject(self, item: Any) -> None:
        """Note that an item will not be stored: the inverse of `accept`."""
        if isinstance(item, Tweet):
            self._release(item.id)
        elif type(item) in KEYS:
            self._under_way.pop((type(item), getattr(item, KEYS[type(item)])), None)
