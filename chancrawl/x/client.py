"""Asking the X API: requests, and what becomes of them.

`XClient.request` gives a request to be yielded. However it ends, its reservation on the bill is settled once:

- an answer that can be parsed is given to `on_answer`, whose items go to the pipelines; its bill is that of `bill`, or
  the one that `on_answer` settles it with;
- an answer that cannot be parsed is set aside in the quarantine, and `on_problem` is told (`Malformed`);
- a 400 is given to `on_problem` in X's own words (`BadRequest`);
- a request that failed is given to `on_problem` with the reason (`Unanswered`), unless the crawl is stopping.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import orjson
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from chancrawl.engine import end, stopping
from chancrawl.errors import UserError
from chancrawl.http import Dates, reason_of
from chancrawl.items import Item
from chancrawl.payload import Malformed, mended
from chancrawl.storage.quarantine import Quarantine
from chancrawl.x import api
from chancrawl.x.access import Access
from chancrawl.x.api import Endpoint, source_of
from chancrawl.x.budget import Bill, Budget, Reservation
from chancrawl.x.payloads import named_parameters, said
from chancrawl.x.rate_limits import Call

T = TypeVar("T")

CREDENTIAL_STATUSES = (401, 402, 403, 429)
"""Statuses by which the API refuses a credential."""
TIMES = {"since_id", "until_id", "start_time", "end_time"}
TOKENS = {"next_token", "pagination_token"}
OURS = {"max_results", "post.fields"}.union(*(endpoint.fixed_parameters for endpoint in api.ENDPOINTS.values()))
"""Parameters that all requests of an endpoint have."""


class BadRequest(Malformed):
    """X refuses a request as wrong (400), in its own words. `parameters` are the ones it names."""

    def __init__(self, detail: str, parameters: set[str]) -> None:
        super().__init__(detail)
        self.parameters = parameters

    @property
    def is_ours(self) -> bool:
        """Whether it is about what every request of ours has: then no request can be answered."""
        return bool(self.parameters & OURS)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request failed, after all retries."""

    why: str

    def __str__(self) -> str:
        return self.why


Problem = BadRequest | Malformed | Unanswered


@dataclass(slots=True, eq=False)
class Answer(Generic[T]):
    """What an answer says. `credential` is the key of the one that was shown it; `seen_at` the server's time."""

    content: T
    seen_at: datetime
    credential: str | None
    _exchange: Exchange
    _budget: Budget

    async def settle(self, bill: Bill) -> None:
        """Put what was read on the bill, once."""
        await self._exchange.settle(self._budget, bill)


@dataclass(slots=True, eq=False)
class Exchange:
    """A request to X until its bill is settled. It stands in `request.meta["x"]`, also of retries.

    `reads` is what it may bring at most, of what the endpoint bills; `least` how much less may be asked for where the
    budget ends. `avoid` are credentials to which the target is closed. See `XClient.request` for the rest.
    """

    endpoint: Endpoint
    reads: int
    least: int
    avoid: frozenset[str]
    parse: Callable[[Any, datetime], Any]
    on_answer: Callable[[Answer[Any]], AsyncGenerator[Item, None]]
    on_problem: Callable[[Problem], None]
    bill: Callable[[Any], Bill] | None
    reservation: Reservation | None = None
    asked_at: float | None = None
    """When it was first to be sent, in monotonic seconds."""
    call: Call | None = None
    """Under way now."""
    credential: str | None = None
    """The key of the one that got the last answer."""

    async def settle(self, budget: Budget, bill: Bill) -> None:
        """Settle the reservation, if that was not done before."""
        reservation, self.reservation = self.reservation, None
        if reservation is not None:
            await budget.settle(reservation, bill)


