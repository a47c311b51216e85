"""Results as tables, in CSV and Parquet. Knows nothing of HTTP or the ledger."""
