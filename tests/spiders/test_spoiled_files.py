"""Any file of a board that answers nonsense for any stretch: no false deletion, no false end, nothing forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.spiders.test_chan import BOARD, fates, live_threads
from tests.support.crawls import Crawler
from tests.support.sandboxes import Sandbox
from tests.support.stores import posts_of

pytestmark = pytest.mark.soak

KINDS = ["404", "503", "crowd", "302", "json403", "html403", "html200", "stub", "empty", "malformed", "holey",
         "truncated", "wrong_types", "bad_byte", "modified2099", "forgetful"]  # fmt: skip
FILES = [
    "boards.json",
    "threads.json",
    "catalog.json",
    "archive.json",
    f"/{BOARD}/1.json",
    f"/{BOARD}/2.json",
    "/thread/",
]


def spoil(sandbox: Sandbox, random: Random, times: int | None = None) -> None:
    for _ in range(random.randrange(1, 4)):
        path = random.choice(FILES)
        if path == "/thread/":
            path = f"/thread/{random.choice(live_threads(sandbox))}" if random.random() < 0.7 else path
        kinds = KINDS if "/thread/" in path else KINDS[:-1]
        sandbox.fault(random.choice(kinds), path=path, times=times, probability=random.choice([0.3, 1.0]))


def live_a_little(sandbox: Sandbox, random: Random) -> set[int]:
    """People and moderators at work. Returns the posts that were moved, which are missing until they are read there."""
    moved = set()
    for _ in range(random.randrange(2, 6)):
        thread = random.choice(live_threads(sandbox)[1:])
        replies = [post["no"] for post in sandbox.thread(thread)["posts"][1:]]
        match random.randrange(5):
            case 0:
                sandbox.act("reply", board=BOARD, no=thread, count=random.randrange(1, 4))
            case 1 if replies:
                sandbox.act("delete", board=BOARD, no=random.choice(replies))
            case 2:
                sandbox.act("delete_thread", board=BOARD, no=thread)
            case 3:
                sandbox.act("fall_off", board=BOARD, no=thread)
            case 4 if replies:
                no = random.choice(replies)
                older = [to for to in live_threads(sandbox)[1:] if to < no and to != thread]
                if older:
                    moved.add(sandbox.act("move", board=BOARD, no=no, to=random.choice(older))["no"])
    return moved


def nothing_false(crawler: Crawler, sandbox: Sandbox, moved: Collection[int] = ()) -> None:
    """No post or thread is said to be deleted, and no thread to have ended, of which that is not true."""
    truth = {post["no"]: post for post in sandbox.truth() if post["board"] == BOARD}
    held = posts_of(crawler.store)
    for (_, no), post in held.items():
        if post["deleted_at"] is not None and no not in moved:
            assert truth[no]["deleted_at"] is not None or truth[no]["thread_fate"] == "deleted", no
    fate_of = {post["thread_no"]: post["thread_fate"] for post in truth.values()}
    for no, fate in fates(crawler).items():
        assert fate in ("live", fate_of[no]) or (fate == "pruned" and fate_of[no] != "live"), (no, fate, fate_of[no])


@pytest.mark.parametrize("seed", range(3))
def test_passes_over_a_board_that_fails_here_and_there(any_store: Crawler, sandbox: Sandbox, seed: int) -> None:
    random = Random(seed)
    any_store(f"-aboard={BOARD}", "-asample=1").ok()
    sandbox.ask(f"/{BOARD}/1.json")
    moved: set[int] = set()
    for _ in range(3):
        spoil(sandbox, random)
        run = any_store(f"-aboard={BOARD}", "-sBACKOFF_MAX=1", "-sRETRY_TIMES=1", "-sSOURCE_PATIENCE=5")
        sandbox.heal()
        assert "Traceback" not in run.output
        nothing_false(any_store, sandbox, moved)
        sandbox.advance(60)
        moved |= live_a_little(sandbox, random)
    any_store(f"-aboard={BOARD}").ok()
    any_store(f"-aboard={BOARD}").ok()
    nothing_false(any_store, sandbox)
    assert set(any_store.held(BOARD)) >= sandbox.visible(BOARD), "nothing is forgotten"
    live = set(live_threads(sandbox))
    assert {no for no, fate in fates(any_store).items() if fate == "live"} == live, "what has ended is known"


@pytest.mark.parametrize("seed", range(2))
def test_following_a_board_that_fails_here_and_there(
    tmp_path: Path, wait_until: Callable[..., None], seed: int
) -> None:
    random = Random(seed)
    sandbox = Sandbox("--speed", "200", "--seed", str(seed))
    try:
        sandbox.ask(f"/{BOARD}/1.json")
        crawler = Crawler(tmp_path / "data", sandbox.url, delay=0.02)
        settings = {"CHAN_INDEX_INTERVAL": 0.1, "CHAN_THREAD_INTERVAL": 0.2, "BATCH_SECONDS": 0.2, "BACKOFF_MAX": 1}
        more = [f"-s{name}={value}" for name, value in settings.items()]
        process: Any = crawler.start(f"-aboard={BOARD}", "-afollow=1", *more)
        moved: set[int] = set()
        for _ in range(4):
            moved |= live_a_little(sandbox, random)
            spoil(sandbox, random)
            time.sleep(2)
            sandbox.heal()
            time.sleep(random.random())
        moved |= live_a_little(sandbox, random)
        wait_until(lambda: sandbox.visible(BOARD, live_only=True) <= set(crawler.held(BOARD)), timeout=60)
        run = crawler.interrupted(process).ok()
        assert "Traceback" not in run.output
        nothing_false(crawler, sandbox, moved)
    finally:
        sandbox.stop()