class XClient:
    """Asks the API for what spiders want to know."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.source = source_of(crawler)
        self.dates = Dates(crawler)
        self.quarantine = Quarantine.of(crawler)
        self.budget = Access.of(crawler).budget
        self.under_way = 0
        """Requests that were given away and have not ended."""
        self.progress = asyncio.Event()
        """Set when a request has ended, or when a caller has more to ask for."""

    def request(
        self,
        endpoint: Endpoint,
        parameters: dict[str, str],
        parse: Callable[[Any, datetime], T],
        on_answer: Callable[[Answer[T]], AsyncGenerator[Item, None]],
        on_problem: Callable[[Problem], None],
        *,
        reads: int,
        bill: Callable[[T], Bill] | None = None,
        argument: str = "",
        avoid: Collection[str] = (),
    ) -> Request:
        """A request that is under way from now on. `parse` is called with the payload and the server's time.

        `reads` is what it may bring at most, of what the endpoint bills; `avoid` are credentials to which the target is
        closed. Without `bill`, `on_answer` settles the answer.
        """
        least = min(endpoint.smallest_page, reads) if endpoint.page_size_parameter else reads
        exchange = Exchange(endpoint, reads, least, frozenset(avoid), parse, on_answer, on_problem, bill)
        self.under_way += 1
        return Request(
            f"{self.source}{endpoint.path.format(argument)}?{urlencode(parameters | dict(endpoint.fixed_parameters))}",
            callback=self.answered,
            errback=self.failed,
            meta={
                "x": exchange,
                "handle_httpstatus_list": list(endpoint.answer_statuses),
                "own_statuses": (*endpoint.answer_statuses, *CREDENTIAL_STATUSES),
            },
            dont_filter=True,
        )

    async def answered(self, response: Response) -> AsyncIterator[Item]:
        """The callback of all requests."""
        exchange: Exchange = response.meta["x"]
        try:
            try:
                answer = self._read(response, exchange)
            except Malformed as problem:
                await exchange.settle(self.budget, Bill())
                if isinstance(problem, BadRequest) and problem.is_ours:
                    end(self.crawler, wrong_parameters(problem))
                exchange.on_problem(problem)
                return
            if exchange.bill is not None:
                await answer.settle(exchange.bill(answer.content))
            async with aclosing(exchange.on_answer(answer)) as items:
                async for item in items:
                    yield item
        except UserError as error:
            end(self.crawler, error)
        finally:
            await self._ended(exchange)

    async def failed(self, failure: Failure) -> None:
        """The errback of all requests."""
        request: Request = failure.request  # type: ignore[attr-defined]
        exchange: Exchange = request.meta["x"]
        try:
            await exchange.settle(self.budget, Bill())
            if not stopping(self.crawler):
                exchange.on_problem(Unanswered(reason_of(failure)))
        finally:
            await self._ended(exchange)

    async def _ended(self, exchange: Exchange) -> None:
        try:
            await exchange.settle(self.budget, Bill())  # it has read nothing, where nobody has said how much
        finally:
            self.under_way -= 1
            self.progress.set()

    def _read(self, response: Response, exchange: Exchange) -> Answer[Any]:
        """What an answer says. Malformed, and the answer set aside, if it is none; BadRequest for a 400."""
        seen_at = self.dates.now(response)
        try:
            content = exchange.parse(self._payload_of(response), seen_at)
        except BadRequest:
            raise
        except Malformed as error:
            self.quarantine.set_aside(response.url, response.body, str(error))
            raise
        except Exception as error:  # a payload that nobody has thought of must not pass for one that was stored
            why = f"{type(error).__name__}: {error}"
            self.quarantine.set_aside(response.url, response.body, why)
            raise Malformed(why) from None
        if problems := getattr(content, "problems", None):
            self.quarantine.set_aside(response.url, response.body, "; ".join(problems[:10]))
        return Answer(content, seen_at, exchange.credential, exchange, self.budget)

    def _payload_of(self, response: Response) -> Any:
        """The JSON of an answer; Malformed if it is none. What had to be mended is set aside too."""
        try:
            payload = orjson.loads(response.body)  # ids are texts there: no number is too long for it
        except orjson.JSONDecodeError:
            payload, problems = mended(response.body)
            if problems:
                self.quarantine.set_aside(response.url, response.body, "; ".join(problems))
        if response.status == 400:
            raise BadRequest(said(payload) or str(payload)[:300], named_parameters(payload))
        return payload


def wrong_parameters(error: BadRequest) -> UserError:
    """The end of a crawl whose every request X refuses."""
    return UserError(
        f"X refuses a parameter that every request has ({', '.join(sorted(error.parameters))}): {error}. Its API has "
        "changed; a newer version of chancrawl is needed.",
        reason="refused",
    )
