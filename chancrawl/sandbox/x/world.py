"""The accounts of the sandbox's X, and their posts up to a given time. Sans I/O: time is an argument, in seconds."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chancrawl.sandbox.words import ADJECTIVES, NOUNS
from chancrawl.sandbox.x.posts import OTHERS, Person, Post, id_at, make, other, row

REACHABLE = 3200
SEARCH_SECONDS = 7 * 86_400.0


@dataclass(slots=True)
class Account:
    """An account with its posts, oldest first. `pace` is posts a second."""

    id: int
    username: str
    name: str
    pace: float
    joined: float
    random: Random
    index: int = 0
    status: str = "active"
    ids: list[int] = field(default_factory=list)
    deleted: set[int] = field(default_factory=set)
    blocks: set[int] = field(default_factory=set)
    """Credentials, by their rows, whose users it has blocked."""
    hidden: set[int] = field(default_factory=set)
    """Posts that recent search does not show."""
    next_at: float = 0.0
    metrics: dict[int, dict[str, int]] = field(default_factory=dict)

    @property
    def person(self) -> Person:
        return Person(self.id, self.username, self.name)

    def id_of(self, time: float, number: int) -> int:
        """An id that no other account has; all its bits are in use, as X's are."""
        return id_at(time, (self.index << 10 | number & 1023) * 2_654_435_761)

    def shown(self) -> list[int]:
        """The posts that can be reached, oldest first."""
        reachable = self.ids[-REACHABLE:]
        return [number for number in reachable if number not in self.deleted] if self.deleted else reachable


