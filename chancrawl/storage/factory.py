"""Creates the store of the settings."""

from __future__ import annotations

from pathlib import Path

from scrapy.settings import BaseSettings

from chancrawl.storage.base import Store
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore


def store_of(settings: BaseSettings) -> Store:
    """The store of the settings: the database of DATABASE_URL, or without it the one in the folder CSV_FOLDER."""
    kinds = Kinds.from_settings(settings)
    url = settings.get("DATABASE_URL")
    return PostgresStore(url, kinds) if url else SqliteStore(Path(settings["CSV_FOLDER"]), kinds)
