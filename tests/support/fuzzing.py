"""Payloads that no API should send, through parsing, normalisation and both stores, for a test and a benchmark.

Each payload has good posts among odd ones. Whatever the odd ones are, nothing may crash, every good one has to be in
both stores, and every payload with something odd in the quarantine.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chancrawl.imageboards import fourchan
from chancrawl.imageboards.diff import Observation, StoredThread, compare
from chancrawl.imageboards.pages import Stub
from chancrawl.items import Item, Post
from chancrawl.payload import Malformed, digest, loads
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.upsert import BatchWriter
from chancrawl.storage.quarantine import keep, keep_row
from chancrawl.x import payloads, tweet_columns
from tests.support import KINDS
from tests.support.folders import Folder

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BATCH = 300
csv.field_size_limit(10**9)

# --- payloads

text = st.text(st.characters(exclude_categories=[]), max_size=40)  # every plane, NUL, lone surrogates
markup = st.lists(
    st.sampled_from(
        ["<br>", "<wbr>", "<span class=\"quote\">", "</span>", "<s>", "</s>", "<pre class=\"prettyprint\">", "</pre>",
         "<a href=\"#p1\" class=\"quotelink\">&gt;&gt;1</a>", "<a href=\"/g/thread/1#p2\"", "&gt;", "&#0;", "&#xd800;",
         "&#99999999999;", "<", ">", "\0", "\ud800", "https://example.org/<wbr>a", "\\", "\t", "\n", "\r\n", '"', "{,}"]
    )
    | text,
    max_size=12,
).map("".join)  # fmt: skip
long = st.builds(lambda part, times: part * times, st.text(min_size=1, max_size=3), st.sampled_from([1000, 100_000]))
number = (
    st.integers()
    | st.integers(2**31 - 2, 2**31 + 2)
    | st.integers(2**63 - 2, 2**63 + 2)
    | st.integers(-(2**64), -1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
deep = st.builds(
    lambda levels, kind: (json.loads if levels < 900 else str)(kind[0] * levels + "1" + kind[1] * levels),
    st.sampled_from([5, 99, 101, 400]), st.sampled_from([("[", "]"), ('{"a":', "}")]),
)  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | number | text | markup,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
odd = anything | deep | long

CHAN_KEYS = (
    "now name trip id capcode country country_name board_flag flag_name since4pass email sub tag com tim filename ext "
    "fsize md5 w h tn_w tn_h filedeleted spoiler custom_spoiler m_img replies images unique_ips sticky closed "
    "bumplimit imagelimit archived archived_on tail_size semantic_url last_modified"
).split()
X_KEYS = (
    "author_id created_at text lang source conversation_id in_reply_to_user_id possibly_sensitive reply_settings "
    "edit_history_tweet_ids entities attachments geo public_metrics referenced_tweets note_tweet"
).split()
extra = st.dictionaries(st.sampled_from(CHAN_KEYS) | text, odd, max_size=4)
x_extra = st.dictionaries(st.sampled_from(X_KEYS) | text, odd, max_size=4)

good_post = st.fixed_dictionaries({"time": st.integers(0, 4_000_000_000), "com": markup | text}, optional={})
odd_post = (
    anything
    | st.fixed_dictionaries({"no": odd, "resto": odd, "time": odd, "com": odd})
    | st.fixed_dictionaries({"no": st.integers(1, 9), "time": odd})
)
# What is put together: posts that are good, good ones with odd values, and odd ones; what stands first; the rest.
threads = st.tuples(
    st.lists(st.tuples(good_post, extra | st.just({})), max_size=4), st.lists(odd_post, max_size=3), st.booleans()
)
pages = st.tuples(
    st.lists(st.tuples(text, x_extra), max_size=4),
    st.lists(anything | st.fixed_dictionaries({"id": odd, "text": odd}), max_size=3),
    st.dictionaries(st.sampled_from("tweets users media polls places".split()) | text, st.lists(odd, max_size=2) | odd),
    odd,
)
rubbish = st.binary(max_size=60) | odd.map(lambda value: json.dumps(value).encode())


def is_shallow(raw: dict[str, Any]) -> bool:
    """Whether a post is not one of those that are nested so deeply that they are set aside."""
    try:
        digest(raw)
    except Malformed:
        return False
    return True


class Trial:
    """Takes payloads as a crawl does, and both stores to put them in."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.postgres = PostgresStore(database_url, KINDS)
        self.postgres.open()
        self.postgres.prepare()
        self.embedded = Folder(folder)
        self.numbers = count(10)
        self.good: set[tuple[str, int]] = set()  # (board or x, number)
        self.batch: list[Item] = []
        self.quarantined: Counter[str] = Counter()
        self.examples = 0

    def set_aside(self, url: str, body: bytes, reasons: Sequence[str]) -> None:
        if reasons:
            self.quarantined["payloads"] += 1
            if self.quarantined["payloads"] % 50 == 1:  # all of them would be many files
                keep(self.folder / "quarantine", url, body, "; ".join(reasons[:10]))

    # --- payloads

    def thread(self, posts: list[tuple[dict[str, Any], dict[str, Any]]], others: list[Any], whole: bool) -> None:
        no = next(self.numbers)
        raws: list[Any] = []
        for place, (good, more) in enumerate(posts if whole else [({"time": 1}, {}), *posts]):
            number = no if place == 0 else next(self.numbers)
            raws.append({**more, **good, "no": number, "resto": 0 if place == 0 else no})
        numbers = {raw["no"] for raw in raws if is_shallow(raw)}
        if not whole:
            raws[0] = others[0] if others else None  # the opening post itself is odd
            numbers.discard(no)
        self.read_thread(no, json.dumps({"posts": raws[:1] + others + raws[1:]}).encode(), numbers)

    def read_thread(self, no: int, body: bytes, good: set[int]) -> None:
        self.examples += 1
        url = f"/fuzz/thread/{no}.json"
        try:
            page = fourchan.parse_thread(loads(body), "fuzz", no)
        except (Malformed, Stub) as error:
            if good:
                raise
            return self.set_aside(url, body, [str(error)])
        self.set_aside(url, body, page.problems)
        found = compare(StoredThread(), page, Observation(NOW, NOW, "body", is_own=True)).items
        assert good <= page.posts.keys()
        for item in found:
            if isinstance(item, Post):
                self.set_aside(url, body, fourchan.describe(item))
        self.good |= {("fuzz", no) for no in good}
        return self.store(found)

    def page(self, posts: list[tuple[str, dict[str, Any]]], others: list[Any], includes: Any, meta: Any) -> None:
        ids = [next(self.numbers) for _ in posts]
        data = [{**more, "id": str(no), "text": text} for no, (text, more) in zip(ids, posts, strict=True)]
        body = json.dumps({"data": [*others, *data], "includes": includes, "meta": meta}).encode()
        self.read_page(body, set(ids))

    def read_page(self, body: bytes, good: set[int]) -> None:
        self.examples += 1
        try:
            page = payloads.parse_page(loads(body), "timeline:1", NOW)
        except Malformed as error:
            if good:
                raise
            return self.set_aside("https://api.x.com/2", body, [str(error)])
        self.set_aside("https://api.x.com/2", body, page.problems)
        for tweet in page.tweets:
            self.set_aside("https://api.x.com/2", body, tweet_columns.describe(tweet))
        assert good <= {tweet.id for tweet in page.tweets}
        self.good |= {("x", no) for no in good}
        authors: list[Item] = list(page.authors.values())
        return self.store([*page.tweets, *authors])

    # --- stores

    def store(self, items: Sequence[Item]) -> None:
        self.batch += items
        if len(self.batch) >= BATCH:
            self.flush()

    def flush(self) -> None:
        batch, self.batch = self.batch, []
        rejected = BatchWriter(KINDS).write(
            self.postgres.connection,
            batch,
            lambda item, why: keep_row(self.folder / "quarantine", KINDS.of(item), item, why),
        )
        self.quarantined["rows"] += len(rejected)
        before = len(self.embedded.rejected)
        self.embedded.put(*batch)
        self.quarantined["rows"] += len(self.embedded.rejected) - before

    def compare(self) -> None:
        """Every good post is in both stores; and the files read back as CSV."""
        if self.batch:
            self.flush()
        with self.postgres.connection as connection, connection.cursor() as cursor:
            cursor.execute("SELECT board, no FROM posts UNION ALL SELECT 'x', id FROM tweets")
            stored = set(cursor.fetchall())
        assert self.good <= stored, sorted(self.good - stored)[:5]
        held = set(self.embedded.store.rows("SELECT board, no FROM posts UNION ALL SELECT 'x', id FROM tweets"))
        assert self.good <= held, sorted(self.good - held)[:5]
        files = set()
        for file in self.folder.rglob("*.csv"):
            with file.open(newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    assert None not in row and None not in row.values(), row
                    if "thread_no" in row:
                        files.add((row["board"], int(row["no"])))
                    elif "favorite_count" in row:
                        files.add(("x", int(row["id"])))
        assert self.good <= files, sorted(self.good - files)[:5]

    def close(self) -> None:
        self.postgres.close()
        self.embedded.close()


def fuzz(trial: Trial, examples: int) -> None:
    """Feed so many payloads of each of four kinds."""
    some = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))

    @some
    @given(threads)
    def of_threads(parts: Any) -> None:
        trial.thread(*parts)

    @some
    @given(pages)
    def of_pages(parts: Any) -> None:
        trial.page(*parts)

    @some
    @given(rubbish)
    def of_rubbish(body: bytes) -> None:
        trial.read_thread(next(trial.numbers), body, set())
        trial.read_page(body, set())

    for kind in (of_threads, of_pages, of_rubbish):
        kind()
    trial.compare()
