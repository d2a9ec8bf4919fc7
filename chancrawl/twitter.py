"""The X API v2: its addresses and fields, and its payloads made into items. Pure.

Described at https://docs.x.com/x-api; the forms of errors are those of https://docs.x.com/x-api/fundamentals/response-codes-and-errors.
Payloads are untrusted: what has not the promised shape as a whole raises `Malformed`; what is odd in one post is passed
over, named in `problems`, and stays in `raw`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chancrawl.items import Account, Feed, Handle, Raw, Trend, Tweet
from chancrawl.payload import Malformed
from chancrawl.xfields import LARGEST_ID, XFields, as_list

# --- endpoints


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint with rate limits of its own. `name` is its name in stats and in the store."""

    name: str
    path: str
    app_only: bool = False


USERS = Endpoint("users", "/2/users/by")
TIMELINE = Endpoint("timeline", "/2/users/{}/tweets")
SEARCH = Endpoint("search", "/2/tweets/search/recent")
TRENDS = Endpoint("trends", "/2/trends/by/woeid/{}", app_only=True)
ENDPOINTS = {endpoint.name: endpoint for endpoint in (USERS, TIMELINE, SEARCH, TRENDS)}
TOKEN_PATH = "/oauth2/token"  # noqa: S105  (a path)

USERS_AT_ONCE = 100
PAGE = 100
"""Most posts on one page of a timeline or a search."""
SMALLEST_PAGE = {TIMELINE.name: 5, SEARCH.name: 10}
REACHABLE = 3200
"""So many of an account's latest posts can be had from its timeline."""
SEARCH_DAYS = 7
"""Recent search reaches back so far; an older since_id is refused."""

USER_FIELDS = (
    "created_at,description,entities,location,name,pinned_tweet_id,profile_image_url,protected,public_metrics,url,"
    "username,verified,verified_type,withheld"
)
# Only what is stored: retweeted and quoted posts in `includes` may be billed.
POST_PARAMETERS = {
    "tweet.fields": (
        "attachments,author_id,conversation_id,created_at,edit_history_tweet_ids,entities,geo,in_reply_to_user_id,lang,"
        "note_tweet,possibly_sensitive,public_metrics,referenced_tweets,reply_settings,source,withheld"
    ),
    "expansions": (
        "author_id,in_reply_to_user_id,referenced_tweets.id,referenced_tweets.id.author_id,attachments.media_keys,"
        "attachments.poll_ids,geo.place_id"
    ),
    "user.fields": "name,protected,public_metrics,username",
    "media.fields": "alt_text,duration_ms,height,media_key,preview_image_url,type,url,variants,width",
    "poll.fields": "duration_minutes,end_datetime,id,options,voting_status",
    "place.fields": "country,country_code,full_name,geo,id,name,place_type",
}

HANDLE = re.compile(r"[A-Za-z0-9_]{1,15}")


def users_parameters(handles: Iterable[str]) -> dict[str, str]:
    return {"usernames": ",".join(handles), "user.fields": USER_FIELDS}


# --- ids tell the time: https://docs.x.com/fundamentals/x-ids

EPOCH_MS = 1288834974657


def time_of(tweet_id: int) -> datetime | None:
    """The time that is in an id; None for ids from before November 2010, which hold none.

    >>> time_of(1576994789110992896).isoformat(timespec="seconds")
    '2022-10-03T17:57:11+00:00'
    """
    milliseconds = (tweet_id >> 22) + EPOCH_MS
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if tweet_id >= 1 << 34 else None


def id_at(time: datetime) -> int:
    """The lowest id of a time."""
    return max(int(time.timestamp() * 1000) - EPOCH_MS, 0) << 22


# --- payloads


@dataclass(slots=True)
class Users:
    """An answer to a look-up: accounts, and what became of the names that have none."""

    accounts: list[Account]
    handles: list[Handle]
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Page:
    """A page of a timeline or of a search, the newest post first.

    `authors` are the users that came along, by id. `refusal` says why there is nothing: suspended, protected, missing.
    """

    tweets: list[Tweet]
    authors: dict[int, Account]
    next_token: str | None
    refusal: str | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def newest_id(self) -> int | None:
        return max((tweet.id for tweet in self.tweets), default=None)

    @property
    def oldest_id(self) -> int | None:
        return min((tweet.id for tweet in self.tweets), default=None)


