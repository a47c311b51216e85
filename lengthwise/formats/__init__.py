"""Results as tables: what their columns are, and CSV and Parquet of them. Knows nothing of HTTP or the ledger."""
