"""Removal of accounts and posts of X: what an item is about, what it says of others, and the statements that remove it.
Sans I/O.

A handle in the text of somebody else is taken out where it stands for the account: after @, in an address of the site,
in a query (from:nasa). The same word without these is a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from chancrawl.items import Account, Feed, Gap, Handle, Trend, Tweet
from chancrawl.storage.base import Statement, Store, marks, parts
from chancrawl.storage.kinds import IsForgotten, Subject

REMOVED = "[removed]"
"""What stands in place of a handle in somebody else's text."""

REFERENCE = re.compile(
    r"(?P<before>@|\b(?:from|to|retweets_of|url):@?|(?:\b(?:x|twitter)\.com/(?:@|#!/)?))(?P<handle>[A-Za-z0-9_]{1,15})\b",
    re.IGNORECASE,
)
STATUS = re.compile(r"/status/(\d{1,19})")
AT_ONCE = 500
"""Posts that are removed in one transaction."""


def subject_of(text: str) -> Subject | None:
    """What a person means: @nasa, id:783214, tweet/1234567890, or an address of the site.

    >>> subject_of("@NASA"), subject_of("id:5"), subject_of("https://x.com/nasa/status/12?s=20")
    (('handle', 'nasa'), ('account', '5'), ('tweet', '12'))
    """
    if match := re.fullmatch(r"@([A-Za-z0-9_]{1,15})", text):
        return "handle", match[1].lower()
    if match := re.fullmatch(r"id:(\d{1,19})", text):
        return "account", str(int(match[1]))
    site = r"https?://(?:www\.)?(?:x|twitter)\.com"
    if match := re.fullmatch(rf"(?:tweet/|{site}/\w+/status/)(\d{{1,19}})(?:[/?#].*)?", text):
        return "tweet", str(int(match[1]))
    if match := re.fullmatch(rf"{site}/([A-Za-z0-9_]{{1,15}})/?", text):
        return "handle", match[1].lower()
    return None


# --- what items are about


def _account(number: Any, name: Any) -> Iterator[Subject]:
    if number is not None:
        yield "account", str(number)
    if isinstance(name, str) and name:
        yield "handle", name.lower()


def subjects_of_tweet(tweet: Tweet) -> Iterator[Subject]:
    yield "tweet", str(tweet.id)
    yield from _account(tweet.author_id, tweet.username)


def subjects_of_account(account: Account) -> Iterator[Subject]:
    yield from _account(account.id, account.username)


def subjects_of_handle(handle: Handle) -> Iterator[Subject]:
    yield from _account(handle.account_id, handle.handle)


def subjects_of_feed(feed: Feed | Gap) -> Iterator[Subject]:
    kind, _, name = feed.feed.partition(":")
    if kind == "timeline":
        yield "account", name
    else:
        yield from (("handle", handle.lower()) for handle in handles_in(name))


def subjects_of_trend(trend: Trend) -> Iterator[Subject]:
    yield "handle", trend.name.lstrip("@#").lower()


def handles_in(text: str) -> Iterator[str]:
    """The handles to which a text refers."""
    return (match["handle"] for match in REFERENCE.finditer(text))


# --- what they say of others


def tweet_without(tweet: Tweet, is_forgotten: IsForgotten) -> Tweet:
    """A post without what it says of others that were removed."""
    includes = tweet.includes or {}
    gone = _gone_posts(tweet, includes, is_forgotten)
    if (
        is_forgotten(("tweet", str(tweet.retweeted_id)))
        or tweet.retweeted_id in gone
        or (tweet.retweeted_username and is_forgotten(("handle", tweet.retweeted_username.lower())))
    ):
        return _emptied(tweet)
    scrub = Scrub(is_forgotten, gone)
    pairs = list(zip(tweet.mention_ids or (), tweet.mention_usernames or (), strict=False))
    kept = [pair for pair in pairs if not any(map(is_forgotten, _account(*pair)))]
    reply = list(_account(tweet.in_reply_to_user_id, tweet.in_reply_to_username))
    is_reply_gone = any(map(is_forgotten, reply)) or is_forgotten(("tweet", str(tweet.in_reply_to_id)))
    new = replace(
        tweet,
        mention_ids=tweet.mention_ids if len(kept) == len(pairs) else [number for number, _ in kept],
        mention_usernames=tweet.mention_usernames if len(kept) == len(pairs) else [name for _, name in kept],
        in_reply_to_id=None if is_reply_gone else tweet.in_reply_to_id,
        in_reply_to_user_id=None if is_reply_gone else tweet.in_reply_to_user_id,
        in_reply_to_username=None if is_reply_gone else tweet.in_reply_to_username,
        quoted_id=None if tweet.quoted_id in gone else tweet.quoted_id,
        raw=scrub.value(tweet.raw),
        includes=scrub.value(tweet.includes),
        **{name: scrub.value(getattr(tweet, name)) for name in TEXTS},
    )
    return tweet if new == tweet else new


