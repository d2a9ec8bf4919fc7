"""What the commands have in common: a mistake is one sentence and exit code 1."""

from __future__ import annotations

import argparse
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from chancrawl.command import StoreCommand, check_open_files
from chancrawl.errors import UserError
from chancrawl.storage.batch_writer import RejectsAll
from tests.support.commands import command_of, options_of


class Failing(StoreCommand):
    failure = "The store cannot be read"
    formats = ("text", "json")
    error: BaseException | None = None

    def short_desc(self) -> str:
        return "Fail"

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if self.error is not None:
            raise self.error
        print(opts.format)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error, sentence", [
    (UserError("Name another folder."), "Name another folder."),
    (RejectsAll("no partition"), "The database rejects every row (no partition); mend its tables, and try again."),
    (psycopg2.OperationalError("server closed\nDETAIL: x"), "The store cannot be read: server closed."),
    (sqlite3.DatabaseError("file is not a database"), "The store cannot be read: file is not a database."),
    (OSError(13, "Permission denied", "/x"), "/x cannot be used: Permission denied."),
    (OSError(5, "Input/output error"), "A file or the output cannot be used: Input/output error."),
    (KeyboardInterrupt(), "Stopped."),
])  # fmt: skip
def test_an_error_is_one_sentence_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, sentence: str
) -> None:
    command = command_of(Failing, tmp_path)
    command.error = error
    command.run([], options_of(command))
    assert command.exitcode == 1 and capsys.readouterr().err == f"{sentence}\n"


def test_an_error_that_nobody_has_thought_of_is_not_hidden(tmp_path: Path) -> None:
    command = command_of(Failing, tmp_path)
    command.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        command.run([], options_of(command))


def test_a_command_that_works_prints_in_its_first_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = command_of(Failing, tmp_path)
    command.run([], options_of(command))
    command.run([], options_of(command, "--format", "json"))
    assert command.exitcode == 0 and capsys.readouterr().out == "text\njson\n"


def test_too_few_open_files_are_raised_or_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda what: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda what, limit: limits.append(limit))
    check_open_files()
    assert len(limits) == 1
    limits.append((24, 4096))
    check_open_files()
    assert limits[-1] == (64, 4096)
    limits.append((24, 24))
    with pytest.raises(UserError, match="may open only 24 files, and a crawl needs 64"):
        check_open_files()
