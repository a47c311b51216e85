"""The tables of items and results: a shared pair, and further pairs that each hold one large job at a time.

Deleting a row writes more log than the row was worth; truncating a table writes next to none. But only a table of its
own can be truncated.
"""

from sqlalchemy import Column, Integer, LargeBinary, SmallInteger, Table, Text, Uuid

from lengthwise.tables.base import metadata

#: Large jobs that may have tables of their own at a time. An empty pair takes 32 kB, and few installations keep more
#: than 32 jobs of 100,000 items for 30 days.
N_STORES = 32

# The stores and the jobs that hold them. Store 0, which all other jobs share, has no row.
stores = Table(
    "stores",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("job_id", Uuid, unique=True),
)


def items_name(store: int) -> str:
    """The name of a store's table of items."""
    return f"items_{_checked(store)}" if store else "items"


def results_name(store: int) -> str:
    """The name of a store's table of results."""
    return f"results_{_checked(store)}" if store else "results"


def _checked(store: int) -> int:
    if not 1 <= store <= N_STORES:
        raise ValueError("there is no such store")
    return store


for _store in range(N_STORES + 1):
    # It has no foreign key, which would cost a lookup for each of a million rows. Only the ledger writes here.
    Table(
        items_name(_store),
        metadata,
        Column("job_id", Uuid, primary_key=True),
        # The position after sorting a chunk by length, so that a shard is a range.
        Column("pos", Integer, primary_key=True),
        Column("index", Integer, nullable=False),  # in the caller's order
        Column("n_tokens", Integer, nullable=False),
        Column("payload", LargeBinary, nullable=False),
    )
    Table(
        results_name(_store),
        metadata,
        Column("job_id", Uuid, primary_key=True),
        Column("index", Integer, primary_key=True),
        Column("status", Text, nullable=False),
        Column("result", LargeBinary, nullable=False),  # the NDJSON line that the caller downloads
    )
