"""The X API v2: its endpoints, the parameters of requests, and the names of ids and feeds. Sans I/O.

Described at https://docs.x.com/x-api. What answers say is in payloads.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from scrapy.crawler import Crawler

from chancrawl.items import Feed


def source_of(crawler: Crawler) -> str:
    """The address of the API that a crawl reads."""
    return str(crawler.settings["X_API_URL"]).rstrip("/")


# --- endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint with rate limits of its own, and everything in which it differs from the others."""

    name: str
    """Its name in stats and in the store."""
    path: str
    """{} stands for the account or the place that is asked about."""
    bills: str
    """What X charges for: posts, users or trends."""
    app_only: bool = False
    """It takes an app's bearer token, and no user's tokens."""
    page_size: int
    """Most entries of one answer."""
    smallest_page: int = 1
    page_size_parameter: str | None = None
    """Asks for a page of so many entries; None: the rest of the request says how many there are."""
    page_token_parameter: str = "pagination_token"  # noqa: S105  (a parameter)
    """Takes the token of a page."""
    fixed_parameters: Mapping[str, str] = field(default_factory=dict)
    """What every request has."""
    answer_statuses: tuple[int, ...] = (400, 404)
    """Statuses that are answers, besides 200."""
    reach_posts: int | None = None
    """So many of the latest posts are shown, and no older ones."""
    reach_days: int | None = None
    """Posts of so many days are shown, and no older ones; an older since_id is refused."""
    reach_text: str = ""
    """What is shown, in the words of a log line: the latest …"""
    tells_total: bool = False
    """Its posts are those of one account, and an answer says how many this account has."""
    shows_all_kinds: bool = False
    """It shows every kind of post. Since May 2026 searches leave retweets out."""
    is_empty_believed: bool = True
    """An empty first page is believed at once, and not only if no posts are expected."""

    def reach(self, now: datetime) -> datetime | None:
        """As far back as posts are shown at a time, with a margin for the time under way; None: no time bounds it."""
        if self.reach_days is None:
            return None
        return now - timedelta(days=self.reach_days) + timedelta(minutes=2)


USER_FIELDS = (
    "created_at,description,entities,location,name,pinned_tweet_id,profile_image_url,protected,public_metrics,url,"
    "username,verified,verified_type,withheld"
)
# All that costs nothing, but for what only the author of a post may see. The names are those of before August 2026,
# when X began to take others (post.fields, …): `tweet.fields` is answered with these.
POST_PARAMETERS = {
    "tweet.fields": (
        "article,attachments,author_id,card_uri,community_id,context_annotations,conversation_id,created_at,"
        "display_text_range,edit_controls,edit_history_tweet_ids,entities,geo,in_reply_to_user_id,lang,media_metadata,"
        "note_tweet,possibly_sensitive,public_metrics,referenced_tweets,reply_settings,scopes,source,withheld"
    ),
    "expansions": (
        "author_id,in_reply_to_user_id,referenced_tweets.id,referenced_tweets.id.author_id,"
        "referenced_tweets.id.attachments.media_keys,edit_history_tweet_ids,attachments.media_keys,attachments.poll_ids,"
        "article.cover_media,article.media_entities,geo.place_id"
    ),
    "user.fields": "name,protected,public_metrics,username",
    "media.fields": "alt_text,duration_ms,height,media_key,preview_image_url,type,url,variants,width",
    "poll.fields": "duration_minutes,end_datetime,id,options,voting_status",
    "place.fields": "country,country_code,full_name,geo,id,name,place_type",
}

REACHABLE = 3200
"""So many of an account's latest posts can be had from its timeline."""

