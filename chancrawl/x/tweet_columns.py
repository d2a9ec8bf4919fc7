"""The columns of a post of X that follow from `raw` and `includes`. Sans I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from chancrawl.items import Raw, Tweet
from chancrawl.x.fields import Entities, XFields, as_list, id_of
from chancrawl.x.payloads import INCLUDED, by_key, edit_history, references

T = TypeVar("T")


def describe(tweet: Tweet) -> Sequence[str]:
    """Fill in the columns that follow from `raw` and `includes`. Returns what is odd in them."""
    assert tweet.raw is not None
    fields = XFields(tweet.raw)
    tweet.text, entities = whole_text(fields)
    included = {kind: by_key(tweet.includes[kind], key) for kind, key in INCLUDED.items() if kind in tweet.includes}
    texts = [entities]
    original = _original(fields.raw, included)
    if original is not None:  # a retweet's own text is cut, and with it what stands at its end
        texts.append(whole_text(XFields(original))[1])
    tweet.hashtags = _together(text.tags("hashtags") for text in reversed(texts))
    tweet.cashtags = _together(text.tags("cashtags") for text in reversed(texts))
    tweet.urls = _together(text.links() for text in reversed(texts))
    mentions = _together(text.mentions() for text in texts)  # the retweeted account in front
    tweet.mention_ids, tweet.mention_usernames = [number for number, _ in mentions], [name for _, name in mentions]
    tweet.community_id = fields.id("community_id")
    article = XFields(fields.object("article"))
    tweet.article_title = article.text("title")
    tweet.article_text = article.text("plain_text") or article.text("preview_text")
    tweet.lang = fields.text("lang")
    tweet.source = fields.text("source")
    tweet.conversation_id = fields.id("conversation_id")
    tweet.in_reply_to_user_id = fields.id("in_reply_to_user_id")
    tweet.possibly_sensitive = fields.yes_or_no("possibly_sensitive")
    tweet.reply_settings = fields.text("reply_settings")
    tweet.edit_history = [number for number in map(id_of, as_list(edit_history(tweet.raw))) if number is not None]
    if tweet.in_reply_to_user_id is not None:
        tweet.in_reply_to_username = _name_of(tweet, included.get("users", {}))
    for reference in references(tweet.raw):
        number = XFields(reference).id("id")
        match reference.get("type"):
            case "replied_to":
                tweet.in_reply_to_id = number
            case "quoted":
                tweet.quoted_id = number
            case "retweeted" | "reposted":
                tweet.retweeted_id = number
                _describe_retweeted(tweet, included)
    _describe_attachments(tweet, fields, included)
    return [*fields.problems, *article.problems]


def _original(raw: Raw, included: dict[str, dict[str, Raw]]) -> Raw | None:
    """The post that a retweet repeats, if it came along."""
    for reference in references(raw):
        if reference.get("type") in ("retweeted", "reposted"):
            return included.get("tweets", {}).get(str(reference["id"]))
    return None


def _together(lists: Iterable[Iterable[T]]) -> list[T]:
    """The elements of several lists. A retweet repeats those of its original: they count once."""
    first, *others = map(list, lists)
    return first + [value for other in others for value in other if value not in first]


def whole_text(fields: XFields) -> tuple[str | None, Entities]:
    """The text of a post and its entities: those of `note_tweet` where it has more than 280 characters.

    A note's media links stay among the entities of the short text only. A note without entities is sent for posts whose
    short text has all of them.
    """
    for name in ("note_tweet", "note_post"):
        if name in fields.raw:
            note = XFields(fields.object(name))
            text = note.text("text")
            if text is not None:
                entities = note if "entities" in note.raw else fields
                return text, Entities(entities.object("entities"))
    return fields.text("text"), Entities(fields.object("entities"))


def _name_of(tweet: Tweet, users: dict[str, Raw]) -> str | None:
    """The name of the account that a post answers; its own, one that came along, or that of a mention."""
    number = tweet.in_reply_to_user_id
    if number == tweet.author_id and tweet.username:
        return tweet.username
    if str(number) in users:
        return XFields(users[str(number)]).text("username")
    return next(
        (name for id_, name in zip(tweet.mention_ids, tweet.mention_usernames, strict=True) if id_ == number), None
    )


RETWEET = re.compile(r"RT @([A-Za-z0-9_]{1,15}):")


def _describe_retweeted(tweet: Tweet, included: dict[str, dict[str, Raw]]) -> None:
    original = included.get("tweets", {}).get(str(tweet.retweeted_id))
    if original is None:  # deleted, or of an account that is protected now: its author is still in the text
        found = RETWEET.match(tweet.text or "")
        tweet.retweeted_username = found[1] if found else None
        return
    text, entities = whole_text(XFields(original))
    tweet.retweeted_text = text
    tweet.retweeted_urls = entities.links()
    author = XFields(included.get("users", {}).get(str(original.get("author_id")), {}))
    tweet.retweeted_username, tweet.retweeted_name = author.text("username"), author.text("name")


def _describe_attachments(tweet: Tweet, fields: XFields, included: dict[str, dict[str, Raw]]) -> None:
    media = included.get("media", {})
    urls = []
    for key in as_list(fields.object("attachments").get("media_keys")):
        medium = XFields(media.get(str(key), {}))
        url = medium.text("url") or medium.text("preview_image_url")
        if url:
            urls.append(url)
    tweet.media_urls = urls or None
    geo = fields.object("geo")
    if not geo:
        return
    tweet.place_id = XFields(geo).text("place_id")
    tweet.place_name = XFields(included.get("places", {}).get(str(tweet.place_id), {})).text("full_name")
    match XFields(geo).object("coordinates").get("coordinates"):
        case [int() | float() as longitude, int() | float() as latitude]:
            if abs(longitude) <= 180 and abs(latitude) <= 90 and not isinstance(longitude, bool):
                tweet.longitude, tweet.latitude = float(longitude), float(latitude)
