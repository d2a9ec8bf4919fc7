"""Every setting of ours, and every one of Scrapy's that differs from its default, with unit, default and reason.

A setting is taken from `-s NAME=VALUE`, else from the environment variable NAME where this file says `configured`,
else from chancrawl.ini or tweet.ini, else from here.
https://docs.scrapy.org/en/latest/topics/settings.html lists Scrapy's own.
"""

from importlib.metadata import version
from typing import Any

from chancrawl.configuration import DEFAULT_FOLDER, configured

# --- the project

BOT_NAME = "chancrawl"
SPIDER_MODULES = ["spiders"]
NEWSPIDER_MODULE = "spiders"
COMMANDS_MODULE = "chancrawl.commands"
ADDONS = {"chancrawl.configuration.Configuration": 0}  # checks these settings, and sets what follows from them

# --- what to read

CHAN_API_URL = configured("CHAN_API_URL", "https://a.4cdn.org")
# Shortest time between two fetches of one index file and of one thread, in seconds: 4chan asks for 10 s a thread.
CHAN_INDEX_INTERVAL = configured("CHAN_INDEX_INTERVAL", 5)
CHAN_THREAD_INTERVAL = configured("CHAN_THREAD_INTERVAL", 10)

X_API_URL = configured("X_API_URL", "https://api.x.com")
# A CSV file: consumer_key, consumer_secret, access_token, access_token_secret and, if there is one, bearer_token.
X_CREDENTIALS = configured("X_CREDENTIALS", None)
X_DAILY_BUDGET = configured("X_DAILY_BUDGET", None)  # US dollars a UTC day; not set: no bound
# US dollars for a post and a user, each once a UTC day, and for a list of trends
X_PRICE_POST = configured("X_PRICE_POST", 0.005)
X_PRICE_USER = configured("X_PRICE_USER", 0.010)
X_PRICE_TRENDS = configured("X_PRICE_TRENDS", 0.010)
# 1: posts and users that come along with others (retweeted and quoted posts, authors) are on the bill. X says that it
# charges for each resource that is returned, and not whether that is one.
X_BILL_INCLUDES = configured("X_BILL_INCLUDES", True)
# A name in a list of handles stands for the account that had it when it was looked up first (number), or for whoever
# has it now (name).
X_FOLLOW = configured("X_FOLLOW", "number")
X_QUERY_LENGTH = configured("X_QUERY_LENGTH", 512)  # characters of a search; 4096 with an Enterprise plan
X_OUTAGE_PATIENCE = configured("X_OUTAGE_PATIENCE", 30)  # longest pause, in seconds, while all credentials are refused
X_RECHECK_DAYS = configured("X_RECHECK_DAYS", 7)  # protected, suspended and missing accounts are asked for again
X_TREND_WINDOW = configured("X_TREND_WINDOW", 900)  # seconds within which a place and a trend are not asked for again

# How far, in seconds, a source's clock may be from ours: a Date header that differs by more is not believed.
CLOCK_TOLERANCE = configured("CLOCK_TOLERANCE", 86_400)

# 1: send tokens to an X_API_URL that is neither https nor this machine
X_ALLOW_HTTP = configured("X_ALLOW_HTTP", False)

# --- what to add

SENTIMENT = configured("SENTIMENT", False)  # 1: the polarity of English posts, in `tweets.sentiment`

# --- where to keep it

# postgresql://user:password@host:5432/name. Not set: CSV files.
DATABASE_URL = configured("DATABASE_URL", None)
# The CSV files and their ledger; with either store the quarantine of payloads that could not be read.
CSV_FOLDER = configured("CSV_FOLDER", DEFAULT_FOLDER)  # with SANDBOX=1: sandbox-data
# A batch is written when it has so many rows, or when its oldest row has waited so many seconds.
BATCH_SIZE = configured("BATCH_SIZE", 2000)
BATCH_SECONDS = configured("BATCH_SECONDS", 5)
# What waits in CSV_FOLDER/spool while the database is out of reach, at most, in MB; then the crawl waits too.
SPOOL_MB = configured("SPOOL_MB", 1000)
# Payloads that could not be read are kept in CSV_FOLDER/quarantine up to so many MB; rows that could not be stored are
# always kept there.
QUARANTINE_MB = configured("QUARANTINE_MB", 100)
# For so many seconds a crawl into CSV files waits for space on a full disk, then it ends; with follow it waits on.
DISK_PATIENCE = configured("DISK_PATIENCE", 60)
# So many seconds a crawl without `follow` waits for a database that is out of reach, then it ends; with follow it waits
# on.
STORE_PATIENCE = configured("STORE_PATIENCE", 3600)
# The permissions that new files and folders do not get: 027 lets the group read. Not set: 077, for the owner alone.
UMASK = configured("UMASK", "")

# --- the sandbox: a local 4chan, for trying things out

SANDBOX = configured("SANDBOX", False)  # 1: start one for this crawl, and read it instead of the site
SANDBOX_SPEED = configured("SANDBOX_SPEED", 1)  # seconds of its clock for one of ours
SANDBOX_TRUTH = configured("SANDBOX_TRUTH", None)  # a file for every post it ever made and its fate, JSON lines
# What a crawl of the sandbox takes these settings to be, unless they are given with -s: it bothers nobody.
SANDBOX_PACE = {"DOWNLOAD_DELAY": 0.05, "CHAN_INDEX_INTERVAL": 0.25, "CHAN_THREAD_INTERVAL": 0.5}

# --- politeness, a hard limit for each address that requests leave from

