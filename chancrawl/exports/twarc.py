"""Posts of X in the flattened form of twarc, for twarc-csv. Sans I/O.

twarc-csv 0.7 drops a batch of rows without an error if one of them has a key that it does not know, or if a key that it
relies on is missing (https://github.com/DocNow/twarc-csv/blob/main/dataframe_converter.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

Json = dict[str, Any]

METRICS = ("impression_count", "reply_count", "retweet_count", "quote_count", "like_count", "bookmark_count")
OF_ACCOUNTS = ("followers_count", "following_count", "listed_count", "tweet_count")
WITHHELD = {"scope": True, "copyright": True, "country_codes": True}

KNOWN: Json = {
    **dict.fromkeys(
        (
            "id", "conversation_id", "author_id", "in_reply_to_user_id", "in_reply_to_username", "created_at", "text",
            "lang", "source", "reply_settings", "edit_history_tweet_ids", "possibly_sensitive", "context_annotations",
            "referenced_tweets",
        ),
        True,
    ),
    "public_metrics": dict.fromkeys(METRICS, True),
    "edit_controls": dict.fromkeys(("edits_remaining", "editable_until", "is_edit_eligible"), True),
    "withheld": WITHHELD,
    "entities": dict.fromkeys(("annotations", "cashtags", "hashtags", "mentions", "urls"), True),
    "attachments": {
        "media": True, "media_keys": True, "poll_ids": True,
        "poll": dict.fromkeys(("duration_minutes", "end_datetime", "id", "options", "voting_status"), True),
    },
    "author": {
        **dict.fromkeys(
            (
                "id", "created_at", "username", "name", "description", "url", "location", "pinned_tweet_id",
                "profile_image_url", "protected", "verified", "verified_type",
            ),
            True,
        ),
        "public_metrics": dict.fromkeys(OF_ACCOUNTS, True),
        "withheld": WITHHELD,
    },
    "geo": {
        **dict.fromkeys(("country", "country_code", "full_name", "id", "name", "place_id", "place_type"), True),
        "coordinates": {"coordinates": True, "type": True}, "geo": {"bbox": True, "type": True},
    },
}  # fmt: skip
"""The keys that twarc-csv knows: True for a value, an object for an object."""

NEEDED = {"cashtags": "tag", "hashtags": "tag", "mentions": "username", "urls": "expanded_url"}
"""The key that twarc-csv needs in each element of a list of entities."""


def flattened(row: Mapping[str, Any], has_all_keys: bool = False) -> Json:
    """A post with its author, media, poll, place and the posts that it refers to inside of it.

    `row` has the columns id, author_id, username, text, … and the JSON texts raw and includes. `has_all_keys` keeps the
    keys that twarc-csv does not know.
    """
    raw = orjson.loads(row["raw"]) if row["raw"] else {}
    raw = raw if isinstance(raw, dict) and "id" in raw else {}  # a row of the older crawler has its columns in raw
    includes = orjson.loads(row["includes"]) if row["includes"] else {}
    tweet: Json = {
        **raw, "id": str(row["id"]), "text": row["text"] or "", "created_at": row["posted_at"],
        "author": _author(includes, row["author_id"], row["username"]),
        "public_metrics": _dict(raw.get("public_metrics")) | orjson.loads(row["metrics"] or "{}"),
    }  # fmt: skip
    for name in ("author_id", "conversation_id", "in_reply_to_user_id"):
        if row[name] is not None:
            tweet[name] = str(row[name])
    for name in ("lang", "in_reply_to_username"):
        if row[name] is not None:
            tweet[name] = row[name]
    tweet["entities"] = _entities(tweet)
    references = [_reference(each, includes, tweet, row) for each in _list(raw.get("referenced_tweets"))]
    if references:
        tweet["referenced_tweets"] = references
    else:
        tweet.pop("referenced_tweets", None)
    attachments = _attachments(_dict(raw.get("attachments")), includes)
    if attachments:
        tweet["attachments"] = attachments
    if place := _dict(raw.get("geo")):
        tweet["geo"] = place | _one(includes, "places", "id", place.get("place_id"))
    return tweet if has_all_keys else _only(tweet, KNOWN)


def _author(includes: Json, number: int | None, username: str | None) -> Json:
    """The account that made a post. At least its number and name, which twarc-csv needs."""
    found = _one(includes, "users", "id", None if number is None else str(number))
    return {"id": "" if number is None else str(number), "username": username or "", "name": username or ""} | found


def _reference(reference: Any, includes: Json, tweet: Json, row: Mapping[str, Any]) -> Json:
    """A post that another one refers to, as far as it was sent. twarc-csv takes the text of a retweet from it."""
    reference = _dict(reference)
    found: Json = {"type": str(reference.get("type", "")), "id": str(reference.get("id", ""))}
    there = _one(includes, "tweets", "id", found["id"])
    is_retweet = found["type"] == "retweeted"
    if there.get("author_id"):
        found["author_id"] = there["author_id"]
        name = row["retweeted_username"] if is_retweet else None
        found["author"] = _author(includes, int(there["author_id"]), name)
    if is_retweet:
        found["text"] = row["retweeted_text"] or there.get("text") or tweet["text"]
        found["entities"] = _entities(there) or tweet["entities"]
        found["public_metrics"] = _only(_dict(there.get("public_metrics")), KNOWN["public_metrics"])
        if not found["public_metrics"]:
            found["public_metrics"] = dict(tweet["public_metrics"])
    return found


def _attachments(attachments: Json, includes: Json) -> Json:
    media = [
        found for key in _list(attachments.get("media_keys")) if (found := _one(includes, "media", "media_key", key))
    ]
    polls = [found for key in _list(attachments.get("poll_ids")) if (found := _one(includes, "polls", "id", key))]
    return attachments | ({"media": media} if media else {}) | ({"poll": polls[-1]} if polls else {})


def _entities(tweet: Json) -> Json:
    """Entities, without elements that twarc-csv fails on."""
    entities = dict(_dict(_dict(tweet.get("note_tweet")).get("entities")) or _dict(tweet.get("entities")))
    for name, key in NEEDED.items():
        if name in entities:
            entities[name] = [
                each for each in _list(entities[name])
                if isinstance(each, dict) and key in each and ("media_key" not in each or "display_url" in each)
            ]  # fmt: skip
    return entities


def _one(includes: Json, kind: str, key: str, value: Any) -> Json:
    """The object of `includes` with a value, or {}."""
    return next((each for each in _list(includes.get(kind)) if _dict(each).get(key) == value), {})


def _only(value: Json, known: Json) -> Json:
    """An object without the keys that are not known, at any depth."""
    kept: Json = {}
    for key, part in value.items():
        inner = known.get(key)
        if inner is True:
            kept[key] = part
        elif inner and isinstance(part, dict):
            kept[key] = _only(part, inner)
    return kept


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
