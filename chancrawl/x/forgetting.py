"""Removal of accounts and posts of X: what an item is about, what it says of others, and the statements that remove it.
Sans I/O.

A handle in the text of somebody else is taken out where it stands for the account: after @, in an address of the site,
in a query (from:nasa). The same word without these is a word.

A handle can pass to another account. So `handle` means whoever has it, and is used if no number is known; `name` means
the account that was removed, and is only asked where no number of an account is given.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from chancrawl.items import Account, Feed, Gap, Handle, Trend, Tweet
from chancrawl.storage.base import Statement, Step, Store, from_json, marks, parts
from chancrawl.storage.kinds import IsForgotten, Subject
from chancrawl.x.fields import LARGEST_ID

REMOVED = "[removed]"
"""What stands in place of a handle in somebody else's text."""

REFERENCE = re.compile(
    r"(?P<before>(?<![A-Za-z0-9_.+-])@|\b(?:from|to|retweets_of|url):@?|\b(?:x|twitter)\.com/(?:@|#!/)?)"
    r"(?P<handle>[A-Za-z0-9_]{1,15})(?![A-Za-z0-9_@]|\.[a-z]{2})",
    re.IGNORECASE,
)
"""A handle that stands for an account; not in addresses of mail and of other networks."""
STATUS = re.compile(r"/status/(\d{1,19})")
ABOUT = ("tweet", "account", "handle", "name")

AT_ONCE = 500
"""Posts that are removed in one transaction."""


def subject_of(text: str) -> Subject | None:
    """What a person means: @nasa, id:783214, tweet/1234567890, or an address of the site.

    >>> subject_of("@NASA"), subject_of("id:5"), subject_of("https://x.com/nasa/status/12?s=20")
    (('handle', 'nasa'), ('account', '5'), ('tweet', '12'))
    """
    if match := re.fullmatch(r"@([A-Za-z0-9_]{1,15})", text):
        return "handle", match[1].lower()
    if (match := re.fullmatch(r"id:(\d{1,19})", text)) and int(match[1]) <= LARGEST_ID:
        return "account", str(int(match[1]))
    site = r"https?://(?:www\.)?(?:x|twitter)\.com"
    match = re.fullmatch(rf"(?:tweet/|{site}/\w+/status/)(\d{{1,19}})(?:[/?#].*)?", text)
    if match and int(match[1]) <= LARGEST_ID:
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
        if number is None:
            yield "name", name.lower()


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
        yield from subjects_of_query(name)


def subjects_of_query(query: str) -> Iterator[Subject]:
    """The accounts that a query names."""
    return (subject for handle in handles_in(query) for subject in _account(None, handle))


def subjects_of_trend(trend: Trend) -> Iterator[Subject]:
    return subjects_of_query(trend.name)


def handles_in(text: str) -> Iterator[str]:
    """The handles to which a text refers."""
    return (match["handle"] for match in REFERENCE.finditer(text))


# --- what they say of others


def tweet_without(tweet: Tweet, is_forgotten: IsForgotten) -> Tweet:
    """A post without what it says of others that were removed."""

    def is_gone(number: int | None, name: str | None) -> bool:
        return any(map(is_forgotten, _account(number, name)))

    includes = tweet.includes or {}
    gone = _gone_posts(tweet, includes, is_forgotten)
    if tweet.retweeted_id in gone or (tweet.retweeted_username and is_gone(None, tweet.retweeted_username)):
        return _emptied(tweet)
    is_reply_gone = tweet.in_reply_to_id in gone or is_gone(tweet.in_reply_to_user_id, tweet.in_reply_to_username)
    if is_reply_gone and tweet.in_reply_to_id is not None:
        gone |= {tweet.in_reply_to_id}
    scrub = Scrub(is_forgotten, gone)
    pairs = list(zip(tweet.mention_ids or (), tweet.mention_usernames or (), strict=False))
    kept = [pair for pair in pairs if not is_gone(*pair)]
    raw, seen = scrub.value(tweet.raw), scrub.value(tweet.includes)
    new = replace(
        tweet,
        mention_ids=tweet.mention_ids if len(kept) == len(pairs) else [number for number, _ in kept],
        mention_usernames=tweet.mention_usernames if len(kept) == len(pairs) else [name for _, name in kept],
        in_reply_to_id=None if is_reply_gone else tweet.in_reply_to_id,
        in_reply_to_user_id=None if is_reply_gone else tweet.in_reply_to_user_id,
        in_reply_to_username=None if is_reply_gone else tweet.in_reply_to_username,
        conversation_id=None if tweet.conversation_id in gone else tweet.conversation_id,
        quoted_id=None if tweet.quoted_id in gone else tweet.quoted_id,
        raw=raw,
        includes=_attached(raw, seen) if seen != tweet.includes else seen,
        **{name: scrub.value(getattr(tweet, name)) for name in TEXTS},
    )
    return tweet if new == tweet else new


