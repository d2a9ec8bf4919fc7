"""The ledger beside the CSV files."""
