"""What the payloads of the X API say, as items. Sans I/O.

The forms of errors are those of https://docs.x.com/x-api/fundamentals/response-codes-and-errors.
Payloads are untrusted: what has not the promised shape as a whole raises `Malformed`; what is odd in one post is passed
over, named in `problems`, and stays in `raw`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chancrawl.items import Account, Handle, Metrics, Raw, Trend, Tweet
from chancrawl.payload import Malformed
from chancrawl.text import visible
from chancrawl.x.api import is_number, time_of
from chancrawl.x.fields import LARGEST_ID, XFields, as_list, id_of


@dataclass(slots=True)
class Users:
    """The answer to a look-up: accounts, and the status of every name."""

    accounts: list[Account]
    handles: list[Handle]
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Page:
    """A page of a timeline or of a search, the newest post first.

    `authors` are the users that came along, by id. `refusal` says why there is nothing: suspended, protected, missing.
    `is_torn`: it does not say whether another page follows, or has fewer posts than it says. `included` are how many
    posts and users came along: X may bill them.
    """

    tweets: list[Tweet]
    authors: dict[int, Account]
    next_token: str | None
    refusal: str | None = None
    is_torn: bool = False
    included_posts: list[int] = field(default_factory=list)
    included_users: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def newest_id(self) -> int | None:
        return max((tweet.id for tweet in self.tweets), default=None)

    @property
    def oldest_id(self) -> int | None:
        return min((tweet.id for tweet in self.tweets), default=None)


def parse_users(payload: Any, asked: Iterable[str], seen_at: datetime) -> Users:
    """The answer to a look-up of the names `asked`."""
    data, errors = _data_and_errors(payload)
    users = Users([], [])
    found: dict[str, Account] = {}
    for raw in data:
        account = account_of(raw, seen_at)
        if account is None:
            users.problems.append(f"a user without number or name: {str(raw)[:80]}")
        else:
            users.accounts.append(account)
            found[account.username.lower()] = found[f"id:{account.id}"] = account
    refused = {str(error.get("value", error.get("resource_id", ""))).lower(): error for error in errors}
    refused |= {f"id:{value}": error for value, error in refused.items() if error.get("parameter") == "ids"}
    for handle in asked:
        account = found.get(handle.lower())
        if account is not None:
            users.handles.append(Handle(handle.lower(), account.id, account.status, seen_at))
        elif (status := _account_status(refused.get(handle.lower(), {}))) is not None:
            number = id_of(handle.removeprefix("id:")) if is_number(handle) else None
            users.handles.append(Handle(handle.lower(), number, status, seen_at))
        else:
            users.problems.append(f"no answer about {handle}")
    return users


def account_of(raw: Any, seen_at: datetime) -> Account | None:
    """An account from its object; None if that has no number or no name."""
    if not isinstance(raw, dict):
        return None
    fields = XFields(raw)
    number, username = fields.id("id"), fields.text("username")
    if number is None or not username:
        return None
    metrics = _metrics(fields)
    return Account(
        id=number,
        username=username,
        name=fields.text("name"),
        status="protected" if fields.yes_or_no("protected") else "active",
        created_at=fields.moment("created_at"),
        description=fields.text("description"),
        location=fields.text("location"),
        url=fields.text("url"),
        verified=fields.yes_or_no("verified"),
        verified_type=fields.text("verified_type"),
        pinned_id=fields.id("pinned_tweet_id") or fields.id("pinned_post_id"),
        profile_image_url=fields.text("profile_image_url"),
        metrics=metrics,
        first_metrics=metrics,
        first_seen_at=seen_at,
        last_seen_at=seen_at,
        raw=raw,
    )


def parse_page(payload: Any, found_in: str, seen_at: datetime) -> Page:
    """A page of posts. What follows from `raw` is filled in by `describe`.

    An answer without posts is a page only if it says so itself (`meta.result_count` is 0), or is a refusal that names a
    user. Everything else, such as `{"errors": [{"code": 34}]}`, is Malformed.
    """
    data, errors = _data_and_errors(payload)
    includes = payload.get("includes") if isinstance(payload.get("includes"), dict) else {}
    meta = payload.get("meta") if isinstance(payload.get("meta"), dict) else {}
    sent = {kind: by_key(includes.get(kind), key) for kind, key in INCLUDED.items()}
    sent["tweets"] |= by_key(includes.get("posts"), "id")
    token, count = meta.get("next_token"), meta.get("result_count")
    page = Page([], {}, token if _is_token(token) else None)
    page.is_torn = not meta or (token is not None and page.next_token is None)
    page.is_torn = page.is_torn or (type(count) is int and count > len(data))
    page.included_posts = [number for number in map(id_of, sent["tweets"]) if number is not None]
    page.included_users = [number for number in map(id_of, sent["users"]) if number is not None]
    for raw in sent["users"].values():
        account = account_of(raw, seen_at)
        if account is not None:
            page.authors[account.id] = account
    for raw in data:
        tweet = _tweet_of(raw, sent, found_in, seen_at)
        if tweet is None:
            page.problems.append(f"a post without number: {str(raw)[:80]}")
        else:
            page.tweets.append(tweet)
    if not data:
        statuses = [_account_status(error) for error in errors if error.get("parameter") in ("id", None)]
        if statuses and statuses[0] is not None:
            page.refusal = statuses[0]
        elif count != 0 or type(count) is not int:
            raise Malformed(said(payload) or "neither posts nor meta")
    if data and not page.tweets:
        raise Malformed("; ".join(page.problems[:3]))
    return page


def parse_trends(payload: Any, woeid: int, seen_at: datetime) -> list[Trend]:
    """The trends of a place; Malformed if there are none."""
    data, _ = _data_and_errors(payload)
    if not data:
        raise Malformed(said(payload) or "no trends")
    trends = []
    for rank, raw in enumerate(data, 1):
        fields = XFields(raw if isinstance(raw, dict) else {})
        name = fields.text("trend_name")
        if name:
            count = fields.number("tweet_count", most=LARGEST_ID)
            if count is None:
                count = fields.number("post_count", most=LARGEST_ID)
            trends.append(Trend(woeid, seen_at, rank, name, count))
    if not trends:
        raise Malformed("trends without names")
    return trends


def said(payload: Any) -> str:
    """What an error of the API says of itself; empty if it says nothing.

    >>> said({"title": "UsageCapExceeded", "detail": "Usage cap exceeded: Monthly product cap"})
    'UsageCapExceeded: Usage cap exceeded: Monthly product cap'
    >>> said({"errors": [{"code": 34, "message": "Sorry, that page does not exist"}]})
    'Sorry, that page does not exist'
    """
    if not isinstance(payload, dict):
        return ""
    errors = payload.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    own = [payload.get("title"), payload.get("detail")] if "title" in payload or "detail" in payload else []
    texts = [first.get("message"), *own] if first.get("message") else [*own, first.get("title"), first.get("detail")]
    return visible(": ".join(dict.fromkeys(text for text in texts if isinstance(text, str) and text)))[:300]


def named_parameters(payload: Any) -> set[str]:
    """The parameters that a 400 names: `{"errors": [{"parameters": {"since_id": ["…"]}}]}`, or `parameter`."""
    if not isinstance(payload, dict):
        return set()
    names = {payload["parameter"]} if isinstance(payload.get("parameter"), str) else set()
    for error in as_list(payload.get("errors")):
        if isinstance(error, dict) and isinstance(error.get("parameters"), dict):
            names |= error["parameters"].keys()
    return names


def _is_token(token: Any) -> bool:
    """Whether a page's token can be sent back."""
    return isinstance(token, str) and token.isascii() and token.isprintable() and 0 < len(token) < 2000