def _attached(raw: Any, includes: Any) -> Any:
    """`includes` without media, polls and places to which no post that is left refers."""
    posts = [*_objects([raw]), *_objects(includes.get("tweets"))]
    attachments = [part for post in posts for part in _objects([post.get("attachments")])]
    keys = {key for part in attachments for name in ("media_keys", "poll_ids") for key in part.get(name) or ()}
    keys |= {part.get("place_id") for post in posts for part in _objects([post.get("geo")])}
    kept = {
        name: [each for each in _objects(includes[name]) if each.get(key) in keys]
        for name, key in (("media", "media_key"), ("polls", "id"), ("places", "id")) if name in includes
    }  # fmt: skip
    return includes | kept


TEXTS = ("text", "urls", "media_urls", "retweeted_text", "retweeted_urls", "article_title", "article_text", "found_in",
         "hashtags")  # fmt: skip


def account_without(account: Account, is_forgotten: IsForgotten) -> Account:
    """An account without what it says of others that were removed."""
    scrub = Scrub(is_forgotten, frozenset())
    new = replace(account, description=scrub.value(account.description), raw=scrub.value(account.raw))
    return account if new == account else new


def _gone_posts(tweet: Tweet, includes: dict[str, Any], is_forgotten: IsForgotten) -> frozenset[int]:
    """The numbers of posts to which a post refers, and that were removed."""
    names = {str(user.get("id")): user.get("username") for user in _objects(includes.get("users"))}
    gone = {str(number) for number in (tweet.quoted_id, tweet.retweeted_id, tweet.in_reply_to_id, tweet.conversation_id)
            if number is not None and is_forgotten(("tweet", str(number)))}  # fmt: skip
    for post in _objects(includes.get("tweets")):
        author = str(post.get("author_id"))
        if any(map(is_forgotten, (("tweet", str(post.get("id"))), *_account(author, names.get(author))))):
            gone.add(str(post.get("id")))
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
        if text.startswith("timeline:") and self.is_forgotten(("account", text.removeprefix("timeline:"))):
            return REMOVED
        if "@" not in text and ":" not in text and ".com/" not in text.lower():
            return text
        text = REFERENCE.sub(
            lambda match: f"{match['before']}{REMOVED}" if self._is_name(match["handle"]) else match[0], text
        )
        return STATUS.sub(lambda match: f"/status/{REMOVED}" if self._is_post(match[1]) else match[0], text)

    def _is_name(self, handle: str) -> bool:
        return any(map(self.is_forgotten, _account(None, handle)))

    def _is_post(self, number: Any) -> bool:
        return str(number) in self.posts or self.is_forgotten(("tweet", str(number)))

    def _is_gone(self, value: Any) -> bool:
        """Whether an element of a list is an account or a post that was removed, or refers to one."""
        if not isinstance(value, dict):
            return False
        number = value.get("id")
        if "username" in value:
            return any(map(self.is_forgotten, _account(number, value["username"])))
        return (number is not None and self._is_post(number)) or (
            value.get("author_id") is not None and self.is_forgotten(("account", str(value["author_id"])))
        )

    def _names_one(self, name: str, value: Any) -> bool:
        """Whether a part of an object is the name or the number of something that was removed."""
        if not isinstance(value, str):
            return False
        if name.endswith("user_id") or name == "author_id":
            return self.is_forgotten(("account", value))
        if name == "conversation_id":
            return self._is_post(value)
        return name in ("username", "screen_name") and self._is_name(value)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


# --- the statements


def relatives(store: Store, subject: Subject) -> set[Subject]:
    """Other names of the same account or post: the number of a handle, the handles of a number, versions of a post."""
    kind, name = subject
    if kind == "tweet":
        return _versions(store, int(name))
    numbers = {int(name)} if kind == "account" else {
        number for sql in NUMBERS_OF_HANDLE for (number,) in store.rows(sql, name)
    } | {number for handle, number in _mentioned(store, name) if handle == name}  # fmt: skip
    found: set[Subject] = {("account", str(number)) for number in numbers}
    for number in numbers:
        handles = {handle for sql in HANDLES_OF_NUMBER for (handle,) in store.rows(sql, number)}
        for (former,) in store.rows("SELECT former_usernames FROM accounts WHERE id = ?", number):
            handles |= {handle.lower() for handle in from_json(former)}
        handles |= {handle for handle, other in _mentioned(store, str(number)) if other == number}
        found |= {("name", handle) for handle in handles}
    if kind == "handle" and numbers:
        found.add(("name", name))
    return found


