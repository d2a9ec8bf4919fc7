"""The web server of the dashboard: routes, errors, answers that have not changed.

*Flow:* `guarded` compares the host and asks for the password → the handler of the route reads its data with
`Queries.run` → `_page` renders the template and answers 304 if the reader has the same already.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shlex
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlencode

import orjson
from aiohttp import web
from scrapy.settings import BaseSettings

from chancrawl.arguments import moment_of
from chancrawl.dashboard import downloads, pages, searches, threads
from chancrawl.dashboard.guard import HEADERS, Guard
from chancrawl.dashboard.metrics import CONTENT_TYPE
from chancrawl.dashboard.queries import Late, Missing, Queries
from chancrawl.dashboard.render import Templates
from chancrawl.dashboard.watching import Watching
from chancrawl.errors import UserError
from chancrawl.find.terms import cut_around
from chancrawl.text import LARGEST_NO, first_line

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATIC = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "uPlot.iife.min.js": "text/javascript; charset=utf-8",
    "uPlot.min.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
BOARD = r"{board:\w{1,10}}"
NUMBER = r"{no:\d{1,19}}"
LONGEST_FORM = 4_096
"""Bytes of a login."""


def static_file(name: str) -> bytes:
    """A file that the pages use."""
    return files("chancrawl.dashboard").joinpath("static", name).read_bytes()


class Dashboard:
    """The pages of a store."""

    def __init__(self, settings: BaseSettings, address: str, port: int) -> None:
        self.guard = Guard(settings, address, port)
        self.queries = Queries(settings)
        self.watching = Watching(settings)
        self.templates = Templates()
        self._files = {name: static_file(name) for name in STATIC}

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.guarded], client_max_size=LONGEST_FORM)
        get = partial(app.router.add_get, allow_head=True)
        get("/", self.overview)
        get(f"/board/{BOARD}", self.board)
        get(f"/board/{BOARD}/chart.json", self.board_chart)
        get(f"/board/{BOARD}/thread/{NUMBER}", self.thread)
        get(f"/board/{BOARD}/post/{NUMBER}", self.post)
        get(f"/board/{BOARD}/post/{NUMBER}/card", self.card)
        get("/search", self.search)
        get(r"/search.{format:csv|json}", self.search_file)
        get("/accounts", self.accounts)
        get("/feeds", self.feeds)
        get(f"/account/{NUMBER}", self.account)
        get(f"/x/{NUMBER}", self.tweet)
        get("/crawls", self.crawls)
        get("/credentials", self.credentials)
        get(r"/table/{name:[a-z]+}.{format:csv|json}", self.table)
        get("/metrics", self.metrics)
        get("/login", self.login_form)
        app.router.add_post("/login", self.login)
        app.router.add_post("/logout", self.logout)
        get("/static/{name}", self.static)
        app.on_startup.append(self._begin)
        app.on_cleanup.append(self._end)
        return app

    async def _begin(self, app: web.Application) -> None:
        self.watching.start()

    async def _end(self, app: web.Application) -> None:
        await self.watching.stop()
        await asyncio.to_thread(self.queries.close)

    # --- before and after each handler

    @web.middleware
    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await self._answer(request, handler)
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self.guard.refusal(request)
        if refusal is not None:
            return refusal
        is_open = request.path == "/login" or request.path.startswith("/static/")
        try:
            if not is_open and not self.guard.is_known(request):
                if request.path != "/metrics":
                    return self._error(request, 401, "Log in to see this page.", "login.html", is_wrong=False)
                if not await self.guard.is_scraper(request):
                    return web.Response(status=401, text="Give the password as HTTP Basic authentication.\n",
                                        headers={"WWW-Authenticate": 'Basic realm="chancrawl"'})  # fmt: skip
            return await handler(request)
        except web.HTTPException as error:
            if error.status == 404:
                return self._error(request, 404, "There is no such page.")
            return web.Response(status=error.status, text=error.text, headers=_allowed(error))
        except Missing as error:
            return self._error(request, 404, str(error))
        except UserError as error:
            return self._error(request, 503 if error.reason == "store_unavailable" else 400, str(error))
        except Late:
            return self._error(request, 503, "The store did not answer in time. Try again, or ask for less.")
        except Exception as error:
            if not self.watching.is_error_of_store(error):
                logger.exception("The page %s failed.", request.path)
                return self._error(request, 500, "The page failed; the log of the dashboard says why.")
            return self._error(request, 503, f"The store cannot be read: {first_line(error)}.")

    def _error(
        self, request: web.Request, status: int, sentence: str, template: str = "error.html", **context: Any
    ) -> web.Response:
        body = self.templates.render(template, sentence=sentence, status=status, **self._about(request), **context)
        return web.Response(status=status, body=body, content_type="text/html", charset="utf-8")

    def _about(self, request: web.Request) -> dict[str, Any]:
        """What every page shows."""
        known = self.guard.is_known(request)
        return {
            "path": request.path,
            "is_known": known,
            "has_password": self.guard.password is not None,
            "snapshot": self.watching.snapshot if known else None,
            "alarms": self.watching.alarms if known else [],
            "now": pages.now(),
        }

    async def _page(self, request: web.Request, template: str, **context: Any) -> web.Response:
        about = self._about(request)
        body = await asyncio.to_thread(self.templates.render, template, **(about | context))
        return _unless_same(request, body, "text/html")

    # --- pages of the whole

    async def overview(self, request: web.Request) -> web.StreamResponse:
        return await self._page(request, "overview.html", **self.watching.overview())

    async def crawls(self, request: web.Request) -> web.StreamResponse:
        before = _number(request, "before")
        found = await self.queries.run(("crawls", before), partial(pages.crawls, before=before))
        return await self._page(request, "crawls.html", **found, before=before, download=downloads.download("runs"))

    async def credentials(self, request: web.Request) -> web.StreamResponse:
        return await self._page(request, "credentials.html", download=downloads.download("limits"))

    # --- 4chan

    async def board(self, request: web.Request) -> web.StreamResponse:
        name, days = request.match_info["board"], _days(request)
        now = _minute()
        read = partial(pages.board, name=name, days=days, now=now)
        found = await self.queries.run(("board", name, days, now), read)
        state = self.watching.board(name)
        since = f"{found['since']:%Y-%m-%dT%H:%M}"
        return await self._page(request, "board.html", **found, state=state, days_offered=pages.DAYS,
                                of_hours=downloads.download("coverage", board=name, since=since),
                                of_deletions=downloads.download("deletions", board=name, since=since),
                                of_threads=downloads.download("threads", board=name))  # fmt: skip

    async def board_chart(self, request: web.Request) -> web.StreamResponse:
        name, days = request.match_info["board"], _days(request)
        now = _minute()
        read = partial(pages.board_chart, name=name, days=days, now=now)
        found = await self.queries.run(("chart", name, days, now), read)
        return _unless_same(request, orjson.dumps(found), "application/json")

    async def thread(self, request: web.Request) -> web.StreamResponse:
        board, number = request.match_info["board"], _of_path(request)
        query = request.query
        only = query.get("only", "all")
        if only not in threads.FILTERS:
            raise UserError(f"only is one of {', '.join(threads.FILTERS)}.")
        wanted = threads.Wanted(moment_of("at", query.get("at", "")), only, query.get("poster", "")[:20],
                                _number(request, "from") or 0)  # fmt: skip
        found = await self.queries.run(
            ("thread", board, number, wanted), partial(threads.thread, board=board, number=number, wanted=wanted)
        )
        return await self._page(request, "thread.html", **found, filters=threads.FILTERS, query=dict(query),
                                download=downloads.download("posts", board=board, thread=found["no"]))  # fmt: skip

    async def post(self, request: web.Request) -> web.StreamResponse:
        return await self._page(request, "post.html", **await self._post(request))

    async def card(self, request: web.Request) -> web.StreamResponse:
        return await self._page(request, "card.html", **await self._post(request))

    async def _post(self, request: web.Request) -> dict[str, Any]:
        board, number = request.match_info["board"], _of_path(request)
        return await self.queries.run(("post", board, number), partial(threads.post, board=board, number=number))

    # --- X

    async def accounts(self, request: web.Request) -> web.StreamResponse:
        if name := request.query.get("name", "").strip().removeprefix("@"):
            number = await self.queries.run(("name", name), partial(pages.account_number, name=name[:50]))
            raise web.HTTPSeeOther(f"/account/{number}")
        after = _number(request, "after") or 0
        found = await self.queries.run(("accounts", after), partial(pages.accounts, after=after))
        return await self._page(request, "accounts.html", **found, download=downloads.download("accounts"))

    async def feeds(self, request: web.Request) -> web.StreamResponse:
        after = request.query.get("after", "")[:1000]
        found = await self.queries.run(("feeds", after), partial(pages.feeds, after=after))
        return await self._page(request, "feeds.html", **found, download=downloads.download("feeds"))

    async def account(self, request: web.Request) -> web.StreamResponse:
        number, days, before = _of_path(request), _days(request), _number(request, "before")
        now = _minute()
        read = partial(pages.account, number=number, days=days, before=before, now=now)
        found = await self.queries.run(("account", number, days, before, now), read)
        return await self._page(request, "account.html", **found, days_offered=pages.DAYS,
                                of_posts=downloads.download("tweets", account=f"id:{number}"),
                                of_gaps=downloads.download("gaps", account=f"id:{number}"))  # fmt: skip

    async def tweet(self, request: web.Request) -> web.StreamResponse:
        number = _of_path(request)
        return await self._page(
            request, "tweet.html", **await self.queries.run(("x", number), partial(pages.tweet, number=number))
        )

    # --- search

    def _wanted(self, request: web.Request) -> searches.Wanted:
        query = request.query
        return searches.Wanted(
            *(query.get(name, "").strip()[:500] for name in ("q", "board", "account", "since", "until"))
        )

    async def search(self, request: web.Request) -> web.StreamResponse:
        wanted = self._wanted(request)
        found, failure = None, ""
        if wanted.words:
            try:
                now = _minute()
                found = await self.queries.run(
                    ("search", wanted, now), partial(searches.search, wanted=wanted, now=now)
                )
            except (Late, UserError) as error:
                late = "The search took too long. Name a board, a stretch of time or a rarer word."
                failure = late if isinstance(error, Late) else str(error)
        command = " ".join(map(shlex.quote, searches.command(wanted)))
        files = {format: f"/search.{format}?{urlencode(dict(request.query))}" for format in downloads.FORMATS}
        return await self._page(request, "search.html", wanted=wanted, found=found, failure=failure, command=command,
                                excerpt=partial(cut_around, around=searches.AROUND), files=files)  # fmt: skip

    async def search_file(self, request: web.Request) -> web.StreamResponse:
        wanted, format, now = self._wanted(request), request.match_info["format"], _minute()
        read = partial(searches.search, wanted=wanted, now=now)
        found = await self.queries.run(("search", wanted, now), read)
        return _file(downloads.hits(found.hits, format), "search", format)

    # --- files

    async def table(self, request: web.Request) -> web.StreamResponse:
        name, format = request.match_info["name"], request.match_info["format"]
        filters = downloads.filters_of(request.query)
        read = partial(downloads.table, name=name, format=format, filters=filters)
        body = await self.queries.run(("table", name, format, filters), read, seconds=downloads.SECONDS)
        return _file(body, name, format)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        body = await asyncio.to_thread(self.watching.metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in STATIC:
            raise web.HTTPNotFound
        response = _unless_same(request, self._files[name], STATIC[name])
        response.headers["Cache-Control"] = "public, max-age=3600"
        return response

    # --- login

    async def login_form(self, request: web.Request) -> web.StreamResponse:
        if self.guard.is_known(request):
            raise web.HTTPSeeOther("/")
        return await self._page(request, "login.html", is_wrong=False, sentence="", status=200)

    async def login(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=5)
        if self.guard.password is None or not await self.guard.check(request, fields.get("password", [""])[0]):
            return self._error(request, 401, "This is not the password.", "login.html", is_wrong=True)
        response = web.Response(status=303, headers={"Location": "/"})
        self.guard.begin(request, response)
        return response

    async def logout(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(status=303, headers={"Location": "/login"})
        self.guard.end(request, response)
        return response


def _allowed(error: web.HTTPException) -> dict[str, str]:
    return {name: error.headers[name] for name in ("Location", "Allow") if name in error.headers}


def _minute() -> Any:
    """The time, to the minute: requests within one share a query."""
    return pages.now().replace(second=0, microsecond=0) + timedelta(minutes=1)


def _unless_same(request: web.Request, body: bytes, content_type: str) -> web.Response:
    """An answer with a body, or 304 if the reader has the same."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache, private"}
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    kind = content_type if "charset" in content_type or "text" not in content_type else f"{content_type}; charset=utf-8"
    return web.Response(body=body, headers={**headers, "Content-Type": kind})


def _file(body: bytes, name: str, format: str) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.{format}"'}
    return web.Response(body=body, headers={**headers, "Content-Type": downloads.FORMATS[format]})


def _of_path(request: web.Request) -> int:
    number = int(request.match_info["no"])
    if number > LARGEST_NO:
        raise web.HTTPNotFound
    return number


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    return downloads.number_of(name, text)


def _days(request: web.Request) -> int:
    days = _number(request, "days") or 1
    if days not in pages.DAYS:
        raise UserError(f"days is one of {', '.join(map(str, pages.DAYS))}.")
    return days
