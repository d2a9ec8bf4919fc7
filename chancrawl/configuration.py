"""Where the values of settings come from besides `-s`: the environment, `.env`, chancrawl.ini, tweet.ini.

The files lie in the working folder. A file that cannot be read ends the program with one sentence, which never shows
its content: it can hold secrets.
"""

from __future__ import annotations

import configparser
import functools
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dotenv.parser import parse_stream

from chancrawl.arguments import home
from chancrawl.errors import UserError
from chancrawl.setting_rows import NAMES_IN_FILES, ROWS, SETTINGS, Setting
from chancrawl.surroundings import text_of

WHICH_DATABASE = "which database? Set DATABASE_URL=postgresql://user:password@host:5432/name"

# --- values by precedence

ENVIRONMENT = "the environment"


def configured(name: str, default: Any = None) -> Any:
    """The value of a setting in the first place that has one, else `default`, else the default of its row.

    Exits with a sentence if a file with the value of a secret cannot be read.
    """
    row = SETTINGS[name]
    place = place_of(row)
    if place is None:
        return row.default if default is None else default
    try:
        return value_in(place, row)
    except UserError as error:
        raise SystemExit(str(error)) from None


def all_configured() -> dict[str, Any]:
    """The value of each setting by name; the default for those that only `-s` sets."""
    return {row.name: configured(row.name) if row.is_in_files else row.default for row in ROWS}


@dataclass(frozen=True, slots=True)
class Place:
    """A place where settings are given, and what it has."""

    name: str
    values: Mapping[str, Any]

    def file_of(self, row: Setting) -> str | None:
        """The path that NAME_FILE has here, if the setting is a secret."""
        return self.values.get(row.file_name) or None if row.is_secret else None

    def has(self, row: Setting) -> bool:
        """Whether it gives the setting. An empty value counts in the environment only: DATABASE_URL= is no database."""
        is_given = row.name in self.values if self.name == ENVIRONMENT else bool(self.values.get(row.name))
        return is_given or self.file_of(row) is not None


def places() -> list[Place]:
    """The places besides `-s`. The first one that has a setting gives its value."""
    return [
        Place(ENVIRONMENT, {name: text_of(os.environ[name]) for name in NAMES_IN_FILES if name in os.environ}),
        Place(".env", env_file()),
        Place("chancrawl.ini", ini_file()),
        Place("tweet.ini", settings_of(tweet_ini())),
    ]


def place_of(row: Setting) -> Place | None:
    """The place that gives a setting its value, or None for its default."""
    return next((place for place in places() if place.has(row)), None)


def value_in(place: Place, row: Setting) -> Any:
    """The value that a place has for a setting. UserError if it has both NAME and NAME_FILE, or the file is bad."""
    file = place.file_of(row)
    if file is None:
        return place.values[row.name]
    if place.values.get(row.name):
        raise UserError(f"{row.name} and {row.file_name} are both set in {place.name}; leave one of them out.")
    return secret_in(row.file_name, file)


@functools.cache
def secret_in(name: str, file: str) -> str:
    """The content of the file that a setting NAME_FILE names, without its last line break. UserError if there is none.

    The sentence has no path: somebody may have written the secret in its place. The file is read once, for it may be a
    pipe.
    """
    try:
        content = Path(home(file)).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"The file that {name} names is no text in UTF-8; write the value alone into it.") from None
    except (OSError, ValueError, UserError) as error:
        why = getattr(error, "strerror", None) or "that is no path"
        raise UserError(
            f"The file that {name} names cannot be read ({why}); the value of {name} is the path of a file."
        ) from None
    if not content.strip():
        raise UserError(f"The file that {name} names is empty; write the value into it.")
    return content.removesuffix("\n")


# --- files


def _content(file: str) -> str | None:
    """The text of a file, with a byte order mark or without; None if there is no file. Exits with a sentence."""
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise SystemExit(f"{file} is no text in UTF-8; save it as that.") from None
    except OSError as error:
        raise SystemExit(f"{file} cannot be read ({error.strerror}).") from None


