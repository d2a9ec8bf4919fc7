"""Reads and checks the proxies of the settings and of the environment. middlewares.py uses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from scrapy.settings import SETTINGS_PRIORITIES, BaseSettings
from scrapy.utils.url import add_http_if_no_scheme

from chancrawl.errors import UserError
from chancrawl.http import is_local

PROJECT = SETTINGS_PRIORITIES["project"]


def listed(settings: BaseSettings) -> list[str]:
    """The proxies of ROTATING_PROXY_LIST_PATH or ROTATING_PROXY_LIST. UserError for an unusable one."""
    path = settings.get("ROTATING_PROXY_LIST_PATH")
    if path and not Path(path).is_file():
        raise UserError(f"ROTATING_PROXY_LIST_PATH is {path}, but there is no such file; it holds one proxy a line.")
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines() if path else _given(settings)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"ROTATING_PROXY_LIST_PATH is {path}, and that file cannot be read: {error}.") from None
    found = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    for number, proxy in enumerate(found, 1):
        _check_proxy(f"Proxy {number} of the list", proxy)
    return found


def _given(settings: BaseSettings) -> list[str]:
    """The values of ROTATING_PROXY_LIST; a file that ROTATING_PROXY_LIST_FILE names may have one a line."""
    value = settings.get("ROTATING_PROXY_LIST") or []
    return re.split("[,\n]", value) if isinstance(value, str) else [str(proxy) for proxy in value]


def _check_proxy(which: str, proxy: str, is_port_needed: bool = True) -> None:
    """UserError for a proxy that Scrapy cannot use. The error does not show the address, which may have a password."""
    try:
        address = urlsplit(add_http_if_no_scheme(proxy))
        scheme, port = address.scheme, address.port
    except ValueError:
        scheme, port = "http", None
    if scheme != "http":
        raise UserError(
            f"{which} speaks {scheme if scheme.isalnum() else 'no http'}, and only HTTP proxies can be used; write "
            "http://user:password@host:port (for SOCKS, put an HTTP proxy such as privoxy in front of it)."
        )
    if len(proxy.split()) != 1:
        raise UserError(f"{which} has a blank in it; write a blank in a password as %20.")
    if not port and is_port_needed:
        raise UserError(f"{which} has no port; write http://user:password@host:port.")


def check_environment(url: str) -> None:
    """UserError if the environment (https_proxy, …) has a proxy for the address `url` that cannot be used."""
    scheme = urlsplit(url).scheme
    proxy = getproxies().get(scheme)
    if proxy and proxy.strip() and not is_local(url) and not proxy_bypass(urlsplit(url).hostname or ""):
        _check_proxy(f"The proxy of the environment variable {scheme}_proxy", proxy, is_port_needed=False)


def switch_on(settings: BaseSettings, found: list[str]) -> None:
    """Configure scrapy-rotating-proxies with the proxies `found`."""
    settings.set("ROTATING_PROXY_LIST", found, priority="cmdline")
    settings.set("ROTATING_PROXY_LIST_PATH", None, priority="cmdline")
    middlewares: dict[Any, Any] = settings.getdict("DOWNLOADER_MIDDLEWARES")
    middlewares["chancrawl.middlewares.RotatingProxies"] = 610
    middlewares["chancrawl.middlewares.BanDetection"] = 620
    settings.set("DOWNLOADER_MIDDLEWARES", middlewares, priority="cmdline")
    # Two requests for each address: one under way and one waiting.
    if (settings.getpriority("CONCURRENT_REQUESTS") or 0) <= PROJECT:
        settings.set("CONCURRENT_REQUESTS", 2 * len(found), priority="project")
