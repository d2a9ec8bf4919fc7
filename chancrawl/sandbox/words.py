"""Harmless posts in the full variety of the real markup. The same seed and number always give the same post."""

from __future__ import annotations

import base64
import html
from datetime import datetime, timedelta, timezone, tzinfo
from random import Random
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NOUNS = (
    "crane kettle bridge garden lantern river notebook turtle bicycle window teapot lighthouse carrot violin mountain "
    "sparrow paper compass orchard blanket station puzzle marble feather harbour clock pumpkin ladder pebble owl"
).split()
VERBS = (
    "fold paint repair borrow draw plant measure carry polish cut water bake tune wind stack glue sketch sort".split()
)
ADJECTIVES = "red quiet tiny crooked ancient gentle square wooden bright slow round striped humble clever soft".split()
NAMES = ("Anonymous",) * 18 + ("Paperclip", "O&#039;Crane", "名無し", "NA", "Ms. Teapot &amp; Co")
COUNTRIES = (("FI", "Finland"), ("JP", "Japan"), ("BR", "Brazil"), ("CA", "Canada"), ("XX", "Unknown"))
FLAGS = (("TH", "Teahouse"), ("OR", "Origami"), ("GD", "Garden"))
SYMBOLS = (
    "折り紙は楽しい",
    "кривая бумага",
    "🐢🫖",
    "שלום לכולם",
    "e\u0301toile",
    "ｆｕｌｌｗｉｄｔｈ",
    "a\u202eb\u202cc",
)
EXTENSIONS = (".jpg",) * 6 + (".png",) * 4 + (".gif", ".webm", ".pdf")


def sentence(random: Random) -> str:
    who = random.choice(("I", "You should", "Did anyone", "They", "My aunt and I"))
    end = random.choice((".", "?", "!", f", then the {random.choice(NOUNS)}."))
    return f"{who} {random.choice(VERBS)} the {random.choice(ADJECTIVES)} {random.choice(NOUNS)}{end}"


def breakable(url: str) -> str:
    """A long address as the site writes it, with a `<wbr>` every 35 characters."""
    return "<wbr>".join(html.escape(url[i : i + 35]) for i in range(0, len(url), 35))


def comment(random: Random, board: str, thread_no: int, earlier: list[int], boards: list[str]) -> str:
    """Comment HTML with one to five pieces, each of a random kind. `earlier` are numbers of posts of the thread."""
    pieces = []
    for _ in range(random.choices((1, 2, 3, 5), (50, 30, 15, 5))[0]):
        kind = random.random()
        if earlier and kind < 0.30:
            no = random.choice(earlier)
            pieces.append(f'<a href="#p{no}" class="quotelink">&gt;&gt;{no}</a>')
            pieces.append(sentence(random))
        elif kind < 0.45:
            pieces.append(f'<span class="quote">&gt;{sentence(random)}</span>')
        else:
            pieces.append(_rarity(random, board, thread_no, boards) if kind < 0.62 else sentence(random))
    return "<br>".join(pieces)


def _rarity(random: Random, board: str, thread_no: int, boards: list[str]) -> str:
    other = random.choice(boards)
    no = max(1, thread_no - random.randrange(1, 500))
    noun = random.choice(NOUNS)
    url = f"https://example.org/{noun}/{random.choice(NOUNS)}?page={random.randrange(99)}&id={random.randrange(10**9)}"
    return random.choice((
        f'<a href="/{board}/thread/{no}#p{no}" class="quotelink">&gt;&gt;{no}</a>',
        f'<a href="/{other}/thread/{no}#p{no + 1}" class="quotelink">&gt;&gt;&gt;/{other}/{no + 1}</a>',
        f'<a href="//boards.4chan.org/{other}/catalog#s={noun}" class="quotelink">&gt;&gt;&gt;/{other}/</a>',
        f'<span class="deadlink">&gt;&gt;{no}</span>',
        f'<span class="quote deadlink">&gt;&gt;&gt;/{other}/{no}</span>',
        f"<s>{sentence(random)}</s>",
        f'<pre class="prettyprint">def fold(paper):<br>    return paper / 2 &lt; {random.randrange(9)}</pre>',
        '<span class="sjis">　 ∧＿∧<br>　（　・∀・）<br>　（　　　　）</span>',
        f'<a href="{html.escape(url)}" target="_blank">{breakable(url)}</a>',
        f"see {breakable(url)} for more",
        f"<b>{sentence(random)}</b> <i>{sentence(random)}</i> <u>{random.choice(NOUNS)}</u>",
        '<span class="fortune" style="color:#bac200"><br><br><b>Your fortune: Good Luck</b></span>',
        f"[math]x^{random.randrange(2, 9)} \\leq y[/math]",
        random.choice(SYMBOLS),
        f'"{random.choice(NOUNS)}", she said; it&#039;s 5 &lt; 6 &amp;&amp; 7 &gt; 6',
        _exif(random),
        random.choices(
            ("a NUL \x00 here", "half an emoji \ud83d here", "a tab\there", "a bell \x07 here"), (8, 1, 18, 12)
        )[0],
    ))  # fmt: skip


