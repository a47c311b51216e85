"""How long to wait for Postgres: for an answer, and for a free connection. Knows nothing of pools and transactions."""
