"""A file that one process holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from chancrawl.storage.locking import locked
from tests.support import ROOT

HOLD = "import sys; from pathlib import Path; from chancrawl.storage.locking import locked; " \
    "print(locked(Path(sys.argv[1])) is not None, flush=True); sys.stdin.read()"  # fmt: skip


def test_a_file_is_held_until_it_is_closed(tmp_path: Path) -> None:
    first = locked(tmp_path / "lock")
    assert first is not None
    assert locked(tmp_path / "lock") is None
    other = locked(tmp_path / "other")
    assert other is not None
    os.close(first)
    again = locked(tmp_path / "lock")
    assert again is not None
    os.close(again)
    os.close(other)


def test_a_file_is_free_when_the_process_that_holds_it_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], cwd=ROOT,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "True\n"
    assert locked(tmp_path / "lock") is None
    process.kill()
    process.communicate()
    descriptor = locked(tmp_path / "lock")
    assert descriptor is not None
    os.close(descriptor)