NEW_NAMES = {"repost_count": "retweet_count", "post_count": "tweet_count"}
"""Counts by the names that X has given them in August 2026."""


def _metrics(fields: XFields) -> Metrics:
    """Public counts, by their older names."""
    counts = fields.metrics("public_metrics")
    return {NEW_NAMES.get(name, name): value for name, value in counts.items()}


def _data_and_errors(payload: Any) -> tuple[list[Any], list[Raw]]:
    """The list in `data` (one object stands for a list of one) and the problems in `errors`."""
    if not isinstance(payload, dict) or not ({"data", "errors", "meta"} & payload.keys()):
        raise Malformed("no answer of the API")
    data = payload.get("data", [])
    data = [data] if isinstance(data, dict) else data
    errors = payload.get("errors", [])
    if not isinstance(data, list) or not isinstance(errors, list):
        raise Malformed("data or errors is no list")
    return data, [error for error in errors if isinstance(error, dict)]


def _account_status(error: Raw) -> str | None:
    """What a partial error says of an account: suspended, protected or missing; None if it says nothing of one."""
    kind = str(error.get("type", "")).rpartition("/")[2]
    if error.get("resource_type") != "user":
        return None
    if "suspended" in str(error.get("detail", "")).lower():
        return "suspended"
    return {"not-authorized-for-resource": "protected", "resource-not-found": "missing"}.get(kind)


