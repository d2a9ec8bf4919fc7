"""Posts of the sandbox's X: what they say, how the API sends them, and what the older crawler's table had of them.

A post is made from the seed and its number alone. What it says is decided first; the API's form and the table's row are
two renderings of that, so that one can be held against the other.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from chancrawl.sandbox.words import ADJECTIVES, NOUNS, SYMBOLS, VERBS, sentence

EPOCH_MS = 1288834974657

SHORT = 280
OTHERS = 400
"""The number of further accounts that are mentioned, answered, quoted and retweeted."""


def id_at(time: float, number: int = 0) -> int:
    return ((int(time * 1000) - EPOCH_MS) << 22) | (number & 0x3FFFFF)


def seconds_of(number: int) -> float:
    return ((number >> 22) + EPOCH_MS) / 1000


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    username: str
    name: str


def other(number: int) -> Person:
    """One of the accounts that exist only in the posts of others."""
    noun, adjective = NOUNS[number % len(NOUNS)], ADJECTIVES[number // len(NOUNS) % len(ADJECTIVES)]
    name = f"{adjective.title()} {noun.title()} {'&amp; Co' if number % 9 == 0 else ''}".strip()
    return Person(10_000_000 + 7919 * number, f"{adjective[:6]}_{noun[:5]}{number}", html.unescape(name))


@dataclass(slots=True)
class Text:
    """A text as it grows, with what stands where in it. Offsets are in code points."""

    text: str = ""
    hashtags: list[dict[str, Any]] = field(default_factory=list)
    cashtags: list[dict[str, Any]] = field(default_factory=list)
    mentions: list[dict[str, Any]] = field(default_factory=list)
    urls: list[dict[str, Any]] = field(default_factory=list)

    def add(self, words: str) -> tuple[int, int]:
        if self.text:
            self.text += " "
        start = len(self.text)
        self.text += words
        return start, len(self.text)

    def hashtag(self, tag: str) -> None:
        start, end = self.add(f"#{tag}")
        self.hashtags.append({"start": start, "end": end, "tag": tag})

    def cashtag(self, tag: str) -> None:
        start, end = self.add(f"${tag}")
        self.cashtags.append({"start": start, "end": end, "tag": tag})

    def mention(self, person: Person) -> None:
        start, end = self.add(f"@{person.username}")
        self.mentions.append({"start": start, "end": end, "username": person.username, "id": str(person.id)})

    def link(self, url: str, code: str, display: str | None = None, media_key: str | None = None) -> None:
        start, end = self.add(f"https://t.co/{code}")
        shown = display or url.removeprefix("https://")[:26] + "…"
        entry = {"start": start, "end": end, "url": f"https://t.co/{code}", "expanded_url": url, "display_url": shown}
        self.urls.append(entry | ({"media_key": media_key} if media_key else {}))

    def cut(self, length: int, prefix: int = 0) -> Text:
        """The same, `prefix` signs further on, as far as `length` signs go."""
        kept = Text()
        for name in ("hashtags", "cashtags", "mentions", "urls"):
            entries = [entry | {"start": entry["start"] + prefix, "end": entry["end"] + prefix}
                       for entry in getattr(self, name)]  # fmt: skip
            setattr(kept, name, [entry for entry in entries if entry["end"] <= length])
        return kept

    def entities(self) -> dict[str, Any]:
        kinds = {"hashtags": self.hashtags, "cashtags": self.cashtags, "mentions": self.mentions, "urls": self.urls}
        return {kind: entries for kind, entries in kinds.items() if entries}


@dataclass(slots=True)
class Post:
    """The content of a post, independent of the request."""

    id: int
    author: Person
    whole: Text
    lang: str
    metrics: dict[str, int]
    media: list[dict[str, Any]] = field(default_factory=list)
    reply_to: tuple[int, Person] | None = None
    quoted: Post | None = None
    original: Post | None = None
    place: dict[str, Any] | None = None
    poll: dict[str, Any] | None = None
    root: int | None = None
    """The first post of the conversation, where that is not the post that it answers."""

    @property
    def conversation(self) -> int:
        return self.root or (self.reply_to[0] if self.reply_to else self.id)

    @property
    def is_long(self) -> bool:
        return len(self.whole.text) > SHORT + 30

    def links(self) -> list[str]:
        return [entry["expanded_url"] for entry in self.whole.urls if "media_key" not in entry]


def make(seed: int, author: Person, number: int, earlier: int | None = None, is_other: bool = False) -> Post:
    """The post with this number. `earlier` is a post of the same author, to be answered in a thread."""
    random = Random((seed << 64) ^ (author.id << 1) ^ number * 3)
    counts = [int(random.paretovariate(0.9)) - 1 for _ in range(4)]
    metrics = dict(zip(("retweet_count", "reply_count", "like_count", "quote_count"), counts, strict=True))
    metrics |= {"bookmark_count": counts[1] // 3, "impression_count": 20 * sum(counts) + random.randrange(50)}
    post = Post(number, author, Text(), random.choices(("en", "de", "ja", "und"), (70, 10, 10, 10))[0], metrics)
    kind = 0.5 + random.random() / 2 if is_other else random.random()
    time = seconds_of(number)
    if kind < 0.2:
        post.original = make(seed, other(random.randrange(OTHERS)), _earlier(random, time), None, True)
        post.metrics |= {"like_count": 0, "reply_count": 0, "quote_count": 0}
        _retweet(post)
        return post
    if kind < 0.42:
        if earlier is not None and random.random() < 0.3:
            post.reply_to = earlier, author
        else:
            person = other(random.randrange(OTHERS))
            post.reply_to = id_at(time - random.randrange(30, 9000), random.getrandbits(22)), person
            post.whole.mention(person)
    elif kind < 0.5:
        post.quoted = make(seed, other(random.randrange(OTHERS)), _earlier(random, time), None, True)
    _say(post, random)
    return post


def _earlier(random: Random, time: float) -> int:
    return id_at(time - random.randrange(60, 90_000), random.getrandbits(22))


def _retweet(post: Post) -> None:
    assert post.original is not None
    text = f"RT @{post.original.author.username}: "
    original = post.original.whole
    whole = text + original.text
    shown = whole if len(whole) <= 140 else whole[:139] + "…"
    post.whole = original.cut(min(len(whole), 139 if len(whole) > 140 else 140), len(text))
    person = post.original.author
    post.whole.mentions.insert(
        0, {"start": 3, "end": 4 + len(person.username), "username": person.username, "id": str(person.id)}
    )
    post.whole.text = shown


def _say(post: Post, random: Random) -> None:
    text = post.whole
    sentences = random.choices((1, 2, 9, 30), (60, 33, 5, 2))[0]
    for _ in range(sentences):
        text.add(_sentence(random))
        chance = random.random()
        if chance < 0.18:
            text.hashtag(random.choice((random.choice(NOUNS), random.choice(VERBS).title(), "折り紙", "NULL")))
        elif chance < 0.26:
            page = f"https://example.org/{random.choice(NOUNS)}/{random.randrange(10**6)}?a=1&b={random.choice(NOUNS)},{{x}}"
            text.link(page, f"{random.getrandbits(50):010x}"[:10])
        elif chance < 0.32:
            text.mention(other(random.randrange(OTHERS)))
        elif chance < 0.33:
            text.cashtag(random.choice(NOUNS)[:4].upper())
    if post.quoted is not None:
        url = f"https://twitter.com/{post.quoted.author.username}/status/{post.quoted.id}"
        text.link(url, f"{random.getrandbits(50):010x}"[:10])
    rarity = random.random()
    if rarity < 0.15:
        _picture(post, random)
    elif rarity < 0.17:
        post.poll = _poll(random, post.id)
    elif rarity < 0.19:
        number = f"{random.getrandbits(40):016x}"
        post.place = {"id": number, "full_name": "Paper Town, Origami", "name": "Paper Town", "country": "Nowhere",
                      "country_code": "XX", "place_type": "city"}  # fmt: skip


def _sentence(random: Random) -> str:
    words = random.choice(SYMBOLS) if random.random() < 0.05 else sentence(random)
    return words + random.choices(("", " Tea &amp; paper.", " 1 &lt; 2", " 🎉👩🏽‍🚀"), (88, 6, 3, 3))[0]


def _picture(post: Post, random: Random) -> None:
    kind = random.choices(("photo", "video", "animated_gif"), (8, 2, 1))[0]
    number = random.choices((1, 2, 4), (7, 2, 1))[0] if kind == "photo" else 1
    code = f"{random.getrandbits(50):010x}"[:10]
    what = "photo" if kind == "photo" else "video"
    page = f"https://twitter.com/{post.author.username}/status/{post.id}/{what}/1"
    for position in range(number):
        key = f"{ {'photo': 3, 'video': 7, 'animated_gif': 16}[kind] }_{post.id + position}"
        url = f"https://pbs.twimg.com/media/{random.getrandbits(60):x}.jpg"
        medium = {"media_key": key, "type": kind, "width": 1200, "height": 675}
        medium |= {"url": url} if kind == "photo" else {"preview_image_url": url, "duration_ms": 9000}
        post.media.append(medium)
        if position == 0:
            post.whole.link(page, code, f"pic.twitter.com/{code}", key)
        else:  # one link stands for all of them
            post.whole.urls.append(post.whole.urls[-1] | {"media_key": key})


def _poll(random: Random, number: int) -> dict[str, Any]:
    options = [{"position": place, "label": random.choice(NOUNS), "votes": random.randrange(99)} for place in (1, 2)]
    end = datetime.fromtimestamp(seconds_of(number) + 86_400, UTC)
    return {"id": str(number + 5), "options": options, "voting_status": "closed", "duration_minutes": 1440,
            "end_datetime": f"{end:%Y-%m-%dT%H:%M:%S.000Z}"}  # fmt: skip


# --- as the API sends them


def raw(post: Post, asked: set[str]) -> dict[str, Any]:
    """A post with the fields that were asked for; id, text and edit history come always."""
    entities = post.whole.entities()
    text = post.whole.text
    fields: dict[str, Any] = {}
    if post.is_long:
        whole = Text(text, *(list(getattr(post.whole, kind)) for kind in ("hashtags", "cashtags", "mentions", "urls")))
        whole.urls = [entry for entry in whole.urls if "media_key" not in entry]
        fields["note_tweet"] = {"text": text, "entities": whole.entities()} if whole.entities() else {"text": text}
        cut = text[: SHORT - 26].rstrip() + "…"
        entities = post.whole.cut(SHORT - 26).entities()
        entities["urls"] = [*entities.get("urls", []),
                            {"start": len(cut) + 1, "end": len(cut) + 24, "url": "https://t.co/longer00000",
                             "expanded_url": f"https://twitter.com/i/web/status/{post.id}",
                             "display_url": "twitter.com/i/web/status/1…"}]  # fmt: skip
        text = f"{cut} https://t.co/longer00000"
    references = []
    if post.original is not None:
        references.append({"type": "retweeted", "id": str(post.original.id)})
    if post.quoted is not None:
        references.append({"type": "quoted", "id": str(post.quoted.id)})
    if post.reply_to is not None:
        references.append({"type": "replied_to", "id": str(post.reply_to[0])})
        fields["in_reply_to_user_id"] = str(post.reply_to[1].id)
    attachments: dict[str, Any] = {}
    if post.media:
        attachments["media_keys"] = [medium["media_key"] for medium in post.media]
    if post.poll:
        attachments["poll_ids"] = [post.poll["id"]]
    time = datetime.fromtimestamp(seconds_of(post.id), UTC)
    fields |= {
        "author_id": str(post.author.id),
        "conversation_id": str(post.conversation),
        "created_at": f"{time:%Y-%m-%dT%H:%M:%S}.000Z",
        "lang": post.lang,
        "possibly_sensitive": False,
        "public_metrics": post.metrics,
        "reply_settings": "everyone",
    }
    optional = {"referenced_tweets": references, "attachments": attachments, "entities": entities}
    fields |= {name: value for name, value in optional.items() if value}
    if post.place:
        fields["geo"] = {"place_id": post.place["id"]}
    sent = {name: value for name, value in fields.items() if name in asked}
    return {"id": str(post.id), "text": text, "edit_history_tweet_ids": [str(post.id)]} | sent


# --- as the older crawler's table had them


def row(post: Post) -> dict[str, Any]:
    """The columns of tweet_articles_tweepy; lists as lists."""
    time = datetime.fromtimestamp(int(seconds_of(post.id)), UTC)
    whole = post.original.whole if post.original is not None else post.whole  # a retweet's own text is cut
    mentions = post.whole.mentions + [entry for entry in whole.mentions if entry["id"] not in {
        mention["id"] for mention in post.whole.mentions}]  # fmt: skip
    links = [entry["expanded_url"] for entry in whole.urls if "media_key" not in entry]
    values: dict[str, Any] = {
        "id": post.id,
        "tweet_from": post.author.username,
        "created_at": time.strftime("%a %b %d %H:%M:%S +0000 %Y"),
        "hashtags": [entry["tag"] for entry in whole.hashtags],
        "urls": links,
        "user_mentions_id": [int(entry["id"]) for entry in mentions],
        "media": [medium.get("url") or medium["preview_image_url"] for medium in post.media] or None,
        "user_mentions_name": [entry["username"] for entry in mentions],
        "origin_device": None,
        "favorite_count": post.metrics["like_count"],
        "text": post.whole.text,
        "in_reply_to_screen_name": post.reply_to[1].username if post.reply_to else None,
        "in_reply_to_user_id": post.reply_to[1].id if post.reply_to else None,
        "in_reply_to_status_id": post.reply_to[0] if post.reply_to else None,
        "retweet_count": post.metrics["retweet_count"],
    }
    original = post.original
    return values | {
        "retweeted_status_text": original.whole.text if original else None,
        "retweeted_status_url": original.links() if original else None,
        "retweeted_status_id": original.id if original else None,
        "retweeted_status_user_name": original.author.name if original else None,
        "retweeted_status_user_handle": original.author.username if original else None,
        "sentiment": None,
    }
