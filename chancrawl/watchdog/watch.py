"""Checks the store again and again, and tells what is wrong.

*Flow:* `Watchdog.check` → a snapshot, and its alarms → `states.updated` with the states in the store → a message to
each sender for which something is due → the new states, and the heartbeat.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scrapy.settings import BaseSettings

from chancrawl.errors import UserError
from chancrawl.health.alarms import Alarm, alarms_of, away
from chancrawl.health.snapshot import Reader
from chancrawl.storage.base import Store, from_json, moment
from chancrawl.storage.disk import replace_file
from chancrawl.storage.factory import store_of
from chancrawl.storage.runs import HOST
from chancrawl.text import first_line
from chancrawl.watchdog.senders import Sender, called, checked_address, senders_of
from chancrawl.watchdog.states import Event, State, closed, message, updated

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=3)
"""After so long without a check, another watchdog takes over."""

OWN = "watchdog"
"""The row of table alarms with the watchdog that sends."""

COLUMNS = "alarm, subject, since, sentence, seen_at, told, over_at, closed_at"
READ = f"SELECT {COLUMNS} FROM alarms WHERE alarm <> '{OWN}' AND closed_at IS NULL"
WRITE = f"""
INSERT INTO alarms ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (alarm, subject) DO UPDATE SET since = excluded.since, sentence = excluded.sentence,
    seen_at = excluded.seen_at, told = excluded.told, over_at = excluded.over_at,
    closed_at = excluded.closed_at
