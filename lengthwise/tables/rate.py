"""How much all workers did in each of the last intervals (``lengthwise.ledger.queue.work_rate``)."""

from sqlalchemy import BigInteger, Column, Double, Table
from sqlalchemy.dialects.postgresql import JSONB

from lengthwise.tables.base import metadata, time

rates_of_work = Table(
    "rates_of_work",
    metadata,
    Column("slot", BigInteger, primary_key=True, autoincrement=False),  # the number of its ten seconds since 1970
    time("at", nullable=False),
    Column("seconds", Double, nullable=False),  # since the row before; 0 in the first one
    Column("n_items", BigInteger, nullable=False),
    Column("n_tokens", BigInteger, nullable=False),
    # By the id of each worker, its items and tokens since it started. NULL in all rows but the latest.
    Column("counters", JSONB),
)