def parse_users(payload: Any, asked: Iterable[str], seen_at: datetime) -> Users:
    """An answer to GET /2/users/by. `asked` are the names that were looked up."""
    data, errors = _data_and_errors(payload)
    users = Users([], [])
    found: dict[str, Account] = {}
    for raw in data:
        account = account_of(raw, seen_at)
        if account is None:
            users.problems.append(f"a user without number or name: {str(raw)[:80]}")
        else:
            users.accounts.append(account)
            found[account.username.lower()] = account
    refused = {str(error.get("value", error.get("resource_id", ""))).lower(): error for error in errors}
    for handle in asked:
        account = found.get(handle.lower())
        if account is not None:
            users.handles.append(Handle(handle.lower(), account.id, account.status, seen_at))
        elif handle.lower() in refused:
            users.handles.append(Handle(handle.lower(), None, _fate(refused[handle.lower()]), seen_at))
        else:
            users.problems.append(f"no answer about {handle}")
    return users


def account_of(raw: Any, seen_at: datetime) -> Account | None:
    """An account; None for what has no number or no name."""
    if not isinstance(raw, dict):
        return None
    fields = XFields(raw)
    number, username = fields.id("id"), fields.text("username")
    if number is None or not username:
        return None
    metrics = fields.metrics("public_metrics")
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
        pinned_id=fields.id("pinned_tweet_id"),
        profile_image_url=fields.text("profile_image_url"),
        metrics=metrics,
        first_metrics=metrics,
        first_seen_at=seen_at,
        last_seen_at=seen_at,
        raw=raw,
    )


def parse_page(payload: Any, found_in: str, seen_at: datetime) -> Page:
    """A page of posts. What follows from `raw` is filled in by `describe`."""
    data, errors = _data_and_errors(payload)
    includes = payload.get("includes") if isinstance(payload.get("includes"), dict) else {}
    meta = payload.get("meta") if isinstance(payload.get("meta"), dict) else {}
    sent = {kind: by_key(includes.get(kind), key) for kind, key in INCLUDED.items()}
    page = Page([], {}, meta.get("next_token") if isinstance(meta.get("next_token"), str) else None)
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
        about_the_whole = [error for error in errors if error.get("resource_type") == "user"]
        if about_the_whole:
            page.refusal = _fate(about_the_whole[0])
        elif not meta and not errors:
            raise Malformed("neither posts nor meta")
    if data and not page.tweets:
        raise Malformed("; ".join(page.problems[:3]))
    return page


def parse_trends(payload: Any, woeid: int, seen_at: datetime) -> list[Trend]:
    data, errors = _data_and_errors(payload)
    if not data and errors:
        raise Malformed(str(errors[0].get("detail") or errors[0].get("title"))[:200])
    trends = []
    for rank, raw in enumerate(data, 1):
        fields = XFields(raw if isinstance(raw, dict) else {})
        name = fields.text("trend_name")
        if name:
            trends.append(Trend(woeid, seen_at, rank, name, fields.number("tweet_count", most=LARGEST_ID)))
    return trends


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


def _fate(error: Raw) -> str:
    """What a partial error says of an account: suspended, protected or missing."""
    detail = str(error.get("detail", "")).lower()
    if "suspended" in detail:
        return "suspended"
    return "protected" if str(error.get("type", "")).endswith("not-authorized-for-resource") else "missing"


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
    metrics = fields.metrics("public_metrics")
    return Tweet(
        id=number,
        author_id=author_id,
        username=XFields(author).text("username") if author else None,
        posted_at=fields.moment("created_at") or time_of(number),
        metrics=metrics,
        first_metrics=metrics,
        found_in=found_in,
        first_seen_at=seen_at,
        last_seen_at=seen_at,
        raw=raw,
        includes=_belonging(raw, sent),
    )


def _belonging(raw: Raw, sent: dict[str, dict[str, Raw]]) -> Raw:
    """What of `includes` a post refers to: posts, their authors, whom it answers, media, polls, places."""
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
    entries = raw.get("referenced_tweets")
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict) and "id" in entry]


def feed_of(account_id: int) -> str:
    """
    >>> feed_of(783214)
    'timeline:783214'
    """
    return f"timeline:{account_id}"


def account_of_feed(feed: Feed) -> int:
    return int(feed.feed.removeprefix("timeline:"))
