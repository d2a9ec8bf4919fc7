"""A thread as one HTML file that needs nothing else: no script, no image, no other file. Sans I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape

from chancrawl.imageboards.thread_history import PostHistory, State
from chancrawl.items import Post, Thread
from chancrawl.text import visible

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
article { border-left: .25rem solid #999; padding: .25rem .75rem; margin: .75rem 0; overflow-wrap: anywhere; }
article.gone { border-left: .25rem dashed #d55e00; }
article.unknown { border-left: .25rem dotted #e69f00; }
article:target { outline: 2px solid #0072b2; }
header { color: GrayText; font-size: .9rem; }
header b { color: CanvasText; }
.state { font-weight: bold; color: CanvasText; }
.body { white-space: pre-wrap; margin: .25rem 0 0; }
"""

WORDS = {State.THERE: "", State.GONE: "deleted", State.UNKNOWN: "not known whether it was still there"}

QUOTE = re.compile(r"&gt;&gt;(\d{1,18})")


def page(board: str, no: int, thread: Thread | None, posts: Sequence[PostHistory], at: datetime) -> str:
    """The HTML of a thread at a time."""
    numbers = {history.latest.no for history in posts}
    subject = text((thread.subject if thread else None) or f"Thread {no}")
    about = f"/{escape(board)}/ · thread {no} · as of {at:%Y-%m-%d %H:%M:%S} UTC"
    url = f"https://boards.4chan.org/{escape(board)}/thread/{no}"
    body = "\n".join(_articles(posts, at, numbers))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{subject}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1><bdi>{subject}</bdi></h1>\n<p>{about}</p>\n{body}\n"
        f'<footer><p>Collected by chancrawl from <a rel="noreferrer noopener nofollow" href="{url}">{url}</a>. '
        "The posts belong to their authors.</p></footer>\n</main>\n</body>\n</html>\n"
    )


def _articles(posts: Sequence[PostHistory], at: datetime, numbers: set[int]) -> Iterator[str]:
    for history in posts:
        state = history.state(at)
        if state is not None:
            yield _article(history, history.version(at), state, numbers)


def _article(history: PostHistory, post: Post, state: State, numbers: set[int]) -> str:
    kind = {State.THERE: "there", State.GONE: "gone", State.UNKNOWN: "unknown"}[state]
    words = WORDS[state]
    if state is State.GONE and history.gone_at is not None:
        words = f"{'deleted' if post.deleted_at or history.latest.deleted_at else 'gone with its thread'} before " + (
            f"{history.gone_at:%Y-%m-%d %H:%M:%S}"
        )
    name = " ".join(filter(None, (post.name, post.tripcode, f"ID:{post.poster_id}" if post.poster_id else "",
                                  f"## {post.capcode}" if post.capcode else "", post.country)))  # fmt: skip
    file = f"<br>file: <bdi>{text((post.file_name or '') + (post.file_ext or ''))}</bdi>" if post.file_tim else ""
    changed = f" · version {post.revision} of {len(history.versions)}" if len(history.versions) > 1 else ""
    return (
        f'<article id="p{post.no}" class="{kind}"><header><b><bdi>{text(name)}</bdi></b> '
        f'<time datetime="{post.posted_at:%Y-%m-%dT%H:%M:%SZ}">{post.posted_at:%Y-%m-%d %H:%M:%S}</time> '
        f'<a href="#p{post.no}">No. {post.no}</a>{changed}'
        + (f' · <span class="state">{words}</span>' if words else "")
        + f'{file}</header><p class="body" dir="auto">{_linked(post.comment_text or "", numbers)}</p></article>'
    )


def text(value: str) -> str:
    """A foreign text on one line for HTML."""
    return escape(visible(value))


def _linked(comment: str, numbers: set[int]) -> str:
    """A comment with links to the posts of the thread that it quotes."""
    lines = "\n".join(visible(line) for line in comment.split("\n"))

    def link(match: re.Match[str]) -> str:
        return f'<a href="#p{match[1]}">{match[0]}</a>' if int(match[1]) in numbers else match[0]

    return QUOTE.sub(link, escape(lines, quote=False))