TEXTS = ("text", "urls", "media_urls", "retweeted_text", "retweeted_urls", "article_title", "article_text", "found_in",
         "hashtags")  # fmt: skip


def account_without(account: Account, is_forgotten: IsForgotten) -> Account:
    """An account without what it says of others that were removed."""
    scrub = Scrub(is_forgotten, frozenset())
    new = replace(account, description=scrub.value(account.description), raw=scrub.value(account.raw))
    return account if new == account else new


def _gone_posts(tweet: Tweet, includes: dict[str, Any], is_forgotten: IsForgotten) -> frozenset[int]:
    """The numbers of the posts in `includes` that were removed."""
    names = {str(user.get("id")): user.get("username") for user in _objects(includes.get("users"))}
    gone = set()
    for post in _objects(includes.get("tweets")):
        author = str(post.get("author_id"))
        if any(map(is_forgotten, (("tweet", str(post.get("id"))), *_account(author, names.get(author))))):
            gone.add(str(post.get("id")))
    gone |= {str(number) for number in (tweet.quoted_id, tweet.retweeted_id)
             if number is not None and is_forgotten(("tweet", str(number)))}  # fmt: skip
    return frozenset(int(number) for number in gone if number.isascii() and number.isdigit())


def _emptied(tweet: Tweet) -> Tweet:
    """A retweet of a post that was removed: who made it and when, and nothing of what it repeats."""
    return Tweet(
        tweet.id, tweet.author_id, tweet.username, tweet.posted_at, text=REMOVED, source=tweet.source,
        metrics=tweet.metrics, first_metrics=tweet.first_metrics, first_seen_at=tweet.first_seen_at,
        last_seen_at=tweet.last_seen_at, raw={}, includes={}, known_in=tweet.known_in,
    )  # fmt: skip