"""
TAKE = f"""
INSERT INTO alarms (alarm, subject, since, sentence, seen_at, told) VALUES ('{OWN}', '', ?, ?, ?, '{{}}')
ON CONFLICT (alarm, subject) DO UPDATE SET sentence = excluded.sentence, seen_at = excluded.seen_at
WHERE alarms.sentence = excluded.sentence OR alarms.seen_at < ? OR alarms.seen_at > ?
RETURNING sentence
"""
RELEASE = f"UPDATE alarms SET seen_at = ? WHERE alarm = '{OWN}' AND sentence = ?"


class Watchdog:
    """The watchdog of a store. One at a time sends; others stand by."""

    def __init__(self, settings: BaseSettings) -> None:
        self.settings = settings
        self.senders: list[Sender] = senders_of(settings.get("ALARM_URLS"))
        self.heartbeat = checked_address("ALARM_HEARTBEAT", settings.get("ALARM_HEARTBEAT") or "")
        self.name = f"process {os.getpid()} on {HOST}"
        self._file = Path(settings["CSV_FOLDER"]) / "watchdog.json"  # the state of an alarm about the store itself
        self._reader = Reader(settings)
        self._errors = store_of(settings).errors
        self._store: Store | None = None
        self._stood_by_at: datetime | None = None
        self._logged: dict[str, str] = {}

    def check(self, now: datetime | None = None) -> str:
        """Check once, and tell what is due. Returns why that was not possible; empty if it was."""
        now = now or datetime.now(UTC)
        try:
            store = self._open()
            if not self._is_mine(store, now):
                self._stood_by_at = now
                self._keep_of_store(())  # the one that sends tells that the store can be read again
                return "another watchdog sends; this one stands by"
            alarms = alarms_of(self._reader.read(store, now))
            known = [_state(row) for row in store.rows(READ)]
            states = self._tell(updated([*known, *self._of_store()], alarms, now), now)
            of_store = [state for state in states if state.alarm == "store_away"]
            store.write([(WRITE, _row(state)) for state in states if state not in of_store])
            self._keep_of_store(of_store)
        except Exception as error:
            if not isinstance(error, (UserError, OSError, *self._errors)):
                raise
            self.close()
            return self._store_away(first_line(error), now)
        if self.heartbeat:
            self._log("heartbeat", called(self.heartbeat))
        is_waiting = any(state.event(sender.fingerprint, now) for state in states for sender in self.senders)
        return "messages could not be delivered; they are tried again" if is_waiting else ""

    def _open(self) -> Store:
        if self._store is None:
            reading = store_of(self.settings)
            reading.open_to_read(("runs",))  # UserError where nothing was collected yet
            reading.close()
            store = store_of(self.settings)
            store.open_beside()
            self._store = store
        return self._store

    def _is_mine(self, store: Store, now: datetime) -> bool:
        """Whether this watchdog is the one that sends."""
        return bool(store.rows(TAKE, now, self.name, now, now - LEASE, now + LEASE))

    def close(self) -> None:
        """Let another watchdog take over, and close the store."""
        store, self._store = self._store, None
        if store is not None:
            try:
                store.rows(RELEASE, datetime.now(UTC) - 2 * LEASE, self.name)
            except store.errors as error:
                logger.debug("The watchdog's lease could not be given back: %s.", first_line(error))
            store.close()

    # --- messages

    def _tell(self, states: Sequence[State], now: datetime) -> list[State]:
        """Send what is due. Returns the states after it."""
        found = list(states)
        for sender in self.senders:
            due = [(event, place) for place, state in enumerate(found)
                   if (event := state.event(sender.fingerprint, now)) is not None]  # fmt: skip
            if not due:
                continue
            failure = send(sender, [(event, found[place]) for event, place in due])
            self._log(f"{sender.name} {sender.fingerprint}", failure)
            if not failure:
                for event, place in due:
                    found[place] = found[place].after(sender.fingerprint, event, now)
        return closed(found, now)

    def _log(self, target: str, failure: str) -> None:
        """Say once that a target cannot be reached, and once that it can be again."""
        if failure and self._logged.get(target) != failure:
            logger.warning("The %s cannot be reached: %s.", target, failure)
        elif not failure and target in self._logged:
            logger.info("The %s can be reached again.", target)
        if failure:
            self._logged[target] = failure
        else:
            self._logged.pop(target, None)

    # --- the store itself is away

    def _store_away(self, reason: str, now: datetime) -> str:
        """Tell that the store cannot be read. The state of this alarm is in a file. A watchdog that stood by leaves it
        to the one that sends."""
        if self._stood_by_at is not None and now - self._stood_by_at < 10 * LEASE:
            return f"the store cannot be read: {reason}; another watchdog tells it"
        known = self._of_store()
        since = next((state.since for state in known if state.closed_at is None), now)
        self._keep_of_store(self._tell(updated(known, [away("The store", since, reason)], now), now))
        self._log("store", reason)
        return f"the store cannot be read: {reason}"

    def _of_store(self) -> list[State]:
        try:
            values = json.loads(self._file.read_text(encoding="utf-8"))
            return [_state(row) for row in values]
        except (OSError, ValueError, TypeError):
            return []

    def _keep_of_store(self, states: Sequence[State]) -> None:
        left = [state for state in states if state.closed_at is None]
        try:
            if left:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                replace_file(self._file, json.dumps([_row(state) for state in left], default=_iso).encode())
            else:
                self._file.unlink(missing_ok=True)
        except OSError as error:
            self._log(f"file {self._file}", error.strerror or "it cannot be written")


def send(sender: Sender, due: Sequence[tuple[Event, State]]) -> str:
    """Send one message about alarms. Returns why that failed; empty if it did not."""
    title, body = message(due)
    alarms = [{"alarm": state.alarm, "subject": state.subject, "event": event.value, "since": _iso(state.since),
               "sentence": state.sentence} for event, state in due]  # fmt: skip
    return sender.send(title, body, alarms)


def example(now: datetime) -> list[tuple[Event, State]]:
    """What `--test` sends."""
    alarm = Alarm("test", "", away("", now, "").severity, now, "This is a test: alarms of chancrawl arrive.")
    return [(Event.BEGAN, State(alarm.name, alarm.subject, alarm.since, alarm.sentence, now))]


def _row(state: State) -> tuple[object, ...]:
    told = {target: (event.value, _iso(at)) for target, (event, at) in state.told.items()}
    return (state.alarm, state.subject, state.since, state.sentence, state.seen_at, json.dumps(told), state.over_at,
            state.closed_at)  # fmt: skip


def _state(row: Sequence[Any]) -> State:
    alarm, subject, since, sentence, seen, told, over, closed_at = row
    began, seen_at = moment(since), moment(seen)
    if began is None or seen_at is None:
        raise ValueError("an alarm without a time")
    targets = {target: (Event(event), datetime.fromisoformat(at)) for target, (event, at) in from_json(told).items()}
    return State(alarm, subject, began, sentence, seen_at, targets, moment(over), moment(closed_at))


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()
