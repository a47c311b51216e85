"""The tables. Inputs never change and results are only appended: the only rows that change often are shards."""

from lengthwise.tables import account, job, openai, webhook
from lengthwise.tables.base import metadata

__all__ = ["account", "job", "metadata", "openai", "webhook"]
