"""`scrapy options`: the settings with meaning, values and default. The documentation's table is made from it."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from chancrawl.command import StoreCommand
from chancrawl.setting_rows import ROWS, SETTINGS, Setting
from chancrawl.surroundings import plain_streams


class Command(StoreCommand):
    formats = ("text", "markdown")

    def syntax(self) -> str:
        return "[SETTING …] [--format text|markdown]"

    def short_desc(self) -> str:
        return "Show the settings, what they accept, and their defaults"

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        """No check of the settings: somebody with a wrong one looks here for the right value."""
        ScrapyCommand.process_options(self, args, opts)
        plain_streams()

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        names = [name.upper() for name in args]
        for name in names:
            if name not in SETTINGS:
                raise UsageError(f"there is no setting {name}; scrapy options shows all, except Scrapy's own")
        rows = [SETTINGS[name] for name in names] or ROWS
        print("\n".join((markdown if opts.format == "markdown" else text)(rows)))


def text(rows: Sequence[Setting]) -> list[str]:
    """Each setting in two or more lines."""
    lines = []
    for row in rows:
        values = plain(f"{row.kind.words} (default: {row.default_words})")
        lines += textwrap.wrap(f"{row.name}: {values}", 110, subsequent_indent=" " * 4, break_on_hyphens=False)
        lines += textwrap.wrap(plain(row.meaning), 110, initial_indent=" " * 4, subsequent_indent=" " * 4)
    return lines


def plain(words: str) -> str:
    """Markdown as plain text.

    >>> plain("`0`: no [polarity](https://example.org)")
    '0: no polarity (https://example.org)'
    """
    return re.sub(r"\[(.*?)\]\((.*?)\)", r"\1 (\2)", words).replace("`", "")


def markdown(rows: Sequence[Setting]) -> list[str]:
    """The table of docs/collecting.md."""
    lines = ["<!-- scrapy options -->", "| setting | meaning | values | default |", "|---|---|---|---|"]
    lines += [f"| `{row.name}` | {row.meaning} | {row.kind.words} | {row.default_words} |" for row in rows]
    return [*lines, "<!-- end -->"]
