"""Jobs: what is to run, in which order, and how far it is. Items and results are in ``lengthwise.tables.store``."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from lengthwise.tables.base import metadata, time

# Start-time fair queueing: the tag at which a tenant's last shard ends. There is one queue for each pool and priority;
# the tags of one queue say nothing about another.
turns = Table(
    "turns",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("priority", SmallInteger, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("last_finish", Double, nullable=False),
)

_VISIBLE = text("deleted_at IS NULL")

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("params", JSONB, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("n_items", Integer, nullable=False),
    Column("n_tokens", BigInteger, nullable=False),
    # Input tokens with padding that batches in order of arrival would have computed: the figure that sorting improves.
    Column("n_arrival_padded", BigInteger, nullable=False),
    # Items were sorted by length within chunks of this many, so that an index lies in a known chunk.
    Column("chunk_items", Integer, nullable=False),
    Column("webhook_url", Text),
    Column("webhook_secret", Text),  # sealed
    # The endpoints to which its results are pushed: those that were subscribed when it was submitted.
    Column("followers", ARRAY(Uuid)),
    # Whether identical items may share one computation.
    Column("deduplicate", Boolean, nullable=False, server_default=text("true")),
    # The caller's idempotency key for this submission, and the hash of its request.
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary),
    Column("retry_of", Uuid),  # the job whose failed items these are
    # What the table was of which its items are rows: its columns, and how they were read. Its rows are source blocks.
    Column("source", JSONB),
    # What its caller calls it, and the file that it was. In collation C, so that a prefix is a range.
    Column("name", Text(collation="C")),
    Column("tags", ARRAY(Text)),  # NULL if there are none; ``job_tags`` finds jobs by them
    Column("source_file", Text),
    Column("trace", Text),  # the W3C traceparent of its submission
    # The priority to which its shards were raised as the deadline neared. NULL while they have the job's own.
    Column("urgency", SmallInteger),
    Column("key_id", Uuid),  # the API key that made it
    # Once the job has ended, its work is still to be added to its key's usage.
    Column("usage_due", Boolean, nullable=False, server_default=text("false")),
    # Whether its figures are kept in tallies (``lengthwise.ledger.tally``).
    Column("is_tallied", Boolean, nullable=False, server_default=text("false")),
    # Which tables have its items and results.
    Column("store", SmallInteger, nullable=False, server_default="0"),
    time("deadline_at"),
    time("created_at", default=True, nullable=False),
    time("finished_at"),
    time("deleted_at"),  # hidden from then on; the sweep removes its rows in portions
    Index("jobs_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
    # For lists, one for each filter. Each has the list's order, so that a page reads nothing but its own rows.
    *(
        Index(f"jobs_list_{column}_idx", "tenant_id", column, "created_at", "id", postgresql_where=_VISIBLE)
        for column in ("state", "kind", "model", "key_id")
    ),
    Index("jobs_list_name_idx", "tenant_id", "name", postgresql_where=text("name IS NOT NULL AND deleted_at IS NULL")),
    Index("jobs_open_idx", "id", postgresql_where=text("state = 'open'")),
    # It holds all that the sum of open work needs, so that this sum reads no job.
    Index(
        "jobs_tenant_open_idx",
        "tenant_id",
        postgresql_include=["id", "n_tokens", "is_tallied"],
        postgresql_where=text("state = 'open'"),
    ),
    # For what waits or runs by priority and model, the oldest first.
    Index("jobs_open_work_idx", "priority", "model", "created_at", postgresql_where=text("state = 'open'")),
    Index("jobs_usage_due_idx", "finished_at", postgresql_where=text("usage_due AND finished_at IS NOT NULL")),
    Index("jobs_deadline_idx", "deadline_at", postgresql_where=text("state = 'open' AND deadline_at IS NOT NULL")),
    Index("jobs_finished_idx", "finished_at", postgresql_where=text("finished_at IS NOT NULL AND deleted_at IS NULL")),
    # By the id of the master key under which the secret is sealed; empty if it is not sealed.
    Index(
        "jobs_sealed_idx",
        text("split_part(webhook_secret, ':', 2)"),
        postgresql_where=text("webhook_secret IS NOT NULL"),
    ),
    Index("jobs_deleted_idx", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    Index(
        "jobs_idempotency_key_idx",
        "tenant_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

# The tags of each job, in the order of lists. An index over arrays has no order: it would read all jobs of a tag.
job_tags = Table(
    "job_tags",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("tag", Text(collation="C"), primary_key=True),
    Column("created_at", DateTime(timezone=True), primary_key=True),
    Column("job_id", Uuid, primary_key=True),
)

# The rows of a job that was sent as a table, as they were, in compressed blocks.
source_blocks = Table(
    "source_blocks",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("first", Integer, primary_key=True),  # the number of the block's first row
    Column("n_rows", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

shards = Table(
    "shards",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("job_id", Uuid, nullable=False),
    Column("pool", Text, nullable=False),
    Column("bucket", SmallInteger, nullable=False),
    Column("lo", Integer, nullable=False),  # items lo ≤ pos < hi
    Column("hi", Integer, nullable=False),
    Column("n_tokens", Integer, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("vkey", Double, nullable=False),
    Column("state", Text, nullable=False),
    # Failures that may pass with time. Each is followed by a longer pause.
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    # Claims whose worker has not reported back: the current one, and those of workers that died over it.
    Column("deaths", SmallInteger, nullable=False, server_default="0"),
    Column("token", Uuid),
    time("lease_until"),
    time("not_before", default=True, nullable=False),
    time("settled_at"),
    # What settling it found.
    Column("n_failed", Integer, nullable=False, server_default="0"),
    Column("n_output", BigInteger, nullable=False, server_default="0"),  # output tokens
    Column("n_padded", BigInteger, nullable=False, server_default="0"),  # input tokens with padding
    Column("n_batches", Double, nullable=False, server_default="0"),  # its share of the engine's batches
    Column(
        "n_deduplicated", Integer, nullable=False, server_default="0"
    ),  # items answered by the computation of an identical item
    # Input and output tokens as the result lines state them, and bytes of the lines that succeeded and that failed.
    Column("used_input", BigInteger, nullable=False, server_default="0"),
    Column("used_output", BigInteger, nullable=False, server_default="0"),
    Column("n_bytes", BigInteger, nullable=False, server_default="0"),
    Column("n_failed_bytes", BigInteger, nullable=False, server_default="0"),
    # Items with warnings, by their code; NULL if there are none, so that most settlements write nothing here.
    Column("n_warned", JSONB),
    # Whether its results are pushed. It is stored here so that settling a shard that nobody follows needs no query.
    Column("is_followed", Boolean, nullable=False, server_default=text("false")),
    # Whether its figures are in a tally; NULL if its job has none.
    Column("is_tallied", Boolean, server_default=text("false")),
    # That of its job, so that whoever has a shard finds its items.
    Column("store", SmallInteger, nullable=False, server_default="0"),
    # Every shard meets the condition hi > lo, but only queries for the first shard of a queue state it. Without it the
    # planner, with few rows in its statistics, would use this index for one bucket too, and read all other buckets.
    Index("shards_head_idx", "pool", "priority", "vkey", "id", postgresql_where=text("state = 'ready' AND hi > lo")),
    Index(
        "shards_bucket_idx",
        "pool",
        "bucket",
        "priority",
        "vkey",
        "id",
        postgresql_where=text("state = 'ready'"),
    ),
    Index("shards_leased_idx", "lease_until", postgresql_where=text("state = 'leased'")),
    Index("shards_open_idx", "job_id", "state", postgresql_where=text("state IN ('ready', 'leased')")),
    # Shards of jobs with tallies that are in none: those that were refused, or settled by an older release.
    Index("shards_untallied_idx", "job_id", postgresql_where=text("state = 'done' AND NOT is_tallied")),
    UniqueConstraint("job_id", "lo"),
    postgresql_with={"fillfactor": "70"},  # leaves space on a page for the three updates in a shard's life
)

# Running totals of a large job's settled shards. Each settlement adds to a row that no other one holds.
tallies = Table(
    "tallies",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("slot", BigInteger, primary_key=True),  # the transaction that began it
    Column("n_done", Integer, nullable=False),
    Column("n_failed", Integer, nullable=False),
    Column("n_input", BigInteger, nullable=False),
    Column("n_output", BigInteger, nullable=False),
    Column("n_padded", BigInteger, nullable=False),
    Column("n_batches", Double, nullable=False),
    Column("n_deduplicated", Integer, nullable=False),
    Column("used_input", BigInteger, nullable=False),
    Column("used_output", BigInteger, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("n_failed_bytes", BigInteger, nullable=False),
    Column("n_warned", JSONB),
    # The items of the last intervals (``lengthwise.ledger.tally``), in a ring, and the number of the latest interval.
    Column("recent_at", BigInteger, nullable=False),
    Column("recent", ARRAY(Integer), nullable=False),
    postgresql_with={"fillfactor": "50"},  # leaves space for versions of a row on its page
)
