"""Access to X: which credential carries the next call, how long to wait for one, and what answers say of them.

The extension holds the pool of credentials (rate_limits.py decides), what is shared with other crawls
(shared_limits.py), and the bill (budget.py). The middleware (middleware.py) takes calls from it and tells it the
answers.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from urllib.parse import quote

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from chancrawl.engine import Broadcast, PerCrawl, stays
from chancrawl.errors import UNREACHABLE, UserError, unreachable
from chancrawl.http import Dates, is_json, is_of_the_api, problem_of, refusal_of
from chancrawl.payload import Malformed, loads
from chancrawl.storage.session import Session
from chancrawl.text import counted
from chancrawl.x import api, credentials
from chancrawl.x.api import source_of
from chancrawl.x.budget import Budget
from chancrawl.x.credentials import Credential, Secret, SecretBytes
from chancrawl.x.payloads import said
from chancrawl.x.rate_limits import EVERYWHERE, Call, Limit, Pool, ServerClock, is_capped, limit_of
from chancrawl.x.shared_limits import SharedLimits

logger = logging.getLogger(__name__)

SIGNATURE_HOLDS = 60.0
"""A signature whose time is further off than so many seconds may be refused for that."""

REFUSALS = {401: "revoked", 402: "out of credits", 403: "not entitled"}

DEFINITE_TYPES = ("client-forbidden", "unsupported-authentication", "oauth1-permissions", "oauth2-permissions")
"""Problems by which X says of a 403 that it is meant so."""


class Access(PerCrawl):
    """The extension through which spiders open X, and the middleware reaches the pool and the bill."""

    pool: Pool
    shared: SharedLimits

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.stats = crawler.stats
        self.dates = Dates(crawler)
        self.patience = inf if stays(crawler) else crawler.settings.getfloat("SOURCE_PATIENCE")
        self.answers = Broadcast(crawler)
        self.budget = Budget(crawler.settings, crawler.stats, self.answers)
        self._succeeded_at: dict[str, float] = {}
        self._logged_until: dict[str, float] = {}  # by endpoint: until when its wait has been logged

    async def open(self) -> None:
        """Read the credentials and how they stand. UserError if there are none."""
        found = read_credentials(self.crawler.settings.get("X_CREDENTIALS"))
        clock = ServerClock(time.time(), time.monotonic())
        app_only = [endpoint.name for endpoint in api.ENDPOINTS.values() if endpoint.app_only]
        patience = self.crawler.settings.getfloat("X_OUTAGE_PATIENCE")
        self.pool = Pool(found, clock, app_only, patience)
        self.shared = self.budget.spending = SharedLimits(Session.of(self.crawler), self.pool)
        await self.shared.open(is_bounded=self.budget.limit < inf)
        Session.of(self.crawler).before_closing += [self.budget.settle_open, self.shared.close]

    async def ensure_app_token(self) -> None:
        """Make sure that there is an app's bearer token: one of the file, or one that X gives for a consumer pair.

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

    def numbers(self) -> list[str]:
        """How many credentials can be used now, and what of the day's budget is spent."""
        if not hasattr(self, "pool"):
            return []
        usable = {held.key for endpoint in api.ENDPOINTS for held in self.pool.usable(endpoint)}
        held = len(self.pool.credentials)
        words = f"{len(usable):,} of {counted(held, 'credential')} usable, {self.pool.in_flight:,} requests under way"
        if self.budget.limit < inf:
            words += f"; ${self.stats.get_value('x/dollars', 0.0):,.2f} spent, ${self.budget.limit:g} a day allowed"
        return [words]

    # --- credentials

    async def take(self, endpoint: str, avoid: Collection[str] = (), asked_at: float | None = None) -> Call:
        """The next call, by the credential that has most left; waits for it if need be. UserError if there is none.

        `asked_at` is when the request was first to be sent: one that was answered 429 comes here again.
        """
        asked_at = time.monotonic() if asked_at is None else asked_at
        while True:
            now = time.monotonic()
            if not self.pool.clock.is_known and self.pool.in_flight:
                await self.answers.wait(60.0)  # the first answer tells the server's time, which signatures need
                continue
            choice = self.pool.next(endpoint, now, avoid)
            if choice is None:
                if avoid and self.pool.usable(endpoint):
                    raise IgnoreRequest("no other credential is left")
                raise self._exhausted(endpoint)
            if isinstance(choice, Credential):
                call = self.pool.sent(choice.key, endpoint, now)
                if await self.shared.take(choice.key, endpoint, self.pool.clock.at(now)):
                    return call
                self.pool.failed(call)
                continue
            waiting_since = max(asked_at, self._succeeded_at.get(endpoint, 0.0))
            if choice < inf and now - waiting_since + choice > self.patience:
                raise self._too_long(endpoint, choice, now)
            self._log_wait(endpoint, choice, now)
            await self.answers.wait(choice)

    def _log_wait(self, endpoint: str, seconds: float, now: float) -> None:
        """Log a wait for a window, once each."""
        if seconds == inf or seconds < 1 or now < self._logged_until.get(endpoint, 0.0):
            return
        self._logged_until[endpoint] = now + seconds
        until = datetime.fromtimestamp(self.pool.clock.at(now) + seconds, UTC)
        number = len(self.pool.usable(endpoint))
        self.stats.inc_value("x/waits")
        logger.info(
            "%s used up %s calls to %s; continuing in %.0f s, at %s UTC.",
            "1 credential has" if number == 1 else f"{number} credentials have", "its" if number == 1 else "their",
            endpoint, seconds, until.strftime("%H:%M:%S"),
        )  # fmt: skip

    def _too_long(self, endpoint: str, seconds: float, now: float) -> UserError:
        """The end of a crawl that would have to wait for longer than SOURCE_PATIENCE."""
        until = datetime.fromtimestamp(self.pool.clock.at(now) + seconds, UTC)
        return UserError(
            f"No call to {endpoint} is left until {until:%Y-%m-%d %H:%M:%S} UTC, and without follow the crawl does not "
            "wait so long (SOURCE_PATIENCE). What was read is stored; start it again then, and it goes on.",
            reason="credentials_exhausted",
        )

    def _exhausted(self, endpoint: str) -> UserError:
        """The end of a crawl that has no credential for an endpoint."""
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
        words = f" X says: {'; '.join(sorted(details)[:3])}." if details else ""
        return UserError(
            f"No usable credential is left for {endpoint} ({', '.join(reasons)}).{words} What was read is stored; "
            "mend X_CREDENTIALS or the app's plan and start again, and the crawl goes on where it stopped.",
            reason="credentials_exhausted",
        )

    async def answered(self, call: Call, request: Request, response: Response) -> str | None:
        """Learn from the answer to a call. Why the request is to be sent again, by another credential; None if not."""
        now = time.monotonic()
        expected = self.pool.clock.at(now)
        is_api = is_json(response) if response.status < 400 else is_of_the_api(response)
        if is_api:  # and not whatever stands before the API
            date = self.dates.told(response)
            self.pool.clock.tell(date.timestamp() if date else None, now)
        window = limit_of(response, self.pool.clock.at(now)) if is_api else None
        before = self._given_up()
        retry = None
        if response.status == 401 and abs(self.pool.clock.at(now) - expected) > SIGNATURE_HOLDS:
            self.pool.failed(call)  # signed at a wrong time, for our clock goes wrong: not the credential's fault
            retry = "signed at a wrong time"
        elif is_api and (response.status == 429 or response.status in REFUSALS):
            retry = self._refused(call, response, window, now)
        elif refusal_of(request, response) is None:
            self.pool.succeeded(call, window)
            self._succeeded_at[call.endpoint] = now
        else:
            self.pool.failed(call)
        await self._log_given_up(self._given_up() - before)
        if window is not None:
            await self.shared.learned(call.key, call.endpoint, window)
        self.answers.notify()
        return retry

    def _refused(self, call: Call, response: Response, window: Limit | None, now: float) -> str:
        """Learn from a refusal of a credential by the API; why it was refused."""
        problem = problem_of(response)
        detail = said(problem)
        if response.status == 429 and is_capped(problem):
            why = "over its cap"
            self.stats.inc_value(f"x/refused/{why}")
            for other in self._of_the_same_app(call.key):
                self.pool.standing(other, EVERYWHERE).retired = why
            self.pool.refused(call, why, True, now, None, detail)
        elif response.status == 429:
            why = "limited"
            pause = self.pool.limited(call, window, now)
            self.stats.inc_value("x/limited")
            name = self.pool.credentials[call.key].name
            logger.debug("429 for %s at %s; away for %.0f s.", name, call.endpoint, pause)
        else:
            why = REFUSALS[response.status]
            if response.status == 403 and str(problem.get("type", "")).rpartition("/")[2] in DEFINITE_TYPES:
                why = "not entitled, as X says"
            self.stats.inc_value(f"x/refused/{why}")
            everywhere = response.status != 403  # an entitlement is for one endpoint
            self.pool.refused(call, why, everywhere, now, window, detail)
        return why

    def _of_the_same_app(self, key: str) -> list[str]:
        """Credentials that share a credential's cap: those of its app."""
        app = str(self.pool.credentials[key].consumer_key)
        return [other.key for other in self.pool.credentials.values() if app and str(other.consumer_key) == app]

    def _given_up(self) -> set[tuple[str, str, str]]:
        """Credentials that are not used any more: key, endpoint or EVERYWHERE, reason."""
        return {(key, place, s.retired) for (key, place), s in self.pool.standings.items() if s.retired}

    async def _log_given_up(self, entries: set[tuple[str, str, str]]) -> None:
        """Name credentials that have just been given up, and note them for other crawls."""
        for key, place, why in entries:
            where = "" if place == EVERYWHERE else f" for {place}"
            detail = self.pool.details.get((key, place), "")
            logger.warning(
                "Credential %s was refused and is no longer used%s: %s%s.",
                self.pool.credentials[key].name, where, why, f" ({detail})" if detail else "",
            )  # fmt: skip
            self.stats.inc_value("x/credentials_retired")
            if not self.pool.standing(key, place).for_now:
                await self.shared.retired(key, place, why)


def _token_request(crawler: Crawler, held: Credential) -> Request:
    """The request for an app's bearer token."""
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
