"""X's payloads made into items: the recorded ones, and odd ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancrawl.items import Tweet
from chancrawl.payload import Malformed
from chancrawl.x import api, legacy, payloads, tweet_columns

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def recorded(fixtures: Path) -> dict[str, Any]:
    files = sorted((fixtures / "x").glob("v2.*.json"))
    return {file.name: json.loads(file.read_bytes()) for file in files if "headers" not in file.name}


def page_of(payload: dict[str, Any]) -> list[Tweet]:
    found = payloads.parse_page(payload, "search:x", NOW).tweets
    assert not any(tweet_columns.describe(tweet) for tweet in found)
    return found


def test_every_recorded_payload_lands_whole(fixtures: Path) -> None:
    posts = users = 0
    for name, payload in recorded(fixtures).items():
        data = payload["data"] if isinstance(payload["data"], list) else [payload["data"]]
        if "tweet_count" in data[0]:
            continue  # counts of posts by the hour: nothing that is collected
        if "text" in data[0]:
            found = page_of(payload)
            assert [str(tweet.id) for tweet in found] == [raw["id"] for raw in data], name
            for tweet, raw in zip(found, data, strict=True):
                assert tweet.raw == raw
                assert_equal_to_payload(tweet, raw, payload.get("includes", {}))
            posts += len(found)
        else:
            users_ = payloads.parse_users(payload, [raw["username"] for raw in data], NOW)
            assert [str(account.id) for account in users_.accounts] == [raw["id"] for raw in data], name
            for account, raw in zip(users_.accounts, data, strict=True):
                assert account.raw == raw and account.username == raw["username"] and account.name == raw["name"]
                assert account.metrics == raw.get("public_metrics", {})
                assert account.pinned_id == (int(raw["pinned_tweet_id"]) if "pinned_tweet_id" in raw else None)
            assert not users_.problems
            users += len(users_.accounts)
    assert posts > 100 and users > 190


def assert_equal_to_payload(tweet: Tweet, raw: dict[str, Any], includes: dict[str, Any]) -> None:
    entities = raw.get("entities", {})
    people = {user["id"]: user for user in includes.get("users", [])}
    referred = {post["id"]: post for post in includes.get("tweets", [])}
    media = {medium["media_key"]: medium for medium in includes.get("media", [])}
    assert tweet.text == raw["text"] and tweet.lang == raw.get("lang") and tweet.source == raw.get("source")
    original = next((referred.get(reference["id"]) for reference in raw.get("referenced_tweets", [])
                     if reference["type"] == "retweeted"), None)  # fmt: skip
    whole = (original or {}).get("entities", {})  # a retweet's own text is cut
    assert tweet.hashtags == [tag["tag"] for tag in (whole if original else entities).get("hashtags", [])]
    own = [(int(mention["id"]), mention["username"]) for mention in entities.get("mentions", [])]
    more = [(int(mention["id"]), mention["username"]) for mention in whole.get("mentions", [])]
    mentions = own + [mention for mention in more if mention not in own]
    assert list(zip(tweet.mention_ids, tweet.mention_usernames, strict=True)) == mentions
    links = [url["expanded_url"] for url in (whole if original else entities).get("urls", [])]
    assert tweet.urls == list(dict.fromkeys(
        url for url in links if "/photo/" not in url and "/video/" not in url and "/i/web/status/" not in url
    ))  # fmt: skip
    assert tweet.metrics == raw.get("public_metrics", {})
    if "author_id" in raw:
        assert tweet.author_id == int(raw["author_id"])
        assert tweet.username == people.get(raw["author_id"], {}).get("username")
    if "created_at" in raw:
        assert tweet.posted_at == datetime.fromisoformat(raw["created_at"])
        assert api.time_of(tweet.id).replace(microsecond=0) == tweet.posted_at  # type: ignore[union-attr]
    keys = raw.get("attachments", {}).get("media_keys", [])
    shown = [media[key].get("url") or media[key].get("preview_image_url") for key in keys if key in media]
    assert (tweet.media_urls or []) == [url for url in shown if url]
    kinds = {reference["type"]: reference["id"] for reference in raw.get("referenced_tweets", [])}
    assert tweet.in_reply_to_id == (int(kinds["replied_to"]) if "replied_to" in kinds else None)
    assert tweet.quoted_id == (int(kinds["quoted"]) if "quoted" in kinds else None)
    if "retweeted" in kinds:
        original = referred.get(kinds["retweeted"])
        assert tweet.retweeted_id == int(kinds["retweeted"])
        if original is not None:
            assert tweet.retweeted_text == original["text"]
            assert tweet.retweeted_username == people[original["author_id"]]["username"]
            assert tweet.retweeted_name == people[original["author_id"]]["name"]
    if "in_reply_to_user_id" in raw and raw["in_reply_to_user_id"] in people:
        assert tweet.in_reply_to_username == people[raw["in_reply_to_user_id"]]["username"]
    assert tweet.place_id == raw.get("geo", {}).get("place_id")
    point = raw.get("geo", {}).get("coordinates", {}).get("coordinates")
    assert [tweet.longitude, tweet.latitude] == (point or [None, None])
    assert tweet.edit_history == [int(number) for number in raw.get("edit_history_tweet_ids", [])]


def test_recorded_errors_tell_who_is_missing(fixtures: Path) -> None:
    payload = recorded(fixtures)["v2.users.partial-errors.json"]
    missing = [error["value"] for error in payload["errors"] if error["resource_type"] == "user"]
    found = payloads.parse_users(payload, [payload["data"][0]["username"], *missing], NOW)
    assert [handle.status for handle in found.handles] == ["active", *["missing"] * len(missing)]


def test_recorded_columns_of_the_older_table(fixtures: Path) -> None:
    found = page_of(recorded(fixtures)["v2.search-recent.full-fields.json"])
    rows = [dict(zip(legacy.COLUMNS, legacy.row_of(tweet), strict=True)) for tweet in found]
    assert rows[0]["hashtags"] == "{PeoplesVote,Brexit}" and rows[0]["created_at"] == "Wed Sep 22 16:37:29 +0000 2021"
    assert rows[1]["retweeted_status_user_handle"] == "carolJhedges" and rows[1]["user_mentions_id"] == "{711945679}"
    assert rows[1]["text"].endswith("…") and len(rows[1]["retweeted_status_text"]) > 200


def user_error(detail: str, kind: str = "resource-not-found") -> dict[str, Any]:
    return {
        "value": "someone",
        "detail": detail,
        "resource_type": "user",
        "type": f"https://api.twitter.com/2/problems/{kind}",
    }


@pytest.mark.parametrize(
    "error,status",
    [
        (user_error("Could not find user with usernames: [someone]."), "missing"),
        (user_error("User has been suspended: [someone]."), "suspended"),
        (
            user_error("Sorry, you are not authorized to see the user with id: [1].", "not-authorized-for-resource"),
            "protected",
        ),
    ],
)
def test_refusals_of_accounts(error: dict[str, Any], status: str) -> None:
    assert payloads.parse_users({"errors": [error]}, ["SomeOne"], NOW).handles[0].status == status
    assert payloads.parse_page({"errors": [error]}, "timeline:1", NOW).refusal == status


def test_an_empty_page_is_a_page_and_nonsense_is_none() -> None:
    assert payloads.parse_page({"meta": {"result_count": 0}}, "timeline:1", NOW).tweets == []
    nonsense: list[Any] = [{}, [], None, {"data": 5, "meta": {}}, {"data": [{}], "meta": {}}, {"error": "x"}]
    for payload in nonsense:
        with pytest.raises(Malformed):
            payloads.parse_page(payload, "timeline:1", NOW)


def test_a_long_post_is_its_note() -> None:
    raw = {
        "id": "1576994789110992896",
        "text": "The first 280 signs… https://t.co/x",
        "entities": {"urls": [{"url": "https://t.co/x", "expanded_url": "https://twitter.com/i/web/status/1"}]},
        "note_tweet": {"text": "The whole of it #end", "entities": {"hashtags": [{"tag": "end"}]}},
    }
    (tweet,) = page_of({"data": [raw], "meta": {}})
    assert (tweet.text, tweet.hashtags, tweet.urls) == ("The whole of it #end", ["end"], [])


def test_a_retweet_of_what_is_gone_keeps_its_author() -> None:
    raw = {
        "id": "1576994789110992896",
        "text": "RT @gone_one: hello",
        "referenced_tweets": [{"type": "retweeted", "id": "5"}],
    }
    (tweet,) = page_of({"data": [raw], "meta": {}})
    assert (tweet.retweeted_id, tweet.retweeted_username, tweet.retweeted_text) == (5, "gone_one", None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "id author_id created_at text entities note_tweet referenced_tweets attachments geo public_metrics "
    "in_reply_to_user_id edit_history_tweet_ids lang"
).split()


@given(
    st.lists(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=8), max_size=4),
    st.dictionaries(st.sampled_from(list(payloads.INCLUDED)), json_values, max_size=3),
    json_values,
)
def test_whatever_comes_a_good_post_among_it_is_kept(odd: list[Any], includes: Any, meta: Any) -> None:
    good = {"id": "1576994789110992896", "text": "a NUL \x00 and half \ud83d", "author_id": "7"}
    page = payloads.parse_page({"data": [*odd, good], "includes": includes, "meta": meta}, "timeline:7", NOW)
    for tweet in page.tweets:
        tweet_columns.describe(tweet)
        assert 0 < tweet.id < 2**63 and len(legacy.row_of(tweet)) == len(legacy.COLUMNS)
    assert page.tweets[-1].text == "a NUL \ufffd and half \ufffd"


@given(json_values)
def test_odd_answers_are_malformed_and_nothing_worse(payload: Any) -> None:
    for parse in (
        lambda: payloads.parse_page(payload, "timeline:1", NOW),
        lambda: payloads.parse_users(payload, ["a"], NOW),
        lambda: payloads.parse_trends(payload, 1, NOW),
    ):
        try:
            parse()
        except Malformed:
            continue


def raw_post(number: str = "1576994789110992896", **more: Any) -> dict[str, Any]:
    return {"id": number, "text": "hello", "author_id": "7"} | more


def tags(*names: str) -> dict[str, Any]:
    return {"hashtags": [{"tag": name} for name in names]}


def test_what_a_retweet_was_cut_from_is_the_originals() -> None:
    """Its own text ends after 140 signs, and its entities with it."""
    cut = raw_post(text="RT @a: #one …", entities=tags("one"), referenced_tweets=[{"type": "retweeted", "id": "5"}])
    urls = [{"url": "https://t.co/x", "expanded_url": "https://a.example/x"}]
    mentions = [{"id": "9", "username": "b"}]
    original = {"id": "5", "author_id": "8", "text": "#one #two https://t.co/x @b",
                "entities": tags("one", "two") | {"urls": urls, "mentions": mentions}}  # fmt: skip
    (tweet,) = page_of({"data": [cut], "includes": {"tweets": [original]}, "meta": {"result_count": 1}})
    assert tweet.hashtags == ["one", "two"] and tweet.retweeted_urls == ["https://a.example/x"]
    assert "b" in (tweet.mention_usernames or [])


def test_a_mention_without_a_number_is_kept_by_name() -> None:
    entities = {"mentions": [{"id": None, "username": "gone"}, {"id": "9", "username": "b"}]}
    (tweet,) = page_of({"data": [raw_post(entities=entities)], "meta": {"result_count": 1}})
    assert tweet.mention_usernames == ["gone", "b"]


def test_a_note_without_entities_keeps_those_of_the_post() -> None:
    raw = raw_post(text="short #a…", entities=tags("a"), note_tweet={"text": "short #a and long"})
    (tweet,) = page_of({"data": [raw], "meta": {"result_count": 1}})
    assert (tweet.text, tweet.hashtags) == ("short #a and long", ["a"])


@pytest.mark.parametrize("number, year", [("29700859246", None), ("20", None), ("1576994789110992896", 2022)])
def test_a_time_is_read_from_ids_that_have_one(number: str, year: int | None) -> None:
    (tweet,) = page_of({"data": [raw_post(number)], "meta": {"result_count": 1}})
    assert (tweet.posted_at.year if tweet.posted_at else None) == year


def test_newer_names_are_the_older_ones() -> None:
    """`post.fields` gives an object with other names than `tweet.fields`."""
    original = {"id": "5", "author_id": "8", "text": "whole"}
    raw = raw_post(
        text="RT @a: who…",
        referenced_posts=[{"type": "reposted", "id": "5"}],
        public_metrics={"repost_count": 3, "reply_count": 0, "like_count": 1, "quote_count": 0},
        edit_history_post_ids=["1576994789110992896"],
    )
    payload = {
        "data": [raw],
        "includes": {"posts": [original], "users": [{"id": "8", "username": "a"}]},
        "meta": {"result_count": 1},
    }
    (tweet,) = page_of(payload)
    assert (tweet.retweeted_id, tweet.retweeted_text, tweet.retweeted_username) == (5, "whole", "a")
    assert tweet.metrics["retweet_count"] == 3
    (note,) = page_of({"data": [raw_post(note_post={"text": "long"})], "meta": {"result_count": 1}})
    assert note.text == "long"
    account = payloads.account_of({"id": "7", "username": "a", "public_metrics": {"post_count": 4}}, NOW)
    assert account is not None and account.metrics["tweet_count"] == 4


@pytest.mark.parametrize(
    "payload, names",
    [
        ({"errors": [{"parameters": {"tweet.fields": ["nope"]}, "message": "…"}]}, {"tweet.fields"}),
        ({"parameter": "since_id", "title": "Invalid Request"}, {"since_id"}),
        ({"errors": [{"message": "?"}]}, set()),
        ([], set()),
    ],
)
def test_the_parameters_that_a_400_names(payload: Any, names: set[str]) -> None:
    assert payloads.named_parameters(payload) == names


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z", "?"]
)
def test_a_time_that_no_store_takes_is_none(time: str) -> None:
    (tweet,) = page_of({"data": [raw_post(created_at=time)], "meta": {"result_count": 1}})
    assert tweet.posted_at is None or tweet.posted_at.year == 2022  # its number's
    account = payloads.account_of({"id": "7", "username": "a", "created_at": time}, NOW)
    assert account is not None and account.created_at is None


@pytest.mark.parametrize("number", [10**400, -(10**400), 181, True])
def test_a_coordinate_that_is_none_costs_itself(number: int) -> None:
    geo = {"coordinates": {"coordinates": [number, 0]}, "place_id": "p"}
    (tweet,) = page_of({"data": [raw_post(geo=geo)], "meta": {"result_count": 1}})
    assert tweet.longitude is None and tweet.place_id == "p"


@pytest.mark.parametrize(
    "payload",
    [
        {"errors": [{"message": "Sorry, that page does not exist", "code": 34}]},
        {"errors": [{"title": "Service Unavailable", "status": 503}]},
        {"errors": [{"title": "Not Found Error", "resource_type": "tweet", "resource_id": "5"}]},
        {"data": None, "meta": {"result_count": 0}},
        {"title": "Too Many Requests", "status": 429},
    ],
)
def test_an_error_is_no_end_of_a_feed(payload: Any) -> None:
    try:
        page = payloads.parse_page(payload, "timeline:7", NOW)
    except Malformed:
        return
    assert page.is_torn and page.refusal is None


@pytest.mark.parametrize(
    "meta, torn", [({"result_count": 1}, False), ({"result_count": 2}, True), ({}, True), (None, True)]
)
def test_a_page_with_less_than_it_says_is_torn(meta: Any, torn: bool) -> None:
    assert payloads.parse_page({"data": [raw_post()], "meta": meta}, "timeline:7", NOW).is_torn == torn


def test_tokens_that_cannot_be_sent_are_none() -> None:
    page = payloads.parse_page(
        {"data": [raw_post()], "meta": {"result_count": 1, "next_token": "a\ud800"}}, "search:a", NOW
    )
    assert page.next_token is None and page.is_torn


def test_a_query_longer_than_a_key_has_a_feed_of_its_own() -> None:
    long, other = "a" * 3500, "a" * 3499 + "b"
    names = {api.feed_of_query("search", query) for query in (long, other)}
    assert len(names) == 2 and all(len(name.encode()) < 1600 for name in names)


def test_ids_tell_the_time() -> None:
    for time in (datetime(2012, 1, 1, tzinfo=UTC), NOW):
        assert api.time_of(api.id_at(time)) == time
    assert api.time_of(20) is None
