"""What is already stored of X: names, accounts, how far each feed was read, and which posts.

A part of the ledger. What is on its way to the store counts as stored, so that two pages that show the same post, or
two lines that name the same account, are one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from chancrawl.errors import StoreAway
from chancrawl.items import Account, Feed, Handle, Item, Trend, Tweet
from chancrawl.payload import loads
from chancrawl.stores import moment

if TYPE_CHECKING:
    from chancrawl.ledger import Ledger

S = TypeVar("S", Account, Feed, Handle)

KEYS: dict[type[Item], str] = {Account: "id", Feed: "feed", Handle: "handle"}


class XLedger:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._under_way: dict[tuple[type[Item], Any], Item] = {}
        self._claimed: set[int] = set()  # posts on their way to the store

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
        wanted = list(keys)
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            where = f"WHERE {name} IN ({', '.join('?' * len(some))})"
            held |= {getattr(item, name): item for item in await self.ledger.select(kind, where, *some)}
        held |= {key: item for key in keys if isinstance(item := self._under_way.get((kind, key)), kind)}
        return held

    async def trends(self, woeid: int, since: datetime) -> list[Trend]:
        """The trends of a place when they were read last, if that was after `since`."""
        latest = "SELECT max(seen_at) FROM trends WHERE woeid = ? AND seen_at > ?"
        where = f"WHERE woeid = ? AND seen_at = ({latest}) ORDER BY rank"
        text = since.isoformat().replace("+00:00", "Z")
        return await self.ledger.select(Trend, where, woeid, woeid, text)

    async def retweeted(self) -> list[str]:
        """The names of accounts that were retweeted and never looked up, the ones most often retweeted first."""
        sql = (
            "SELECT lower(retweeted_username) FROM tweets WHERE retweeted_username IS NOT NULL "
            "AND lower(retweeted_username) NOT IN (SELECT handle FROM handles) "
            "AND lower(retweeted_username) NOT IN (SELECT lower(username) FROM accounts) "
            "GROUP BY 1 ORDER BY count(*) DESC, 1"
        )
        return [name for (name,) in await self.ledger.call(self.ledger.store.rows, sql)]

    # --- posts

    async def sift(self, tweets: Iterable[Tweet]) -> tuple[list[Tweet], list[Tweet], set[int]]:
        """New posts, known ones whose counts have changed, and the ids of those that were read earlier on the same day.

        A post that another page is just bringing to the store is none of the first two.
        """
        mine: dict[int, Tweet] = {}
        read_today = set()
        for tweet in tweets:
            if tweet.id in self._claimed:
                read_today.add(tweet.id)
            else:
                self._claimed.add(tweet.id)
                mine[tweet.id] = tweet
        try:
            known = await self._known(mine)
        except BaseException:
            self._claimed -= mine.keys()
            raise
        new, changed = [], []
        for tweet in mine.values():
            if tweet.id not in known:
                new.append(tweet)
                continue
            first_seen_at, last_seen_at, metrics = known[tweet.id]
            assert tweet.last_seen_at is not None
            if last_seen_at is not None and last_seen_at.date() == tweet.last_seen_at.date():
                read_today.add(tweet.id)
            if metrics != tweet.metrics or first_seen_at is None:
                tweet.first_seen_at, tweet.first_metrics = first_seen_at, metrics
                changed.append(tweet)
            else:
                self._claimed.discard(tweet.id)
        return new, changed, read_today

    async def _known(self, ids: Collection[int]) -> dict[int, tuple[datetime | None, datetime | None, Any]]:
        if not ids or self.ledger.is_away:
            return {}  # without the store all count as new; it knows better when it merges them
        sql = f"SELECT id, first_seen_at, last_seen_at, metrics FROM tweets WHERE id IN ({', '.join('?' * len(ids))})"
        try:
            rows = await self.ledger.attempt(self.ledger.store.rows, sql, *ids)
        except StoreAway:
            return {}
        return {
            number: (moment(first), moment(last), loads(metrics.encode()) if isinstance(metrics, str) else metrics)
            for number, first, last, metrics in rows
        }

    # --- items on their way to the store

    def accept(self, item: Item) -> None:
        if type(item) in KEYS:
            key = type(item), getattr(item, KEYS[type(item)])
            held = self._under_way.get(key)
            if not (isinstance(item, Feed) and isinstance(held, Feed) and held.pages > item.pages):
                self._under_way[key] = item

    def committed(self, item: Item) -> None:
        if isinstance(item, Tweet):
            self._claimed.discard(item.id)
        elif type(item) in KEYS:
            key = type(item), getattr(item, KEYS[type(item)])
            if self._under_way.get(key) == item:
                del self._under_way[key]
