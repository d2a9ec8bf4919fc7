"""Rate limits: which credential may call which endpoint now. Sans I/O.

X limits calls for each credential and endpoint in windows of 15 minutes, and says in every answer how the window
stands (https://docs.x.com/x-api/fundamentals/rate-limits). Times are monotonic seconds, but for the end of a window,
which is in seconds since 1970 by the server's clock, as it is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from scrapy.http import Response

from chancrawl.http import header
from chancrawl.x.credentials import Credential

EVERYWHERE = "*"
"""Stands for all endpoints, where a credential was given up as a whole."""

CLOCK_MAY_DIFFER = 60.0
"""An answer that was under way for longer, in seconds, says that an earlier one told a wrong time."""


class ServerClock:
    """The server's time, from its Date headers: never ahead of it, and the closer the more answers there were.

    A header is cut to whole seconds and some time under way, so each gives a lower bound; the highest one counts.
    Before the first answer it is our own clock.
    """

    def __init__(self, wall: float, now: float) -> None:
        self._offset = wall - now
        self.is_known = False
        self.latest = wall
        """The time of the last Date header, in seconds since 1970."""

    def tell(self, date: float | None, now: float) -> None:
        """Take in the time that an answer tells; None if it tells none."""
        if date is not None:
            self.latest = date
            offset = date - now
            is_lower_bound = self.is_known and offset > self._offset - CLOCK_MAY_DIFFER
            self._offset = max(self._offset, offset) if is_lower_bound else offset
        self.is_known = True

    def at(self, now: float) -> float:
        return now + self._offset


@dataclass(slots=True)
class Limit:
    """What an answer's headers say of a window: calls in it, calls left, and its end."""

    limit: int
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way: by which credential, where to, its number there, and when it was sent."""

    key: str
    endpoint: str
    number: int
    sent_at: float


@dataclass(slots=True)
class Standing:
    """How a credential stands at an endpoint. `remaining` takes calls under way for spent; `sent` counts all calls."""

    limit: int | None = None
    remaining: int = 0
    reset: float | None = None
    in_flight: int = 0
    sent: int = 0
    strikes: int = 0
    closed_until: float = 0.0
    retired: str | None = None
    for_now: bool = False
    """Retired in an outage, which the next crawl need not find."""
    doubted: str | None = None
    doubted_at: float = 0.0
    unmetered: bool = False
    """Its answers say nothing of limits."""

    def wait(self, now: float, server_now: float) -> float:
        """Seconds until it may be called; 0 now, inf when an answer under way decides."""
        if now < self.closed_until:
            return self.closed_until - now
        if self.unmetered:
            return 0.0
        if self.reset is not None and server_now < self.reset:
            return 0.0 if self.remaining > 0 else self.reset - server_now
        # A window of which nothing is known yet: one call goes ahead and brings its headers.
        return inf if self.in_flight else 0.0

    def calls_left(self, server_now: float) -> float:
        """How many calls are left, to choose by: inf for a credential that was not tried yet."""
        if self.limit is None and not self.unmetered:
            return inf
        return self.remaining if self.reset is not None and server_now < self.reset else self.limit or 0

    def send(self, server_now: float) -> None:
        if self.reset is not None and server_now >= self.reset:
            self.remaining = (self.limit or 1) - self.in_flight
            self.reset = None
        self.remaining -= 1
        self.in_flight += 1
        self.sent += 1

    def learn(self, window: Limit, number: int) -> None:
        """Take over what the answer to call `number` says. Answers come in any order.

        It counts calls up to that one, and perhaps some that were sent later or are still under way: there are not more
        calls left than it says, and not fewer than that less all these.
        """
        if self.reset is not None and window.reset < self.reset:
            return  # of the window before
        self.limit = window.limit
        self.reset = window.reset
        self.unmetered = False
        uncounted = self.sent - number + self.in_flight
        self.remaining = min(max(self.remaining, window.remaining - uncounted), window.remaining)


FIRST_PAUSE = 1.0
"""Seconds; it doubles with every refusal in a row."""
LONGEST_PAUSE = 900.0
PATIENCE = 30.0
"""Credentials that were all refused at once are tried again for so long, in seconds of pauses."""

DEFINITE = ("out of credits", "over its cap", "not entitled, as X says")
"""Refusals that no outage explains."""

LONGEST_WINDOW = 86_400.0
"""Seconds; a window that ends later is none: X has windows of 15 minutes and of 24 hours."""


class Pool:
    """All credentials and their standing at every endpoint.

    A refusal (401, 402, 403) retires a credential only if another one works afterwards. When all are refused at once
    that is an outage of the service, and one after the other is tried again; they are only given up if it lasts.
    """

    def __init__(
        self,
        credentials: Iterable[Credential],
        clock: ServerClock,
        app_only: Collection[str] = (),
        patience: float = PATIENCE,
    ) -> None:
        self.patience = patience
        self.app_only = app_only  # endpoints that take no user's tokens
        self.credentials = {credential.key: credential for credential in credentials}
        self.clock = clock
        self.standings: dict[tuple[str, str], Standing] = {}
        self.outage_rounds = 0
        self.outage_until = 0.0
        self.details: dict[tuple[str, str], str] = {}  # what X says of a refusal, by credential and endpoint

    def standing(self, key: str, endpoint: str) -> Standing:
        return self.standings.setdefault((key, endpoint), Standing())

    @property
    def in_flight(self) -> int:
        return sum(standing.in_flight for standing in self.standings.values())

    def usable(self, endpoint: str, avoid: Collection[str] = ()) -> list[Credential]:
        """Credentials that are not given up, here or everywhere; `avoid` leaves some out."""
        return [
            credential
            for credential in self.credentials.values()
            if credential.key not in avoid
            and (credential.is_app or endpoint not in self.app_only)
            and self.standing(credential.key, endpoint).retired is None
            and self.standing(credential.key, EVERYWHERE).retired is None
        ]

    def next(self, endpoint: str, now: float, avoid: Collection[str] = ()) -> Credential | float | None:
        """The credential for the next call, or seconds until one is free (inf: when an answer comes); None: never."""
        server_now = self.clock.at(now)
        usable = self.usable(endpoint, avoid)
        if not usable:
            return None
        trusted = [credential for credential in usable if not self._is_doubted(credential.key, endpoint)]
        if not trusted:
            return self._try_again(usable, endpoint, now)
        best, shortest = None, inf
        most: tuple[float, float] = (-1.0, 0.0)
        for credential in trusted:
            standing = self.standing(credential.key, endpoint)
            wait = standing.wait(now, server_now)
            if wait > 0:
                shortest = min(shortest, wait)
            elif (rank := (standing.calls_left(server_now), -standing.in_flight)) > most:
                best, most = credential, rank
        return best or shortest

    def _try_again(self, refused: list[Credential], endpoint: str, now: float) -> Credential | float:
        """The next of credentials that were all refused, one call at a time; or seconds until it may be tried."""
        if any(self.standing(credential.key, endpoint).in_flight for credential in refused):
            return inf
        if now < self.outage_until:
            return self.outage_until - now
        server_now = self.clock.at(now)
        waits = [self.standing(credential.key, endpoint).wait(now, server_now) for credential in refused]
        free = [credential for credential, wait in zip(refused, waits, strict=True) if wait <= 0]
        return free[self.outage_rounds % len(free)] if free else min(waits)

    def _is_doubted(self, key: str, endpoint: str) -> bool:
        return any(self.standing(key, place).doubted for place in (endpoint, EVERYWHERE))

    # --- what happens to calls

    def sent(self, key: str, endpoint: str, now: float) -> Call:
        standing = self.standing(key, endpoint)
        standing.send(self.clock.at(now))
        return Call(key, endpoint, standing.sent, now)

    def failed(self, call: Call) -> None:
        """Note that no answer came, or none of the API: whether the call was counted is not known."""
        self._answered(call, None)

    def succeeded(self, call: Call, window: Limit | None) -> None:
        """Note a good answer. Credentials that were refused before it was sent are given up: this one works."""
        standing = self._answered(call, window)
        standing.strikes = 0
        standing.unmetered = window is None and standing.limit is None
        for place in (call.endpoint, EVERYWHERE):
            self.standing(call.key, place).doubted = None
        for doubtful in self.standings.values():
            if doubtful.doubted and doubtful.doubted_at < call.sent_at:
                if not self.outage_rounds:
                    doubtful.retired = doubtful.doubted
                doubtful.doubted = None  # after an outage, all are trusted again
        self.outage_rounds = 0

    def limited(self, call: Call, window: Limit | None, now: float) -> float:
        """Note a 429; the seconds for which the credential is kept away, 0 if the headers say until when."""
        standing = self._answered(call, window)
        if window is not None and window.remaining <= 0 and self.clock.at(now) < window.reset:
            standing.remaining = 0
            return 0.0
        pause = min(FIRST_PAUSE * 2.0**standing.strikes, LONGEST_PAUSE)
        standing.strikes = min(standing.strikes + 1, 30)
        standing.closed_until = max(standing.closed_until, now + pause)
        return pause

    def refused(
        self, call: Call, why: str, everywhere: bool, now: float, window: Limit | None = None, detail: str = ""
    ) -> None:
        """Note a 401, 402 or 403, or a 429 of a cap; `detail` are X's own words."""
        self._answered(call, window)
        place = EVERYWHERE if everywhere else call.endpoint
        doubtful = self.standing(call.key, place)
        if detail:
            self.details[call.key, place] = detail
        if why in DEFINITE:
            doubtful.retired = why
            return
        doubtful.doubted, doubtful.doubted_at = why, now
        usable = self.usable(call.endpoint)
        if all(self._is_doubted(credential.key, call.endpoint) for credential in usable):
            if any(self.standing(credential.key, call.endpoint).in_flight for credential in usable):
                return  # another answer is to come
            pause = FIRST_PAUSE * 2.0**self.outage_rounds
            if pause > self.patience:
                self._give_up(usable, call.endpoint)
            self.outage_until = now + pause
            self.outage_rounds += 1

    def _give_up(self, credentials: list[Credential], endpoint: str) -> None:
        """Retire credentials for this crawl. The next one tries them again, for it may have been an outage."""
        for credential in credentials:
            for place in (endpoint, EVERYWHERE):
                standing = self.standing(credential.key, place)
                if standing.doubted:
                    standing.retired, standing.doubted = standing.doubted, None
                    standing.for_now = True

    def _answered(self, call: Call, window: Limit | None) -> Standing:
        standing = self.standing(call.key, call.endpoint)
        standing.in_flight -= 1
        if window is not None:
            standing.learn(window, call.number)
        return standing


# --- what an answer says of limits


def is_capped(problem: Mapping[str, object]) -> bool:
    """Whether a 429 is about what the app's plan allows in a day or a month, and not about a window."""
    return problem.get("title") == "UsageCapExceeded" or str(problem.get("type")).endswith("usage-capped")


WINDOWS = ("x-rate-limit", "x-user-limit-24hour", "x-app-limit-24hour")


def limit_of(response: Response, server_now: float) -> Limit | None:
    """The limit that the headers of an answer give; None if they say nothing, or nonsense.

    If a day's limit is used up it is that one: the calls left in the quarter of an hour do not help then.
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
