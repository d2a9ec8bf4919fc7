from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chancrawl.imageboards.board_state import BoardState, TrackedThread
from chancrawl.imageboards.frontier import Fetch, Frontier
from chancrawl.imageboards.pace import Clock, Rate

AT = 1_795_000_000.0  # the server's clock when ours shows 0


def frontier_of(*paces: float, delay: float = 1.0, has_archive: bool = True) -> Frontier:
    """A frontier for boards of known pace, in posts a second."""
    frontier = Frontier(index_interval=5 * delay, thread_interval=10 * delay, delay=delay)
    for number, pace in enumerate(paces):
        board = BoardState(f"b{number}", has_archive=has_archive)
        board.pace.count(pace * 3600, 3600)
        frontier.add(board)
    frontier.clock.synchronise(0.0, AT)
    return frontier


def board_of(frontier: Frontier, number: int = 0) -> BoardState:
    return frontier.boards[f"b{number}"]


def settle(frontier: Frontier, now: float = 0.0) -> None:
    """All index files have just been read."""
    for board in frontier.boards.values():
        for what in board.files:
            frontier.read(Fetch(board.name, what), now, AT + now, AT + now, 15_000)


def put(frontier: Frontier, thread: TrackedThread, number: int = 0) -> TrackedThread:
    board = board_of(frontier, number)
    board.threads[thread.no] = thread
    frontier.mark_pending(board, thread)
    return thread


def crawl(frontier: Frontier, seconds: float, random: Random | None = None) -> Iterator[tuple[float, Fetch]]:
    """Ask for what the frontier names, at most once in its delay, and answer; now and then with a failure or late."""
    now, busy_until = 0.0, 0.0
    late: list[tuple[float, Fetch]] = []
    while now < seconds:
        for due, ask in [answer for answer in late if answer[0] <= now]:
            late.remove((due, ask))
            answer(frontier, ask, now, random)
        if now < busy_until:
            now = busy_until
            continue
        asked = frontier.next(now)
        if isinstance(asked, Fetch):
            yield now, asked
            busy_until = now + frontier.delay
            late.append((now + (random.random() * 3 if random else 0.2) * frontier.delay, asked))
            now += 0.2 * frontier.delay
        else:
            assert asked.until > now
            now = min([asked.until, *(due for due, _ in late if due > now)])


def answer(frontier: Frontier, ask: Fetch, now: float, random: Random | None) -> None:
    luck = random.random() if random else 1.0
    if luck < 0.05:
        frontier.failed(ask, now)
    elif luck < 0.1:
        frontier.refused(ask, now)
    elif not ask.is_thread:
        frontier.read(ask, now, AT + now, AT + now, 15_000 if luck > 0.2 else None)
        board = frontier.boards[ask.board]
        if random and board.threads:  # an index tells that some thread has grown
            thread = random.choice(list(board.threads.values()))
            thread.missing += 1
            frontier.mark_pending(board, thread)
    else:
        frontier.answered(ask, now, AT + now)
        thread = frontier.boards[ask.board].threads[ask.no]
        thread.missing = thread.excess = thread.backlog = 0
        thread.gone_at = None
        frontier.mark_pending(frontier.boards[ask.board], thread)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.lists(st.floats(0.001, 3), min_size=1, max_size=4), st.booleans())
def test_requests_keep_their_delays_and_intervals(random: Random, paces: list[float], has_archive: bool) -> None:
    """No file within its interval, no thread within its own, nothing while it is under way."""
    frontier = frontier_of(*paces, has_archive=has_archive)
    for number in range(len(paces)):
        for no in range(1, 12):
            put(
                frontier,
                TrackedThread(no, position=no * 10, missing=random.randrange(9), excess=random.randrange(2)),
                number,
            )
    last: dict[tuple[str, str, int], float] = {}
    for now, ask in crawl(frontier, 300, random):
        key = (ask.board, "thread" if ask.is_thread else ask.what, ask.no)
        interval = frontier.thread_interval if ask.is_thread else frontier.index_interval
        assert now - last.get(key, -math.inf) >= interval - 1e-6, ask
        last[key] = now


