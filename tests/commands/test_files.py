"""`scrapy csv` and `scrapy backup`, as a user types them."""

from __future__ import annotations

from pathlib import Path

from chancrawl.commands import backup, csv
from tests.spiders.test_chan import BOARD
from tests.support.crawls import Crawler, environment
from tests.support.folders import Folder, all_files
from tests.support.items import deletion, post, thread


def test_csv_writes_all_files_anew(tmp_path: Path, crawler: Crawler) -> None:
    folder = Folder(crawler.folder)
    folder.put(post(6, "a"), post(7, "b"), thread(1))
    folder.put(deletion(7, 3))
    folder.close()
    before = all_files(crawler.folder)
    (crawler.folder / "chan/po/threads.csv").write_text("mine")
    run = crawler.other("csv").ok()
    assert "3 files, 4 rows" in run.output
    after = all_files(crawler.folder)
    assert after.keys() == before.keys() and (crawler.folder / "chan/po/threads.csv.edited").read_text() == "mine"
    assert [row["deleted_at"] for row in after["chan/po/posts-2026-11-21.csv"]] == ["", "2026-11-21T00:03:00Z"]
    crawler.other("csv", "-s", "CSV_SAFE=1").ok()


def test_backup_writes_a_file_that_a_crawl_goes_on_with(tmp_path: Path, crawler: Crawler) -> None:
    crawler(f"-aboard={BOARD}").ok()
    file = tmp_path / "copy.sqlite"
    run = crawler.other("backup", str(file)).ok()
    assert "checked" in run.output and file.exists()
    crawler.other("backup", str(file)).refused("exists; name another file")
    crawler.other("backup", str(tmp_path / "none" / "a.sqlite")).refused("There is no folder")
    held = crawler.held(BOARD)
    other = Crawler(tmp_path / "other", crawler.url)
    other.folder.mkdir()
    file.rename(other.folder / "chancrawl.sqlite")
    run = other(f"-aboard={BOARD}").ok()
    assert "0 posts" in run.output and set(held) <= set(other.held(BOARD))


def test_wrong_arguments_and_no_store_are_said_in_a_sentence(tmp_path: Path, crawler: Crawler) -> None:
    crawler.other("csv").refused("nothing was collected yet")
    crawler.other("backup", str(tmp_path / "a")).refused("nothing was collected yet")
    for arguments in (("csv", "all"), ("backup",)):
        run = crawler.other(*arguments)
        assert run.code == 2 and "Traceback" not in run.output
    assert csv.Command().short_desc() and backup.Command().short_desc() and environment()
