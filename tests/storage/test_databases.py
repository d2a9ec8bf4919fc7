"""Databases of other people: roles that may little, tables of other programs, standbys, poolers. On every version that
this machine has."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

from tests.spiders.test_chan import BOARD
from tests.support import ROOT
from tests.support.crawls import Crawler, Run, environment, wait_for_line
from tests.support.databases import Database
from tests.support.sandboxes import Sandbox
from tests.support.servers import CRAWLER, OWNER, PASSWORD, PGBOUNCER, READER, PgBouncer, Postgres, versions
from tests.support.stores import posts_of
from tests.support.x import XCrawler, handles_of

DEPLOY = ROOT / "deploy"
PSQL = next((p / "psql" for p in versions().values() if (p / "psql").exists()), Path(shutil.which("psql") or "psql"))


BUNDLED = max(versions(), key=lambda version: ("site-packages" in str(versions()[version]), version))
OTHERS = sorted({"15"} | {version for version, place in versions().items() if "site-packages" not in str(place)})
"""Beside the newest bundled version: Debian's, and those of POSTGRES_PROGRAMS."""


@pytest.fixture(scope="module", params=[BUNDLED, *(pytest.param(v, marks=pytest.mark.soak) for v in OTHERS)])
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    if request.param not in versions():
        pytest.skip(f"left out: no PostgreSQL {request.param} on this machine (POSTGRES_PROGRAMS=/its/bin names one)")
    server = Postgres(versions()[request.param])
    yield server
    server.stop()


