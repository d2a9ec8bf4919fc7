"""What the commands have in common: what they begin with, and a mistake of the user is one sentence and exit code 1."""

from __future__ import annotations

import argparse
import logging
import signal
import sqlite3
import sys

import psycopg2
from scrapy.commands import ScrapyCommand
from scrapy.settings import Settings
from scrapy.utils.log import configure_logging

from chancrawl.addon import check, check_given
from chancrawl.errors import UserError
from chancrawl.storage.batch_writer import RejectsAll
from chancrawl.surroundings import clean_log, keep_private, plain_streams
from chancrawl.text import first_line

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

FILES_NEEDED = 64

WHERE_HELP_IS = "scrapy options shows the settings for -s; scrapy spiders shows the spiders and their arguments for -a."
"""The last line of the help of a command."""


def begin(settings: Settings, given: list[str], has_log: bool = False) -> None:
    """What every command does first; `given` are its `-s`. Exits with one sentence for a wrong setting, which goes to
    the log of a command that has one: LOG_FILE is where the users of Scrapyd look."""
    plain_streams()
    clean_log()
    try:
        check_given(settings, given)
        check(settings)
        if has_log:
            check_open_files()
    except UserError as error:
        if not has_log:
            raise SystemExit(str(error)) from None
        configure_logging(settings)
        logger.error("%s", error)
        raise SystemExit(1) from None
    keep_private(settings["UMASK"])


def check_open_files() -> None:
    """UserError if a process may not open as many files as a crawl needs: connections, the database, CSV files."""
    if resource is None:
        return
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < FILES_NEEDED <= most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_NEEDED, most))
    elif allowed < FILES_NEEDED:
        raise UserError(
            f"A process of this user may open only {allowed} files, and a crawl needs {FILES_NEEDED}: raise the limit "
            f"(ulimit -n {FILES_NEEDED}, or LimitNOFILE= of the service)."
        )


class StoreCommand(ScrapyCommand):
    """Base of the commands that use a store without a crawl: a command gives `work`."""

    requires_project = True
    requires_crawler_process = False

    failure = "The store cannot be used"
    """How the sentence begins that tells of an error of the store."""

    formats: tuple[str, ...] = ()
    """In which forms it prints (`--format`), the default in front."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.epilog = WHERE_HELP_IS
        if self.formats:
            default = self.formats[0]
            parser.add_argument("--format", choices=self.formats, default=default, help=f"default {default}")

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        super().process_options(args, opts)
        assert self.settings is not None
        begin(self.settings, opts.set)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.work(args, opts)
            sys.stdout.flush()
            return
        except BrokenPipeError:
            sys.stderr.close()  # `scrapy coverage | head`
            return
        except KeyboardInterrupt:
            print("Stopped.", file=sys.stderr)
        except UserError as error:
            print(error, file=sys.stderr)
        except RejectsAll as error:
            print(f"The database rejects every row ({error}); mend its tables, and try again.", file=sys.stderr)
        except (psycopg2.Error, sqlite3.Error) as error:
            print(f"{self.failure}: {first_line(error)}.", file=sys.stderr)
        except OSError as error:
            print(f"{error.filename or 'A file or the output'} cannot be used: {error.strerror}.", file=sys.stderr)
        self.exitcode = 1

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        """What the command is for. UserError, and errors of the store and of files, are said in a sentence."""
        raise NotImplementedError