# What can come along with posts, and the key by which posts refer to it.
INCLUDED = {"tweets": "id", "users": "id", "media": "media_key", "polls": "id", "places": "id"}


def by_key(items: Any, key: str) -> dict[str, Raw]:
    """Objects of a list by one of their values."""
    if not isinstance(items, list):
        return {}
    return {str(item[key]): item for item in items if isinstance(item, dict) and key in item}


def _tweet_of(raw: Any, sent: dict[str, dict[str, Raw]], found_in: str, seen_at: datetime) -> Tweet | None:
    if not isinstance(raw, dict):
        return None
    fields = XFields(raw)
    number = fields.id("id")
    if number is None:
        return None
    author_id = fields.id("author_id")
    author = sent["users"].get(str(author_id))
    metrics = _metrics(fields)
    return Tweet(
        id=number,
        author_id=author_id,
        username=XFields(author).text("username") if author else None,
        posted_at=fields.moment("created_at") or time_of(number),
        metrics=metrics,
        first_metrics=metrics,
        found_in=[found_in],
        first_seen_at=seen_at,
        last_seen_at=seen_at,
        raw=raw,
        includes=_belonging(raw, sent),
    )


def _belonging(raw: Raw, sent: dict[str, dict[str, Raw]]) -> Raw:
    """The part of `includes` that a post refers to: posts, their authors, whom it answers, media, polls, places."""
    keys: dict[str, list[Any]] = {"tweets": [], "users": [], "media": [], "polls": [], "places": []}
    sources = [raw]
    for reference in references(raw):
        keys["tweets"].append(reference["id"])
        post = sent["tweets"].get(str(reference["id"]))
        if post is not None:
            sources.append(post)
            keys["users"].append(post.get("author_id"))
    if "in_reply_to_user_id" in raw:
        keys["users"].append(raw["in_reply_to_user_id"])
    keys["tweets"] += [number for number in as_list(edit_history(raw)) if str(number) != str(raw.get("id"))]
    article = raw.get("article")
    if isinstance(article, dict):
        keys["media"] += [article.get("cover_media"), *as_list(article.get("media_entities"))]
    for source in sources:
        attachments = source.get("attachments")
        if isinstance(attachments, dict):
            keys["media"] += as_list(attachments.get("media_keys"))
            keys["polls"] += as_list(attachments.get("poll_ids"))
    geo = raw.get("geo")
    if isinstance(geo, dict):
        keys["places"].append(geo.get("place_id"))
    belonging = {}
    for kind, wanted in keys.items():
        if wanted:
            found = [sent[kind][key] for key in dict.fromkeys(map(str, wanted)) if key in sent[kind]]
            if found:
                belonging[kind] = found
    return belonging


def references(raw: Raw) -> list[Raw]:
    """The posts that a post refers to: [{"type": "retweeted", "id": "…"}, …]."""
    entries = raw.get("referenced_tweets", raw.get("referenced_posts"))
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict) and "id" in entry]


def edit_history(raw: Raw) -> Any:
    """The numbers of all versions of a post, as they were sent."""
    return raw.get("edit_history_tweet_ids", raw.get("edit_history_post_ids"))
