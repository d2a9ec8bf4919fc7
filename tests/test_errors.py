"""What users are told when a crawl cannot go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from scrapy import Request
from scrapy.exceptions import CloseSpider, DownloadConnectionRefusedError

from chancrawl.errors import UNREACHABLE, UserError, store_failed, unreachable
from tests.support.engines import crawl, in_loop


def test_a_user_error_closes_the_spider_with_its_reason_and_is_its_sentence() -> None:
    error = UserError("Mend it.", "budget_spent")
    assert isinstance(error, CloseSpider) and (str(error), error.reason) == ("Mend it.", "budget_spent")
    assert UserError("Mend it.").reason == "refused"


@in_loop
async def test_a_sentence_with_percent_signs_is_logged_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with crawl(tmp_path) as crawler:
        error = UserError("100 %s of it is gone.")
        assert error.tell(crawler) is error
        assert crawler.stats.get_value("failure") == "100 %s of it is gone."
    assert "100 %s of it is gone." in caplog.messages


@pytest.mark.parametrize(
    "meta, words", [({}, "the network and"), ({"proxy": "http://p:1"}, "the network, the proxies and")]
)
def test_a_source_that_cannot_be_reached_names_what_to_check(meta: dict[str, str], words: str) -> None:
    error = DownloadConnectionRefusedError("refused")
    assert isinstance(error, UNREACHABLE)
    told = unreachable("http://h", "CHAN_API_URL", error, Request("http://h", meta=meta))
    assert str(told) == f"http://h cannot be reached (refused): check {words} CHAN_API_URL."
    assert told.reason == "unreachable"


def test_a_store_that_failed_is_named_with_its_reason() -> None:
    told = store_failed("the folder /x", "disk is broken")
    assert "the folder /x cannot be used (disk is broken)" in str(told) and told.reason == "store_failed"