@settings(max_examples=25)
@given(
    st.lists(st.floats(0.0005, 2), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 149), st.integers(0, 50), st.integers(0, 3), st.booleans()), max_size=6),
    st.booleans(),
)
def test_an_idle_frontier_returns_the_next_due_time(
    paces: list[float], threads: list[tuple[int, int, int, bool]], is_lagging: bool
) -> None:
    frontier = frontier_of(*paces)
    settle(frontier)
    for no, (position, missing, excess, is_gone) in enumerate(threads, 1):
        thread = TrackedThread(
            no, position, missing=missing, excess=excess, modified=AT - no, pending_since=AT, shown_at=AT
        )
        thread.asked_now = 0.0
        thread.gone_at = AT if is_gone else None
        put(frontier, thread)
    board_of(frontier).is_lagging = is_lagging
    now = 1.0
    for _ in range(1000):
        idle = frontier.next(now)
        if isinstance(idle, Fetch):
            return
        due = idle.until
        assert now < due <= now + 60
        assert not isinstance(frontier.next(now + (due - now) * 0.9), Fetch), "not before it is due"
        now = due + 1e-6
    raise AssertionError("nothing is ever due")


def test_every_board_and_thread_is_requested() -> None:
    """More to poll than there are requests: what waits comes in its turn."""
    frontier = frontier_of(*[0.5] * 10)
    put(frontier, TrackedThread(1, position=3, missing=1, pending_since=AT))
    put(frontier, TrackedThread(2, position=3, excess=1, pending_since=AT), 1)
    put(frontier, TrackedThread(3, position=3, gone_at=AT), 2)
    put(frontier, TrackedThread(4, position=3, doubtful=True, pending_since=AT), 3)
    put(frontier, TrackedThread(5, position=148, missing=90, backlog=90, pending_since=AT), 4)
    put(frontier, TrackedThread(6, position=3, missing=90, backlog=90, pending_since=AT), 5)
    frontier.archived(board_of(frontier, 6), [7], 0.0)
    first: dict[int, float] = {}
    polls: Counter[str] = Counter()
    for now, ask in crawl(frontier, 3600):
        polls[ask.board] += not ask.is_thread
        if ask.is_thread:
            first.setdefault(ask.no, now)
        if ask.no == 7:
            board_of(frontier, 6).threads[7] = TrackedThread(7)  # so that `answer` finds it
    assert first.keys() == {1, 2, 3, 4, 5, 6, 7}
    assert first[1] < 60, "what is fresh does not wait"
    assert min(polls.values()) > 200


def test_boards_are_requested_in_proportion_to_the_root_of_their_pace() -> None:
    frontier = frontier_of(*[1.6] * 6, *[0.1] * 6)
    asks = Counter(ask.board for _, ask in crawl(frontier, 3000))
    fast, slow = (sum(asks[f"b{number}"] for number in numbers) for numbers in (range(6), range(6, 12)))
    assert 2.8 < fast / slow < 5.0  # 4


def test_a_slow_board_takes_few_requests() -> None:
    asks = [ask for _, ask in crawl(frontier_of(0.001), 3600)]
    assert 10 < len(asks) < 60


def test_urgent_work_is_not_queued_behind_the_backlog() -> None:
    frontier = frontier_of(1.7)
    settle(frontier)
    for no in range(1, 150):
        put(frontier, TrackedThread(no, position=no, missing=100, backlog=100, pending_since=AT))
    put(frontier, TrackedThread(150, position=2, missing=2, pending_since=AT + 4))
    asks = [ask for _, ask in crawl(frontier, 60)]
    assert asks[0].no == 150
    assert sum(ask.what == "1" or ask.what == "catalog" for ask in asks) >= 8, "as often as without a backlog"


