"""4chan's read-only JSON API: its paths, and parsers from its payloads to items. Sans I/O.

It is described at https://github.com/4chan/4chan-API; comments below add what the description lacks. Payloads are
untrusted. A payload with a wrong shape as a whole raises `Malformed`. A post or field with a wrong shape is left out,
named in `problems`, and stays in `raw`.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from chancrawl.imageboards import markup
from chancrawl.imageboards.pages import IndexEntry, Page, Stub, utc
from chancrawl.imageboards.site import Site
from chancrawl.items import Board, Post, Raw, Thread
from chancrawl.payload import Fields, Malformed, digest
from chancrawl.text import LARGEST_NO

BOARDS = "/boards.json"


def index_path(board: str, file: str = "threads") -> str:
    """The path of threads.json, catalog.json, or a page, whose number is `file`.

    >>> index_path("po", "1")
    '/po/1.json'
    """
    return f"/{board}/{file}.json"


def archive_path(board: str) -> str:
    return f"/{board}/archive.json"


def thread_path(board: str, no: int) -> str:
    return f"/{board}/thread/{no}.json"


def tail_path(board: str, no: int) -> str:
    """The path of the last `tail_size` posts of a long thread. The description of the API does not mention it."""
    return f"/{board}/thread/{no}-tail.json"


MOST_THREADS, MOST_ARCHIVED = 2_000, 100_000
"""A longer list is corrupt: a board has about 150 live threads, and some thousand in its archive."""

MOST_BYTES = 8 << 20
"""The largest threads.json, archive.json or boards.json that is read: about a hundred times their usual size."""

STICKY_REPLIES = 1000
"""A sticky with more replies than this drops its oldest ones. They leave its page, but were not deleted."""

NO_VERSION_KEYS = frozenset(
    "replies images unique_ips bumplimit imagelimit sticky closed archived archived_on tail_size tail_id semantic_url "
    "last_modified omitted_posts omitted_images last_replies custom_spoiler sticky_cap now".split()
)
"""Keys of an opening post that describe its thread. They change with each reply, or differ between the thread's own
page and the index pages, so they make no new version of the post. `now` repeats `time` in New York's time."""


# --- whole payloads


def parse_boards(payload: Any, problems: list[str] | None = None) -> list[Board]:
    """boards.json: `{"boards": [{"board": "po", "title": …, "is_archived": 1}, …]}`.

    Unreadable entries are left out, and named in `problems`.
    """
    entries = payload.get("boards") if isinstance(payload, dict) else None
    if not isinstance(entries, list):
        raise Malformed("boards.json without a list of boards")
    boards = []
    for raw in entries:
        if not (isinstance(raw, dict) and _is_name(name := raw.get("board"))):
            if problems is not None:
                problems.append("a board without a name")
        else:
            read = Fields(raw)
            digest(raw, NO_VERSION_KEYS)
            boards.append(
                Board(
                    board=name,
                    title=markup.unescape(read.text("title")),
                    worksafe=None if "ws_board" not in raw else read.flag("ws_board"),
                    has_archive=read.flag("is_archived"),
                    pages=read.number("pages"),
                    per_page=read.number("per_page"),
                    bump_limit=read.number("bump_limit"),
                    image_limit=read.number("image_limit"),
                    raw=raw,
                )
            )
    if not boards:
        raise Malformed("boards.json without boards")
    return boards


def _is_name(name: Any) -> TypeGuard[str]:
    return isinstance(name, str) and name.isascii() and name.isalnum() and len(name) <= 16


def parse_index(payload: Any, problems: list[str] | None = None) -> dict[int, IndexEntry]:
    """threads.json: `[{"page": 1, "threads": [{"no": 570368, "last_modified": 1546294897, "replies": 2}, …]}, …]`.

    It also reads catalog.json, where each thread is the whole opening post with `last_replies` in it. The order is the
    bump order, the thread bumped last first. Unreadable entries are left out and named in `problems`; Malformed if all
    are unreadable.
    """
    if not isinstance(payload, list):
        raise Malformed("an index that is no list of pages")
    problems = [] if problems is None else problems
    entries: dict[int, IndexEntry] = {}
    listed = 0
    for page in payload:
        threads = page.get("threads") if isinstance(page, dict) else None
        if not isinstance(threads, list):
            problems.append("an index page without a list of threads")
            continue
        listed += len(threads)
        if listed > MOST_THREADS:
            raise Malformed(f"an index of more than {MOST_THREADS:,} threads, more than a board can have")
        for raw in threads:
            _add_entry(entries, raw, 0, problems)
    return _unless_all_are_odd(entries, problems)


