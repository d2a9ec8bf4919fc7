"""The file of credentials, and signing requests with them. Sans I/O."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from oauthlib.oauth1 import Client

from chancrawl.errors import UserError

# It writes tokens and base strings to the DEBUG log.
logging.getLogger("oauthlib").setLevel(logging.CRITICAL + 1)

COLUMNS = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
BEARER = "bearer_token"


class Secret(str):
    """A text that its repr does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class SecretBytes(bytes):
    """The same in bytes, as headers take it."""

    def __repr__(self) -> str:
        return "b'***'"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user's tokens for an app (OAuth 1.0a), or an app's own bearer token.

    `name` says where it stands in the file; `key` tells credentials apart in the store, where no secret is kept.
    """

    name: str
    key: str
    is_app: bool
    consumer_key: Secret = field(repr=False)
    consumer_secret: Secret = field(repr=False)
    token: Secret = field(repr=False)
    token_secret: Secret = field(default=Secret(), repr=False)


def read(lines: Iterable[str], place: str) -> list[Credential]:
    """The credentials of a CSV file; UserError, with the line, if it is wrong. `place` names the file.

    A row is a user's four tokens, or an app's `bearer_token`, or both. Every app's bearer counts once: its limits are
    the app's.
    """
    reader = csv.reader(lines)
    try:
        header = [column_of(name) for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing and BEARER not in header:
            raise UserError(
                f"{place} has no column {', '.join(missing)}; its first line has to be {','.join(COLUMNS)}."
            )
        found: dict[str, Credential] = {}
        for row in reader:
            cells = [cell.strip().strip('"') for cell in row]
            if not any(cells):
                continue
            line = f"line {reader.line_num}"
            is_short = len(header) > 1 and header[-1] == BEARER and len(cells) == len(header) - 1
            if len(cells) < len(header) and not is_short:
                raise UserError(f"{place}, {line}: {header[len(cells)]} is missing.")
            for credential in _of_row(dict(zip(header, cells, strict=False)), place, line):
                found.setdefault(credential.key, credential)
    except csv.Error as error:
        raise UserError(f"{place} is no CSV file ({error}).") from None
    if not found:
        raise UserError(f"{place} has no credentials; write one a line under {','.join(COLUMNS)}.")
    return list(found.values())


ALIASES = {
    "api_key": "consumer_key",
    "api_key_secret": "consumer_secret",
    "api_secret": "consumer_secret",
    "api_secret_key": "consumer_secret",
    "access_secret": "access_token_secret",
    "bearer": BEARER,
}
"""Names that X's console and other tools have for the columns."""


def column_of(name: str) -> str:
    """
    >>> column_of(" API Key Secret"), column_of("bearer_token")
    ('consumer_secret', 'bearer_token')
    """
    name = "_".join(name.strip().strip('"').lower().split())
    return ALIASES.get(name, name)


def _of_row(row: dict[str, str], place: str, line: str) -> list[Credential]:
    consumer_key, consumer_secret, token, token_secret = (Secret(row.get(name, "")) for name in COLUMNS)
    bearer = Secret(row.get(BEARER, ""))
    credentials = []
    if token or token_secret or not bearer:
        for name in COLUMNS:
            if not row.get(name):
                raise UserError(f"{place}, {line}: {name} is missing.")
        credentials.append(
            Credential(line, key_of("user", token), False, consumer_key, consumer_secret, token, token_secret)
        )
    if bearer:
        key = key_of("app", consumer_key or bearer)
        credentials.append(Credential(f"the bearer of {line}", key, True, consumer_key, consumer_secret, bearer))
    return credentials


def key_of(kind: str, token: str) -> str:
    """The key of a credential in the store: a fingerprint, from which the token cannot be found."""
    return f"{kind}:{blake2b(token.encode(), digest_size=9, person=b'chancrawl').hexdigest()}"


def authorization(credential: Credential, url: str, timestamp: float) -> SecretBytes:
    """The Authorization header of a GET request. `timestamp` is the server's time: a signature holds for minutes."""
    if credential.is_app:
        return SecretBytes(f"Bearer {credential.token!s}".encode())
    client = Client(
        str(credential.consumer_key),
        client_secret=str(credential.consumer_secret),
        resource_owner_key=str(credential.token),
        resource_owner_secret=str(credential.token_secret),
        timestamp=str(int(timestamp)),
    )
    _, headers, _ = client.sign(url)
    return SecretBytes(headers["Authorization"].encode())
