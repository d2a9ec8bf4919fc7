"""Access to X: which credential carries the next call, what it may cost, and when there is no going on.

The extension holds the pool (chancrawl/x/credentials.py decides), what is shared with other crawls, and the bill. The
middleware in chancrawl/x/middleware.py takes calls from it and tells it the answers.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import inf
from pathlib import Path
from urllib.parse import quote

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from chancrawl.engine import PerCrawl, end, stays, stopping
from chancrawl.errors import UNREACHABLE, UserError, unreachable
from chancrawl.http import Dates, header, is_json, is_of_the_api, problem_of, refusal_of
from chancrawl.payload import Malformed, loads
from chancrawl.storage.session import Session
from chancrawl.x import api, credentials
from chancrawl.x.client import source_of
from chancrawl.x.credentials import (
    CLOCK_MAY_DIFFER,
    EVERYWHERE,
    LONGEST_WINDOW,
    Call,
    Credential,
    Limit,
    Pool,
    Secret,
    SecretBytes,
    ServerClock,
)
from chancrawl.x.shared_limits import Reads, Sharing

logger = logging.getLogger(__name__)

SIGNATURE_HOLDS = 60.0
"""A signature whose time is further off than so many seconds may be refused for that."""

REFUSALS = {401: "revoked", 402: "out of credits", 403: "not entitled"}

DEFINITE_TYPES = ("client-forbidden", "unsupported-authentication", "oauth1-permissions", "oauth2-permissions")
"""Problems by which X says of a 403 that it is meant so."""

WORST_OF_A_POST = (3, 4)
"""Posts and users that one post can bring at most: comes with one that it answers and one that it quotes, and with
the authors of the three and whom it answers. (Earlier versions of an edited post can come besides.)"""


@dataclass(slots=True)
class Bill:
    """What an answer has brought that X charges for."""

    posts: int = 0
    users: int = 0
    trends: int = 0


@dataclass(slots=True)
class Reservation:
    """Reads that a request may bring, on the bill of its day until its answer says how many there were."""

    day: date
    reads: Reads


class Access(PerCrawl):
    """The extension through which spiders open X, and the middleware reaches pool and bill."""

    pool: Pool
    sharing: Sharing

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.stats = crawler.stats
        self.dates = Dates(crawler)
        settings = crawler.settings
        self.price = {
            "posts": settings.getfloat("X_PRICE_POST"),
            "users": settings.getfloat("X_PRICE_USER"),
            "trends": settings.getfloat("X_PRICE_TRENDS"),
        }
        self.budget = settings.getfloat("X_DAILY_BUDGET") if settings.get("X_DAILY_BUDGET") else inf
        self.patience = inf if stays(crawler) else settings.getfloat("SOURCE_PATIENCE")
        self.with_includes = settings.getbool("X_BILL_INCLUDES")
        self._billed: tuple[date | None, set[tuple[str, int]]] = (None, set())  # what came along today: once a day
        self.news = asyncio.Condition()
        self._open: dict[int, Reservation] = {}  # of requests that are under way, on the bill at their highest price
        self._succeeded_at: dict[str, float] = {}
        self._told: dict[str, float] = {}  # until when it has been said that there is nothing but to wait

    async def open(self) -> None:
        """Read the credentials and how they stand. UserError if there are none."""
        found = read_credentials(self.crawler.settings.get("X_CREDENTIALS"))
        clock = ServerClock(time.time(), time.monotonic())
        app_only = [endpoint.name for endpoint in api.ENDPOINTS.values() if endpoint.app_only]
        patience = self.crawler.settings.getfloat("X_OUTAGE_PATIENCE")
        self.pool = Pool(found, clock, app_only, patience)
        self.sharing = Sharing(Session.of(self.crawler), self.pool)
        await self.sharing.open(is_bounded=self.budget < inf)
        Session.of(self.crawler).before_closing += [self._settle_the_rest, self.sharing.close]

    async def ensure_app_token(self) -> None:
        """Have an app's bearer token, for endpoints that take no other: of the file, or for a consumer pair.

        https://docs.x.com/fundamentals/authentication/oauth-2-0/application-only. UserError if none is to be had.
        """
        if any(credential.is_app for credential in self.pool.credentials.values()):
            return
        pairs = {held.consumer_key: held for held in self.pool.credentials.values()}
        why = ""
        for held in pairs.values():
            request = _token_request(self.crawler, held)
            try:
                response = await self.crawler.engine.download_async(request)
                payload = loads(response.body) if response.status == 200 else {}
            except Malformed:
                payload = {}
            except UNREACHABLE as error:
                raise unreachable(source_of(self.crawler), "X_API_URL", error, request) from None
            except Exception as error:  # whatever the network came up with, when all retries are used up
                why = f" ({type(error).__name__})"
                continue
            token = payload.get("access_token") if isinstance(payload, dict) else None
            if isinstance(token, str) and token:
                bearer = Secret(token)
                key = credentials.key_of("app", held.consumer_key)
                self.pool.credentials[key] = Credential(
                    f"the app of {held.name}", key, True, held.consumer_key, held.consumer_secret, bearer
                )
                return
            why = f" (answered {response.status})"
        raise UserError(
            f"Trends want an app's bearer token, and none was to be had for the consumer keys{why}: add a column "
            f"{credentials.BEARER} to X_CREDENTIALS.",
            reason="credentials_exhausted",
        )

    # --- credentials

    async def take(self, endpoint: str, avoid: Collection[str] = (), asked_at: float | None = None) -> Call:
        """The next call, from the credential that has most left; waited for if need be. UserError if there is none.

        `asked_at` is when the request was first to be sent: one that was answered 429 comes here again.
        """
        asked_at = time.monotonic() if asked_at is None else asked_at
        while True:
            now = time.monotonic()
            if not self.pool.clock.is_told and self.pool.in_flight:
                await self.wait(60.0)  # the first answer tells the server's time, which signatures need
                continue
            choice = self.pool.next(endpoint, now, avoid)
            if choice is None:
                if avoid and self.pool.usable(endpoint):
                    raise IgnoreRequest("no other credential is left")
                raise self._exhausted(endpoint)
            if isinstance(choice, Credential):
                call = self.pool.sent(choice.key, endpoint, now)
                if await self.sharing.take(choice.key, endpoint, self.pool.clock.at(now)):
                    return call
                self.pool.failed(call)
                continue
            waiting_since = max(asked_at, self._succeeded_at.get(endpoint, 0.0))
            if choice < inf and now - waiting_since + choice > self.patience:
                raise self._too_long(endpoint, choice, now)
            self._say_wait(endpoint, choice, now)
            await self.wait(choice)

    async def wait(self, seconds: float) -> None:
        """Until there is an answer, at most so long. IgnoreRequest when the crawl is stopping."""
        end = time.monotonic() + seconds
        async with self.news:
            while True:
                if stopping(self.crawler):
                    raise IgnoreRequest("the crawl is stopping")
                pause = min(end - time.monotonic(), 0.5)  # in steps, so that Ctrl-C is heard
                if pause <= 0:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.news.wait(), pause)
                    return

    async def tell_news(self) -> None:
        async with self.news:
            self.news.notify_all()

    def _say_wait(self, endpoint: str, seconds: float, now: float) -> None:
        if seconds == inf or seconds < 1 or now < self._told.get(endpoint, 0.0):
            return
        self._told[endpoint] = now + seconds
        until = datetime.fromtimestamp(self.pool.clock.at(now) + seconds, UTC)
        number = len(self.pool.usable(endpoint))
        self.stats.inc_value("x/waits")
        logger.info(
            "No call to %s is left for %d credential%s; going on in %.0f s, at %s UTC.",
            endpoint, number, "" if number == 1 else "s", seconds, until.strftime("%H:%M:%S"),
        )  # fmt: skip

    def _too_long(self, endpoint: str, seconds: float, now: float) -> UserError:
        until = datetime.fromtimestamp(self.pool.clock.at(now) + seconds, UTC)
        return UserError(
            f"No call to {endpoint} is left until {until:%Y-%m-%d %H:%M:%S} UTC, and without follow the crawl does not "
            "wait so long (SOURCE_PATIENCE). What was read is stored; start it again then, and it goes on.",
            reason="credentials_exhausted",
        )

    def _exhausted(self, endpoint: str) -> UserError:
        reasons = sorted({
            standing.retired for (_, place), standing in self.pool.standings.items()
            if standing.retired and place in (endpoint, EVERYWHERE)
        })  # fmt: skip
        if not reasons:
            return UserError(
                f"{endpoint} wants an app's bearer token: add a column {credentials.BEARER} to X_CREDENTIALS.",
                "credentials_exhausted",
            )
        details = {
            detail.rstrip(".") for (key, place), detail in self.pool.details.items()
            if place in (endpoint, EVERYWHERE) and self.pool.standing(key, place).retired
        }  # fmt: skip
        said = f" X says: {'; '.join(sorted(details)[:3])}." if details else ""
        return UserError(
            f"No usable credential is left for {endpoint} ({', '.join(reasons)}).{said} What was read is stored; mend "
            "X_CREDENTIALS or the app's plan and start again, and the crawl goes on where it stopped.",
            reason="credentials_exhausted",
        )

    async def answered(self, request: Request, response: Response) -> str | None:
        """Learn from an answer. Says why it has to be asked for again with another credential, if so."""
        now = time.monotonic()
        call: Call = request.meta["x_call"]
        key, endpoint = call.key, call.endpoint
        thought = self.pool.clock.at(now)
        is_api = is_json(response) if response.status < 400 else is_of_the_api(response)
        if is_api:  # and not whatever stands before the API
            date_told = self.dates.told(response)
            self.pool.clock.tell(date_told.timestamp() if date_told else None, now)
        told = limit_of(response, self.pool.clock.at(now)) if is_api else None
        problem = problem_of(response) if response.status >= 400 else {}
        detail = api.said(problem)
        kind = str(problem.get("type", "")).rpartition("/")[2]
        retry = None
        before = self._given_up()
        if response.status == 401 and abs(self.pool.clock.at(now) - thought) > SIGNATURE_HOLDS:
            self.pool.failed(call)  # signed at a wrong time, for our clock goes wrong: not the credential's fault
            retry = "signed at a wrong time"
        elif response.status == 429 and is_api and is_capped(problem):
            retry = "over its cap"
            self.stats.inc_value("x/refused/over its cap")
            for other in self._of_the_same_app(key):
                self.pool.standing(other, EVERYWHERE).retired = retry
            self.pool.refused(call, retry, True, now, None, detail)
        elif response.status == 429 and is_api:
            pause = self.pool.limited(call, told, now)
            self.stats.inc_value("x/limited")
            logger.debug("429 for %s at %s; away for %.0f s.", self.pool.credentials[key].name, endpoint, pause)
            retry = "limited"
        elif response.status in REFUSALS and is_api:
            retry = REFUSALS[response.status]
            if response.status == 403 and kind in DEFINITE_TYPES:
                retry = "not entitled, as X says"
            everywhere = response.status != 403  # an entitlement is for one endpoint
            self.stats.inc_value(f"x/refused/{retry}")
            self.pool.refused(call, retry, everywhere, now, told, detail)
        elif refusal_of(request, response) is None:
            self.pool.succeeded(call, told)
            self._succeeded_at[endpoint] = now
        else:
            self.pool.failed(call)
        await self._tell_given_up(self._given_up() - before)
        if told is not None:
            await self.sharing.learned(key, endpoint, told)
        await self.tell_news()
        return retry

    def _of_the_same_app(self, key: str) -> list[str]:
        """Credentials that share a credential's cap: those of its app."""
        app = str(self.pool.credentials[key].consumer_key)
        return [other.key for other in self.pool.credentials.values() if app and str(other.consumer_key) == app]

    def _given_up(self) -> set[tuple[str, str, str]]:
        return {(key, place, s.retired) for (key, place), s in self.pool.standings.items() if s.retired}

    async def _tell_given_up(self, entries: set[tuple[str, str, str]]) -> None:
        for key, place, why in entries:
            where = "" if place == EVERYWHERE else f" for {place}"
            detail = self.pool.details.get((key, place), "")
            logger.warning(
                "The credential of %s is not used any more%s: %s%s.",
                self.pool.credentials[key].name, where, why, f" ({detail})" if detail else "",
            )  # fmt: skip
            self.stats.inc_value("x/credentials_retired")
            if not self.pool.standing(key, place).for_now:
                await self.sharing.retired(key, place, why)

    def end(self, error: UserError) -> None:
        """End the crawl, in good order."""
        end(self.crawler, error)

    # --- the bill

    async def reserve(self, kind: str, count: int, least: int = 1) -> tuple[Reservation, int]:
        """Put a request on the bill at the most that it can cost; less is asked for where the budget ends.

        UserError when not even `least` can be paid for, and nothing is under way that might turn out cheaper.
        """
        while True:
            day = datetime.now(UTC).date()
            granted = min(count, await self.affordable(kind))
            if granted >= least:
                reads = self._at_most(kind, granted)
                if await self.sharing.spend(day, reads, self.budget):
                    self._count(reads)
                    reservation = Reservation(day, reads)
                    self._open[id(reservation)] = reservation
                    return reservation, granted
            if not self._open:
                raise UserError(
                    f"The budget of ${self.budget:g} for {day} is spent. What was read is stored; the crawl goes on "
                    "where it stopped when it is started tomorrow, or with a higher X_DAILY_BUDGET.",
                    reason="budget_spent",
                )
            await self.wait(0.5)

    async def affordable(self, kind: str) -> int:
        """So many reads the budget still allows today."""
        price = self._at_most(kind, 1).dollars
        if self.budget == inf or not price:
            return 10**9
        return int((self.budget - await self.sharing.spent(datetime.now(UTC).date())) / price + 1e-6)

    async def settle(self, request: Request | None, bill: Bill | None = None) -> None:
        """What a request has really read; nothing if it was not answered."""
        assert request is not None
        reservation: Reservation | None = request.meta.pop("x_reservation", None)
        if reservation is not None:
            await self._settle(reservation, bill or Bill())

    async def _settle_the_rest(self) -> None:
        """Requests that were to be asked again when the crawl ended have read nothing."""
        for reservation in list(self._open.values()):
            await self._settle(reservation, Bill())

    async def _settle(self, reservation: Reservation, bill: Bill) -> None:
        counts = {kind: getattr(bill, kind) - getattr(reservation.reads, kind) for kind in self.price}
        back = self._reads(counts)
        await self.sharing.spend(reservation.day, back, inf)
        self._open.pop(id(reservation), None)  # only now: who waits for it looks at the bill next
        self._count(back)
        await self.tell_news()

    def came_along(self, posts: Iterable[int], users: Iterable[int]) -> tuple[int, int]:
        """How many of the posts and users that came along with others are on the bill: each once a day, if at all."""
        if not self.with_includes:
            return 0, 0
        today = datetime.now(UTC).date()
        if self._billed[0] != today:
            self._billed = today, set()
        billed = self._billed[1]
        new_posts = {("post", number) for number in posts} - billed
        new_users = {("user", number) for number in users} - billed
        billed |= new_posts | new_users
        return len(new_posts), len(new_users)

    def _at_most(self, kind: str, count: int) -> Reads:
        """What so many reads can cost at most, with what comes along."""
        counts = {kind: count}
        if kind == "posts" and self.with_includes:
            posts, users = WORST_OF_A_POST
            counts = {"posts": posts * count, "users": users * count}
        return self._reads(counts)

    def _reads(self, counts: Mapping[str, int]) -> Reads:
        return Reads(**counts, dollars=sum(count * self.price[kind] for kind, count in counts.items()))

    def _count(self, reads: Reads) -> None:
        for kind in self.price:
            if getattr(reads, kind):
                self.stats.inc_value(f"x/billed/{kind}", getattr(reads, kind))
        self.stats.set_value("x/dollars", round(self.stats.get_value("x/dollars", 0.0) + reads.dollars, 6))


