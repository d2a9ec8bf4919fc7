"""Fixtures: either store, for the parts of X that need one and no crawl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scrapy.crawler import Crawler

from tests.x.stubs import stub_crawler


@pytest.fixture(params=["csv", "postgres"])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The settings of an empty store: of a folder, and of a database."""
    url = request.getfixturevalue("database").url if request.param == "postgres" else ""
    return {"CSV_FOLDER": str(tmp_path / "data"), "DATABASE_URL": url}


@pytest.fixture
def crawler(store_settings: dict[str, Any], tmp_path: Path) -> Crawler:
    """A crawl into either store."""
    return stub_crawler(tmp_path, **store_settings)
