"""Random environments around the README's first command: what shells, machines and people come up with."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support import ROOT

SECRET = "hunter2secret"
COMMAND = ("crawl", "chan", "-a", "board=po", "-s", "SANDBOX=1", "-s", "DOWNLOAD_DELAY=0")
KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")

LOCALES: list[dict[str, str]] = [
    {}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}, {"LANG": "en_US.ISO-8859-1", "PYTHONUTF8": "0"},
    {"LC_ALL": "xx_YY.nonsense"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "iso-8859-1:strict"}, {"PYTHONIOENCODING": "utf-16"},
    {"LC_ALL": "C.UTF-8", "LC_CTYPE": "C"},
]  # fmt: skip
PROXIES = ["http://127.0.0.1:9", f"http://me:{SECRET}@127.0.0.1:9", f"socks5://me:{SECRET}@h:1", "/var/run/docker.sock",
           "h", "http://", "*", f"http://me:{SECRET}@@h:x", " "]  # fmt: skip
INI = [
    b"", b"\n\n", b"[chancrawl]\n", b"\xef\xbb\xbf[chancrawl]\r\nLOG_LEVEL=info\r\n", b"\xff\xfe[\0c\0h\0",
    b"[other]\nA=1\n", b"[chancrawl]\nUSER_AGENT = caf\xe9\n",
    b"[chancrawl]\nUSER_AGENT = caf\xc3\xa9 (me@example.org)\n",
    f"DATABASE_URL = postgresql://me:{SECRET}@h/db\n".encode(), f"[chancrawl]\n{SECRET}\n".encode(),
    f"[chancrawl]\nDATABASE_URL = postgresql://me:{SECRET}%@h/db\n".encode(),
    f"[chancrawl]\nDATABASE_URL = postgresql://me:{SECRET}@127.0.0.1:9/db\n".encode(),
    f"[chancrawl]\nROTATING_PROXY_LIST = http://me:{SECRET}@127.0.0.1:9\n".encode(),
    f"[chancrawl]\nX_CREDENTIALS = {SECRET}\n".encode(), b"\x00\x01\x02" * 50, b"[chancrawl]\nCSV_FOLDER = ~/a b\n",
    b"[chancrawl\nA=1\n", b"[chancrawl]\nA\n", b"[chancrawl]\n[chancrawl]\n", b"[chancrawl]\nSPOOL_MB = much\n",
]  # fmt: skip
VARIABLES: list[dict[str, str]] = [
    {}, {}, {}, {"CSV_FOLDER": ""}, {"CSV_FOLDER": "~"}, {"CSV_FOLDER": "dätä ☃"}, {"CSV_FOLDER": "a\nb"},
    {"CSV_FOLDER": "/proc/none"}, {"LOG_LEVEL": "debug"}, {"LOG_LEVEL": "loud"}, {"DOWNLOAD_DELAY": "fast"},
    {"DATABASE_URL": SECRET}, {"DATABASE_URL": f"postgresql://me:{SECRET}@127.0.0.1:9/db"}, {"UMASK": "8"},
    {"DATABASE_URL": f"postgresql://me:p@{SECRET}/x@h/db"}, {"X_CREDENTIALS": "none.csv"}, {"X_DAILY_BUDGET": "all"},
    {"ROTATING_PROXY_LIST": f"socks5://me:{SECRET}@h:1"}, {"SANDBOX_SPEED": "0"}, {"BATCH_SIZE": "1"},
    {"PYTHONOPTIMIZE": "2"}, {"PYTHONDONTWRITEBYTECODE": "1"}, {"PYTHONHASHSEED": "0"}, {"PYTHONUNBUFFERED": "1"},
    {"TERM": "dumb", "COLUMNS": "3"}, {"NO_COLOR": "1"}, {"SCRAPY_PROJECT": "default"}, {"PYTHONWARNINGS": "default"},
]  # fmt: skip
ZONES = ["", "UTC", "Asia/Kathmandu", "Nonsense/Nowhere", "America/St_Johns", ":"]
MASKS = [0o000, 0o002, 0o022, 0o027, 0o077, 0o177]
LIMITS = [None, None, (resource.RLIMIT_NOFILE, 24), (resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_FSIZE, 200_000),
          (resource.RLIMIT_CORE, 0), (resource.RLIMIT_STACK, 1 << 20), (resource.RLIMIT_FSIZE, 0)]  # fmt: skip


@dataclass
class Environment:
    """One of them, made in an empty folder."""

    folder: Path
    seed: int
    variables: dict[str, str] = field(default_factory=dict)
    umask: int = 0o022
    limit: tuple[int, int] | None = None
    words: list[str] = field(default_factory=list)

    def make(self) -> Environment:
        random = Random(self.seed)
        self.folder.mkdir(parents=True)
        for part in ("chancrawl", "spiders", "pipelines", "schema.sql", "scrapy.cfg"):
            (self.folder / part).symlink_to(ROOT / part)
        self.variables = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.variables |= random.choice(LOCALES) | random.choice(VARIABLES)
        if random.random() < 0.4:
            name = random.choice(["http_proxy", "https_proxy", "HTTP_PROXY", "all_proxy", "HTTPS_PROXY"])
            self.variables[name] = random.choice(PROXIES)
        if random.random() < 0.3:
            self.variables["no_proxy"] = random.choice(["", "*", "localhost", "127.0.0.1", ",,"])
        if random.random() < 0.25:
            (self.folder / "chancrawl.ini").write_bytes(random.choice(INI))
        if random.random() < 0.1:
            (self.folder / "tweet.ini").write_bytes(random.choice(INI))
        if random.random() < 0.3:
            (self.folder / ".env").write_bytes(random.choice(INI))
        for name in ("HOME", "TMPDIR"):
            self._folder_variable(name, random)
        if (zone := random.choice(ZONES)) or random.random() < 0.5:
            self.variables["TZ"] = zone
        self.umask, self.limit = random.choice(MASKS), random.choice(LIMITS)
        return self

    def _folder_variable(self, name: str, random: Random) -> None:
        kind = random.choice(["none", "good", "odd", "missing", "file", "empty"])
        place = self.folder / name.lower()
        if kind == "none":
            return
        if kind == "odd":
            place = place.with_name(f"{name} ünï $x '\"")
        if kind in ("good", "odd"):
            place.mkdir()
        if kind == "file":
            place.write_text("")
        self.variables[name] = "" if kind == "empty" else str(place)

    def run(self) -> tuple[int, str]:
        def prepare() -> None:
            os.umask(self.umask)
            if self.limit is not None:
                resource.setrlimit(self.limit[0], (self.limit[1], self.limit[1]))

        done = subprocess.run([sys.executable, "-m", "scrapy", *COMMAND], cwd=self.folder, env=self.variables,
                              capture_output=True, timeout=120, preexec_fn=prepare)  # fmt: skip
        encoding = "utf-16" if self.variables.get("PYTHONIOENCODING") == "utf-16" else "utf-8"
        return done.returncode, (done.stdout + done.stderr).decode(encoding, "replace")

    def problems(self, code: int, output: str) -> list[str]:
        """What is wrong with how the command ended: it works, or says in one sentence why not, and shows no secret."""
        found = []
        lines = [line for line in output.splitlines() if line.strip()]
        if "Traceback" in output or "Exception ignored" in output:
            found.append("a traceback")
        if code == 0 and "Done." not in output:
            found.append("exit code 0 without Done.")
        if code != 0:
            said = [line for line in lines if "ERROR" in line] or lines
            is_usage = code == 2 and any("error:" in line for line in lines)
            if code not in (1, 2) or not (len(said) == 1 or is_usage):
                found.append(f"exit code {code} and {len(said)} sentences")
        if SECRET in output:
            found.append("a secret in the output")
        given = {self.folder / name for name in ("chancrawl.ini", "tweet.ini", ".env")}
        for file in self.folder.rglob("*"):
            if file.is_symlink() or not stat.S_ISREG(file.lstat().st_mode) or file in given:
                continue
            if SECRET.encode() in file.read_bytes():
                found.append(f"a secret in {file.name}")
        return found


def described(environment: Environment) -> str:
    files = {name: (environment.folder / name).read_bytes()[:80] for name in ("chancrawl.ini", "tweet.ini", ".env")
             if (environment.folder / name).exists()}  # fmt: skip
    ours = {name: value for name, value in environment.variables.items() if name not in KEPT}
    return f"seed {environment.seed}: {ours} {files} umask {environment.umask:03o} limit {environment.limit}"
