"""A board's files as the API sends them. Each post in a file is marked as shown."""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import Any

from chancrawl.sandbox import words
from chancrawl.sandbox.board import Board, Post, Thread


def read(board: Board, file: str) -> tuple[bytes, float] | None:
    """A file by its name in the board's folder, with the time of its last change; None if it does not exist."""
    stem, _, _ = file.partition(".")
    match stem.split("/"):
        case ["threads"]:
            return threads_json(board), board.changed_at
        case ["catalog"]:
            return catalog_json(board), board.changed_at
        case ["archive"] if board.about.get("is_archived"):
            return archive_json(board), board.archive_changed_at
        case [number] if number.isdigit() and (body := page_json(board, int(number))) is not None:
            return body, board.changed_at
        case ["thread", name]:
            no, dash, tail = name.partition("-")
            thread = board.threads.get(int(no)) if no.isdigit() else None
            if thread is None or thread.fate in ("deleted", "pruned") or tail not in ("", "tail"):
                return None
            body = thread_json(board, thread, tail=bool(dash))
            return None if body is None else (body, thread.modified_at)
    return None


def index_entries(board: Board) -> list[list[Thread]]:
    """The live threads by pages. Stickies do not count for the capacity, so the last page can be short."""
    size = board.about["per_page"]
    return [board.live[i : i + size] for i in range(0, len(board.live), size)]


def threads_json(board: Board) -> bytes:
    return json.dumps([
        {"page": number, "threads": [
            {"no": t.no, "last_modified": int(t.modified_at), "replies": len(t.visible()) - 1} for t in page
        ]} for number, page in enumerate(index_entries(board), 1)
    ]).encode()  # fmt: skip


def catalog_json(board: Board) -> bytes:
    pages = []
    for number, page in enumerate(index_entries(board), 1):
        threads = b",".join(_catalog_thread(board, thread) for thread in page)
        pages.append(b'{"page":%d,"threads":[%s]}' % (number, threads))
    return b"[" + b",".join(pages) + b"]"


def _catalog_thread(board: Board, thread: Thread) -> bytes:
    posts = thread.visible()
    last = posts[1:][-5:]
    opening = _opening(board, thread, posts)
    opening |= {
        "omitted_posts": len(posts) - 1 - len(last),
        "omitted_images": _omitted_images(posts),
        "last_modified": int(thread.modified_at),
    }
    replies = b",".join(body_of(board, post) for post in last)
    return json.dumps(opening).encode()[:-1] + b',"last_replies":[' + replies + b"]}"


def _omitted_images(posts: list[Post]) -> int:
    """The counts of the replies that an index file leaves out."""
    return sum(1 for post in posts[1:][:-5] if _has_image(post))


def _has_image(post: Post) -> bool:
    return post.has_file and post.file_deleted_at is None


def page_json(board: Board, number: int) -> bytes | None:
    pages = index_entries(board)
    if not 1 <= number <= len(pages):
        return None
    threads = []
    for thread in pages[number - 1]:
        posts = thread.visible()
        last = posts[1:][-5:]
        opening = _opening(board, thread, posts)
        opening |= {"omitted_posts": len(posts) - 1 - len(last), "omitted_images": _omitted_images(posts)}
        bodies = [json.dumps(opening).encode(), *(body_of(board, post) for post in last)]
        threads.append(b'{"posts":[' + b",".join(bodies) + b"]}")
    return b'{"threads":[' + b",".join(threads) + b"]}"


def archive_json(board: Board) -> bytes:
    return json.dumps([thread.no for thread in board.archive]).encode()


def thread_json(board: Board, thread: Thread, tail: bool = False) -> bytes | None:
    posts = thread.visible()
    size = _tail_size(posts)
    if tail and not size:
        return None
    opening = _opening(board, thread, posts)
    if thread.archived_at is None:
        opening["unique_ips"] = len({post.address for post in posts})
    replies = posts[1:]
    if tail:
        replies = replies[-size:]
        kept = ("no", "resto", "replies", "images", "unique_ips", "bumplimit", "imagelimit")
        opening = {key: opening[key] for key in kept if key in opening}
        opening["tail_id"] = posts[-size - 1].no
    bodies = [json.dumps(opening).encode(), *(body_of(board, post) for post in replies)]
    for post in (posts[0], *replies):
        post.shown = True
    return b'{"posts":[' + b",".join(bodies) + b"]}"


def _tail_size(posts: list[Post]) -> int:
    return 50 if len(posts) > 100 else 0


def body_of(board: Board, post: Post) -> bytes:
    """A post as JSON. The post is marked as shown."""
    post.shown = True
    if post.body is None:
        place = bisect_left(post.thread.posts, post.no, key=lambda other: other.no)
        earlier = [other.no for other in post.thread.posts[max(0, place - 6) : place]]
        raw = words.post(
            board.seed, board.about, post.no, post.thread.no, post.time, earlier, board.boards, post.has_file
        )
        if post.file_deleted_at is not None:
            for key in ("filename", "ext", "w", "h", "tn_w", "tn_h", "tim", "md5", "fsize", "m_img"):
                raw.pop(key, None)
            raw["filedeleted"] = 1
        if post.banned_at is not None:
            note = '<b style="color:red;">(USER WAS BANNED FOR THIS POST)</b>'
            raw["com"] = raw.get("com", "") + "<br><br>" + note
        post.body = json.dumps(raw).encode()
    return post.body


def _opening(board: Board, thread: Thread, posts: list[Post]) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(body_of(board, thread.posts[0]))
    replies = len(posts) - 1
    images = sum(1 for post in posts[1:] if _has_image(post))
    if thread.sticky:
        raw["sticky"] = 1
    if thread.closed:
        raw["closed"] = 1
    if thread.archived_at is not None:
        raw |= {"archived": 1, "archived_on": int(thread.archived_at)}
    raw |= {
        "bumplimit": int(replies >= board.about["bump_limit"]),
        "imagelimit": int(images >= board.about["image_limit"]),
        "semantic_url": "-".join(raw.get("sub", "thread").lower().split()[:3]),
        "replies": replies,
        "images": images,
    }
    if size := _tail_size(posts):
        raw["tail_size"] = size
    return raw