def parse_board_page(payload: Any, problems: list[str] | None = None, first: int = 0) -> dict[int, IndexEntry]:
    """1.json: `{"threads": [{"posts": [opening post, …, last reply]}, …]}`; `first` is the first thread's position."""
    threads = payload.get("threads") if isinstance(payload, dict) else None
    if not isinstance(threads, list):
        raise Malformed("a page without a list of threads")
    problems = [] if problems is None else problems
    entries: dict[int, IndexEntry] = {}
    for raw in threads:
        posts = raw.get("posts") if isinstance(raw, dict) else None
        if isinstance(posts, list) and posts and isinstance(posts[0], dict):
            raw = posts[0] | {"last_replies": posts[1:]}
        _add_entry(entries, raw, first, problems)
    return _unless_all_are_odd(entries, problems)


def _unless_all_are_odd(entries: dict[int, IndexEntry], problems: list[str]) -> dict[int, IndexEntry]:
    if problems and not entries:
        raise Malformed(problems[0])
    return entries


def _add_entry(entries: dict[int, IndexEntry], raw: Any, first: int, problems: list[str]) -> None:
    read = Fields(raw if isinstance(raw, dict) else {})
    no = read.number("no", most=LARGEST_NO)
    if not no:
        problems.append("a thread without a number in the index")
        return
    shown = raw if "time" in raw else None
    entries[no] = IndexEntry(no, read.time("last_modified"), read.number("replies"), first + len(entries), shown)


def parse_archive(payload: Any, problems: list[str] | None = None) -> list[int]:
    """archive.json: `[571958, 572866, …]`, the thread that was archived first is first.

    Unreadable entries are left out and named in `problems`; Malformed if all are.
    """
    if not isinstance(payload, list):
        raise Malformed("an archive that is no list of thread numbers")
    if len(payload) > MOST_ARCHIVED:
        raise Malformed(f"an archive of {len(payload):,} threads, more than a board can have")
    numbers = [no for no in payload if type(no) is int and 0 < no <= LARGEST_NO]
    if len(numbers) < len(payload):
        if not numbers:
            raise Malformed("an archive without thread numbers")
        if problems is not None:
            problems.append("no thread number in the archive")
    return list(dict.fromkeys(numbers))


def parse_thread(payload: Any, board: str, no: int) -> Page:
    """thread/N.json: `{"posts": [opening post, reply, …]}`. An unreadable post is left out, even the opening post.

    Raises Stub for the page of a thread that is gone.
    """
    posts = _posts_of(payload)
    page = _page(board, no, posts[0] if _is_opening(posts[0], no) else {}, posts)
    if not page.posts:
        raise Malformed(f"a thread {no} without a post of it that can be read")
    if page.is_rolling_sticky and page.shown:
        page.since = min(reply for reply in page.posts if reply != no)
    return page


def parse_tail(payload: Any, board: str, no: int) -> Page:
    """thread/N-tail.json: like thread/N.json, with few keys of the opening post and no replies up to `tail_id`."""
    posts = _posts_of(payload)
    if not _is_opening(posts[0], no):
        raise Malformed(f"a tail that does not begin with its opening post {no}")
    tail_id = Fields(posts[0]).number("tail_id", most=LARGEST_NO)
    if tail_id is None:
        raise Malformed("a tail that does not say where it begins")
    page = _page(board, no, posts[0], posts[1:])
    page.since = tail_id + 1
    page.omitted = max(0, (page.thread.replies or 0) - page.shown)
    return page


def glimpse(entry: IndexEntry, board: str) -> Page:
    """What a catalog or a page of the board shows of a thread: the opening post and the last replies.

    Malformed if it has none. A page does not have the time of the last change; the time of the newest post is used.
    """
    raw = entry.raw or {}
    opening = {key: value for key, value in raw.items() if key != "last_replies"}
    replies = raw.get("last_replies") or []
    if not isinstance(replies, list) or opening.get("resto", 0) != 0:
        raise Malformed(f"thread {entry.no} without its posts in the index")
    page = _page(board, entry.no, opening, [opening, *replies])
    page.omitted = Fields(raw).number("omitted_posts") or 0
    if page.shown != page.thread.replies:
        page.since = min((reply for reply in page.posts if reply != entry.no), default=LARGEST_NO)
    newest = max((post["time"] for post in page.posts.values()), default=None)
    page.thread.last_modified = utc(newest if entry.last_modified is None else entry.last_modified)
    return page


def _posts_of(payload: Any) -> list[Any]:
    posts = payload.get("posts") if isinstance(payload, dict) else None
    if not isinstance(posts, list) or not posts:
        raise Malformed("a thread without posts")
    if len(posts) == 1 and isinstance(posts[0], dict) and _is_stub(posts[0]):
        raise Stub
    return posts


