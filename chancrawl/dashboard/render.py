"""The templates of the pages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from html import unescape
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chancrawl.dashboard import texts
from chancrawl.dashboard.charts import sentence
from chancrawl.dashboard.queries import Late
from chancrawl.frames import duration
from chancrawl.text import counted, escaped


class Templates:
    """Renders the templates. Everything in them is escaped, unless texts.py has made it."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("chancrawl.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.tests["late"] = lambda value: isinstance(value, Late)
        filters: dict[str, Callable[..., Any]] = {
            "bdi": texts.isolated, "plain": texts.plain, "link": texts.link, "moment": texts.moment, "ago": texts.ago,
            "number": _number, "percent": _percent, "seconds": _seconds, "tweet_text": _tweet_text, "counted": counted,
            "span": duration, "sentence": sentence,
        }  # fmt: skip
        self._environment.filters.update(filters)

    def render(self, template: str, **context: Any) -> bytes:
        return self._environment.get_template(template).render(context).encode("utf-8", "replace")


def _shown(value: Any) -> Any:
    """Any text of a page that texts.py has not made, with control and direction characters made visible."""
    return escaped(value, f"\n{texts.JOINERS}") if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.singledispatch
def _number(value: object) -> str:
    return "–"


@_number.register
def _(value: int) -> str:
    return f"{value:,}"


@_number.register
def _(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float | None) -> str:
    """A share, rounded down, so that 100 % means all of it.

    >>> _percent(0.99999), _percent(None)
    ('99.9 %', '–')
    """
    if share is None:
        return "–"
    return "100 %" if share >= 1 else f"{int(share * 1000) / 10:.1f} %"


def _seconds(value: float | None) -> str:
    return "–" if value is None else duration(value)


def _tweet_text(text: str | None) -> Markup:
    return texts.tweet_text(unescape(text or ""))
