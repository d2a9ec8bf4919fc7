"""Which proxies a crawl goes through, and which it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from chancrawl import proxies
from chancrawl.errors import UserError
from tests.support.engines import settings_of

SECRET = "hunter2"


def test_proxies_come_from_the_setting_or_from_a_file(tmp_path: Path) -> None:
    listed = settings_of(tmp_path, ROTATING_PROXY_LIST="http://a:1, b:2")
    assert proxies.listed(listed) == ["http://a:1", "b:2"]
    file = tmp_path / "proxies.txt"
    file.write_text("# ours\n\n  http://me:x@c:3  \nd:4\n")
    assert proxies.listed(settings_of(tmp_path, ROTATING_PROXY_LIST_PATH=str(file))) == ["http://me:x@c:3", "d:4"]
    assert proxies.listed(settings_of(tmp_path)) == []


@pytest.mark.parametrize("proxy, words", [
    (f"socks5://me:{SECRET}@h:1", "speaks socks5"),
    (f"http://me:{SECRET}@h", "has no port"),
    (f"http://me:{SECRET} x@h:1", "has a blank in it"),
    (f"http://me:{SECRET}@h:port", "has no port"),
])  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_named_by_its_place_and_never_by_its_address(
    tmp_path: Path, proxy: str, words: str
) -> None:
    with pytest.raises(UserError, match=words) as raised:
        proxies.listed(settings_of(tmp_path, ROTATING_PROXY_LIST=["http://a:1", proxy]))
    assert str(raised.value).startswith("Proxy 2 of the list") and SECRET not in str(raised.value)


@pytest.mark.parametrize("content, words", [(None, "no such file"), (b"\xff\xfe\x00", "cannot be read")])
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "proxies.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=words):
        proxies.listed(settings_of(tmp_path, ROTATING_PROXY_LIST_PATH=str(file)))


@pytest.mark.parametrize("proxy, url, is_refused", [
    ("socks5://h:1", "https://a.4cdn.org", True),
    ("http://h", "https://a.4cdn.org", False),  # of the environment's proxies the port may be left out
    ("socks5://h:1", "http://127.0.0.1:1", False),  # this machine is not asked by proxy
    ("socks5://h:1", "https://inside.example", False),  # no_proxy
    (" ", "https://a.4cdn.org", False),
])  # fmt: skip
def test_the_proxy_of_the_environment_is_checked_if_it_would_be_used(
    monkeypatch: pytest.MonkeyPatch, proxy: str, url: str, is_refused: bool
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("no_proxy", "inside.example")
    if is_refused:
        with pytest.raises(UserError, match="The proxy of the environment variable https_proxy speaks socks5"):
            proxies.check_environment(url)
    else:
        proxies.check_environment(url)


def test_two_requests_are_under_way_for_each_proxy_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, DOWNLOADER_MIDDLEWARES={"a": 1})
    proxies.switch_on(settings, ["http://a:1", "http://b:2", "http://c:3"])
    assert settings.getint("CONCURRENT_REQUESTS") == 6
    assert settings.getlist("ROTATING_PROXY_LIST") == ["http://a:1", "http://b:2", "http://c:3"]
    assert dict(settings["DOWNLOADER_MIDDLEWARES"]) == {
        "a": 1, "chancrawl.middlewares.RotatingProxies": 610, "chancrawl.middlewares.BanDetection": 620,
    }  # fmt: skip
    settings = settings_of(tmp_path, CONCURRENT_REQUESTS=1)
    proxies.switch_on(settings, ["http://a:1"])
    assert settings.getint("CONCURRENT_REQUESTS") == 1
