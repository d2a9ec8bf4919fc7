-- What two users need who own nothing: a crawler that writes, and a reader. Run it as the owner of the tables, after
-- `scrapy initdb`, and again after an update that brings new tables:
--
--     psql -v ON_ERROR_STOP=1 -f deploy/grants.sql "postgresql://archive_owner@localhost/archive"

SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO crawler', current_database())
UNION ALL SELECT format('GRANT CONNECT ON DATABASE %I TO reader', current_database())
UNION ALL SELECT format('GRANT USAGE ON SCHEMA %I TO crawler, reader', current_schema())
UNION ALL SELECT format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO crawler, reader', current_schema())
UNION ALL SELECT format('GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA %I TO crawler', current_schema())
\gexec

-- A crawl that follows boards thins old rows of this table; no other row is ever deleted.
GRANT DELETE ON board_polls TO crawler;
-- Whoever has the key of the tombstones can test what was removed.
REVOKE SELECT ON tombstone_keys FROM reader;
-- The version of the tables is the owner's.
REVOKE INSERT, UPDATE ON schema_version FROM crawler;