def test_threads_at_the_end_of_a_board_without_archive_are_first() -> None:
    frontier = frontier_of(1.0, has_archive=False)
    settle(frontier)
    for no, position in ((1, 20), (2, 149), (3, 100)):
        put(frontier, TrackedThread(no, position=position, missing=50, backlog=50, pending_since=AT))
    assert [ask.no for _, ask in crawl(frontier, 4) if ask.is_thread] == [2, 3, 1]


def test_the_tail_of_a_long_thread_is_enough_for_a_few_posts() -> None:
    frontier = frontier_of(1.0)
    settle(frontier)
    thread = put(frontier, TrackedThread(1, replies=300, missing=3, has_tail=True, pending_since=AT))
    assert frontier.next(0.0) == Fetch("b0", "tail", 1)
    frontier.answered(Fetch("b0", "tail", 1), 1.0, AT + 1)
    thread.excess = 1
    frontier.mark_pending(board_of(frontier), thread)
    thread.pending_since = AT - 1000
    assert next(ask for _, ask in crawl(frontier, 30) if ask.is_thread).what == "thread", (
        "which one is gone, only it tells"
    )


def test_an_index_that_is_rebuilt_at_intervals_is_requested_then() -> None:
    frontier = frontier_of(1.7)
    settle(frontier)
    put(frontier, TrackedThread(1, position=0, recent=Rate(5, 70), shown_at=AT, modified=AT))
    asked: Counter[str] = Counter()
    for _, ask in crawl_of_lagging(frontier, 1800):
        asked[ask.what] += 1
    assert 55 <= asked["catalog"] <= 90, "about once in half a minute"
    assert asked["1"] < 40 and asked["thread"] > 50, "the rest goes to threads"
    assert board_of(frontier).files["catalog"].rebuilt_every == pytest.approx(30, abs=6)


def crawl_of_lagging(frontier: Frontier, seconds: float) -> Iterator[tuple[float, Fetch]]:
    """Index files are made anew every 30 seconds; their Last-Modified shows it."""
    now = 0.0
    shown: dict[str, float] = {}
    while now < seconds:
        ask = frontier.next(now)
        if not isinstance(ask, Fetch):
            now = ask.until
            continue
        yield now, ask
        now += 1
        built = AT + now // 30 * 30
        if ask.is_thread:
            frontier.answered(ask, now, AT + now)
            board_of(frontier).threads[1].shown_at = AT + now
        else:
            before = shown.get(ask.what, built)
            frontier.read(ask, now, AT + now, built, None if before == built else 15_000, before + 0.6)
            shown[ask.what] = built


def test_the_servers_clock() -> None:
    clock = Clock()
    for now in range(0, 100, 7):
        clock.synchronise(now, math.floor(AT + 10 * now))
    assert clock.speed == pytest.approx(10, rel=0.02)
    assert clock.at(110) == pytest.approx(AT + 1100, abs=3)
    clock.synchronise(111, AT + 5000)  # it was set
    clock.synchronise(112, AT + 5010)
    assert clock.speed == pytest.approx(10, rel=0.02) and clock.at(113) == pytest.approx(AT + 5020, abs=3)


def test_a_file_that_fails_waits_longer_each_time() -> None:
    frontier = frontier_of(1.0)
    pauses = []
    now = 0.0
    for _ in range(5):
        ask = frontier.next(now)
        while not isinstance(ask, Fetch) or ask.what != "catalog":
            if isinstance(ask, Fetch):
                frontier.refused(ask, now)
                now += 1
            else:
                now = ask.until
            ask = frontier.next(now)
        frontier.failed(ask, now)
        pauses.append(board_of(frontier).files["catalog"].not_before - now)
    assert pauses == sorted(pauses) and pauses[-1] > 8 * pauses[0]


def test_a_board_with_many_deletions_is_requested_more_often() -> None:
    frontier = frontier_of(0.5, 0.5)
    board_of(frontier).moderated(fresh=2000, deleted=400)
    board_of(frontier, 1).moderated(fresh=2000, deleted=4)
    asks = Counter(ask.board for _, ask in crawl(frontier, 3000))
    assert asks["b0"] > 1.3 * asks["b1"]