class Scrub:
    """Takes what was removed out of values of any form."""

    def __init__(self, is_forgotten: IsForgotten, posts: Iterable[int]) -> None:
        self.is_forgotten = is_forgotten
        self.posts = frozenset(map(str, posts))
        self._known: dict[Subject, bool] = {}

    def value(self, value: Any) -> Any:
        """A value without objects of accounts and posts that were removed, and without their names."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(element) for element in value if not self._is_gone(element)]
        if isinstance(value, dict):
            return {name: self.value(part) for name, part in value.items() if not self._names_one(name, part)}
        return value

    def text(self, text: str) -> str:
        """A text without references to handles, and without addresses of posts, that were removed."""
        if text.startswith("timeline:") and self._has(("account", text.removeprefix("timeline:"))):
            return REMOVED
        if "@" not in text and ":" not in text and ".com/" not in text.lower():
            return text
        text = REFERENCE.sub(
            lambda match: f"{match['before']}{REMOVED}" if self._has(("handle", match["handle"].lower())) else match[0],
            text,
        )
        return STATUS.sub(lambda match: f"/status/{REMOVED}" if self._is_post(match[1]) else match[0], text)

    def _is_post(self, number: str) -> bool:
        return number in self.posts or self._has(("tweet", number))

    def _is_gone(self, value: Any) -> bool:
        """Whether an element of a list is an account or a post that was removed, or refers to one."""
        if not isinstance(value, dict):
            return False
        names = [("account", value.get("id")), ("account", value.get("author_id")), ("handle", value.get("username")),
                 ("tweet", value.get("id"))]  # fmt: skip
        return str(value.get("id")) in self.posts or any(
            self._has((kind, str(name).lower())) for kind, name in names if name is not None
        )

    def _names_one(self, name: str, value: Any) -> bool:
        """Whether a part of an object is the name or the number of something that was removed."""
        if not isinstance(value, str):
            return False
        if name.endswith("user_id") or name == "author_id":
            return self._has(("account", value))
        return name in ("username", "screen_name") and self._has(("handle", value.lower()))

    def _has(self, subject: Subject) -> bool:
        if subject not in self._known:
            self._known[subject] = self.is_forgotten(subject)
        return self._known[subject]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


# --- the statements


def relatives(store: Store, subject: Subject) -> set[Subject]:
    """Other names of the same account: the number of a handle, the handles of a number."""
    kind, name = subject
    if kind == "tweet":
        return set()
    numbers = {int(name)} if kind == "account" else set()
    if kind == "handle":
        for sql in (
            "SELECT account_id FROM handles WHERE handle = ? AND account_id IS NOT NULL",
            "SELECT id FROM accounts WHERE lower(username) = ?",
            "SELECT DISTINCT author_id FROM tweets WHERE lower(username) = ? AND author_id IS NOT NULL",
        ):
            numbers |= {number for (number,) in store.rows(sql, name)}
    found: set[Subject] = {("account", str(number)) for number in numbers}
    for number in numbers:
        for sql in (
            "SELECT lower(username) FROM accounts WHERE id = ?",
            "SELECT handle FROM handles WHERE account_id = ?",
            "SELECT DISTINCT lower(username) FROM tweets WHERE author_id = ? AND username IS NOT NULL",
        ):
            found |= {("handle", handle) for (handle,) in store.rows(sql, number)}
        for (former,) in store.rows("SELECT former_usernames FROM accounts WHERE id = ?", number):
            names = re.findall(r"\w+", former) if isinstance(former, str) else former  # SQLite has JSON texts
            found |= {("handle", handle.lower()) for handle in names}
    return found


def removal(store: Store, subjects: Sequence[Subject]) -> Iterator[tuple[list[Statement], Counter[str]]]:
    """The statements that remove accounts and posts, a list for each transaction, with the numbers of rows. What others
    say of them stays."""
    numbers = [int(name) for kind, name in subjects if kind == "account"]
    handles = [name for kind, name in subjects if kind == "handle"]
    tweets = [int(name) for kind, name in subjects if kind == "tweet"]
    conditions: list[tuple[str, Sequence[Any]]] = [
        (f"author_id IN ({marks(numbers)})", numbers), (f"lower(username) IN ({marks(handles)})", handles),
        (f"id IN ({marks(tweets)})", tweets),
    ]  # fmt: skip
    given = [(sql, values) for sql, values in conditions if values]
    where = " OR ".join(f"({sql})" for sql, _ in given) or "false"
    values = [value for _, some in given for value in some]
    found = store.rows(f"SELECT id FROM tweets WHERE {where}", *values)
    for ids in parts((number for (number,) in found), AT_ONCE):
        yield [(f"DELETE FROM tweets WHERE id IN ({marks(ids)})", tuple(ids))], Counter(tweets=len(ids))
    yield [*_of_accounts(numbers, handles), *_of_feeds(store, set(subjects))], Counter()


def _of_accounts(numbers: Sequence[int], handles: Sequence[str]) -> Iterator[Statement]:
    if numbers:
        chosen = f"IN ({marks(numbers)})"
        yield f"DELETE FROM accounts WHERE id {chosen}", tuple(numbers)
        yield f"DELETE FROM handles WHERE account_id {chosen}", tuple(numbers)
        yield f"DELETE FROM account_hours WHERE account_id {chosen}", tuple(numbers)
    if handles:
        yield f"DELETE FROM accounts WHERE lower(username) IN ({marks(handles)})", tuple(handles)
        yield f"DELETE FROM handles WHERE handle IN ({marks(handles)})", tuple(handles)
        names = [f"{sign}{handle}" for handle in handles for sign in ("", "@", "#")]
        yield f"DELETE FROM trends WHERE lower(name) IN ({marks(names)})", tuple(names)


def _of_feeds(store: Store, subjects: set[Subject]) -> Iterator[Statement]:
    for table in ("feeds", "gaps"):
        for (feed,) in store.rows(f"SELECT DISTINCT feed FROM {table}"):
            if subjects.intersection(subjects_of_feed(Feed(feed))):
                yield f"DELETE FROM {table} WHERE feed = ?", (feed,)
