"""The database's tables. Inputs never change, and results are only appended. Only rows of shards change often."""

from lengthwise.tables import account, job, openai, rate, store, webhook, worker
from lengthwise.tables.base import metadata

__all__ = ["account", "job", "metadata", "openai", "rate", "store", "webhook", "worker"]
