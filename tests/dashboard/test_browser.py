"""The pages in a real browser, while a crawl of the sandbox writes: numbers move, keys suffice, nothing is refused by
the policy, nothing leaves this machine, and axe-core finds nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from chancrawl.storage.sqlite.store import SqliteStore
from tests.dashboard.test_pages import items
from tests.support import KINDS
from tests.support.crawls import Crawler
from tests.support.dashboards import Served, served
from tests.support.hostile import hostile_items
from tests.support.sandboxes import Sandbox

pytestmark = pytest.mark.soak

AXE = "axe-core@4.14.1"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PAGES = ("/", "/board/po?days=7", "/board/po/thread/5", "/board/po/post/5", "/search?q=opening", "/accounts", "/feeds",
         "/account/5", f"/x/{2**61 + 1}", "/crawls", "/credentials")  # fmt: skip
EMPTY = ("/", "/accounts", "/crawls", "/credentials", "/feeds")
FAULTS = ("/board/zz", "/search?q=a&board=zz", "/login")
POLICY = "document.addEventListener('securitypolicyviolation', e => console.error('refused by policy', e.blockedURI))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or os.environ.get("CHROMIUM")
    if chromium is None:
        pytest.skip("left out: chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("left out: npm is not installed, which fetches axe-core")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run([npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"left out: axe-core cannot be fetched: {done.stderr.strip()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Served]:
    with _served(tmp_path, items()) as dashboard:
        yield dashboard


@contextmanager
def _served(tmp_path: Path, rows: list[Any], **settings: Any) -> Iterator[Served]:
    store = SqliteStore(tmp_path / "data", KINDS)
    store.open()
    store.prepare()
    store.take_in(rows)
    store.close()
    with served(tmp_path / "data", **settings) as dashboard:
        yield dashboard


class Watched:
    """A page of a browser, with what went wrong on it."""

    def __init__(self, browser: Browser, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.page.add_init_script(POLICY)
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "the server responded with a status of" not in text:
            self.wrong.append(text)

    def _asked(self, url: str) -> None:
        if urlsplit(url).hostname != "127.0.0.1":
            self.wrong.append(f"asked for {url}")

    def violations(self, axe: str) -> list[str]:
        self.page.evaluate(axe)
        found = self.page.evaluate("levels => axe.run(document, { runOnly: levels })", LEVELS)
        assert found["passes"], "axe has run"
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]


@pytest.mark.parametrize("width", [390, 1400])
def test_axe_finds_nothing(browser: Browser, full: Served, axe: str, width: int, tmp_path: Path) -> None:
    watched = Watched(browser, viewport={"width": width, "height": 900}, timezone_id="Asia/Tokyo")
    problems = {}
    with _served(tmp_path / "empty", []) as empty:
        for dashboard, paths in ((full, (*PAGES, *FAULTS)), (empty, EMPTY)):
            for path in paths:
                watched.page.goto(dashboard.url + path)
                watched.page.wait_for_load_state("networkidle")
                found = []
                for scheme in ("light", "dark"):
                    watched.page.emulate_media(color_scheme=scheme)
                    found += watched.violations(axe)
                root = "document.documentElement"
                wide = watched.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
                if found or wide > 0:
                    problems[path] = [*found, f"{wide} pixels too wide"]
    assert not problems and not watched.wrong
    watched.page.goto(full.url + "/")
    watched.page.evaluate("document.querySelector('h1').insertAdjacentHTML('afterend', '<img src=x>')")
    assert any("image-alt" in each for each in watched.violations(axe))  # it does find what is wrong
    watched.context.close()


def test_everything_can_be_reached_by_keys(browser: Browser, full: Served) -> None:
    watched = Watched(browser)
    for path in PAGES:
        watched.page.goto(full.url + path)
        watched.page.wait_for_load_state("networkidle")
        wanted = watched.page.evaluate(
            "[...document.querySelectorAll('a[href], button:not([hidden]), input:not([type=hidden]), select, summary,"
            " .scroll, textarea')].filter(e => e.checkVisibility()).length"
        )
        reached = watched.page.evaluate("() => { window.reached = new Set(); document.addEventListener('focusin',"
                                        " e => reached.add(e.target)); return 0 }")  # fmt: skip
        for _ in range(wanted + 30):
            watched.page.keyboard.press("Tab")
        reached = watched.page.evaluate("reached.size")
        assert reached >= wanted, (path, reached, wanted)
    watched.page.goto(full.url + "/board/po/thread/5")
    watched.page.locator("#p8 a.quote").first.focus()
    watched.page.wait_for_selector(".card")
    assert "was deleted" in watched.page.locator(".card").inner_text()
    watched.page.keyboard.press("Escape")
    assert watched.page.locator(".card").count() == 0
    watched.page.locator("#p5 .backlinks a").first.focus()  # a post of another thread
    watched.page.wait_for_selector(".card")
    assert "green line" in watched.page.locator(".card").inner_text()
    assert not watched.wrong
    watched.context.close()


def test_login_and_logout(browser: Browser, tmp_path: Path) -> None:
    with _served(tmp_path, items(), DASHBOARD_PASSWORD="open sesame") as dashboard:
        watched = Watched(browser)
        page = watched.page
        page.goto(dashboard.url + "/board/po")
        for password, heading in (("wrong", "Log in"), ("open sesame", "Overview")):
            page.fill("#password", password)
            with page.expect_navigation():
                page.keyboard.press("Enter")
            assert page.locator("h1").inner_text() == heading
        with page.expect_navigation():
            page.click("text=Log out")
        assert page.locator("h1").inner_text() == "Log in" and not watched.wrong
        watched.context.close()


def test_hostile_texts_run_nowhere(browser: Browser, tmp_path: Path) -> None:
    watched = Watched(browser)
    watched.page.on("dialog", lambda dialog: watched.wrong.append(dialog.message))
    with _served(tmp_path, list(hostile_items())) as dashboard:
        for path in ("/", "/board/po", "/board/po/thread/1000", "/board/po/thread/1000?from=1100", "/accounts",
                     "/search?q=evil", "/feeds", "/account/2006", "/x/3006", "/crawls", "/credentials"):  # fmt: skip
            watched.page.goto(dashboard.url + path)
            watched.page.wait_for_load_state("networkidle")
            for link in watched.page.locator("a.quote").all()[:5]:
                link.hover(force=True)
    assert not watched.wrong
    watched.context.close()


def test_numbers_move_and_nothing_else(browser: Browser, tmp_path: Path) -> None:
    sandbox = Sandbox("--speed", "60")
    crawler = Crawler(tmp_path / "data", sandbox.url)
    process = crawler.start("-aboard=pol", "-afollow=1", "-sBATCH_SECONDS=1")
    while not (crawler.folder / "chancrawl.sqlite").exists():
        assert process.poll() is None
    with served(crawler.folder) as dashboard:
        watched = Watched(browser)
        page = watched.page
        page.goto(dashboard.url + "/")
        assert _has_board(page)
        first = page.locator('[data-live="pol-posts"]').inner_text()
        page.evaluate(
            "kept = document.querySelector('table'); scrollTo({ top: 50, behavior: 'instant' }); place = scrollY"
        )
        page.wait_for_function(
            "text => document.querySelector('[data-live=\"pol-posts\"]').textContent !== text",
            arg=first,
            timeout=45_000,
        )
        assert page.evaluate("kept === document.querySelector('table')") and page.evaluate("scrollY === place")
        page.locator("#pause").focus()
        page.keyboard.press("Enter")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(6_000)
        assert not asked and page.locator("#pause").get_attribute("aria-pressed") == "true"
        page.keyboard.press("Enter")
        page.wait_for_timeout(6_000)
        assert asked and not watched.wrong
        watched.context.close()
    crawler.interrupted(process)
    sandbox.stop()


def _has_board(page: Page) -> bool:
    """Load the page again until a snapshot has the board."""
    for _ in range(40):
        if page.locator('[data-live="pol-posts"]').count():
            return True
        page.wait_for_timeout(1_000)
        page.reload()
    return False
