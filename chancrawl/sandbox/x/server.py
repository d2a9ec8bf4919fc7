"""The sandbox's X over HTTP: the endpoints of the API v2, and what people and tests may ask of it under /sandbox/x.

GET  /sandbox/x/truth        every post that can be reached, as the older crawler's table had it, JSON lines
GET  /sandbox/x/accounts     every account: {"id", "username", "status", "posts"}
GET  /sandbox/x/requests     every request: [{"at", "path", "endpoint", "credential", "status", "limited", "ids"}, …]
POST /sandbox/x/act          {"do": "rename", "name": "KettleTiny", "to": "teapot"}; world.ACTIONS
POST /sandbox/x/credential   {"number": 2, "state": "revoked"}; gate.Member
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from random import Random
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from chancrawl.sandbox import faults
from chancrawl.sandbox.clock import Clock
from chancrawl.sandbox.words import NOUNS
from chancrawl.sandbox.x.gate import PROBLEMS, Gate, Pass
from chancrawl.sandbox.x.parameters import (
    FIRST_START,
    NEVER,
    PREVIOUS_TOKEN,
    BadRequest,
    check_fields,
    from_token,
    number_of,
    time_of,
    token_of,
)
from chancrawl.sandbox.x.posts import Post, id_at, raw
from chancrawl.sandbox.x.query import WrongQuery, parse
from chancrawl.sandbox.x.world import SEARCH_SECONDS, Account, XWorld


class XServer:
    def __init__(self, world: XWorld, gate: Gate, clock: Clock, misbehaviour: faults.Faults) -> None:
        self.world = world
        self.gate = gate
        self.clock = clock
        self.faults = misbehaviour
        self.requests: list[dict[str, Any]] = []
        self.latency = 0.0
        self.credential: int | None = None  # of the call that is being answered
        self._pages: dict[tuple[Any, ...], bytes] = {}

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/2/users", self._endpoint("users_by_id", self.users_by_id))
        app.router.add_get("/2/users/by", self._endpoint("users", self.users))
        app.router.add_get("/2/users/by/username/{name}", self._endpoint("user", self.user))
        app.router.add_get("/2/users/{id:[0-9]+}", self._endpoint("user", self.user))
        app.router.add_get("/2/users/{id}/tweets", self._endpoint("timeline", self.timeline))
        app.router.add_get("/2/tweets/search/recent", self._endpoint("search", self.search))
        app.router.add_get("/2/trends/by/woeid/{woeid}", self._endpoint("trends", self.trends))
        app.router.add_post("/oauth2/token", self.token)
        app.router.add_get("/sandbox/x/truth", self.truth)
        app.router.add_get("/sandbox/x/accounts", self.get_accounts)
        app.router.add_get("/sandbox/x/requests", self.get_requests)
        app.router.add_post("/sandbox/x/act", self.act)
        app.router.add_post("/sandbox/x/credential", self.set_credential)

    # --- every call

    def _endpoint(self, name: str, answer: Callable[[web.Request], Any]) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            entry: dict[str, Any] = {"at": time.monotonic(), "path": request.path_qs, "endpoint": name}
            entry |= {"credential": None, "status": None, "limited": False, "ids": []}
            self.requests.append(entry)
            if self.latency:
                await asyncio.sleep(self.latency)
            response = await self._answer(request, name, answer, entry)
            entry["status"] = response.status
            return response

        return handle

    async def _answer(
        self, request: web.Request, name: str, answer: Callable[[web.Request], Any], entry: dict[str, Any]
    ) -> web.StreamResponse:
        now = self.clock.now()
        fault = self.faults.pick(request.path, request.remote or "")
        if fault is not None and (refusal := await faults.refuse(fault, request)) is not None:
            return refusal
        url = str(request.url).partition("?")[0] + (
            f"?{request.rel_url.raw_query_string}" if request.query_string else ""
        )
        passed = self.gate.check("GET", url, request.headers.get("Authorization", ""), name, now)
        entry["credential"] = passed.member.number if passed.member else None
        if passed.refusal is not None:
            entry["limited"] = passed.refusal.status == 429
            return self._send(request, passed.refusal.problem, passed, passed.refusal.status)
        self.world.advance(now)
        self.credential = entry["credential"]
        try:
            check_fields(request)
            payload = answer(request)
        except BadRequest as error:
            return self._send(request, error.problem, passed, 400)
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        if fault is not None and fault.kind == "nothing":
            body = b'{"meta":{"result_count":0}}'
        elif fault is not None:
            body = faults.spoil(fault, body)
            passed.headers |= faults.headers(fault, self.clock.now())
        is_cut = fault is not None and fault.kind == "truncated"
        if fault is None or fault.kind == "slow":
            entry["ids"] = _ids(body)
        return self._send(request, body, passed, is_cut=is_cut)

    def _send(
        self, request: web.Request, payload: Any, passed: Pass, status: int = 200, is_cut: bool = False
    ) -> web.Response:
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        headers = {
            "Date": formatdate(self.clock.now(), usegmt=True),
            "Content-Type": "application/json; charset=utf-8",
            "api-version": "2.160",
        }
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            packer = zlib.compressobj(1, wbits=31)
            body = packer.compress(body) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        if is_cut:
            body = body[: len(body) // 2]
        return web.Response(body=body, status=status, headers=headers | passed.headers)

    def users_by_id(self, request: web.Request) -> dict[str, Any]:
        numbers = [number for number in request.query.get("ids", "").split(",") if number]
        if not 0 < len(numbers) <= 100 or not all(re.fullmatch(r"[0-9]{1,19}", number) for number in numbers):
            raise BadRequest("ids", ",".join(numbers)[:60])
        fields = set(request.query.get("user.fields", "").split(","))
        data, errors = [], []
        for number in dict.fromkeys(numbers):
            account = self.world.accounts.get(int(number))
            if account is not None and account.status in ("active", "protected"):
                data.append(self._user(account, fields))
            else:
                detail, title = f"Could not find user with ids: [{number}].", "Not Found Error"
                if account is not None and account.status == "suspended":
                    detail, title = f"User has been suspended: [{number}].", "Forbidden"
                errors.append(_user_problem("ids", number, title, detail))
        return {key: value for key, value in (("data", data), ("errors", errors)) if value}

    # --- the endpoints

    def users(self, request: web.Request) -> dict[str, Any]:
        names = [name for name in request.query.get("usernames", "").split(",") if name]
        if not 0 < len(names) <= 100 or not all(re.fullmatch(r"[A-Za-z0-9_]{1,15}", name) for name in names):
            raise BadRequest("usernames", ",".join(names)[:60])
        others = self.world.others()
        fields = set(request.query.get("user.fields", "").split(","))
        data, errors = [], []
        for name in dict.fromkeys(names):
            account = self.world.find(name)
            if account is not None and account.status in ("active", "protected"):
                data.append(self._user(account, fields))
            elif account is None and name.lower() in others:
                person = others[name.lower()]
                data.append({"id": str(person.id), "username": person.username, "name": person.name,
                             "public_metrics": {"tweet_count": 0}})  # fmt: skip
            else:
                detail, title = f"Could not find user with usernames: [{name}].", "Not Found Error"
                if account is not None and account.status == "suspended":
                    detail, title = f"User has been suspended: [{name}].", "Forbidden"
                errors.append(_user_problem("usernames", name, title, detail))
        return {key: value for key, value in (("data", data), ("errors", errors)) if value}

    def user(self, request: web.Request) -> dict[str, Any]:
        """One account, by its name or its number."""
        name, number = request.match_info.get("name", ""), request.match_info.get("id", "")
        account = self.world.find(name) if name else self.world.accounts.get(int(number))
        if account is not None and account.status in ("active", "protected"):
            return {"data": self._user(account, set(request.query.get("user.fields", "").split(",")))}
        parameter = "username" if name else "id"
        detail = f"Could not find user with {parameter}: [{name or number}]."
        return {"errors": [_user_problem(parameter, name or number, "Not Found Error", detail)]}

    def timeline(self, request: web.Request) -> Any:
        limit = number_of(request, "max_results", 10, 5, 100)
        number = request.match_info["id"]
        account = self.world.accounts.get(int(number)) if number.isdigit() else None
        is_closed = account is not None and self.credential in account.blocks
        if account is None or account.status != "active" or is_closed:
            detail, title, kind = f"Could not find user with id: [{number}].", "Not Found Error", "resource-not-found"
            if account is not None and (account.status == "protected" or is_closed):
                detail = f"Sorry, you are not authorized to see the user with id: [{number}]."
                title, kind = "Authorization Error", "not-authorized-for-resource"
            elif account is not None and account.status == "suspended":
                detail, title = f"User has been suspended: [{number}].", "Forbidden"
            return {"errors": [_user_problem("id", number, title, detail, kind)]}
        since_id = number_of(request, "since_id", 0)
        before = number_of(request, "until_id", NEVER)
        if "end_time" in request.query:
            before = min(before, id_at(time_of(request, "end_time")))
        top = before
        token = request.query.get("pagination_token")
        is_backwards = token is not None and token.startswith(PREVIOUS_TOKEN)
        if token is not None and not is_backwards:
            before = min(before, from_token(token, "pagination_token"))
        newer_than = from_token(token or "", "pagination_token", PREVIOUS_TOKEN) if is_backwards else None
        start = time_of(request, "start_time") if "since_id" not in request.query else 0.0
        if "start_time" in request.query and time_of(request, "start_time") < FIRST_START:
            raise BadRequest("start_time", request.query["start_time"])
        exclude = [kind for kind in request.query.get("exclude", "").split(",") if kind]
        if set(exclude) - {"replies", "retweets"}:
            raise BadRequest("exclude", request.query["exclude"])
        ids, more, has_newer = self.world.timeline(account, since_id, (before, top), limit, start, exclude, newer_than)
        return self._page(request, [(account, one) for one in ids], more, has_newer)

    def search(self, request: web.Request) -> Any:
        limit = number_of(request, "max_results", 10, 10, 100)
        query = request.query.get("query", "")
        if not 0 < len(query) <= 512:
            raise BadRequest("query", query[:60])
        since_id = number_of(request, "since_id", 0)
        if since_id and since_id < id_at(self.world.now - SEARCH_SECONDS):
            raise BadRequest("since_id", str(since_id))
        if since_id and "start_time" in request.query:
            raise BadRequest("since_id", str(since_id))
        before = number_of(request, "until_id", NEVER)
        if (token := request.query.get("next_token")) is not None:
            before = min(before, from_token(token, "next_token"))
        if "start_time" in request.query:
            if time_of(request, "start_time") < self.world.now - SEARCH_SECONDS:
                raise BadRequest("start_time", request.query["start_time"])
            since_id = max(since_id, id_at(time_of(request, "start_time")) - 1)
        if "end_time" in request.query:
            before = min(before, id_at(time_of(request, "end_time")))
        try:
            matches = parse(query, lambda name: getattr(self.world.find(name), "id", None))
        except WrongQuery as error:
            raise BadRequest("query", query[:60], str(error)) from None
        found, more = self.world.search(matches, since_id, before, limit)
        return self._page(request, found, more)

    def trends(self, request: web.Request) -> Any:
        woeid = request.match_info["woeid"]
        if woeid not in ("1", "23424977", "23424975", "23424856", "26062"):
            raise BadRequest("woeid", woeid)
        random = Random(int(woeid) * 1000 + int(self.world.now // 900))
        names = random.sample(NOUNS, 12)
        entries = []
        for noun in names:
            name = f"#{noun}" if random.random() < 0.6 else f"{noun} paper" if random.random() < 0.3 else noun
            entries.append(
                {"trend_name": name} | ({"tweet_count": random.randrange(10**6)} if random.random() < 0.8 else {})
            )
        return {"data": entries[: number_of(request, "max_trends", 20, 1, 50)]}

    async def token(self, request: web.Request) -> web.Response:
        kind, _, rest = request.headers.get("Authorization", "").partition(" ")
        body = await request.text()
        if kind == "Basic" and "grant_type=client_credentials" in body:
            key, _, secret = base64.b64decode(rest).decode().partition(":")
            if (token := self.gate.token(unquote(key), unquote(secret))) is not None:
                return web.json_response({"token_type": "bearer", "access_token": token})
        problem = {
            "errors": [
                {"code": 99, "message": "Unable to verify your credentials", "label": "authenticity_token_error"}
            ]
        }
        return web.json_response(problem, status=403)

    # --- payloads

    def _user(self, account: Account, fields: set[str]) -> dict[str, Any]:
        joined = datetime.fromtimestamp(account.joined, UTC)
        values = {
            "created_at": f"{joined:%Y-%m-%dT%H:%M:%S}.000Z",
            "description": f"Folds {account.name.split()[-2].lower()}s.",
            "location": "Paper Town",
            "protected": account.status == "protected",
            "public_metrics": {
                "followers_count": account.id % 9973, "following_count": account.id % 211,
                "tweet_count": len(account.ids) - len(account.deleted), "listed_count": account.id % 13,
            },
            "verified": False,
            "verified_type": "none",
        }  # fmt: skip
        sent = {name: value for name, value in values.items() if name in fields}
        return {"id": str(account.id), "name": account.name, "username": account.username} | sent

    def _page(self, request: web.Request, found: list[tuple[Account, int]], more: bool, has_newer: bool = False) -> Any:
        if not found:
            return {"meta": {"result_count": 0}}
        posts = [self.world.post(account, number) for account, number in found]
        fields = set(request.query.get("tweet.fields", "").split(","))
        expansions = set(request.query.get("expansions", "").split(","))
        meta: dict[str, Any] = {
            "result_count": len(posts),
            "newest_id": str(posts[0].id),
            "oldest_id": str(posts[-1].id),
        }
        if more:
            meta["next_token"] = token_of(posts[-1].id)
        if has_newer:
            meta["previous_token"] = f"{PREVIOUS_TOKEN}{posts[0].id:x}"
        includes = self._includes(posts, fields, expansions, set(request.query.get("user.fields", "").split(",")))
        payload = {"data": [raw(post, fields) for post in posts], "includes": includes, "meta": meta}
        return {key: value for key, value in payload.items() if value}

    def _includes(
        self, posts: list[Post], fields: set[str], expansions: set[str], user_fields: set[str]
    ) -> dict[str, Any]:
        referred = {}
        if "referenced_tweets.id" in expansions:
            referred = {
                other.id: other for post in posts for other in (post.original, post.quoted) if other is not None
            }
        people = {}
        for post in posts:
            if "author_id" in expansions:
                people[post.author.id] = post.author
            if "in_reply_to_user_id" in expansions and post.reply_to is not None:
                people[post.reply_to[1].id] = post.reply_to[1]
        if "referenced_tweets.id.author_id" in expansions:
            people |= {post.author.id: post.author for post in referred.values()}
        users = []
        for person in people.values():
            account = self.world.accounts.get(person.id)
            users.append(self._user(account, user_fields) if account is not None else
                         {"id": str(person.id), "name": person.name, "username": person.username})  # fmt: skip
        shown = [*posts, *referred.values()]
        media = (
            {m["media_key"]: m for post in shown for m in post.media} if "attachments.media_keys" in expansions else {}
        )
        polls = [post.poll for post in posts if post.poll] if "attachments.poll_ids" in expansions else []
        places = {post.place["id"]: post.place for post in posts if post.place} if "geo.place_id" in expansions else {}
        kinds = {"users": users, "tweets": [raw(post, fields) for post in referred.values()],
                 "media": list(media.values()), "polls": polls, "places": list(places.values())}  # fmt: skip
        return {kind: values for kind, values in kinds.items() if values}

    # --- addresses that only a sandbox has

    async def truth(self, request: web.Request) -> web.Response:
        self.world.advance(self.clock.now())
        lines = (orjson.dumps(line) + b"\n" for line in self.world.truth())
        return web.Response(body=b"".join(lines), content_type="application/jsonl")

    async def get_accounts(self, request: web.Request) -> web.Response:
        self.world.advance(self.clock.now())
        return web.json_response([
            {"id": account.id, "username": account.username, "status": account.status, "posts": len(account.shown())}
            for account in self.world.accounts.values()
        ])  # fmt: skip

    async def get_requests(self, request: web.Request) -> web.Response:
        return web.json_response(self.requests)

    async def act(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            return web.json_response(self.world.act(self.clock.now(), body.pop("do"), body.pop("name"), **body))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def set_credential(self, request: web.Request) -> web.Response:
        body = await request.json()
        for member in self.gate.members:
            if member.number == body["number"] or body["number"] == 0:
                member.state = body["state"]
        return web.json_response({})


def _user_problem(parameter: str, value: str, title: str, detail: str, kind: str = "resource-not-found") -> Any:
    problem = {"value": value, "detail": detail, "title": title, "resource_type": "user", "parameter": parameter}
    return problem | {"resource_id": value, "section": "data", "type": PROBLEMS + kind}


def _ids(body: bytes) -> list[int]:
    payload = orjson.loads(body)
    data = payload.get("data", []) if isinstance(payload, dict) else []
    return [int(entry["id"]) for entry in data if isinstance(entry, dict) and "text" in entry]