DOWNLOAD_DELAY = configured("DOWNLOAD_DELAY", 1)  # seconds (default 0): 4chan allows one request a second
DOWNLOAD_DELAY_JITTER = 0  # default 0.5: half of the requests would come too early
CONCURRENT_REQUESTS = 2  # default 16: one under way and one waiting, so that what is asked next is decided late
CONCURRENT_ITEMS = 1  # default 100: items go to the store in their order, posts before the state that speaks of them
USER_AGENT = configured(  # default: Scrapy's. Who is asking; add your address for the site's operators.
    "USER_AGENT", f"chancrawl/0.1 (Scrapy/{version('scrapy')})"
)
DEFAULT_REQUEST_HEADERS = {"Accept": "application/json"}  # default: what a browser asks for
BACKOFF_MAX = configured("BACKOFF_MAX", 300)  # longest pause after refusals in a row, in seconds
# So many seconds a crawl without `follow` waits for a source that refuses, does not answer, or has no call left; then
# it ends with exit code 1. With `follow` it waits on.
SOURCE_PATIENCE = configured("SOURCE_PATIENCE", 3600)
RETRY_TIMES = 10  # default 2: with the pauses of the backoff this is a quarter of an hour
# default: a few 5xx. Whatever is no answer is a refusal, redirections included; 400 is X's to a wrong request.
RETRY_HTTP_CODES = [code for code in range(300, 600) if code not in (304, 400, 404)]
RETRY_PRIORITY_ADJUST = 0  # default -1: the agenda decides what comes first
DOWNLOAD_TIMEOUT = 15  # seconds (default 180): no file of the API takes longer, and a stop waits for what is under way
DOWNLOAD_MAXSIZE = 64 * 1024 * 1024  # bytes (default 1 GiB): the largest file is a catalog of a few MB

# --- safety

DOWNLOAD_VERIFY_CERTIFICATES = True  # default False
TELNETCONSOLE_ENABLED = False  # default True: no door into a process that runs for months
REMOTE_CONTROL_ENABLED = False  # default True: the same
COOKIES_ENABLED = False  # default True: the API sets none that help
REFERER_ENABLED = False  # default True: the API is no page one came from
REDIRECT_ENABLED = False  # default True: the API does not redirect; a captcha page does
ROBOTSTXT_OBEY = False  # the default: an API made for programs, whose rules are the limits above
HTTPPROXY_ENABLED = True  # the default: it carries out what a proxy list asks for
ROTATING_PROXY_LIST = configured("ROTATING_PROXY_LIST", "")  # proxies: http://user:password@host:port,…
ROTATING_PROXY_LIST_PATH = configured("ROTATING_PROXY_LIST_PATH", None)  # or a file, one a line
ROTATING_PROXY_BAN_POLICY = "chancrawl.middlewares.BanPolicy"

# --- components

# What there is to read; the rows of a batch are written in this order. SOURCES adds to them (sources.Source).
SOURCES_BASE = {
    "chancrawl.imageboards.source.Imageboards": 100,
    "chancrawl.x.source.X": 200,
}
SOURCES: dict[str, int] = {}
ROW_SINKS: dict[str, int] = {}  # what is given the rows that were stored, besides the store: storage.base.RowSink
ITEM_PIPELINES = {
    "pipelines.dedupe.DedupePipeline": 100,
    "pipelines.normalize.NormalizePipeline": 200,
    "pipelines.postgres.PostgresPipeline": 300,  # with DATABASE_URL
    "pipelines.csv.CsvPipeline": 300,  # without
}
DOWNLOADER_MIDDLEWARES = {
    "chancrawl.pausing.PauseMiddleware": 605,
    "chancrawl.middlewares.BackoffMiddleware": 640,  # behind the proxies (610, 620), which choose the address
    "chancrawl.x.middleware.RotatingCredentials": 650,  # signs last; a refusal of a credential is none of the address
    "chancrawl.middlewares.Unpacking": 660,  # the three above read the words of a refusal
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": None,
    "chancrawl.middlewares.HttpProxy": 750,
    "scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware": None,  # ours is the same, but for this machine
    "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
    "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware": None,
}
SPIDER_MIDDLEWARES = {  # every one of them touches every item
    "scrapy.spidermiddlewares.depth.DepthMiddleware": None,
    "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
}
EXTENSIONS: dict[str, Any] = {
    "chancrawl.storage.session.Session": 0,
    "chancrawl.storage.quarantine.Quarantine": 0,
    "chancrawl.x.access.Access": 0,
    "chancrawl.extensions.Report": 0,
    "chancrawl.extensions.CoreStats": 0,
    "scrapy.extensions.corestats.CoreStats": None,  # ours is the same, and quicker
    "scrapy.extensions.logstats.LogStats": None,  # Report says it in terms of posts
    "scrapy.extensions.throttle.AutoThrottle": None,
}
DUPEFILTER_CLASS = "scrapy.dupefilters.BaseDupeFilter"  # default: remembers every request for ever
LOGSTATS_INTERVAL = 60  # seconds between two lines of progress (the default)

# --- logging

LOG_LEVEL = configured("LOG_LEVEL", "INFO")  # default DEBUG: a line for every item
LOG_VERSIONS: list[str] = []  # default: of ten packages, at every start
LOG_FORMATTER = "chancrawl.extensions.QuietItems"  # default: makes a record for every item, whatever LOG_LEVEL says
DEFAULT_DROPITEM_LOG_LEVEL = "DEBUG"  # default WARNING: an unchanged item is no event
STATS_DUMP = False  # default True: Report says what matters, and the runs table keeps the rest
