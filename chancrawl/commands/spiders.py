"""`scrapy spiders`: shows the spiders, their arguments and examples. The documentation contains its tables."""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from collections.abc import Iterable
from typing import Any

from scrapy.exceptions import UsageError
from scrapy.spiderloader import get_spider_loader

from chancrawl.arguments import arguments_of
from chancrawl.command import StoreCommand


class Command(StoreCommand):
    formats = ("text", "markdown")

    def syntax(self) -> str:
        return "[SPIDER …] [--format text|markdown]"

    def short_desc(self) -> str:
        return "Show the spiders, their arguments, and examples"

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        loader = get_spider_loader(self.settings)
        names = sorted(loader.list())
        for name in args:
            if name not in names:
                raise UsageError(f"there is no spider {name}; there are {', '.join(names)}")
        shown = (markdown if opts.format == "markdown" else text)(loader.load(name) for name in args or names)
        print("\n".join(shown))


def text(spiders: Iterable[Any]) -> list[str]:
    lines = []
    for spider in spiders:
        lines += [f"{spider.name}: {summary(spider)}", ""]
        for name, argument in arguments_of(spider.Arguments).items():
            meaning = re.sub(r"\[(.*?)\]\((.*?)\)", r"\1 (\2)", argument.meaning).replace("`", "")
            default = argument.default.replace("`", "")
            line = f"{meaning} (default: {default})" if default != "–" else f"{meaning} (needed)"
            lines += textwrap.wrap(line, 110, initial_indent=f"  {name:9} ", subsequent_indent=" " * 12)
        lines += ["", *(f"  {example}" for example in spider.EXAMPLES), ""]
    return lines[:-1]


def markdown(spiders: Iterable[Any]) -> list[str]:
    """The tables of docs/collecting.md."""
    lines = []
    for spider in spiders:
        lines += [f"<!-- scrapy spiders {spider.name} -->", "| argument | meaning | default |", "|---|---|---|"]
        lines += [f"| `{name}` | {a.meaning} | {a.default} |" for name, a in arguments_of(spider.Arguments).items()]
        lines += ["<!-- end -->"]
    return lines


def summary(spider: type) -> str:
    """The first line of its docstring."""
    return (inspect.getdoc(spider) or "").partition("\n")[0]
