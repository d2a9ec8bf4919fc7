"""The items that the spiders yield, one dataclass for each kind.

An item is a row. Its fields are the columns of its table in schema.sql and of its CSV file, in the same order. Times
are aware and in UTC. A field is None if the source did not send it.

`Board`, `Thread`, `Validator`, `Poll`, `Account`, `Handle` and `Feed` are state: they describe what has been read. They
follow the posts that they describe through the same pipelines and are committed with them, so that state is never ahead
of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from typing import Any, TypedDict, TypeVar, get_args, get_origin, get_type_hints

Raw = dict[str, Any]

NO_COLUMN = {"column": False}
"""The metadata of a field that is not stored."""


class Quote(TypedDict):
    """A post that a comment quotes.

    `thread_no` is None if the link does not have it (a dead link, a link across boards). `dead` means that the site
    itself shows the quoted post as gone.
    """

    board: str
    thread_no: int | None
    no: int
    dead: bool


@dataclass(slots=True)
class Board:
    """A board as boards.json describes it (https://github.com/4chan/4chan-API/blob/master/pages/Boards.md).

    `gone_at` is when boards.json was first seen without it, and its index was gone too.
    """

    board: str
    title: str | None = None
    worksafe: bool | None = None
    has_archive: bool = False
    pages: int | None = None
    per_page: int | None = None
    bump_limit: int | None = None
    image_limit: int | None = None
    seen_at: datetime | None = None
    gone_at: datetime | None = None
    raw: Raw = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Thread:
    """The state of a thread, from the last reading of its index and its own page, and its fate.

    `last_modified` is the index's value when the posts were read. `http_last_modified` is the header of the thread's
    own page, unchanged, because the server compares If-Modified-Since for equality. `position` counts from 0 at the
    top of the bump order. `fate` is live, archived, pruned (fell off the end, or went with its board) or deleted.
    """

    board: str
    no: int
    subject: str | None = None
    semantic_url: str | None = None
    replies: int | None = None
    images: int | None = None
    unique_ips: int | None = None
    sticky: bool = False
    closed: bool = False
    bump_limit_reached: bool = False
    image_limit_reached: bool = False
    archived_at: datetime | None = None
    tail_size: int | None = None
    position: int | None = None
    last_modified: datetime | None = None
    http_last_modified: str | None = None
    fate: str = "live"
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    gone_at: datetime | None = None


@dataclass(slots=True)
class Post:
    """One version of one post.

    `raw` is the object in the payload; columns before `revision` can be computed from it. `revision` counts the
    versions seen, from 1. `deleted_at` is when the post was first missing from its thread, `deletion_confirmed_at` when
    it was missing again in a different body. If a post returns, both are set to None.
    """

    board: str
    no: int
    thread_no: int
    posted_at: datetime
    name: str | None = None
    tripcode: str | None = None
    poster_id: str | None = None
    capcode: str | None = None
    country: str | None = None
    country_name: str | None = None
    board_flag: str | None = None
    flag_name: str | None = None
    since4pass: int | None = None
    email: str | None = None
    subject: str | None = None
    tag: str | None = None
    comment_html: str | None = field(default=None, repr=False)
    comment_text: str | None = field(default=None, repr=False)
    quotes: list[Quote] = field(default_factory=list, repr=False)
    links: list[str] = field(default_factory=list, repr=False)
    file_tim: int | None = None
    file_name: str | None = None
    file_ext: str | None = None
    file_size: int | None = None
    file_md5: str | None = None
    file_width: int | None = None
    file_height: int | None = None
    thumbnail_width: int | None = None
    thumbnail_height: int | None = None
    file_deleted: bool = False
    file_spoiler: bool = False
    custom_spoiler: int | None = None
    has_mobile_image: bool = False
    revision: int = 1
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    deleted_at: datetime | None = None
    deletion_confirmed_at: datetime | None = None
    raw: Raw = field(default_factory=dict, repr=False)
    digest: int = field(default=0, repr=False)
    """A 64-bit hash of a version: of `raw` without the keys that change with the thread."""


@dataclass(slots=True)
class Deletion:
    """A change of a post's deletion: the post was missing, missing again (confirmed), or is back (both times None)."""

    board: str
    thread_no: int
    no: int
    last_seen_at: datetime | None
    deleted_at: datetime | None
    deletion_confirmed_at: datetime | None = None


@dataclass(slots=True)
class Validator:
    """The Last-Modified of an index file whose content is stored in full (a validator in the sense of RFC 9110)."""

    path: str
    last_modified: str


@dataclass(slots=True)
class Poll:
    """Some seconds of following a board: what its index files showed since the poll before.

    `looks` is how often an index file was read. `longest_gap` is the longest time between two readings, in seconds;
    None for the first reading of a crawl.
    """

    board: str
    polled_at: datetime
    newest_no: int | None
    threads: int
    looks: int
    longest_gap: float | None


Metrics = dict[str, int]
"""Public counts by their names in the API: {"like_count": 3, "retweet_count": 1, …}."""


@dataclass(slots=True)
class Account:
    """An account of X (https://docs.x.com/x-api/users/lookup/introduction). Its number identifies it, not its name.

    `status` is active, protected, suspended, missing or blocked. `former_usernames` are its earlier names, oldest
    first. `metrics` are the counts of the last reading, `first_metrics` those of the first.
    """

    id: int
    username: str
    name: str | None = None
    status: str = "active"
    created_at: datetime | None = None
    description: str | None = field(default=None, repr=False)
    location: str | None = None
    url: str | None = None
    verified: bool | None = None
    verified_type: str | None = None
    pinned_id: int | None = None
    profile_image_url: str | None = field(default=None, repr=False)
    metrics: Metrics = field(default_factory=dict)
    first_metrics: Metrics = field(default_factory=dict, repr=False)
    former_usernames: list[str] = field(default_factory=list)
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    raw: Raw = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Handle:
    """A name that was looked up, in lower case, and the result: active, protected, suspended, missing or blocked."""

    handle: str
    account_id: int | None
    status: str
    checked_at: datetime


@dataclass(slots=True)
class Feed:
    """How far a feed has been read: a timeline (`timeline:ACCOUNT_ID`), a search (`search:QUERY`) or `trend:QUERY`.

    A feed is read from its newest post backwards, page by page: a walk. Everything from `oldest_id` to `newest_id` is
    stored, except the intervals in `Gap`s, and the feed is complete since `complete_since`. The last visit showed
    nothing else up to `seen_id`, the highest id that any feed had shown by then. `timeline_at` is when an account was
    last read by its own timeline: a batched search changes only `seen_id`, because it does not show everything.
    `bottom_at` is when X showed nothing older than `oldest_id`. `pages` counts all pages read: of two states of a feed,
    the one with more is the later one. The other fields describe a walk that is not finished: `next_token` is the page
    with which it continues, `walk_since_id` and `walk_until_id` are its bounds (both exclusive), `walk_newest_id`
    becomes `newest_id` at the end, and `walk_oldest_id` is the lowest id so far.
    """

    feed: str
    newest_id: int | None = None
    seen_id: int | None = None
    oldest_id: int | None = None
    complete_since: datetime | None = None
    posts: int = 0
    pages: int = 0
    posts_per_day: float | None = None
    visited_at: datetime | None = None
    timeline_at: datetime | None = None
    bottom_at: datetime | None = None
    next_token: str | None = None
    walk_since_id: int | None = None
    walk_until_id: int | None = None
    walk_newest_id: int | None = None
    walk_oldest_id: int | None = None
    walk_posts: int = 0


@dataclass(slots=True)
class Gap:
    """An interval of a feed, between two ids that were read, that was not read and cannot be read any more.

    `reason` is reach (a timeline shows the latest 3,200 posts, a search the last seven days) or limit (left out because
    of an argument).
    """

    feed: str
    before_id: int
    after_id: int
    starts_at: datetime | None
    ends_at: datetime | None
    reason: str
    found_at: datetime


@dataclass(slots=True)
class Tweet:
    """A post of X, from the API's description (https://docs.x.com/x-api/fundamentals/data-dictionary).

    `text` is the whole text; for a long post it is that of `note_tweet`. `hashtags`, `urls` and the mentions belong to
    it. `media_urls` are the images, or the still images of videos. The `retweeted_*` fields describe the retweeted
    post. `raw` is the post as it was sent, `includes` what was sent with it: the posts that it refers to and their
    authors, media, polls, places. `found_in` are the feeds that showed it, the first one first.
    """

    id: int
    author_id: int | None
    username: str | None
    posted_at: datetime | None
    text: str | None = field(default=None, repr=False)
    lang: str | None = None
    hashtags: list[str] = field(default_factory=list, repr=False)
    cashtags: list[str] = field(default_factory=list, repr=False)
    urls: list[str] = field(default_factory=list, repr=False)
    mention_ids: list[int | None] = field(default_factory=list, repr=False)
    mention_usernames: list[str] = field(default_factory=list, repr=False)
    media_urls: list[str] | None = field(default=None, repr=False)
    source: str | None = None
    conversation_id: int | None = None
    in_reply_to_id: int | None = None
    in_reply_to_user_id: int | None = None
    in_reply_to_username: str | None = None
    quoted_id: int | None = None
    retweeted_id: int | None = None
    retweeted_username: str | None = None
    retweeted_name: str | None = None
    retweeted_text: str | None = field(default=None, repr=False)
    retweeted_urls: list[str] | None = field(default=None, repr=False)
    edit_history: list[int] = field(default_factory=list, repr=False)
    possibly_sensitive: bool | None = None
    reply_settings: str | None = None
    place_id: str | None = None
    place_name: str | None = None
    longitude: float | None = None
    latitude: float | None = None
    community_id: int | None = None
    article_title: str | None = field(default=None, repr=False)
    article_text: str | None = field(default=None, repr=False)
    metrics: Metrics = field(default_factory=dict, repr=False)
    first_metrics: Metrics = field(default_factory=dict, repr=False)
    sentiment: float | None = None
    found_in: list[str] = field(default_factory=list, repr=False)
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    raw: Raw | None = field(default_factory=dict, repr=False)
    includes: Raw = field(default_factory=dict, repr=False)
    known_in: Sequence[str] = field(default=(), repr=False, compare=False, metadata=NO_COLUMN)
    """The feeds of which it is stored that they showed it, when it is read again. No column."""

    @property
    def is_seen_again(self) -> bool:
        """Whether it was seen before, and has new counts or was found in another feed."""
        return self.metrics != self.first_metrics or self.first_seen_at != self.last_seen_at


@dataclass(slots=True)
class Trend:
    """A topic that trends at a place (its Where On Earth ID). `rank` is from 1; `tweet_count` is of 24 hours."""

    woeid: int
    seen_at: datetime
    rank: int
    name: str
    tweet_count: int | None


Item = Any
"""A dataclass of this file, or of another source: see `storage.kinds.Kind`."""


def columns(item_class: type[Any]) -> list[str]:
    """The names of an item's fields, in order. They are the columns of its table and of its CSV file.

    >>> columns(Validator)
    ['path', 'last_modified']
    """
    return [f.name for f in fields(item_class) if f.metadata != NO_COLUMN]


class Form(Enum):
    """How the values of a column are converted to text: not at all, to ISO 8601 times, to flags, or to JSON."""

    PLAIN = "plain"
    TIME = "time"
    FLAG = "flag"
    JSON = "json"


def forms(item_class: type[Any]) -> dict[str, Form]:
    """The form of each field of an item, by name.

    >>> forms(Validator)
    {'path': <Form.PLAIN: 'plain'>, 'last_modified': <Form.PLAIN: 'plain'>}
    """
    if item_class not in _FORMS:
        hints = get_type_hints(item_class)
        _FORMS[item_class] = {name: _form_of(hints[name]) for name in columns(item_class)}
    return _FORMS[item_class]


_FORMS: dict[type[Any], dict[str, Form]] = {}


def _form_of(annotation: Any) -> Form:
    kinds = {get_origin(kind) or kind for kind in (*get_args(annotation), annotation)}
    if datetime in kinds:
        return Form.TIME
    if bool in kinds:
        return Form.FLAG
    return Form.JSON if kinds & {list, dict} else Form.PLAIN


T = TypeVar("T")


def latest(items: Sequence[T], *key: str) -> list[T]:
    """The last item for each key. One SQL statement cannot replace a row twice."""
    return list({tuple(getattr(item, name) for name in key): item for item in items}.values())