def _token_request(crawler: Crawler, held: Credential) -> Request:
    pair = f"{quote(str(held.consumer_key))}:{quote(str(held.consumer_secret))}"
    headers = {
        "Authorization": SecretBytes(b"Basic " + base64.b64encode(pair.encode())),
        "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
    }
    meta = {"handle_httpstatus_list": [400, 401, 403], "dont_retry": True}
    url = source_of(crawler) + api.TOKEN_PATH
    return Request(
        url, method="POST", headers=headers, body=b"grant_type=client_credentials", meta=meta, dont_filter=True
    )


def is_capped(problem: Mapping[str, object]) -> bool:
    """Whether a 429 is about what the app's plan allows in a day or a month, and not about a window."""
    return problem.get("title") == "UsageCapExceeded" or str(problem.get("type")).endswith("usage-capped")


WINDOWS = ("x-rate-limit", "x-user-limit-24hour", "x-app-limit-24hour")


def limit_of(response: Response, server_now: float) -> Limit | None:
    """What the headers of an answer say of the window; None if they say nothing, or nonsense.

    Of a day's limit that is used up, that it is: the calls left in the quarter of an hour do not help then.
    """
    found = [limit for window in WINDOWS if (limit := _limit_of(response, window, server_now)) is not None]
    used_up = [limit for limit in found[1:] if limit.remaining <= 0]
    if used_up:
        return max(used_up, key=lambda limit: limit.reset)
    return found[0] if found and header(response, "x-rate-limit-limit") else None


def _limit_of(response: Response, window: str, server_now: float) -> Limit | None:
    try:
        values = [int(header(response, f"{window}-{name}") or "") for name in ("limit", "remaining", "reset")]
    except ValueError:
        return None
    if not 0 <= values[2] <= server_now + LONGEST_WINDOW + CLOCK_MAY_DIFFER or min(values) < 0:
        return None  # in milliseconds, or in ten years
    return Limit(values[0], values[1], float(values[2]))


def read_credentials(path: str | None) -> list[Credential]:
    """The credentials of the file X_CREDENTIALS; UserError in a sentence."""
    if not path:
        raise UserError(
            "Which credentials? Name a CSV file with the columns " + ", ".join(credentials.COLUMNS) + ": "
            "-s X_CREDENTIALS=credentials.csv (or try it without: -s SANDBOX=1)."
        )
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            return credentials.read(file, f"X_CREDENTIALS ({path})")
    except OSError as error:
        raise UserError(f"X_CREDENTIALS is {path}, and that file cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"X_CREDENTIALS is {path}, which is no text in UTF-8.") from None
