"""What answers mean, thread by thread: payloads as the API sends them, a clock of the test's own."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from chancrawl.imageboards import fourchan
from chancrawl.imageboards.diff import Observation, StoredThread
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.imageboards.frontier import Fetch, Frontier
from chancrawl.imageboards.monitor import PATIENCE, Found, Monitor
from chancrawl.imageboards.pass_plan import changed
from chancrawl.items import Board, Deletion, Item, Post, Thread

START = 1_795_000_000


class Site:
    """A board seen by a Watch; what it says is applied at once, as the pipelines do."""

    def __init__(self, has_archive: bool = True, threads: int = 150) -> None:
        self.frontier = Frontier(index_interval=5, thread_interval=10, delay=1)
        self.stored: defaultdict[int, StoredThread] = defaultdict(StoredThread)
        board = Board("po", has_archive=has_archive, pages=threads // 5, per_page=5)
        self.monitor = Monitor(FOURCHAN, board, self.frontier, lambda no: self.stored[no])
        self.problems: list[str] = []

    def look(self, at: float, upto: float | None, is_own: bool = False) -> Observation:
        modified = datetime.fromtimestamp(START + (at if upto is None else upto), UTC)
        body = f"{is_own} {modified}"
        return Observation(datetime.fromtimestamp(START + at, UTC), modified, body, is_own, body if is_own else None)

    def apply(self, found: Found | list[Item]) -> list[Any]:
        items = found.items if isinstance(found, Found) else found
        for item in items:
            if isinstance(item, Post | Deletion):
                self.stored[item.thread_no].apply(item)
            elif isinstance(item, Thread):
                self.stored[item.no].apply(item)
        return [item for item in items if isinstance(item, Post | Deletion | Thread)]

    def catalog(self, at: float, *threads: dict[str, Any], upto: float | None = None) -> list[Any]:
        ask = Fetch("po", "catalog")
        problems: list[str] = []
        entries = fourchan.parse_index([{"page": 1, "threads": list(threads)}], problems)
        changed = self.monitor.changed_threads(ask, entries)
        found = self.monitor.index(ask, entries, changed, self.look(at, upto), at, 1000, problems)
        self.problems = found.problems
        return self.apply(found)

    def page(self, at: float, no: int, replies: list[int], upto: float | None = None, **opening: Any) -> list[Any]:
        payload = {"posts": [thread(no, replies, **opening), *(reply(no, n) for n in replies)]}
        page = fourchan.parse_thread(payload, "po", no)
        return self.apply(self.monitor.thread(Fetch("po", "thread", no), page, self.look(at, upto, True), at))

    def answer(self, at: float, no: int, status: int, upto: float | None = None) -> list[Any]:
        method = self.monitor.thread_gone if status == 404 else self.monitor.thread_unchanged
        return self.apply(method(Fetch("po", "thread", no), self.look(at, upto, True), at))

    def pending(self, no: int) -> bool:
        return no in self.monitor.state.pending


def reply(thread_no: int, no: int, **more: Any) -> dict[str, Any]:
    return {"no": no, "resto": thread_no, "time": START + no - 1000, "com": str(no), **more}


def thread(no: int, replies: list[int], **more: Any) -> dict[str, Any]:
    return {"no": no, "resto": 0, "time": START - 1000 + no - 1000, "replies": len(replies), **more}


def entry(no: int, replies: list[int], **more: Any) -> dict[str, Any]:
    """As a catalog lists it, with its last five replies."""
    last = replies[-5:]
    shown = {"last_replies": [reply(no, n) for n in last]} if last else {}
    omitted = {"omitted_posts": len(replies) - len(last)} if len(replies) > len(last) else {}
    modified = START + max(replies, default=0) - 1000 if replies else START - 1000
    return thread(no, replies, last_modified=modified) | omitted | shown | more


def kinds(items: list[Any]) -> list[tuple[str, int]]:
    return [(type(item).__name__, item.no) for item in items]


def test_a_thread_that_the_catalog_shows_completely_is_not_requested() -> None:
    site = Site()
    items = site.catalog(10, entry(1000, [1001, 1002]))
    assert kinds(items) == [("Post", 1000), ("Post", 1001), ("Post", 1002), ("Thread", 1000)]
    assert items[-1].replies == 2 and not site.pending(1000)
    assert site.catalog(20, entry(1000, [1001, 1002])) == []


def test_a_thread_whose_new_replies_are_all_shown_is_not_requested() -> None:
    site = Site()
    site.catalog(10, entry(1000, [1001, 1002]))
    site.catalog(20, entry(1000, [1001, 1002, 1012, 1013, 1014, 1015]))
    assert not site.pending(1000), "one reply is not shown, and held"
    site.catalog(40, entry(1000, [1001, 1002, *range(1012, 1016), *range(1030, 1037)]))
    assert site.monitor.state.threads[1000].missing == 2
    site.page(50, 1000, [1001, 1002, *range(1012, 1016), *range(1030, 1037)])
    assert not site.pending(1000) and len(site.stored[1000].posts) == 14


def test_deletions_seen_in_an_index() -> None:
    site = Site()
    replies = list(range(1001, 1009))
    site.page(9, 1000, replies)
    site.catalog(10, entry(1000, replies))
    (deletion, state) = site.catalog(20, entry(1000, [*range(1001, 1007), 1008]), upto=19)
    assert isinstance(deletion, Deletion) and deletion.no == 1007 and deletion.deleted_at is not None
    assert state.replies == 7 and not site.pending(1000)
    (confirmed, *_) = site.catalog(30, entry(1000, [*range(1001, 1007), 1008, 1029]), upto=29)[1:]
    assert confirmed.no == 1007 and confirmed.deletion_confirmed_at is not None
    site.catalog(40, entry(1000, [*range(1002, 1007), 1008, 1029]), upto=39)
    assert site.monitor.state.threads[1000].excess == 1, "one of those that are not shown"
    assert ("Deletion", 1001) in kinds(site.page(50, 1000, [*range(1002, 1007), 1008, 1029]))
    back = site.catalog(60, entry(1000, [*range(1002, 1009), 1029]), upto=59)
    assert [(item.no, item.deleted_at) for item in back if isinstance(item, Deletion)] == [(1007, None)]


def test_an_older_copy_deletes_nothing() -> None:
    site = Site()
    site.page(3, 1000, [1001], upto=1)
    site.catalog(21, entry(1000, [1001, 1010, 1020]))
    assert site.page(25, 1000, [1001, 1002], upto=3) == [site_post(site, 1002)], "it can bring what was not known"
    assert site.catalog(26, entry(1000, [1001, 1010]), upto=12) == []
    assert {no for no, known in site.stored[1000].posts.items() if known.deleted_at} == set()


def site_post(site: Site, no: int) -> Any:
    known = site.stored[1000].posts[no]

    class Same:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Post) and other.no == no and other.digest == known.digest

    return Same()


def test_an_unreadable_reply_does_not_hide_others() -> None:
    site = Site()
    odd = entry(1000, list(range(1001, 1011)))
    del odd["last_replies"][0]["time"]
    items = site.catalog(20, odd)
    assert site.pending(1000) and site.problems
    state = items[-1]
    index = fourchan.parse_index([{"threads": [odd]}])[1000]
    assert changed(index, state), "a later pass asks for it, too"


def test_an_index_without_counts_deletes_nothing() -> None:
    for odd in ({"replies": "50"}, {"sticky": 1, "replies": 950}):
        site = Site()
        replies = list(range(1001, 1061))
        site.page(70, 1000, replies)
        listed = entry(1000, replies) | odd
        listed.pop("omitted_posts")
        assert [item for item in site.catalog(80, listed) if isinstance(item, Deletion)] == []


def test_replies_dropped_by_a_sticky_are_not_deleted_when_it_is_unpinned() -> None:
    site = Site()
    site.page(2000, 1000, list(range(1001, 2001)), sticky=1)
    site.page(2100, 1000, list(range(1501, 2501)), sticky=1)
    items = site.page(2200, 1000, list(range(1501, 2501)), sticky=0)
    assert [item for item in items if isinstance(item, Deletion)] == []


def test_posts_stored_before_a_crash_without_their_thread() -> None:
    site = Site()
    site.catalog(10, entry(1000, [1001, 1002, 1003, 1004, 1005]))
    site.stored[1000].thread = None
    site.monitor.state.threads.clear()
    items = site.catalog(20, entry(1000, [1001, 1002, 1003, 1004, 1005, 1011]))
    assert kinds(items) == [("Post", 1011), ("Thread", 1000)] and not site.pending(1000)
    assert items[-1].replies is None, "not ahead of what is known: a later pass asks"


def test_a_thread_with_an_invisible_change_is_requested() -> None:
    site = Site()
    replies = list(range(1001, 1021))
    site.page(25, 1000, replies)
    site.catalog(26, entry(1000, replies))
    site.catalog(60, entry(1000, replies, last_modified=START + 50))
    assert site.monitor.state.threads[1000].doubtful


def many(count: int, at: int) -> list[dict[str, Any]]:
    return [entry(no, [at + 1000 - place]) for place, no in enumerate(range(3000, 3000 + count))]


def test_fates_of_threads_that_left_the_index() -> None:
    for has_archive, position, fate in ((True, 2, "deleted"), (False, 2, "deleted"), (False, 19, "pruned")):
        site = Site(has_archive, threads=20)
        threads = many(20, 0)
        gone = threads[position]["no"]
        site.catalog(10, *threads)
        born = entry(1012, [], last_modified=START + 12)
        site.catalog(20, born, *(entry for entry in threads if entry["no"] != gone))
        assert site.pending(gone)
        items = site.answer(60, gone, 404)
        assert items[-1].fate == fate
        assert any(isinstance(item, Deletion) for item in items) == (fate == "deleted")
        site.catalog(61, *threads, upto=15)
        assert gone not in site.monitor.state.threads, "an older copy of the index"


def test_a_quiet_thread_deleted_after_hours_is_deleted() -> None:
    site = Site(has_archive=False, threads=20)
    threads = many(20, 0)
    for hour in range(4):
        bumped = [entry(item["no"], [hour * 3600 + 1000 - place]) for place, item in enumerate(threads[:8])]
        site.catalog(hour * 3600 + 10, *bumped, *threads[8:])
    site.catalog(3 * 3600 + 50, *bumped, *threads[8:9], *threads[10:])
    assert site.answer(3 * 3600 + 90, threads[9]["no"], 404)[-1].fate == "deleted"


def test_a_short_index_is_accepted_only_when_it_stays_short() -> None:
    site = Site(threads=20)
    threads = many(20, 0)
    site.catalog(10, *threads)
    site.catalog(20)
    site.catalog(30, *threads[:3], entry(5000, [1029]))
    assert 5000 in site.monitor.state.threads, "what it shows is seen"
    assert not any(state.gone_at for state in site.monitor.state.threads.values())
    for at in (300, 500, 700):
        site.catalog(at, *threads[:3], upto=at)
    assert sum(state.gone_at is not None for state in site.monitor.state.threads.values()) >= 17


def test_replies_that_do_not_exist_are_not_requested_forever() -> None:
    site = Site()
    site.page(9, 1000, [1001, 1002])
    site.catalog(10, entry(1000, [1001, 1002]) | {"replies": 3, "omitted_posts": 1})
    assert site.monitor.state.threads[1000].missing == 1
    pauses = []
    for turn in range(PATIENCE + 1):
        at = 20 + 100 * turn  # later than the index by more than a copy can be old
        site.answer(at, 1000, 304)
        pauses.append(site.monitor.state.threads[1000].not_before - at)
    assert pauses[:PATIENCE] == sorted(pauses[:PATIENCE]) and pauses[1] > pauses[0]
    assert not site.pending(1000), "the thread's own page says that there is no more"
    site.catalog(900, entry(1000, [1001, 1002, 1890]) | {"replies": 4, "omitted_posts": 1})
    assert not site.pending(1000), "and the count is known to be one too high"


def test_a_thread_in_the_archive_whose_page_has_not_changed() -> None:
    site = Site()
    site.catalog(10, entry(1000, [1001]), entry(2000, []))
    site.catalog(50, entry(2000, []))
    stored = {1000: site.stored[1000].thread}
    site.monitor.archive(Fetch("po", "archive"), [1000], stored, site.look(55, None), 55, 100)  # type: ignore[arg-type]
    assert [item.fate for item in site.answer(60, 1000, 304)] == ["archived"]
    assert 1000 not in site.monitor.state.threads


def test_corrupt_times_and_numbers_are_ignored() -> None:
    site = Site()
    site.catalog(10, entry(1000, [1001], last_modified=253402300799), {"no": "x"}, entry(2000, [2**63 - 1]))
    assert site.problems and site.monitor.state.newest_no < 10**6
    items = site.catalog(20, entry(1000, [1001, 1015]))
    assert ("Post", 1015) in kinds(items)


def test_a_jump_of_the_servers_clock_does_not_stop_requests() -> None:
    site = Site()
    now = 0.0
    asked_at: list[float] = []
    for day in (0, 86400, 0):
        for _ in range(40):
            ask = site.frontier.next(now)
            while not isinstance(ask, Fetch):
                now = ask.until
                ask = site.frontier.next(now)
            asked_at.append(now)
            at = datetime.fromtimestamp(START + now + day, UTC)
            upto = (at.timestamp() + now) / 2
            site.frontier.read(ask, now + 0.2, at.timestamp(), upto, 1000)
            now += 1
    assert max(after - before for before, after in pairwise(asked_at)) < 3700
