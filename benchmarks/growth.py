"""Measures how much a day of following all boards adds: rows and bytes of each table, of the log and of each folder.

    python benchmarks/growth.py                                # two hours of seventy boards, in ten real minutes
    python benchmarks/growth.py --hours 24 --speed 12          # a whole day, in two real hours

Some answers are faults, so that the log and the quarantine grow too. `a day` is extrapolated from the measurement. A
folder with a size limit does not grow beyond it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import psycopg2

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from benchmarks import tools  # noqa: E402
from tests.support.sandboxes import Sandbox  # noqa: E402

SIZES = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC
"""
FAULTS = ("truncated", "503", "holey", "bad_byte")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", default="whole", help="which boards (default whole: seventy)")
    parser.add_argument("--hours", type=float, default=2, help="of the boards' time (default 2)")
    parser.add_argument("--speed", type=float, default=12, help="seconds of theirs for one of ours (default 12)")
    parser.add_argument(
        "--csv", action="store_true", help="into the embedded database with CSV files, instead of PostgreSQL"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, tools.postgres(Path(name) / "pg") as server:
        folder, log = Path(name) / "data", Path(name) / "log"
        url = None if options.csv else server.new_database("growth")
        sandbox = Sandbox("--site", options.site, "--speed", str(options.speed))
        for kind in FAULTS:
            sandbox.ask("/sandbox/faults", "POST", kind=kind, probability=0.002)
        delay = 1 / options.speed
        process = tools.crawl(
            "chan", "-a", "board=all", "-a", "follow=1", log=log, CHAN_API_URL=sandbox.url, CSV_FOLDER=folder,
            DATABASE_URL=url, DOWNLOAD_DELAY=delay, CHAN_INDEX_INTERVAL=5 * delay, CHAN_THREAD_INTERVAL=10 * delay,
            LOGSTATS_INTERVAL=60 * delay,
        )  # fmt: skip
        end = time.monotonic() + options.hours * 3600 * delay
        while time.monotonic() < end and process.poll() is None:
            time.sleep(1)
        process.send_signal(signal.SIGINT)
        tools.finish(process, log)
        sandbox.stop()
        result = {"hours": options.hours, "site": options.site, "tables": tables(url) if url else embedded(folder)}
        result["files"] = {"log": [log.read_text().count("\n"), log.stat().st_size], **folders(folder)}
    day = 24 / options.hours
    print(f"{'':24}{'rows or files':>14}{'bytes':>16}{'a day':>14}{'bytes a day':>18}")
    for kind in ("tables", "files"):
        for what, (number, size) in result[kind].items():
            print(f"{what:24}{number:14,}{size:16,}{number * day:14,.0f}{size * day:18,.0f}")
    print(json.dumps(result))


def tables(url: str) -> dict[str, list[int]]:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(SIZES)
        sizes = cursor.fetchall()
    connection.close()
    return {name: [tools.one(url, f"SELECT count(*) FROM {name}"), size] for name, size in sizes}


def embedded(folder: Path) -> dict[str, list[int]]:
    with contextlib.closing(sqlite3.connect(folder / "chancrawl.sqlite")) as connection:
        sizes = connection.execute(
            "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_master USING (name) GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()
        return {name: [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0], size] for name, size in sizes}


def folders(folder: Path) -> dict[str, list[int]]:
    """Files and bytes by kind: the quarantine, the spool, and each kind of CSV file."""
    found: dict[str, list[int]] = {}
    for file in folder.rglob("*"):
        if file.is_file():
            kind = file.relative_to(folder).parts[0]
            if kind == "chan":
                kind = f"{file.name.partition('-')[0].partition('.')[0]}.csv"
            entry = found.setdefault(kind, [0, 0])
            entry[0], entry[1] = entry[0] + 1, entry[1] + file.stat().st_size
    return found


if __name__ == "__main__":
    main()
