"""`scrapy show`: a thread as it stood at some time, a post of X, an account."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

from scrapy.exceptions import UsageError

from chancrawl.arguments import moment_of, well_formed
from chancrawl.command import StoreCommand
from chancrawl.errors import UserError
from chancrawl.imageboards import thread_html
from chancrawl.imageboards.thread_at import ThreadAt
from chancrawl.imageboards.thread_history import PostHistory, State
from chancrawl.items import Account, Post, Tweet
from chancrawl.storage.base import Store, moment, select
from chancrawl.storage.disk import sync
from chancrawl.storage.factory import store_of
from chancrawl.text import LARGEST_NO, capitalized, counted, visible
from chancrawl.x.accounts import account_of

TABLES = ("posts", "post_revisions", "threads", "tweets", "accounts", "handles")
"""The tables that this command reads."""

POST = re.compile(
    r"(?:https?://boards\.4chan(?:nel)?\.org)?/?(\w{1,10})/(?:thread/)?(\d{1,18})(?:/[^#]*)?(?:#p(\d{1,18}))?"
)
TWEET = re.compile(r"(?:https?://(?:x|twitter)\.com/\w+/status/)?(\d{1,19})(?:[/?].*)?")
LATEST = 20
"""So many posts of an account are shown."""


class Command(StoreCommand):
    failure = "The store cannot be read"

    def syntax(self) -> str:
        return "po/570368 [--at 2026-11-20T12:00] [--html FILE], @nasa, or the number of a post of X"

    def short_desc(self) -> str:
        return "Show a thread as it stood at some time, a post of X, an account"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--at", default="", metavar="2026-11-20T12:00", help="a thread as it stood then (UTC)")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write a thread to one HTML file instead")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if len(args) != 1:
            raise UsageError("name what to show: scrapy show po/570368, scrapy show @nasa, or scrapy show 1234567890")
        what, at = well_formed("what to show", args[0]), moment_of("--at", opts.at)
        if (opts.html or at) and not POST.fullmatch(what):
            raise UserError("--at and --html are for threads: scrapy show po/570368.")
        store = store_of(self.settings)
        try:
            store.open_to_read(TABLES)
            if what.startswith("@"):
                lines = account_lines(store, what[1:])
            elif (match := TWEET.fullmatch(what)) and int(match[1]) <= LARGEST_NO:
                lines = tweet_lines(store, int(match[1]))
            elif match := POST.fullmatch(what):
                thread = ThreadAt.of(store, match[1], int(match[3] or match[2]), at)
                lines = thread_lines(thread) if opts.html is None else write_html(thread, opts.html)
            else:
                raise UserError(f"{what} is no thread (po/570368), no account (@nasa) and no number of a post of X.")
            for line in lines:
                print(line)
        finally:
            store.close()


# --- threads


def thread_lines(thread: ThreadAt) -> Iterator[str]:
    """A thread as text."""
    subject = visible(thread.thread.subject or "") if thread.thread else ""
    fate = f" · {thread.thread.fate}" if thread.thread else ""
    yield f"/{thread.board}/{thread.no} {subject}{fate} · as of {thread.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    states = [state for history in thread.posts if (state := history.state(thread.at)) is not None]
    yield ", ".join(f"{states.count(state):,} {state.value}" for state in State)
    for history in thread.posts:
        state = history.state(thread.at)
        if state is not None:
            yield ""
            yield from _post_lines(thread, history, history.version(thread.at), state)


def _post_lines(thread: ThreadAt, history: PostHistory, post: Post, state: State) -> Iterator[str]:
    poster = f"ID:{post.poster_id}" if post.poster_id else None
    name = [post.name, post.tripcode, poster, post.capcode, post.country]
    words = {
        State.THERE: "",
        State.GONE: f"  [gone before {history.gone_at:%Y-%m-%d %H:%M:%S}]" if history.gone_at else "",
        State.UNKNOWN: f"  [not known; last seen {history.existed_until:%Y-%m-%d %H:%M:%S}]",
    }[state]
    version = f"  [version {post.revision} of {len(history.versions)}]" if len(history.versions) > 1 else ""
    mark = ">" if post.no == thread.post != thread.no else " "
    named = visible(" ".join(filter(None, name)))
    yield f"{mark}No. {post.no}  {post.posted_at:%Y-%m-%d %H:%M:%S}  {named}{version}{words}"
    if post.file_tim is not None:
        deleted = " (file deleted)" if post.file_deleted else ""
        yield f"    file: {visible((post.file_name or '') + (post.file_ext or ''))}{deleted}"
    for line in (post.comment_text or "").split("\n"):
        yield f"    {visible(line)}".rstrip()


def write_html(thread: ThreadAt, path: Path) -> Iterator[str]:
    """Write a thread as one HTML file. Returns what to say."""
    if path.exists():
        raise UserError(f"{path} exists; name another file.")
    new = path.with_name(f".{path.name}.part")
    new.write_text(thread_html.page(thread.board, thread.no, thread.thread, thread.posts, thread.at), encoding="utf-8")
    sync(new)
    new.replace(path)
    number = sum(history.state(thread.at) is not None for history in thread.posts)
    yield f"{path}: {counted(number, 'post')} of /{thread.board}/{thread.no}."


# --- X


def tweet_lines(store: Store, number: int) -> Iterator[str]:
    found = select(store, Tweet, "WHERE id = ?", number)
    if not found:
        raise UserError(f"{capitalized(store.place)} holds no post {number} of X.")
    yield from _tweet(found[0])
    tweet = found[0]
    for label, value in (
        ("reply to", tweet.in_reply_to_id), ("quotes", tweet.quoted_id), ("repeats", tweet.retweeted_id),
        ("conversation", tweet.conversation_id), ("language", tweet.lang), ("links", " ".join(tweet.urls)),
        ("pictures", " ".join(tweet.media_urls or ())), ("found in", ", ".join(tweet.found_in or ())),
        ("first seen", tweet.first_seen_at), ("counts", json.dumps(tweet.metrics)),
    ):  # fmt: skip
        if value:
            yield f"  {label}: {visible(str(value))}"


def _tweet(tweet: Tweet) -> Iterator[str]:
    time = f"{tweet.posted_at:%Y-%m-%d %H:%M:%S}" if tweet.posted_at else "?"
    yield f"{tweet.id}  {time}  @{visible(tweet.username or '?')}"
    for line in (tweet.retweeted_text or tweet.text or "").split("\n"):
        yield f"    {visible(line)}".rstrip()


def account_lines(store: Store, name: str) -> Iterator[str]:
    """An account with its latest posts. Posts that were taken over from the older crawler have its name alone."""
    number = int(account_of(store, name.lower()) or 0)
    posts = select(store, Tweet, f"WHERE {OF_ACCOUNT} ORDER BY id DESC LIMIT {LATEST}", number, name.lower())
    accounts = select(store, Account, "WHERE id = ?", number)
    if not accounts and not posts:
        raise UserError(f"{capitalized(store.place)} holds nothing of @{visible(name)}.")
    for account in accounts:
        yield f"@{visible(account.username)}  {visible(account.name or '')}  ({account.status}, number {account.id})"
        if account.former_usernames:
            yield f"  earlier names: {visible(', '.join(account.former_usernames))}"
        if account.description:
            yield f"  {visible(account.description)}"
        yield f"  counts: {json.dumps(account.metrics)}"
    ((stored, first, last),) = store.rows(
        f"SELECT count(*), min(posted_at), max(posted_at) FROM tweets WHERE {OF_ACCOUNT}", number, name.lower()
    )
    span = f", from {moment(first):%Y-%m-%d} to {moment(last):%Y-%m-%d}" if first is not None else ""
    yield f"  {counted(stored, 'post')} stored{span}"
    for tweet in posts:
        yield ""
        yield from _tweet(tweet)


OF_ACCOUNT = "(author_id = ? OR (author_id IS NULL AND lower(username) = ?))"
