"""The processes that work, as each of them last reported itself."""

from sqlalchemy import BigInteger, Column, Double, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from lengthwise.tables.base import metadata, time

# Unlogged: a report is worth nothing once the next one is due, so no crash has to keep it.
workers = Table(
    "workers",
    metadata,
    Column("id", Uuid, primary_key=True),  # of the process: one that takes its place has another
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("device", Text),
    Column("version", Text, nullable=False),
    time("started_at", nullable=False),
    time("seen_at", nullable=False),  # its last report
    time("stepped_at"),  # the last step of its engine, or the end of its last delivery
    Column("state", Text, nullable=False),
    # What it works on now.
    Column("model", Text),
    Column("pool", Text),
    Column("batch_rows", Integer),
    Column("batch_tokens", Integer),
    # What it has done since it started: items or deliveries, and their input and output tokens.
    Column("n_items", BigInteger, nullable=False),
    Column("n_tokens", BigInteger, nullable=False),
    Column("items_per_second", Double, nullable=False),  # over the last minute, in which it may have been idle
    Column("models", JSONB, nullable=False),  # a list; see ``ReportedModel`` in ledger/workers.py
    Column("last_error", Text),  # a class, and a message of our own
    time("last_error_at"),
    # How long it has worked since it started, and its items per second over the last minute of this time. NULL if it
    # does not know, as a worker of an older release.
    Column("busy_seconds", Double),
    Column("items_per_busy_second", Double),
    prefixes=["UNLOGGED"],
    postgresql_with={"fillfactor": "50"},  # leaves space on a page for the next report
)
