"""Query parameters of the sandbox's X: what is refused as wrong, and tokens of pages."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from chancrawl.sandbox.x.gate import PROBLEMS

NEVER = 2**63 - 1


class BadRequest(Exception):
    def __init__(self, parameter: str, value: str, message: str = "") -> None:
        message = message or f"The `{parameter}` query parameter value [{value}] is not valid"
        self.problem = {
            "errors": [{"parameters": {parameter: [value]}, "message": message}],
            "title": "Invalid Request",
            "detail": "One or more parameters to your request was invalid.",
            "type": PROBLEMS + "invalid-request",
        }


def number_of(request: web.Request, name: str, default: int, least: int = 0, most: int = NEVER) -> int:
    text = request.query.get(name, str(default))
    if not text.isdigit() or not least <= int(text) <= most:
        raise BadRequest(name, text)
    return int(text)


def time_of(request: web.Request, name: str) -> float:
    text = request.query.get(name)
    if text is None:
        return 0.0
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise BadRequest(name, text) from None


def check_fields(request: web.Request) -> None:
    """X refuses names that it does not know."""
    for parameter, known in FIELDS.items():
        for name in request.query.get(parameter, "").split(","):
            if name and name not in known:
                raise BadRequest(parameter, name)


FIRST_START = datetime(2010, 11, 6, tzinfo=UTC).timestamp()
FIELDS = {
    "tweet.fields": set(
        "article attachments author_id card_uri community_id context_annotations conversation_id created_at "
        "display_text_range edit_controls edit_history_tweet_ids entities geo id in_reply_to_user_id lang "
        "matched_media_notes media_metadata non_public_metrics note_request_suggestions note_tweet organic_metrics "
        "paid_partnership possibly_sensitive promoted_metrics public_metrics referenced_tweets reply_settings scopes "
        "source suggested_source_links suggested_source_links_with_counts text withheld".split()
    ),
    "expansions": set(
        "article.cover_media article.media_entities attachments.media_keys attachments.media_source_tweet "
        "attachments.poll_ids author_id edit_history_tweet_ids entities.mentions.username geo.place_id "
        "in_reply_to_user_id entities.note.mentions.username referenced_tweets.id "
        "referenced_tweets.id.attachments.media_keys referenced_tweets.id.author_id".split()
    ),
    "user.fields": set(
        "affiliation confirmed_email connection_status created_at description entities id is_identity_verified "
        "location most_recent_tweet_id name parody pinned_tweet_id profile_banner_url profile_image_url protected "
        "public_metrics receives_your_dm subscription subscription_type url username verified verified_followers_count "
        "verified_type withheld".split()
    ),
    "media.fields": set(
        "alt_text duration_ms height media_key non_public_metrics organic_metrics preview_image_url promoted_metrics "
        "public_metrics type url variants width".split()
    ),
    "poll.fields": {"duration_minutes", "end_datetime", "id", "options", "voting_status"},
    "place.fields": set("contained_within country country_code full_name geo id name place_type".split()),
}
"""https://docs.x.com/x-api/fundamentals/data-dictionary, before the names of August 2026."""

TOKEN = "7140dibdnow9c7btw"  # noqa: S105


PREVIOUS_TOKEN = "77qpymm88g5h9vqkl"  # noqa: S105


def token_of(oldest_id: int) -> str:
    return f"{TOKEN}{oldest_id:x}"


def from_token(token: str, name: str, kind: str = TOKEN) -> int:
    try:
        return int(token.removeprefix(kind), 16)
    except ValueError:
        raise BadRequest(name, token) from None
