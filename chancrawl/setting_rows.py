"""The settings that users can set, one row each: name, default, kind, meaning.

What is checked, `scrapy options`, the table of docs/collecting.md, the names that `.env` and chancrawl.ini may set, and
the pace of the sandbox follow from these rows. A new setting is a new row here; a test says which table of the
documentation to renew.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from chancrawl.setting_types import (
    AnyText,
    ApiAddress,
    Choice,
    DatabaseAddress,
    Flag,
    Number,
    PathName,
    ProxyAddresses,
    Text,
    Umask,
    ValueType,
)

DEFAULT_FOLDER, SANDBOX_FOLDER = "data", "sandbox-data"
"""CSV_FOLDER, and what it is for the sandbox: posts of the sandbox and of a site are never in one store."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting. `text` is its meaning in Markdown.

    `shown` is the default in words, where the value alone does not say it. `sandbox` is the value for a crawl of the
    sandbox, unless `-s` gives another. A secret can also be read from a file that NAME_FILE names. `is_in_files` is
    False where only `-s` sets it.
    """

    name: str
    default: Any
    kind: ValueType
    text: str
    shown: str = ""
    sandbox: float | None = None
    is_secret: bool = False
    is_in_files: bool = True

    @property
    def file_name(self) -> str:
        """The name of the setting that names a file with the value of this one."""
        return f"{self.name}_FILE"

    @property
    def meaning(self) -> str:
        """The text, with what is not said of each setting."""
        return f"{self.text}; or `{self.file_name}`, a file that contains it" if self.is_secret else self.text

    @property
    def default_words(self) -> str:
        """The default, for the tables of settings."""
        words = self.shown
        if not words and isinstance(self.default, int | float):
            words = f"{int(self.default) if isinstance(self.default, bool) else self.default}"
        words = words or (f"`{self.default}`" if self.default else "none")
        return words if self.sandbox is None else f"{words}; in the sandbox {self.sandbox:g}"


ROWS = [
    # --- where to keep it
    Setting(
        "DATABASE_URL", None, DatabaseAddress(),
        "the database, `postgresql://user:password@host:5432/name`",
        shown="not set: `CSV_FOLDER/chancrawl.sqlite`", is_secret=True,
    ),
    Setting(
        "CSV_FOLDER", DEFAULT_FOLDER, PathName("path of a folder", is_needed=True),
        "the data folder: the embedded database, the CSV files, the quarantine and the spool",
        shown=f"`{DEFAULT_FOLDER}`; with `SANDBOX=1` `{SANDBOX_FOLDER}`",
    ),
    Setting(
        "CSV", "auto", Choice(("auto", "0", "1")), "whether CSV files are written beside the database",
        shown="`1` without DATABASE_URL, `0` with it",
    ),
    Setting(
        "CSV_SAFE", False, Flag(),
        "`1`: put a `'` before each text of a CSV file that a spreadsheet would take for a formula, or that begins "
        "with `'`",
    ),
    Setting("BATCH_SIZE", 2000, Number(1, "rows", is_whole=True), "number of rows that are written at once"),
    Setting("BATCH_SECONDS", 5, Number(0.1, "seconds"), "longest time that a row waits until it is written"),
    Setting(
        "SPOOL_MB", 1000, Number(0, "MB"),
        "how much may wait in `CSV_FOLDER/spool` while the database is out of reach; then the crawl waits too",
    ),
    Setting(
        "QUARANTINE_MB", 100, Number(0, "MB"),
        "how much is kept in `CSV_FOLDER/quarantine` of payloads that cannot be read; rows that could not be stored "
        "are always kept there",
    ),
    Setting(
        "DISK_PATIENCE", 60, Number(0, "seconds"),
        "how long a crawl into the embedded database waits for space on a full disk before it ends; with `follow` it "
        "waits on",
    ),
    Setting(
        "STORE_PATIENCE", 3600, Number(0, "seconds"),
        "how long a crawl waits for a database that is out of reach before it ends; with `follow` it waits on",
    ),
    Setting(
        "UMASK", "", Umask(),
        "permissions that new files and folders do not get; `027` lets the group read",
        shown="077, for their owner alone",
    ),
    # --- politeness, for each address that requests leave from
    # Scrapy's default is 0. 4chan allows one request a second, X says in its answers how many calls are left.
    Setting(
        "DOWNLOAD_DELAY", 1, Number(0, "seconds"),
        "time between two requests from one address", shown="1; 0 for X", sandbox=0.05,
    ),
    Setting("BACKOFF_MAX", 300, Number(1, "seconds"), "longest pause after refusals in a row"),
    Setting(
        "SOURCE_PATIENCE", 3600, Number(1, "seconds"),
        "how long a crawl waits for a source that refuses, does not answer or has no call left before it ends; with "
        "`follow` it waits on",
    ),
    # Scrapy's default is 180. No file of the API takes longer, and a stop waits for what is under way.
    Setting("DOWNLOAD_TIMEOUT", 15, Number(1, "seconds"), "longest time that one request takes"),
    # Scrapy's default is 2. With the pauses of the backoff, 10 is a quarter of an hour.
    Setting("RETRY_TIMES", 10, Number(0, is_whole=True), "how often a refused request is repeated"),
    # The default is that of the spiders of X; settings.py has that of chan.
    Setting(
        "CONCURRENT_REQUESTS", 16, Number(1, is_whole=True), "number of requests to X that are under way at a time"
    ),
    # Scrapy's default names Scrapy alone. Operators of a site want to know who is asking.
    Setting(
        "USER_AGENT", f"chancrawl/0.1 (Scrapy/{version('scrapy')})", Text(),
        "who is asking; add your address for the site's operators", shown="`chancrawl/0.1 (Scrapy/…)`",
    ),
    Setting(
        "ROTATING_PROXY_LIST", "", ProxyAddresses(),
        "proxies, each `http://user:password@host:port`", is_secret=True,
    ),
    Setting("ROTATING_PROXY_LIST_PATH", None, PathName("path of a file"), "a file of proxies, one a line"),
    Setting(
        "CLOCK_TOLERANCE", 86_400, Number(1, "seconds"),
        "how far the clock of a source may be from ours; a `Date` header that differs by more is ignored",
    ),
    # --- 4chan
    Setting("CHAN_API_URL", "https://a.4cdn.org", ApiAddress("https://a.4cdn.org"), "address of the API of 4chan"),
    Setting(
        "CHAN_INDEX_INTERVAL", 5, Number(0, "seconds"),
        "shortest time between two fetches of one index file", sandbox=0.25,
    ),
    Setting(
        "CHAN_THREAD_INTERVAL", 10, Number(0, "seconds"),
        "shortest time between two fetches of one thread; 4chan asks for 10", sandbox=0.5,
    ),
    # --- X
    Setting("X_API_URL", "https://api.x.com", ApiAddress("https://api.x.com"), "address of the API of X"),
    Setting(
        "X_CREDENTIALS", None, PathName("path of a file"), "the credentials CSV"
    ),
    Setting(
        "X_ALLOW_HTTP", False, Flag(),
        "`1`: send tokens to an `X_API_URL` that is neither https nor on this machine",
    ),
    Setting(
        "X_DAILY_BUDGET", None, Number(0, "US dollars", is_above=True, is_optional=True),
        "the most that all crawls into one store may spend on a UTC day", shown="no limit",
    ),
    Setting("X_PRICE_POST", 0.005, Number(0, "US dollars"), "price of a post, once a UTC day"),
    Setting("X_PRICE_USER", 0.01, Number(0, "US dollars"), "price of a user, once a UTC day"),
    Setting("X_PRICE_TRENDS", 0.01, Number(0, "US dollars"), "price of a list of trends"),
    # X says that it charges for each resource that is returned, and not whether that is one.
    Setting(
        "X_BILL_INCLUDES", True, Flag(),
        "`0`: posts and users that come with others (retweeted and quoted posts, authors) cost nothing",
    ),
    Setting(
        "X_FOLLOW", "number", Choice(("number", "name")),
        "`number`: a name in a list of handles stands for the account that had it first; `name`: for the account that "
        "has it now",
    ),
    Setting(
        "X_QUERY_LENGTH", 512, Number(64, "characters", is_whole=True),
        "longest search; X takes 4096 with an Enterprise plan",
    ),
    Setting(
        "X_RECHECK_DAYS", 7, Number(0, "days"),
        "time after which protected, suspended and missing accounts are looked up again",
    ),
    Setting("X_OUTAGE_PATIENCE", 30, Number(0, "seconds"), "longest pause while X refuses all credentials"),
    Setting(
        "X_TREND_WINDOW", 900, Number(0, "seconds"), "time in which a place or a trend is not asked for again"
    ),
    # --- what to add
    Setting(
        "SENTIMENT", False, Flag(),
        "`1`: add the polarity of new English posts, from -1 to 1 ([TextBlob](https://textblob.readthedocs.io)), in "
        "the column `tweets.sentiment`",
    ),
    # --- how long to keep it
    Setting(
        "KEEP_DAYS", 0, Number(0, "days"), "posts that are older are removed, by crawls and by `scrapy forget --old`; "
        "`0` keeps all",
    ),
    Setting(
        "KEEP_DELETED_DAYS", 0, Number(0, "days"), "posts that were deleted on the site longer ago are removed; `0` "
        "keeps all",
    ),
    # --- the dashboard
    Setting(
        "EXPECT_BOARDS", "", AnyText("boards, separated by commas"),
        "boards that a crawl should follow, besides those that the last crawls followed: an alarm tells if none does",
    ),
    Setting(
        "DASHBOARD_PASSWORD", "", AnyText("text"),
        "the password of `scrapy dashboard`; it is needed for an address that other machines can reach", is_secret=True,
    ),
    Setting(
        "DASHBOARD_HOSTS", "", AnyText("host names, separated by commas"),
        "names under which the dashboard is reached besides its address, for example `archive.example.org`",
    ),
    Setting(
        "DASHBOARD_PROXIES", "", AnyText("addresses, separated by commas"),
        "reverse proxies in front of the dashboard, whose X-Forwarded-For is believed",
    ),
    # --- alarms
    Setting(
        "ALARM_URLS", "", AnyText("addresses, separated by commas or line breaks", has_lines=True),
        "whom `scrapy watchdog` tells: `https://…` for a webhook that takes JSON, or an address of "
        "[apprise](https://github.com/caronc/apprise/wiki) (`mailtos://…`, `slack://…`, …)", is_secret=True,
    ),
    Setting(
        "ALARM_HEARTBEAT", "", AnyText("http or https address"),
        "an address that `scrapy watchdog` calls after each check that could be made; a service there tells you if the "
        "calls stop", is_secret=True,
    ),
    # --- the log
    # Scrapy's default is DEBUG, which has a line for every item.
    Setting(
        "LOG_LEVEL", "INFO", Choice(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), is_upper=True),
        "the least important messages that the log keeps",
    ),
    Setting(
        "PROGRESS", "auto", Choice(("auto", "on", "off")),
        "live numbers below the log: `auto` if standard error is a terminal",
    ),
    # Not from files or the environment: other programs use this name, and their file is not ours to write to.
    Setting(
        "LOG_FILE", None, PathName("path of a file"), "the log; set it with `-s` or `--logfile`",
        shown="standard error", is_in_files=False,
    ),
    # --- the sandbox
    Setting("SANDBOX", False, Flag(), "`1`: start a local 4chan and X for this crawl, and read them instead"),
    Setting("SANDBOX_SPEED", 1, Number(0.001), "seconds of its clock for one of ours"),
    Setting(
        "SANDBOX_TRUTH", None, PathName("path of a new file", is_new=True),
        "a file for every post that the sandbox ever made and what became of it, as JSON lines",
    ),
]  # fmt: skip

SETTINGS = {row.name: row for row in ROWS}
SECRETS = [row for row in ROWS if row.is_secret]
NAMES_IN_FILES = {row.name for row in ROWS if row.is_in_files} | {row.file_name for row in SECRETS}
"""What `.env` and chancrawl.ini may set."""
