"""CSV files, written from the rows of either store."""
