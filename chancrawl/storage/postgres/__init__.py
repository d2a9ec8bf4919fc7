"""The database of DATABASE_URL."""
