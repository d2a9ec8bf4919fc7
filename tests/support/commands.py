"""Commands of `scrapy` in the process of a test."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TypeVar

from chancrawl.command import StoreCommand
from tests.support.engines import settings_of

C = TypeVar("C", bound=StoreCommand)


def command_of(kind: type[C], folder: Path, database_url: str | None = None, **settings: Any) -> C:
    command = kind()
    command.settings = settings_of(folder, database_url, **settings)
    command.exitcode = 0
    return command


def options_of(command: StoreCommand, *given: str) -> argparse.Namespace:
    """The options of a command as the command line gives them."""
    parser = argparse.ArgumentParser(prog="scrapy")
    command.add_options(parser)
    return parser.parse_args([*given])
