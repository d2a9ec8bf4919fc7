"""Two real forwarding proxies on loopback addresses of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.spiders.test_chan import BOARD
from tests.spiders.test_chan_in_trouble import assert_polite
from tests.support.crawls import Crawler
from tests.support.proxies import Proxy, free_port
from tests.support.sandboxes import Sandbox

Start = Callable[..., Proxy]


@pytest.fixture
def proxy() -> Iterator[Start]:
    proxies: list[Proxy] = []

    def start(host: str, banned: bool = False) -> Proxy:
        proxies.append(Proxy(host, banned))
        return proxies[-1]

    yield start
    for each in proxies:
        each.stop()


def visible(sandbox: Sandbox) -> set[int]:
    return {post["no"] for post in sandbox.truth() if post["board"] == BOARD and post["gone_at"] is None}


@pytest.mark.soak
def test_both_are_used_each_at_its_own_pace(tmp_path: Path, sandbox: Sandbox, proxy: Start) -> None:
    first, second = proxy("127.0.0.2"), proxy("127.0.0.3")
    listed = tmp_path / "proxies.txt"
    listed.write_text(f"# ours\n{first.url()}\n{second.url()}\n")
    sandbox.ask(f"/{BOARD}/threads.json")
    start = len(sandbox.requests())
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.1)
    crawler(f"-aboard={BOARD}", f"-sROTATING_PROXY_LIST_PATH={listed}").ok()
    requests = sandbox.requests(start)
    by_peer = {peer: [r for r in requests if r["peer"] == peer] for peer in {r["peer"] for r in requests}}
    assert set(by_peer) == {"127.0.0.2", "127.0.0.3"}
    for of_one in by_peer.values():
        assert_polite(of_one, 0.1)
    times = [request["at"] for request in requests]
    assert max(times) - min(times) < 0.8 * 0.1 * len(requests), "two are faster than one"
    assert set(crawler.held(BOARD)) == visible(sandbox)


@pytest.mark.soak
def test_a_banned_proxy_loses_nothing(tmp_path: Path, sandbox: Sandbox, proxy: Start) -> None:
    good, bad = proxy("127.0.0.2"), proxy("127.0.0.3", banned=True)
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.02)
    arguments = (f"-sROTATING_PROXY_LIST={good.url()},{bad.url('me:s3cret')}", "-LDEBUG")
    run = crawler(f"-aboard={BOARD}", *arguments).ok()
    assert Counter(request["peer"] for request in sandbox.requests()).keys() == {"127.0.0.2"}
    assert set(crawler.held(BOARD)) == visible(sandbox)
    assert "is DEAD" in run.output and "s3cret" not in run.output


def test_when_all_proxies_are_dead_the_crawl_backs_off_and_says_so(tmp_path: Path, sandbox: Sandbox) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.01)
    dead = f"-sROTATING_PROXY_LIST=http://127.0.0.1:{free_port()}"
    run = crawler(f"-aboard={BOARD}", dead, "-sRETRY_TIMES=2", "-sROTATING_PROXY_PAGE_RETRY_TIMES=1")
    run.refused("cannot be re")
    assert sandbox.requests() == []