class XWorld:
    """`number` accounts with `posts` posts in all before `start`; a few of them are protected or suspended."""

    def __init__(self, seed: int = 1, start: float = 0.0, number: int = 24, posts: int = 3000) -> None:
        self.seed = seed
        self.start = start
        self.now = start
        self.accounts: dict[int, Account] = {}
        self.names: dict[str, int] = {}  # in lower case
        random = Random(seed)
        weights = [random.lognormvariate(0, 1.1) for _ in range(number)]
        for index in range(number):
            share = max(int(posts * weights[index] / sum(weights)), 3)
            self._join(index, share, random)
        for index, status in ((number // 3, "protected"), (number // 2, "suspended")):
            list(self.accounts.values())[index].status = status
        self.recent: list[tuple[int, int]] = sorted(
            (post, account.id) for account in self.accounts.values() for post in account.ids[-REACHABLE:]
            if post >= id_at(start - SEARCH_SECONDS)
        )  # fmt: skip

    def _join(self, index: int, posts: int, random: Random) -> None:
        noun, adjective = NOUNS[index % len(NOUNS)], ADJECTIVES[index // len(NOUNS) % len(ADJECTIVES)]
        number = str(index) if index >= len(NOUNS) else ""
        username = f"{noun.title()}{adjective.title()}"[: min(12, 15 - len(number))] + number
        pace = random.lognormvariate(2.9, 0.8) / 86_400
        account_id = random.choice((random.randrange(10**6, 10**9), random.randrange(10**17, 10**18)))
        account = Account(account_id, username, f"{adjective.title()} {noun.title()} 🫖", pace, self.start, random)
        account.random = Random(self.seed * 7919 + index)
        account.index = index
        time = self.start - 5
        for place in range(posts):
            time -= account.random.expovariate(pace)
            account.ids.append(account.id_of(time, place))
        account.ids.reverse()
        account.joined = min(time - 1000, self.start)
        account.next_at = self.start + account.random.expovariate(pace)
        self.accounts[account_id] = account
        self.names[account.username.lower()] = account_id

    def advance(self, now: float) -> None:
        """Advance to a time, and make the posts of the interval."""
        if now <= self.now:
            return
        self.now = now
        for account in self.accounts.values():
            while account.next_at <= now:
                self._post(account, account.next_at)
                account.next_at += account.random.expovariate(account.pace)

    def _post(self, account: Account, time: float, is_retweet: bool | None = None) -> int:
        number = account.id_of(time, account.random.randrange(1000))
        if is_retweet is not None:  # what a post is, its id decides
            numbers = (account.id_of(time, place) for place in range(1000))
            number = next(n for n in numbers if n not in account.ids and self._is_retweet(account, n) == is_retweet)
        insort(account.ids, number)
        insort(self.recent, (number, account.id))
        return number

    # --- queries

    def find(self, name: str) -> Account | None:
        return self.accounts.get(self.names.get(name.lower(), 0))

    def others(self) -> dict[str, Person]:
        """Accounts that are only spoken of; they can be looked up too, and have posted nothing."""
        return {other(number).username.lower(): other(number) for number in range(OTHERS)}

    def _is_retweet(self, account: Account, number: int) -> bool:
        return make(self.seed, account.person, number).original is not None

    def post(self, account: Account, number: int) -> Post:
        place = bisect_left(account.ids, number)
        post = make(self.seed, account.person, number, account.ids[place - 1] if place else None)
        if post.reply_to is not None and post.reply_to[1].id == account.id:
            post.root = self.post(account, post.reply_to[0]).conversation
        if number in account.metrics:
            post.metrics |= account.metrics[number]
        return post

    def timeline(
        self,
        account: Account,
        since_id: int,
        before: tuple[int, int],
        limit: int,
        start: float,
        exclude: Collection[str] = (),
        newer_than: int | None = None,
    ) -> tuple[list[int], bool, bool]:
        """Posts above `since_id` and below the first of `before`, newest first, at most `limit`; whether there are
        older ones, and newer ones below the second. With `newer_than`, those just above that post instead."""
        shown = account.shown()
        if exclude:
            posts = {number: self.post(account, number) for number in shown}
            shown = [n for n, post in posts.items() if not ("retweets" in exclude and post.original is not None)
                     and not ("replies" in exclude and post.reply_to is not None)]  # fmt: skip
        low = max(bisect_right(shown, since_id), bisect_left(shown, id_at(start)) if start else 0)
        high, top = (bisect_left(shown, bound) for bound in before)
        end = min(high, bisect_right(shown, newer_than) + limit) if newer_than is not None else high
        page = shown[max(low, end - limit) : end][::-1]
        return page, end - limit > low, end < top

    def search(
        self, matches: Callable[[Post], bool], since_id: int, before: int, limit: int
    ) -> tuple[list[tuple[Account, int]], bool]:
        """Posts of the last seven days that match, newest first; and whether there are more. Since May 2026 a search
        shows no retweets."""
        floor = max(since_id + 1, id_at(self.now - SEARCH_SECONDS))
        found: list[tuple[Account, int]] = []
        for place in range(bisect_left(self.recent, (before, 0)) - 1, -1, -1):
            number, owner = self.recent[place]
            if number < floor:
                break
            account = self.accounts[owner]
            if (
                account.status == "active"
                and number not in account.deleted | account.hidden
                and (post := self.post(account, number)).original is None
                and matches(post)
            ):
                if len(found) == limit:
                    return found, True
                found.append((account, number))
        return found, False

    def truth(self) -> Iterator[dict[str, Any]]:
        """Every post that can be reached, as the older crawler's table had it, and its account's number."""
        for account in self.accounts.values():
            if account.status == "active":
                for number in account.shown():
                    yield row(self.post(account, number)) | {"author_id": account.id}

    # --- actions on demand, for tests

    def act(self, now: float, do: str, name: str, **more: Any) -> dict[str, Any]:
        """Make something happen now: see ACTIONS."""
        self.advance(now)
        account = self.find(name)
        if account is None or do not in ACTIONS:
            raise ValueError(f"there is no account {name}, or no action {do} (there are {', '.join(ACTIONS)})")
        if do in ("post", "retweet"):
            times = [now - 0.001 * place for place in range(more.get("count", 1))]
            return {"ids": [self._post(account, time, do == "retweet") for time in times]}
        if do == "delete":
            account.deleted.add(more.get("id") or account.shown()[-1])
        elif do == "empty":
            account.ids.clear()
            self.recent = [(number, owner) for number, owner in self.recent if owner != account.id]
        elif do == "block":
            account.blocks.add(more["credential"])
        elif do == "hide":
            account.hidden.add(more.get("id") or account.shown()[-1])
        elif do == "engage":
            number = more.get("id") or account.shown()[-1]
            likes = self.post(account, number).metrics["like_count"]
            account.metrics[number] = {"like_count": likes + more.get("likes", 1)}
        elif do == "rename":
            self.names.pop(account.username.lower(), None)
            account.username = more["to"]
            self.names[account.username.lower()] = account.id
        else:
            account.status = {"protect": "protected", "suspend": "suspended", "leave": "missing"}.get(do, "active")
        return {}


ACTIONS = (
    *("post", "retweet", "delete", "empty", "hide", "engage", "rename"),
    *("block", "protect", "suspend", "leave", "return"),
)