def _exif(random: Random) -> str:
    number = random.randrange(10**6)
    return (
        f'<span class="abbr">[EXIF data available. Click '
        f'<a href="javascript:void(0)" onclick="toggle(\'exif{number}\')">'
        "here</a> to show/hide.]</span><br>"
        f'<table class="exif" id="exif{number}"><tr><td colspan="2"><b>Camera-Specific Properties:</b></td></tr>'
        f"<tr><td>Camera Model</td><td>Pinhole {number % 9}</td></tr></table>"
    )


try:
    NEW_YORK: tzinfo = ZoneInfo("America/New_York")
except ZoneInfoNotFoundError:  # a machine without time zones
    NEW_YORK = timezone(timedelta(hours=-5))


def now_text(time: float) -> str:
    """A post's time as the site prints it, in New York's time.

    >>> now_text(1546294897)
    '12/31/18(Mon)17:21:37'
    """
    return f"{datetime.fromtimestamp(time, NEW_YORK):%m/%d/%y(%a)%H:%M:%S}"


def post(seed: int, board: dict[str, Any], no: int, thread_no: int, time: float, earlier: list[int], boards: list[str],
         has_file: bool) -> dict[str, Any]:  # fmt: skip
    """A post as the API sends it, without the keys of an opening post that describe its thread."""
    random = Random(seed * 1_000_003 + no)
    raw: dict[str, Any] = {"no": no, "now": now_text(time), "name": random.choice(NAMES)}
    if no == thread_no and random.random() < 0.8:
        raw["sub"] = f"{random.choice(ADJECTIVES).title()} {random.choice(NOUNS)} general &amp; friends"
    if random.random() < 0.95 or not has_file:
        raw["com"] = comment(random, board["board"], thread_no, earlier, boards)
    if has_file:
        raw |= _file(random, time, board)
    raw |= {"time": int(time), "resto": 0 if no == thread_no else thread_no}
    if random.random() < 0.03:
        raw["trip"] = random.choice(("!", "!!")) + f"{random.getrandbits(60):015x}"[:10]
    if board.get("user_ids"):
        raw["id"] = f"{random.getrandbits(40):08x}"[:8]
    if board.get("country_flags"):
        raw["country"], raw["country_name"] = random.choice(COUNTRIES)
    if board.get("board_flags") and random.random() < 0.3:
        raw["board_flag"], raw["flag_name"] = random.choice(FLAGS)
    if random.random() < 0.002:
        raw["capcode"] = "mod"
    if random.random() < 0.002:
        raw["since4pass"] = 2019
    return raw


def _file(random: Random, time: float, board: dict[str, Any]) -> dict[str, Any]:
    width, height = random.randrange(100, 4000), random.randrange(100, 4000)
    scale = min(1.0, 250 / max(width, height))
    name = random.choice((random.choice(NOUNS), f"{random.getrandbits(50)}", "折り紙 (1)", "a &amp; b, &quot;c&quot;"))
    raw: dict[str, Any] = {
        "filename": name,
        "ext": random.choice(EXTENSIONS),
        "w": width,
        "h": height,
        "tn_w": int(width * scale),
        "tn_h": int(height * scale),
        "tim": int(time * 1_000_000),
        "md5": base64.b64encode(random.randbytes(16)).decode(),
        "fsize": random.randrange(1000, 4_000_000),
    }
    if board.get("spoilers") and random.random() < 0.05:
        raw |= {"spoiler": 1, "custom_spoiler": random.randrange(1, 6)}
    if random.random() < 0.1:
        raw["m_img"] = 1
    return raw
