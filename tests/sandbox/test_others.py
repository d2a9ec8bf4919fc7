"""The sandbox is honest for others: tweepy, twarc2 and BASC-py4chan read the same posts from it as we do."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.crawls import Crawler
from tests.support.sandboxes import Sandbox
from tests.support.stores import posts_of
from tests.support.x import XCrawler

requests = pytest.importorskip("requests", reason="left out: requests is not installed")


class ToSandbox(requests.adapters.HTTPAdapter):  # type: ignore[misc,name-defined]
    """Sends what is meant for a site to the sandbox; the rest of each request is the library's own."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.sandbox = sandbox

    def send(self, request: Any, **more: Any) -> Any:
        parts = urlsplit(request.url)
        request.url = f"{self.sandbox.url}{parts.path}{'?' + parts.query if parts.query else ''}"
        return super().send(request, **more)


def session_to(sandbox: Sandbox) -> Any:
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http", "https"):
        session.mount(f"{scheme}://", ToSandbox(sandbox))
    return session


BEARER = "sandbox-bearer-token"


@pytest.fixture
def x(tmp_path: Path) -> Iterator[tuple[Sandbox, XCrawler, str]]:
    """What we read of an account with more than one page, and of a search."""
    sandbox = Sandbox("--speed", "0")
    crawler = XCrawler(tmp_path / "data", sandbox.url)
    name = max(
        (account for account in sandbox.x_accounts() if account["status"] == "active"), key=lambda a: int(a["posts"])
    )["username"]
    crawler.timeline(name).ok()
    yield sandbox, crawler, name
    sandbox.stop()


@pytest.mark.soak
def test_tweepy(x: tuple[Sandbox, XCrawler, str]) -> None:
    tweepy: Any = pytest.importorskip("tweepy", reason="left out: tweepy is not installed")
    sandbox, crawler, name = x
    client = tweepy.Client(BEARER)
    client.session = session_to(sandbox)
    account = client.get_user(username=name, user_fields=["public_metrics"]).data
    asked: dict[str, Any] = {"tweet_fields": ["created_at", "conversation_id"], "expansions": ["author_id"]}
    pages = list(tweepy.Paginator(client.get_users_tweets, account.id, max_results=100, **asked))
    read = {tweet.id: tweet.text for page in pages for tweet in page.data}
    assert len(pages) > 2 and read.keys() == crawler.ids().keys()
    ours = {int(row["id"]): row["text"] for row in crawler.articles()}
    plain = [number for number, post in sandbox.x_truth().items() if number in ours and not post["retweeted_status_id"]]
    assert all(ours[number].startswith(read[number][:100]) for number in plain)
    # Its way back: from the last page to the first by previous_token.
    back, token = list(pages[-1].data), pages[-1].meta["previous_token"]
    assert "previous_token" not in pages[0].meta
    while token:
        page = client.get_users_tweets(account.id, max_results=100, pagination_token=token, **asked)
        back += page.data
        token = page.meta.get("previous_token")
    assert {tweet.id for tweet in back} == read.keys() and len(back) == len(read)
    excluded = tweepy.Paginator(client.get_users_tweets, account.id, max_results=100, exclude=["retweets"]).flatten()
    assert {tweet.id for tweet in excluded} == set(plain)
    some = client.search_recent_tweets(f"from:{name} -is:retweet", max_results=100).data or []
    crawler.x("search", "-a", f"queries=from:{name} -is:retweet").ok()
    found = [page["ids"] for page in sandbox.x_requests() if page["endpoint"] == "search"]
    assert [tweet.id for tweet in some] == found[0] == found[1]
    with pytest.raises(tweepy.BadRequest):
        client.get_users_tweets(account.id, tweet_fields=["nonsense"])
    bad = tweepy.Client("wrong")
    bad.session = session_to(sandbox)
    with pytest.raises(tweepy.Unauthorized):
        bad.get_user(username=name)


@pytest.mark.soak
def test_twarc(x: tuple[Sandbox, XCrawler, str]) -> None:
    twarc: Any = pytest.importorskip("twarc", reason="left out: twarc is not installed")
    sandbox, crawler, name = x
    client = twarc.Twarc2(bearer_token=BEARER)
    client.client = session_to(sandbox)
    client.client.headers["Authorization"] = f"Bearer {BEARER}"
    (users,) = client.user_lookup([name], usernames=True)
    pages = list(client.timeline(users["data"][0]["id"]))
    read = [tweet for page in pages for tweet in twarc.expansions.ensure_flattened(page)]
    assert {int(tweet["id"]) for tweet in read} == crawler.ids().keys()
    assert all(tweet["author"]["username"] == name for tweet in read)
    before = len(sandbox.x_requests())
    found = {tweet["id"] for page in client.search_recent(f"from:{name}") for tweet in page.get("data", [])}
    crawler.x("search", "-a", f"queries=from:{name}").ok()
    ours = [row[0] for row in crawler.rows(f"SELECT id FROM tweets WHERE found_in LIKE '%search:from:{name}%'")]
    assert found == {str(number) for number in ours} and len(sandbox.x_requests()) > before


@pytest.mark.soak
def test_basc_py4chan(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    py4chan: Any = pytest.importorskip("basc_py4chan", reason="left out: BASC-py4chan is not installed")
    crawler = Crawler(tmp_path / "data", sandbox.url)
    crawler("-aboard=po", "-aarchive=0").ok()
    held = posts_of(crawler.folder)
    board = py4chan.Board("po", session=session_to(sandbox))
    numbers = board.get_all_thread_ids()
    assert set(numbers) == {post["thread_no"] for post in held.values()}
    for no in numbers[:20]:
        thread = board.get_thread(no)
        ours = sorted(post["no"] for post in held.values() if post["thread_no"] == no)
        assert [post.post_id for post in thread.all_posts] == ours
        for post in thread.all_posts:
            mine = held["po", post.post_id]
            assert post.timestamp == int(mine["posted_at"].timestamp())
            assert (html.unescape(post.name), post.tripcode) == (mine["name"], mine["tripcode"])
            assert html.unescape(post.subject or "") == (mine["subject"] or "")
            assert post.has_file == (mine["file_tim"] is not None)
        assert thread.update() == 0  # 304
    # Its index pages: what is left out of each thread, posts and images, is there on the thread's own page.
    for thread in board.get_threads(1):
        left_out, images = thread.omitted_posts, thread.omitted_images
        full = sandbox.thread(thread.id, "po")["posts"]
        shown = {post.post_id for post in thread.posts}
        rest = [post for post in full if post["no"] not in shown]
        assert left_out == len(rest) and images == sum("tim" in post for post in rest)
        assert full[0]["images"] == sum("tim" in post for post in full[1:])
        assert 1 <= full[0]["unique_ips"] <= len(full)
    assert board.get_thread(10**8) is None
