"""The store that the settings name."""

from __future__ import annotations

from pathlib import Path

from chancrawl.items import Post
from chancrawl.storage.factory import store_of
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support.engines import settings_of


def test_without_a_database_the_store_is_the_folder(tmp_path: Path) -> None:
    store = store_of(settings_of(tmp_path / "data"))
    assert isinstance(store, SqliteStore) and store.folder == tmp_path / "data"
    assert Post in [kind.item for kind in store.kinds] and not (tmp_path / "data").exists()


def test_with_a_database_the_store_is_that_and_no_connection_is_made_yet(tmp_path: Path) -> None:
    store = store_of(settings_of(tmp_path, "postgresql://nobody@127.0.0.1:1/nothing"))
    assert isinstance(store, PostgresStore) and store.url == "postgresql://nobody@127.0.0.1:1/nothing"
    assert not store.is_created
