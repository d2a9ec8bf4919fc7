"""The embedded database: the tables of schema.sql in SQLite."""