@pytest.fixture
def archive(server: Postgres, request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """The server with an empty database `archive` and its roles."""
    server.roles()
    yield server
    server.sql("DROP DATABASE archive WITH (FORCE)", database="postgres")


def scrapy(*arguments: str, url: str, folder: Path) -> Run:
    command = [sys.executable, "-m", "scrapy", *arguments, "-s", f"CSV_FOLDER={folder}"]
    run = subprocess.run(command, cwd=ROOT, env=environment() | {"DATABASE_URL": url}, capture_output=True, text=True,
                         timeout=60)  # fmt: skip
    assert PASSWORD not in run.stdout + run.stderr and quote(PASSWORD, safe="") not in run.stdout + run.stderr
    return Run(run.returncode, run.stdout + run.stderr)


def set_up(server: Postgres, folder: Path) -> None:
    """What docs/deploying.md does."""
    scrapy("initdb", url=server.url(OWNER), folder=folder).ok()
    done = subprocess.run(
        [PSQL, "-v", "ON_ERROR_STOP=1", "-f", DEPLOY / "grants.sql", server.url(OWNER)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# --- grants


@pytest.mark.soak
def test_the_grants_suffice_and_a_missing_privilege_is_named(
    archive: Postgres, sandbox: Sandbox, tmp_path: Path
) -> None:
    set_up(archive, tmp_path)
    url = archive.url(CRAWLER)
    crawler = Crawler(tmp_path / "data", sandbox.url, url)
    crawler(f"-aboard={BOARD}").ok()
    process = crawler.start(f"-aboard={BOARD}", "-afollow=1")
    wait_for_line(process, "Following")
    crawler.interrupted(process).ok()
    x = XCrawler(tmp_path / "data", sandbox.url, url)
    name = handles_of(sandbox)[0]
    x.timeline(name, "-a", "limit=5").ok()
    x.x("search", "-a", f"queries=from:{name}", "-a", "limit=5").ok()
    x.x("trending", "-a", "woeid=1", "-a", "tweets=0").ok()
    for command in (["coverage"], ["status"], ["spool"], ["spool", "drain"], ["quarantine"]):
        scrapy(*command, url=url, folder=tmp_path / "data").ok()
    for command in (["coverage"], ["status"]):
        scrapy(*command, url=archive.url(READER), folder=tmp_path / "data").ok()
    scrapy("initdb", url=url, folder=tmp_path).refused("could not be created", "permission denied")
    crawl = ["crawl", "chan", "-a", f"board={BOARD}", "-s", f"CHAN_API_URL={sandbox.url}"]
    scrapy(*crawl, url=archive.url(READER), folder=tmp_path).refused("INSERT ON accounts", "more", "GRANT")
    asked = len(sandbox.requests())
    for privilege, table in [("INSERT", "posts"), ("UPDATE", "runs"), ("SELECT", "feeds"), ("DELETE", "board_polls"),
                             ("SELECT", "schema_version")]:  # fmt: skip
        archive.sql(f"REVOKE {privilege} ON {table} FROM {CRAWLER}")
        words = ["permission denied", table] if table == "schema_version" else [f"{privilege} ON {table}"]
        scrapy(*crawl, url=url, folder=tmp_path).refused(*words)
        archive.sql(f"GRANT {privilege} ON {table} TO {CRAWLER}")
    archive.sql(f"REVOKE SELECT ON board_polls FROM {READER}")
    scrapy("coverage", url=archive.url(READER), folder=tmp_path).refused("SELECT ON board_polls")
    archive.sql(f"REVOKE TEMPORARY ON DATABASE archive FROM PUBLIC, {CRAWLER}")
    scrapy(*crawl, url=url, folder=tmp_path).refused("TEMPORARY ON DATABASE archive")
    archive.sql(f"REVOKE USAGE ON SCHEMA public FROM PUBLIC, {CRAWLER}")
    scrapy(*crawl, url=url, folder=tmp_path).refused("search_path", "GRANT USAGE")
    assert len(sandbox.requests()) == asked, "all that is known before the first request"


def test_a_user_who_may_not_create_tables(archive: Postgres, sandbox: Sandbox, tmp_path: Path) -> None:
    archive.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    crawl = ["crawl", "chan", "-a", f"board={BOARD}", "-s", f"CHAN_API_URL={sandbox.url}"]
    scrapy(*crawl, url=archive.url(CRAWLER), folder=tmp_path).refused("CREATE ON SCHEMA public")
    assert sandbox.requests() == []


# --- other programs' tables, and a schema of our own

FOREIGN = {
    "Flyway's schema_version": "CREATE TABLE schema_version (installed_rank int, version varchar(50), script text)",
    "a blog's posts": "CREATE TABLE posts (id bigserial PRIMARY KEY, title text, body text)",
    "accounts of a shop": "CREATE TABLE accounts (id int, email text); CREATE TABLE feeds (id int)",
    "a view": "CREATE VIEW boards AS SELECT 1 AS board",
}


@pytest.mark.soak
@pytest.mark.parametrize("tables", FOREIGN.values(), ids=FOREIGN.keys())
def test_tables_of_another_program_are_refused_and_left_alone(
    archive: Postgres, sandbox: Sandbox, tmp_path: Path, tables: str
) -> None:
    archive.sql(tables, user=OWNER)
    before = archive.sql("SELECT table_name, column_name FROM information_schema.columns "
                         "WHERE table_schema = 'public' ORDER BY 1, 2")  # fmt: skip
    url = archive.url(OWNER)
    crawl = ["crawl", "chan", "-a", f"board={BOARD}", "-s", f"CHAN_API_URL={sandbox.url}", "-s", "DOWNLOAD_DELAY=0"]
    for command in (crawl, ["initdb"], ["coverage"], ["status"]):
        scrapy(*command, url=url, folder=tmp_path).refused("another program", "search_path")
    assert sandbox.requests() == []
    after = archive.sql("SELECT table_name, column_name FROM information_schema.columns "
                        "WHERE table_schema = 'public' ORDER BY 1, 2")  # fmt: skip
    assert after == before
    own = f"{url}?options=-csearch_path%3Dchancrawl"
    scrapy("initdb", url=own, folder=tmp_path).refused("search_path", "CREATE SCHEMA")
    archive.sql("CREATE SCHEMA chancrawl", user=OWNER)
    Crawler(tmp_path / "data", sandbox.url, own)(f"-aboard={BOARD}").ok()
    held = {no for (no,) in archive.sql("SELECT no FROM chancrawl.posts")}
    assert held == sandbox.visible(BOARD)
    archive.sql("DELETE FROM chancrawl.posts WHERE no = %s", min(held))  # by somebody with another search_path
    assert archive.sql("SELECT sum(posts) FROM chancrawl.board_hours") == [(len(held) - 1,)]


@pytest.mark.soak
def test_tables_that_somebody_has_changed(archive: Postgres, sandbox: Sandbox, tmp_path: Path) -> None:
    set_up(archive, tmp_path)
    url = archive.url(OWNER)
    crawl = ["crawl", "chan", "-a", f"board={BOARD}", "-s", f"CHAN_API_URL={sandbox.url}", "-s", "DOWNLOAD_DELAY=0"]
    archive.sql("ALTER TABLE posts RENAME COLUMN comment_text TO body")
    scrapy(*crawl, url=url, folder=tmp_path).refused("posts")
    archive.sql("ALTER TABLE posts RENAME COLUMN body TO comment_text")
    archive.sql("DROP TABLE gaps")
    scrapy(*crawl, url=url, folder=tmp_path).refused("gaps", "scrapy initdb")
    scrapy("initdb", url=url, folder=tmp_path).ok()
    scrapy(*crawl, url=url, folder=tmp_path).ok()


# --- standbys


@pytest.mark.soak
def test_a_read_only_database_is_refused_for_crawls_and_read(
    archive: Postgres, sandbox: Sandbox, tmp_path: Path
) -> None:
    set_up(archive, tmp_path)
    Crawler(tmp_path / "data", sandbox.url, archive.url(CRAWLER))(f"-aboard={BOARD}", "-asample=2").ok()
    archive.sql("ALTER DATABASE archive SET default_transaction_read_only = on")
    crawl = ["crawl", "chan", "-a", f"board={BOARD}", "-s", f"CHAN_API_URL={sandbox.url}"]
    asked = len(sandbox.requests())
    scrapy(*crawl, url=archive.url(CRAWLER), folder=tmp_path).refused("read-only", "target_session_attrs")
    assert len(sandbox.requests()) == asked
    scrapy("coverage", url=archive.url(READER), folder=tmp_path).ok()
    scrapy("status", url=archive.url(READER), folder=tmp_path).ok()


@pytest.mark.soak
def test_a_standby_and_several_hosts(sandbox: Sandbox, tmp_path: Path) -> None:
    """A real standby beside its primary: the crawl finds the one that takes writes."""
    programs = next(folder for folder in versions().values() if (folder / "pg_basebackup").exists())
    primary = Postgres(programs)
    try:
        primary.roles()
        (primary.folder / "data" / "pg_hba.conf").write_text("host all,replication all 127.0.0.1/32 scram-sha-256\n")
        primary.sql("SELECT pg_reload_conf()", database="postgres")
        scrapy("initdb", url=primary.url(OWNER), folder=tmp_path).ok()
        standby = Postgres.__new__(Postgres)
        super(Postgres, standby).__init__()
        standby.programs, standby.options = programs, ()
        try:
            standby.run("pg_basebackup", "-D", "data", "-R", "-c", "fast", "-d", primary.url(database="postgres"))
            standby.up()
            crawl = ["crawl", "chan", "-a", f"board={BOARD}", "-a", "sample=2", "-s", f"CHAN_API_URL={sandbox.url}",
                     "-s", "DOWNLOAD_DELAY=0"]  # fmt: skip
            scrapy(*crawl, url=standby.url(OWNER), folder=tmp_path).refused("read-only (a standby")
            scrapy("coverage", url=standby.url(OWNER), folder=tmp_path).ok()
            hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
            both = f"postgresql://{OWNER}:{quote(PASSWORD, safe='')}@{hosts}/archive"
            scrapy(*crawl, url=both, folder=tmp_path).refused("read-only (a standby")
            scrapy(*crawl, url=f"{both}?target_session_attrs=read-write", folder=tmp_path).ok()
            assert primary.sql("SELECT count(*) > 0 FROM posts") == [(True,)]
        finally:
            standby.stop()
    finally:
        primary.stop()


# --- a pooler


def test_behind_pgbouncer_no_setting_stays_in_a_session(archive: Postgres, sandbox: Sandbox, tmp_path: Path) -> None:
    if PGBOUNCER is None:
        pytest.skip("left out: pgbouncer is not installed")
    set_up(archive, tmp_path)
    pool = PgBouncer(archive, connections=1)
    try:
        url = archive.url(CRAWLER, port=pool.port)
        crawler = Crawler(tmp_path / "data", sandbox.url, url)
        crawler(f"-aboard={BOARD}", "-sBATCH_SIZE=50").ok()
        assert set(crawler.held(BOARD)) == sandbox.visible(BOARD)
        x = XCrawler(tmp_path / "data", sandbox.url, url)
        name = handles_of(sandbox)[0]
        x.timeline(name, "-a", "limit=300", "-s", "X_DAILY_BUDGET=50").ok()
        scrapy("coverage", url=url, folder=tmp_path).ok()
        # Whoever has the only session next finds it as the server gives it.
        left = Database(url).rows(
            "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name IN "
            "('TimeZone', 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')"
        )
        assert left == []
        assert Database(url).rows("SELECT relname FROM pg_class WHERE relpersistence = 't'") == []
        assert Database(url).rows("SELECT objid FROM pg_locks WHERE locktype = 'advisory'") == []
    finally:
        pool.stop()


@pytest.fixture
def pool(archive: Postgres, tmp_path: Path) -> Iterator[PgBouncer]:
    """PgBouncer in front of the server, whose tables exist."""
    if PGBOUNCER is None:
        pytest.skip("left out: pgbouncer is not installed")
    set_up(archive, tmp_path)
    pool = PgBouncer(archive)
    yield pool
    pool.stop()


def test_pgbouncer_restarts_under_a_crawl(
    archive: Postgres, pool: PgBouncer, sandbox: Sandbox, tmp_path: Path, wait_until: Any
) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, archive.url(CRAWLER, port=pool.port), delay=0.02)
    process = crawler.start(f"-aboard={BOARD}", "-sBATCH_SIZE=20", "-sBATCH_SECONDS=0.2")
    direct = Database(archive.url(CRAWLER))
    wait_until(lambda: direct.one("SELECT count(*) FROM posts") > 50)
    pool.halt()
    pool.up()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert {no for _, no in posts_of(direct)} == sandbox.visible(BOARD)


@pytest.mark.soak
def test_an_outage_of_the_server_behind_pgbouncer(
    archive: Postgres, pool: PgBouncer, sandbox: Sandbox, tmp_path: Path, wait_until: Any
) -> None:
    crawler = Crawler(tmp_path / "data", sandbox.url, archive.url(CRAWLER, port=pool.port), delay=0.03)
    process = crawler.start(f"-aboard={BOARD}", "-sBATCH_SIZE=20", "-sBATCH_SECONDS=0.2")
    direct = Database(archive.url(CRAWLER))
    wait_until(lambda: direct.one("SELECT count(*) FROM posts") > 50)
    archive.halt()
    wait_until(lambda: any((tmp_path / "data" / "spool").rglob("*.gz")))
    archive.up()
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0 and "out of reach" in output and "is back" in output, output
    assert {no for _, no in posts_of(direct)} == sandbox.visible(BOARD)
    crawler(f"-aboard={BOARD}", "-sBATCH_SIZE=20").ok()  # started again
    assert direct.rows("SELECT relname FROM pg_class WHERE relpersistence = 't'") == []
    assert direct.rows("SELECT objid FROM pg_locks WHERE locktype = 'advisory'") == []


# --- several writers

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chancrawl' AND wait_event_type = 'Lock'"
IN_TRANSACTION = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chancrawl' AND state = 'idle in transaction'"
)


@pytest.mark.soak
def test_a_crawl_that_is_stopped_while_it_writes_holds_nobody_up_for_long(
    sandbox: Sandbox, tmp_path: Path, wait_until: Any
) -> None:
    """As if its machine had lost its power: the server ends its transaction, and another crawl of the board goes on."""
    archive = Postgres(versions()[BUNDLED])
    try:
        archive.roles()
        stop_and_go_on(archive, sandbox, tmp_path, wait_until)
    finally:
        archive.stop()


def stop_and_go_on(archive: Postgres, sandbox: Sandbox, tmp_path: Path, wait_until: Any) -> None:
    set_up(archive, tmp_path)
    url = archive.url(CRAWLER)
    stopped = Crawler(tmp_path / "stopped", sandbox.url, url, delay=0.02)
    stopped(f"-aboard={BOARD}", "-asample=1").ok()
    blocker = psycopg2.connect(archive.url(OWNER))
    blocker.cursor().execute("LOCK TABLE posts IN SHARE MODE")
    process = stopped.start(f"-aboard={BOARD}", "-sBATCH_SIZE=20", "-sBATCH_SECONDS=0.2")
    wait_until(lambda: archive.sql(WAITING)[0][0] == 1)  # and not autovacuum
    process.send_signal(signal.SIGSTOP)  # in a transaction, with the lock of the board
    blocker.close()
    wait_until(lambda: archive.sql(IN_TRANSACTION)[0][0] == 1)
    began = time.monotonic()
    before = archive.sql("SELECT count(*) FROM posts")
    other = Crawler(tmp_path / "other", sandbox.url, url, delay=0.02)
    second = other.start(f"-aboard={BOARD}", "-sBATCH_SECONDS=0.2")
    wait_until(lambda: archive.sql("SELECT count(*) FROM posts") > before, timeout=70)
    assert time.monotonic() - began < 60
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0, output
    process.send_signal(signal.SIGCONT)  # it comes back: its transaction is gone, and it writes its batch again
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0 and "Traceback" not in output, output
    assert set(other.held(BOARD)) == sandbox.visible(BOARD)


# --- the commands of docs/deploying.md

SUDO = """#!/bin/sh
shift 2
export PGUSER=admin PGPASSWORD=admin PGHOST=127.0.0.1
exec "$@"
"""


@pytest.mark.soak
def test_the_commands_of_the_page_on_deploying(sandbox: Sandbox, tmp_path: Path) -> None:
    """All of its shell blocks, one after the other, as somebody who copies them."""
    programs = next((folder for folder in versions().values() if (folder / "createuser").exists()), None)
    assert programs is not None
    server = Postgres(programs)
    home, project = tmp_path / "home", tmp_path / "project"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "sudo").write_text(SUDO)
    (home / "bin" / "sudo").chmod(0o755)
    project.mkdir()
    for part in ("chancrawl", "spiders", "pipelines", "deploy", "schema.sql", "scrapy.cfg"):
        (project / part).symlink_to(ROOT / part)
    (project / ".venv").mkdir()
    (project / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    env = environment() | {
        "HOME": str(home), "PATH": f"{home / 'bin'}:{programs}:{os.environ['PATH']}", "PGPORT": str(server.port),
        "CHAN_API_URL": sandbox.url, "DOWNLOAD_DELAY": "0.01", "CLOCK_TOLERANCE": str(10**8),
    }  # fmt: skip
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    # Each program that asks for a password is given it alone.
    blocks = [part for block in blocks for part in (block.splitlines() if block.startswith("sudo") else [block])]
    raw = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    try:
        for block in blocks:
            for role in ("OWNER", "CRAWLER", "READER"):
                block = block.replace(f"{role}-PASSWORD", raw)
            if "scrapy backup" in block:
                block = f"{block.strip()} -s DATABASE_URL="  # this project has one
            done = subprocess.run(
                ["/bin/sh", "-euc", block], cwd=project, env=env, input=f"{PASSWORD}\n" * 2, capture_output=True,
                text=True, timeout=60, start_new_session=True,
            )  # fmt: skip
            log = (project / "po.log").read_text() if (project / "po.log").exists() else ""
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}{log}"
            assert PASSWORD not in done.stdout + done.stderr
            if "flock" in block:
                assert "archive on localhost" in (project / "po.log").read_text()
                # The same without DATABASE_URL, for the backup of the embedded database.
                subprocess.run(["/bin/sh", "-euc", ".venv/bin/scrapy crawl chan -a board=wsr -s DATABASE_URL="],
                               cwd=project, env=env, check=True, capture_output=True)  # fmt: skip
        assert (project / "chancrawl.ini").stat().st_mode & 0o077 == 0
        assert (home / ".pgpass").stat().st_mode & 0o077 == 0
        assert {no for (no,) in server.sql("SELECT no FROM posts WHERE board = 'po'")} == sandbox.visible("po")
        # The dump gives the same rows, the copy of the CSV files is one that a crawl goes on with.
        server.sql(f"CREATE DATABASE again OWNER {OWNER} TEMPLATE template0", database="postgres")
        restore = [str(programs / "pg_restore"), "--no-owner", "--no-privileges"]
        subprocess.run([*restore, f"--dbname={server.url(OWNER, database='again')}", "archive.dump"],
                       cwd=project, env=env, check=True, capture_output=True)  # fmt: skip
        ours, theirs = Database(server.url()), Database(server.url(database="again"))
        assert posts_of(ours) == posts_of(theirs)
        (project / "restored").mkdir()
        (project / "backup.sqlite").rename(project / "restored" / "chancrawl.sqlite")
        (copy := Crawler(project / "restored", sandbox.url))("-aboard=wsr").ok()
        assert posts_of(copy.folder) == posts_of(project / "data")
        # An address with the password in it, from the file of settings.
        ini = (project / "chancrawl.ini").read_text()
        (project / "chancrawl.ini").write_text(
            ini.replace("crawler@localhost", f"crawler:{quote(PASSWORD, safe='')}@localhost")
        )
        (home / ".pgpass").unlink()
        done = subprocess.run(["/bin/sh", "-euc", ".venv/bin/scrapy crawl chan -a board=po"], cwd=project, env=env,
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        assert done.returncode == 0 and "Storing in the database archive" in done.stderr, done.stderr
    finally:
        server.stop()


def test_units_and_recipes() -> None:
    """What no test starts is at least what its program takes."""
    for unit in DEPLOY.glob("*.service"):
        text = unit.read_text()
        assert "KillMode=" in text and "User=" in text and "%" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
        assert "postgresql://" not in text
        if shutil.which("systemd-analyze") is None:
            pytest.skip("left out: systemd-analyze is not installed")
        offline = ["systemd-analyze", "security", "--offline=true", "--threshold=50", str(unit)]
        done = subprocess.run(offline, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    for line in (DEPLOY / "chancrawl.cron").read_text().splitlines():
        assert line.startswith("#") or ("flock -n" in line and "%" not in line and "postgresql://" not in line)
