"""A server that is there and does not answer."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg2
import pytest

from chancrawl.storage.postgres import connection as module
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.patience import patience
from tests.support import KINDS
from tests.support.databases import Database
from tests.support.servers import PGBOUNCER, PgBouncer, Postgres, versions


def test_a_call_that_takes_too_long_fails_as_if_the_connection_were_lost(database: Database) -> None:
    store = PostgresStore(database.url, KINDS)
    store.open()
    began = time.monotonic()
    with (
        pytest.raises(psycopg2.Error) as caught,
        store.transaction() as cursor,
        patience(store.connection, 0.3),
    ):
        cursor.execute("SELECT pg_sleep(20)")
    assert time.monotonic() - began < 5
    assert store.is_outage(caught.value)
    store.connect()
    with store.transaction() as cursor:
        cursor.execute("SELECT 1")
    store.close()


def test_a_call_in_time_leaves_the_connection_alone(database: Database) -> None:
    connection = psycopg2.connect(database.url)
    with patience(connection, 0.2):
        connection.cursor().execute("SELECT 1")
    time.sleep(0.4)
    connection.cursor().execute("SELECT 1")
    with patience(connection, 60):
        connection.close()
    connection = psycopg2.connect(database.url)
    connection.close()


@pytest.mark.skipif(PGBOUNCER is None, reason="left out: pgbouncer is not installed")
def test_a_pooler_whose_server_is_down_does_not_keep_us_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1.0)
    server = Postgres(max(versions().items())[1])
    pool = None
    try:
        server.roles()
        pool = PgBouncer(server)
        store = PostgresStore(server.url(port=pool.port), KINDS)
        store.open()
        store.prepare()
        server.halt()
        began = time.monotonic()
        with pytest.raises(psycopg2.Error) as caught:
            store.rows("SELECT 1")
        with pytest.raises(psycopg2.Error):
            store.connect()
        assert store.is_outage(caught.value) and time.monotonic() - began < 20
        server.up()
        end = time.monotonic() + 40  # PgBouncer tries again after server_login_retry, 15 seconds
        while True:
            try:
                store.connect()
                break
            except psycopg2.Error:
                assert time.monotonic() < end
        assert store.rows("SELECT 1") == [(1,)]
        store.close()
    finally:
        if pool is not None:
            pool.stop()
        server.stop()
