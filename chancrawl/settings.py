"""Scrapy's settings module: the settings of ours, every one of Scrapy's that differs from its default, with unit,
default and reason, and the components.

What users can set is in setting_rows.py, one row each. `all_configured` gives each of them its value: from the
environment, `.env`, chancrawl.ini or tweet.ini, else its default; `-s NAME=VALUE` goes before all of them.
https://docs.scrapy.org/en/latest/topics/settings.html lists Scrapy's own.
"""

from typing import Any

from chancrawl.configuration import all_configured

# --- the project

BOT_NAME = "chancrawl"
SPIDER_MODULES = ["spiders"]
NEWSPIDER_MODULE = "spiders"
COMMANDS_MODULE = "chancrawl.commands"
ADDONS = {"chancrawl.addon.Configuration": 0}  # checks these settings, and sets what follows from them

# --- what users can set, among it Scrapy's DOWNLOAD_DELAY, DOWNLOAD_TIMEOUT, RETRY_TIMES, USER_AGENT and LOG_LEVEL

globals().update(all_configured())

# --- politeness, a hard limit for each address that requests leave from

DOWNLOAD_DELAY_JITTER = 0  # default 0.5: half of the requests would come too early
# default 16: one under way and one waiting, so that what is asked next is decided late; x/spider.py has that of X
CONCURRENT_REQUESTS = 2
CONCURRENT_ITEMS = 1  # default 100: items go to the store in their order, posts before the state that speaks of them
DEFAULT_REQUEST_HEADERS = {"Accept": "application/json"}  # default: what a browser asks for
# default: a few 5xx. Whatever is no answer is a refusal, redirections included; 400 is X's to a wrong request.
RETRY_HTTP_CODES = [code for code in range(300, 600) if code not in (304, 400, 404)]
RETRY_PRIORITY_ADJUST = 0  # default -1: the frontier decides what comes first
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
ROTATING_PROXY_BAN_POLICY = "chancrawl.middlewares.BanPolicy"

# --- components

# What there is to read; the rows of a batch are written in this order. SOURCES adds to them (sources.Source).
SOURCES_BASE = {
    "chancrawl.imageboards.source.Imageboards": 100,
    "chancrawl.x.source.X": 200,
}
SOURCES: dict[str, int] = {}
# What is given the rows that were stored, besides the store: storage.base.RowSink. ROW_SINKS adds others.
ROW_SINKS_BASE = {"chancrawl.storage.csv.sink.CsvSink": 100}
ROW_SINKS: dict[str, int] = {}
ITEM_PIPELINES = {
    "pipelines.dedupe.DedupePipeline": 100,
    "pipelines.normalize.NormalizePipeline": 200,
    "pipelines.postgres.PostgresPipeline": 300,  # with DATABASE_URL
    "pipelines.sqlite.SqlitePipeline": 300,  # without
}
DOWNLOADER_MIDDLEWARES = {
    "chancrawl.middlewares.PauseMiddleware": 605,
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
    "chancrawl.display.Display": 0,
    "chancrawl.extensions.CoreStats": 0,
    "scrapy.extensions.corestats.CoreStats": None,  # ours is the same, and quicker
    "scrapy.extensions.logstats.LogStats": None,  # Report says it in terms of posts
    "scrapy.extensions.throttle.AutoThrottle": None,
}
DUPEFILTER_CLASS = "scrapy.dupefilters.BaseDupeFilter"  # default: remembers every request for ever
LOGSTATS_INTERVAL = 60  # seconds between two lines of progress (the default)

# --- logging

LOG_VERSIONS: list[str] = []  # default: of ten packages, at every start
LOG_FORMATTER = "chancrawl.extensions.QuietItems"  # default: makes a record for every item, whatever LOG_LEVEL says
DEFAULT_DROPITEM_LOG_LEVEL = "DEBUG"  # default WARNING: an unchanged item is no event
STATS_DUMP = False  # default True: Report says what matters, and the runs table keeps the rest