def _is_stub(opening: Raw) -> bool:
    """Whether this is what the site keeps of a deleted thread's opening post: counts, and nothing of the post."""
    return "resto" in opening and not opening.keys() & {"no", "time", "com", "tim"}


def _is_opening(raw: Any, no: int) -> bool:
    return isinstance(raw, dict) and raw.get("no") == no and raw.get("resto", 0) == 0


def _page(board: str, no: int, opening: Raw, posts: list[Any]) -> Page:
    read = Fields(opening)
    page = Page(_thread_of(read, board, no), {}, sticky_replies=STICKY_REPLIES)
    page.oddities += read.problems
    for raw in posts:
        problem = _problem_of(raw, no)
        if problem:
            page.problems.append(problem)
            continue
        try:
            page.digests[raw["no"]] = digest(raw, NO_VERSION_KEYS)
            page.posts[raw["no"]] = raw
        except Malformed as error:
            page.problems.append(f"post {raw['no']} {error}")
    return page


def _problem_of(raw: Any, thread_no: int) -> str | None:
    if not isinstance(raw, dict):
        return "a post that is no object"
    read = Fields(raw)
    no = read.number("no", most=LARGEST_NO)
    if not no:
        return "a post without a number"
    if read.time("time") is None:
        return f"post {no} without a time"
    if raw.get("resto", 0) != (0 if no == thread_no else thread_no):
        return f"post {no} of another thread"
    return None


def _thread_of(read: Fields, board: str, no: int) -> Thread:
    archived_on = read.time("archived_on")
    return Thread(
        board=board,
        no=no,
        subject=markup.unescape(read.text("sub")),
        semantic_url=read.text("semantic_url"),
        replies=read.number("replies"),
        images=read.number("images"),
        unique_ips=read.number("unique_ips"),
        sticky=read.flag("sticky"),
        closed=read.flag("closed"),
        bump_limit_reached=read.flag("bumplimit"),
        image_limit_reached=read.flag("imagelimit"),
        archived_at=utc(archived_on),
        tail_size=read.number("tail_size"),
        fate="archived" if read.flag("archived") else "live",
    )


# --- one post


def describe(post: Post) -> list[str]:
    """Fill every column of `post` that is computed from its `raw`. Returns what could not be read."""
    read = Fields(post.raw)
    post.name = markup.unescape(read.text("name"))
    post.tripcode = read.text("trip")
    post.poster_id = read.text("id")
    post.capcode = read.text("capcode")
    post.country = read.text("country")
    post.country_name = read.text("country_name")
    post.board_flag = read.text("board_flag")
    post.flag_name = read.text("flag_name")
    post.since4pass = read.number("since4pass")
    post.email = markup.unescape(read.text("email"))
    post.subject = markup.unescape(read.text("sub"))
    post.tag = read.text("tag")
    post.file_tim = read.number("tim", most=LARGEST_NO)
    post.file_name = markup.unescape(read.text("filename"))
    post.file_ext = read.text("ext")
    post.file_size = read.number("fsize", most=LARGEST_NO)
    post.file_md5 = read.md5("md5")
    post.file_width = read.number("w")
    post.file_height = read.number("h")
    post.thumbnail_width = read.number("tn_w")
    post.thumbnail_height = read.number("tn_h")
    post.file_deleted = read.flag("filedeleted")
    post.file_spoiler = read.flag("spoiler")
    post.custom_spoiler = read.number("custom_spoiler")
    post.has_mobile_image = read.flag("m_img")
    post.comment_html = read.text("com")
    comment = markup.parse(post.comment_html or "", post.board, post.thread_no)
    post.comment_text = comment.text or None
    post.quotes = comment.quotes
    post.links = comment.links
    return [f"post {post.no}: {problem}" for problem in read.problems]


FOURCHAN = Site(
    name="4chan",
    setting="CHAN_API_URL",
    boards_path=BOARDS,
    index_path=index_path,
    archive_path=archive_path,
    thread_path=thread_path,
    tail_path=tail_path,
    list_names=("boards.json", "threads.json", "archive.json"),
    most_bytes=MOST_BYTES,
    sticky_replies=STICKY_REPLIES,
    no_version_keys=NO_VERSION_KEYS,
    parse_boards=parse_boards,
    parse_index=parse_index,
    parse_board_page=parse_board_page,
    parse_archive=parse_archive,
    parse_thread=parse_thread,
    parse_tail=parse_tail,
    glimpse=glimpse,
    describe=describe,
)