@functools.cache
def env_file() -> dict[str, str]:
    """The settings of ours in `.env`.

    The file may be another program's: names that are no setting of ours, and lines that cannot be read, are left out
    unless such a line names a setting of ours. Nothing is put into the environment, and `${NAME}` is not replaced.
    """
    found = {}
    for line in parse_stream(io.StringIO(_content(".env") or "")):
        if line.error:
            _refuse_line(line.original.string, line.original.line)
        elif line.key in NAMES_IN_FILES and line.value is not None:
            found[line.key] = line.value
    return found


def _refuse_line(text: str, number: int) -> None:
    """Exit with a sentence if lines that cannot be read begin with a setting of ours. `number` is the first line's."""
    for offset, line in enumerate(re.split("\r\n|\r|\n", text)):
        name = re.match(r"\s*(?:export\s+)?'?(\w+)", line)
        if name and name[1] in NAMES_IN_FILES:
            raise SystemExit(
                f".env, line {number + offset}: the value of {name[1]} cannot be read; write NAME=VALUE, and close a "
                "quotation mark on the same line."
            )


@functools.cache
def ini_file() -> dict[str, str]:
    """The section `[chancrawl]` of chancrawl.ini, names in upper case; empty without the file."""
    parser = _parsed("chancrawl.ini")
    if parser is None:
        return {}
    if "chancrawl" not in parser:
        raise SystemExit("chancrawl.ini has no section [chancrawl]; write that line above the settings.")
    return {key.upper(): value for key, value in parser["chancrawl"].items()}


def _parsed(file: str) -> configparser.ConfigParser | None:
    """An ini file; None if there is no file. Exits with a sentence, without a value: it may be a secret."""
    content = _content(file)
    if content is None:
        return None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(content, source=file)
    except configparser.MissingSectionHeaderError as error:
        raise SystemExit(
            f"{file}, line {error.lineno}: there is no section above it; write [chancrawl] first."
        ) from None
    except configparser.Error as error:
        lines = getattr(error, "errors", None) or [(getattr(error, "lineno", None), "")]
        where = f", line {lines[0][0]}" if lines[0][0] else ""
        raise SystemExit(f"{file}{where}: this is no setting ({type(error).__name__}); write NAME = value.") from None
    return parser


@functools.cache
def tweet_ini() -> dict[str, str]:
    """The keys of the older crawler's tweet.ini in the working folder, in lower case; empty without the file.

    `[Database] dbname dbuser dbpass dbhost dbport`, `[Twitter] authCSV handlesFile`, `[System] Threads CSVFolder`;
    values may stand in quotes and have a comment behind them.
    """
    parser = _parsed("tweet.ini")
    if parser is None:
        return {}
    return {key: _unquoted(value) for section in parser.sections() for key, value in parser[section].items()}


def _unquoted(value: str) -> str:
    """
    >>> _unquoted('"localhost" #If it is on another server'), _unquoted("5"), _unquoted("p#1")
    ('localhost', '5', 'p#1')
    """
    value = value.strip()
    if value[:1] in ('"', "'") and (end := value.find(value[0], 1)) > 0:
        return value[1:end]
    return value.split(" #", 1)[0].strip()


def settings_of(older: dict[str, str]) -> dict[str, str]:
    """Our settings for those of tweet.ini.

    >>> settings_of({"dbname": "x", "dbuser": "me", "dbpass": "a@b", "authcsv": "codes.csv"})
    {'DATABASE_URL': 'postgresql://me:a%40b@localhost:5432/x', 'X_CREDENTIALS': 'codes.csv'}
    """
    found = {}
    if older.get("dbname"):
        user = quote(older.get("dbuser", ""), safe="")
        password = f":{quote(older['dbpass'], safe='')}" if older.get("dbpass") else ""
        place = f"{older.get('dbhost') or 'localhost'}:{older.get('dbport') or 5432}"
        found["DATABASE_URL"] = f"postgresql://{user}{password}{'@' if user else ''}{place}/{quote(older['dbname'])}"
    for key, name in (("authcsv", "X_CREDENTIALS"), ("csvfolder", "CSV_FOLDER"), ("threads", "X_THREADS")):
        if older.get(key):
            found[name] = older[key]
    return found