USERS = Endpoint(
    name="users", path="/2/users/by", bills="users", page_size=100, fixed_parameters={"user.fields": USER_FIELDS}
)
USERS_BY_ID = Endpoint(
    name="users_by_id", path="/2/users", bills="users", page_size=100, fixed_parameters={"user.fields": USER_FIELDS}
)
TIMELINE = Endpoint(
    name="timeline",
    path="/2/users/{}/tweets",
    bills="posts",
    page_size=100,
    smallest_page=5,
    page_size_parameter="max_results",
    fixed_parameters=POST_PARAMETERS,
    reach_posts=REACHABLE,
    reach_text="3,200 posts",
    tells_total=True,
    shows_all_kinds=True,
    is_empty_believed=False,
)
SEARCH = Endpoint(
    name="search",
    path="/2/tweets/search/recent",
    bills="posts",
    page_size=100,
    smallest_page=10,
    page_size_parameter="max_results",
    page_token_parameter="next_token",  # noqa: S106  (a parameter)
    fixed_parameters=POST_PARAMETERS,
    reach_days=7,
    reach_text="seven days",
)
TRENDS = Endpoint(
    name="trends",
    path="/2/trends/by/woeid/{}",
    bills="trends",
    app_only=True,
    page_size=50,
    fixed_parameters={"max_trends": "50"},
)
ENDPOINTS = {endpoint.name: endpoint for endpoint in (USERS, USERS_BY_ID, TIMELINE, SEARCH, TRENDS)}
TOKEN_PATH = "/oauth2/token"  # noqa: S105  (a path)

FIRST_START = datetime(2010, 11, 6, tzinfo=UTC)
"""An earlier start_time is refused (https://docs.x.com/x-api/users/get-posts)."""

HANDLE = re.compile(r"[A-Za-z0-9_]{1,15}")


def users_parameters(handles: Iterable[str]) -> dict[str, str]:
    """The parameters of a look-up of names, or of numbers written as id:783214; not both at once."""
    asked = list(handles)
    if is_number(asked[0]):
        return {"ids": ",".join(handle.removeprefix("id:") for handle in asked)}
    return {"usernames": ",".join(asked)}


def is_number(handle: str) -> bool:
    """
    >>> is_number("id:783214"), is_number("783214")
    (True, False)
    """
    return handle.startswith("id:")


# --- ids tell the time: https://docs.x.com/fundamentals/x-ids

EPOCH_MS = 1288834974657


def time_of(tweet_id: int) -> datetime | None:
    """The time that is in an id; None for ids below 29700859247, from before November 2010, which hold none.

    >>> time_of(1576994789110992896).isoformat(timespec="seconds")
    '2022-10-03T17:57:11+00:00'
    """
    milliseconds = (tweet_id >> 22) + EPOCH_MS
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if tweet_id >= FIRST_TIMED_ID else None


FIRST_TIMED_ID = 29_700_859_247
FIRST_TIMED = datetime(2010, 11, 4, 22, tzinfo=UTC)
"""No id of an earlier time tells it."""


def id_at(time: datetime) -> int:
    """The lowest id of a time."""
    return max(int(time.timestamp() * 1000) - EPOCH_MS, 0) << 22


DISORDER = timedelta(seconds=10)
"""Ids are not strictly in the order in which posts appear: what is younger than this is asked for once more."""


def settled(newest_id: int, seen_at: datetime) -> int:
    """The highest id below which nothing is still to appear."""
    time = time_of(newest_id)
    if time is None or seen_at - time > DISORDER or time - seen_at > timedelta(days=1):  # or ids of another making
        return newest_id
    return min(newest_id, id_at(seen_at - DISORDER))


def settled_id(highest_id: int) -> int:
    """An id seen somewhere says that its time has come: everything some seconds older has appeared."""
    return max(highest_id - (int(DISORDER.total_seconds() * 1000) << 22), 1)


# --- feeds


def feed_of_query(kind: str, query: str) -> str:
    """The feed of a search (`search`) or of a trend's (`trend`). That of a very long query is named by its fingerprint:
    PostgreSQL cannot have a longer key.

    >>> feed_of_query("search", "from:nasa")
    'search:from:nasa'
    """
    if len(query.encode()) <= 1500:
        return f"{kind}:{query}"
    return f"{kind}:{query[:200]}… #{blake2b(query.encode(), digest_size=12).hexdigest()}"


def feed_of(account_id: int) -> str:
    """
    >>> feed_of(783214)
    'timeline:783214'
    """
    return f"timeline:{account_id}"


def account_of_feed(feed: Feed) -> int:
    """The number of the account whose timeline a feed is."""
    return int(feed.feed.removeprefix("timeline:"))