NUMBERS_OF_HANDLE = (
    "SELECT account_id FROM handles WHERE handle = ? AND account_id IS NOT NULL",
    "SELECT id FROM accounts WHERE lower(username) = ?",
    "SELECT DISTINCT author_id FROM tweets WHERE lower(username) = ? AND author_id IS NOT NULL",
    "SELECT DISTINCT in_reply_to_user_id FROM tweets WHERE lower(in_reply_to_username) = ? "
    "AND in_reply_to_user_id IS NOT NULL",
)
HANDLES_OF_NUMBER = (
    "SELECT lower(username) FROM accounts WHERE id = ?",
    "SELECT handle FROM handles WHERE account_id = ?",
    "SELECT DISTINCT lower(username) FROM tweets WHERE author_id = ? AND username IS NOT NULL",
    "SELECT DISTINCT lower(in_reply_to_username) FROM tweets WHERE in_reply_to_user_id = ? "
    "AND in_reply_to_username IS NOT NULL",
)
MENTIONS = """
SELECT mention_ids, mention_usernames FROM tweets
WHERE lower(CAST(mention_usernames AS text)) LIKE ? OR CAST(mention_ids AS text) LIKE ?
"""
VERSIONS = "SELECT id, edit_history FROM tweets WHERE id = ? OR CAST(edit_history AS text) LIKE ?"


def _mentioned(store: Store, word: str) -> set[tuple[str, int]]:
    """The handles and numbers of mentions in which a handle or a number is."""
    found = set()
    with store.snapshot():
        for ids, names in store.stream(MENTIONS, f"%{word}%", f"%{word}%"):
            pairs = zip(from_json(ids) or (), from_json(names) or (), strict=False)
            found |= {(name.lower(), number) for number, name in pairs if number is not None}
    return found


def _versions(store: Store, number: int) -> set[Subject]:
    with store.snapshot():
        rows = list(store.stream(VERSIONS, number, f"%{number}%"))
    histories = [{each, *(from_json(history) or ())} for each, history in rows]
    return {("tweet", str(each)) for history in histories if number in history for each in history}


def removal(store: Store, subjects: Sequence[Subject]) -> Iterator[Step]:
    """The steps that remove accounts and posts. What others say of them stays."""
    numbers = [int(name) for kind, name in subjects if kind == "account"]
    handles = [name for kind, name in subjects if kind == "handle" and not numbers]
    names = [name for kind, name in subjects if kind in ("handle", "name")]
    tweets = [int(name) for kind, name in subjects if kind == "tweet"]
    conditions: list[tuple[str, Sequence[Any]]] = [
        (f"author_id IN ({marks(numbers)})", numbers),
        (f"lower(username) IN ({marks(handles)})", handles),
        (f"author_id IS NULL AND lower(username) IN ({marks(names)})", names),
        (f"id IN ({marks(tweets)})", tweets),
    ]
    given = [(sql, values) for sql, values in conditions if values]
    where = " OR ".join(f"({sql})" for sql, _ in given)
    found = store.rows(f"SELECT id FROM tweets WHERE {where}", *(value for _, some in given for value in some))
    for ids in parts((number for (number,) in found), AT_ONCE):
        yield Step([(f"DELETE FROM tweets WHERE id IN ({marks(ids)})", tuple(ids))], Counter(tweets=len(ids)))
    yield Step([*_of_accounts(numbers, handles, names), *_of_feeds(store, set(subjects))])


def _of_accounts(numbers: Sequence[int], handles: Sequence[str], names: Sequence[str]) -> Iterator[Statement]:
    if numbers:
        chosen = f"IN ({marks(numbers)})"
        yield f"DELETE FROM accounts WHERE id {chosen}", tuple(numbers)
        yield f"DELETE FROM handles WHERE account_id {chosen}", tuple(numbers)
        yield f"DELETE FROM account_hours WHERE account_id {chosen}", tuple(numbers)
    if handles:
        yield f"DELETE FROM accounts WHERE lower(username) IN ({marks(handles)})", tuple(handles)
        yield f"DELETE FROM handles WHERE handle IN ({marks(handles)})", tuple(handles)
    if names:
        yield f"DELETE FROM handles WHERE account_id IS NULL AND handle IN ({marks(names)})", tuple(names)
        written = [f"@{name}" for name in names]
        yield f"DELETE FROM trends WHERE lower(name) IN ({marks(written)})", tuple(written)


def _of_feeds(store: Store, subjects: set[Subject]) -> Iterator[Statement]:
    for table in ("feeds", "gaps"):
        for (feed,) in store.rows(f"SELECT DISTINCT feed FROM {table}"):
            if subjects.intersection(subjects_of_feed(Feed(feed))):
                yield f"DELETE FROM {table} WHERE feed = ?", (feed,)
