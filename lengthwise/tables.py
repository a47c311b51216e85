"""The tables. Inputs never change and results are only appended: the only rows that change often are shards."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def _time(name: str, *, default: bool = False, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), server_default=text("now()") if default else None, nullable=nullable)


tenants = Table(
    "tenants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("weight", Double, nullable=False, server_default="1"),
    # Tokens it may have waiting or running; NULL is the setting's limit.
    Column("max_pending_tokens", BigInteger),
    # Requests in a minute, and jobs that are open at a time, likewise.
    Column("max_requests_per_minute", Integer),
    Column("max_open_jobs", Integer),
    _time("created_at", default=True, nullable=False),
    Index("tenants_created_at_id_idx", "created_at", "id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),  # of the whole key, under the pepper
    Column("scopes", ARRAY(Text), nullable=False),
    _time("created_at", default=True, nullable=False),
    _time("expires_at"),
    _time("revoked_at"),
    Index("keys_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
)

# What each key did on each day (UTC). No foreign key to keys: the installation's own is in no table.
usage = Table(
    "usage",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("key_id", Uuid, primary_key=True),
    Column("requests", BigInteger, nullable=False, server_default="0"),
    Column("items", BigInteger, nullable=False, server_default="0"),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
)

# When a tenant's bucket of requests is full again. Unlogged: after a crash all are full, which is worth no disk.
rates = Table(
    "rates",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    _time("full_at", nullable=False),
    prefixes=["UNLOGGED"],
)

# The fair queue's tag at which a tenant's last shard ends (start-time fair queueing): a queue is a pool and a priority,
# since a tag of one says nothing about another.
turns = Table(
    "turns",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("priority", SmallInteger, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("last_finish", Double, nullable=False),
)

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
    # What the engine would have computed, padding included, in batches of arrival order: the figure to beat.
    Column("n_arrival_padded", BigInteger, nullable=False),
    # Items were sorted by length within chunks of this many: what tells where an index lies.
    Column("chunk_items", Integer, nullable=False),
    Column("webhook_url", Text),
    Column("webhook_secret", Text),  # sealed
    # The endpoints to which its results are pushed, as they were subscribed when it was submitted.
    Column("followers", ARRAY(Uuid)),
    # Whether identical items may share one computation.
    Column("deduplicate", Boolean, nullable=False, server_default=text("true")),
    # The caller's name for this submission, and the hash of what came under it.
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary),
    Column("retry_of", Uuid),  # the job whose failed items these are
    # The priority its shards were raised to as the deadline neared; NULL while it is the job's own.
    Column("urgency", SmallInteger),
    Column("key_id", Uuid),  # whose key made it
    # What it did is still to be added to its key's usage, once it has ended.
    Column("usage_due", Boolean, nullable=False, server_default=text("false")),
    _time("deadline_at"),
    _time("created_at", default=True, nullable=False),
    _time("finished_at"),
    _time("deleted_at"),  # out of sight from here on; the sweep removes its rows, some at a time
    Index("jobs_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
    Index("jobs_open_idx", "id", postgresql_where=text("state = 'open'")),
    Index("jobs_tenant_open_idx", "tenant_id", postgresql_where=text("state = 'open'")),
    Index("jobs_usage_due_idx", "finished_at", postgresql_where=text("usage_due AND finished_at IS NOT NULL")),
    Index("jobs_deadline_idx", "deadline_at", postgresql_where=text("state = 'open' AND deadline_at IS NOT NULL")),
    Index("jobs_finished_idx", "finished_at", postgresql_where=text("finished_at IS NOT NULL AND deleted_at IS NULL")),
    # By the master key under which it is sealed; empty for those of before there was one.
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

# No foreign key: it would cost a lookup for each of a million rows, and only the ledger writes here.
items = Table(
    "items",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("pos", Integer, primary_key=True),  # in order of length within a chunk, so that a shard is a range
    Column("index", Integer, nullable=False),  # in the caller's order
    Column("n_tokens", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
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
    # Failures that time may heal, each followed by a longer pause.
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    # Claims whose worker has not reported back: the present one, and those of workers that died over it.
    Column("deaths", SmallInteger, nullable=False, server_default="0"),
    Column("token", Uuid),
    _time("lease_until"),
    _time("not_before", default=True, nullable=False),
    _time("settled_at"),
    # What settling it found, so that a job's figures are sums over shards and no row is hot.
    Column("n_failed", Integer, nullable=False, server_default="0"),
    Column("n_output", BigInteger, nullable=False, server_default="0"),  # tokens generated
    Column("n_padded", BigInteger, nullable=False, server_default="0"),  # input tokens computed, padding included
    Column("n_batches", Double, nullable=False, server_default="0"),  # its share of the engine's batches
    Column("n_deduplicated", Integer, nullable=False, server_default="0"),  # items answered by another's computation
    # As the lines of its results say and are: tokens of what succeeded, bytes of that and of what failed.
    Column("used_input", BigInteger, nullable=False, server_default="0"),
    Column("used_output", BigInteger, nullable=False, server_default="0"),
    Column("n_bytes", BigInteger, nullable=False, server_default="0"),
    Column("n_failed_bytes", BigInteger, nullable=False, server_default="0"),
    # Whether its results are pushed: known here, so that settling what nobody follows asks for nothing.
    Column("is_followed", Boolean, nullable=False, server_default=text("false")),
    # No shard fails the second condition, but only who asks for a queue's head states it: with few rows in its
    # statistics the planner would take this index for a bucket too, and read all other buckets.
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
    Index("shards_open_idx", "job_id", postgresql_where=text("state IN ('ready', 'leased')")),
    UniqueConstraint("job_id", "lo"),
    postgresql_with={"fillfactor": "70"},  # room for the three updates of a shard's life on its own page
)

results = Table(
    "results",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("result", LargeBinary, nullable=False),  # the NDJSON line that the caller downloads
)

# What a caller uploaded, with its bytes in ``file_chunks``. A batch's output is no row: it is a view of its results.
files = Table(
    "files",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("n_lines", Integer, nullable=False),
    _time("created_at", default=True, nullable=False),
    _time("expires_at", nullable=False),
    _time("deleted_at"),  # out of sight from here on; the sweep removes its rows
    Index("files_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
    Index("files_expires_idx", "expires_at", postgresql_where=text("deleted_at IS NULL")),
    Index("files_deleted_idx", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
)

file_chunks = Table(
    "file_chunks",
    metadata,
    Column("file_id", Uuid, primary_key=True),
    Column("n", Integer, primary_key=True),  # from 0, in the file's order
    Column("data", LargeBinary, nullable=False),
)

# A batch of the OpenAI surface: what its caller said of it, until a job of the same id takes its lines.
batches = Table(
    "batches",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("key_id", Uuid),  # whose key made it
    Column("input_file_id", Uuid, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("completion_window", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("deduplicate", Boolean, nullable=False),
    Column("webhook_url", Text),
    Column("webhook_secret", Text),
    Column("output_seconds", Integer),  # how long its files are kept, if the caller said
    Column("details", JSONB, nullable=False),  # metadata, and once it failed the errors of its lines
    Column("model", Text),  # of all its lines, if they name one
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary, nullable=False),
    # How often validating it was begun, and when it may be begun again.
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    _time("not_before", default=True, nullable=False),
    _time("created_at", default=True, nullable=False),
    _time("deadline_at", nullable=False),
    _time("in_progress_at"),
    _time("cancelling_at"),
    _time("finished_at"),  # of one that never became a job
    _time("output_deleted_at"),
    _time("error_deleted_at"),
    Column("dropped_bytes", BigInteger),  # of the lines of items that never ran, once they were counted
    Index("batches_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
    Index("batches_validating_idx", "created_at", postgresql_where=text("state = 'validating'")),
    # As in jobs: what validates a batch clears it, so that there are few.
    Index(
        "batches_sealed_idx",
        text("split_part(webhook_secret, ':', 2)"),
        postgresql_where=text("webhook_secret IS NOT NULL"),
    ),
    Index("batches_cancelling_idx", "cancelling_at", postgresql_where=text("cancelling_at IS NOT NULL")),
    Index("batches_finished_idx", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    Index("batches_input_file_id_idx", "input_file_id", postgresql_where=text("state = 'validating'")),
    Index(
        "batches_idempotency_key_idx",
        "tenant_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("events", ARRAY(Text), nullable=False),  # names, and groups such as job.*
    Column("filter", Text),  # which results are pushed
    # Sealed, like those that still sign until ``old_until``. The key is ed25519's.
    Column("secret", Text, nullable=False),
    Column("signing_key", Text, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("old_secret", Text),
    Column("old_signing_key", Text),
    _time("old_until"),
    Column("is_enabled", Boolean, nullable=False, server_default=text("true")),
    Column("disabled_reason", Text),
    _time("failing_since"),  # the first failure after the last success
    _time("created_at", default=True, nullable=False),
    Index("webhook_endpoints_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
)

# No foreign keys: a job may end, and write here, at the moment at which its endpoint is deleted.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", Uuid),  # NULL of a test event
    Column("endpoint_id", Uuid),  # NULL of the job's own webhook
    # Who must not wait for whom: the endpoint's id, or a number made of the tenant and the webhook's host.
    Column("lane", Uuid, nullable=False, server_default=text("'00000000-0000-0000-0000-000000000000'")),
    Column("url", Text, nullable=False),
    Column("secrets", ARRAY(Text), nullable=False, server_default=text("'{}'")),  # read no more: see event.py
    Column("event", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("n_before", SmallInteger, nullable=False, server_default="0"),  # attempts before it was last resent
    Column("token", Uuid),
    _time("next_attempt_at", default=True, nullable=False),  # while an attempt runs: when it is given up for dead
    _time("created_at", default=True, nullable=False),
    _time("finished_at"),
    Index("deliveries_due_idx", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    Index("deliveries_lane_idx", "lane", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    Index("deliveries_held_idx", "lane", postgresql_where=text("state = 'pending' AND token IS NOT NULL")),
    Index("deliveries_job_id_idx", "job_id"),
    Index(
        "deliveries_endpoint_id_idx",
        "endpoint_id",
        "created_at",
        "id",
        postgresql_where=text("endpoint_id IS NOT NULL"),
    ),
    Index("deliveries_jobless_idx", "created_at", postgresql_where=text("job_id IS NULL")),
)

# Settled shards whose results are still to be pushed, in the order in which they settled.
pushes = Table(
    "pushes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("job_id", Uuid, nullable=False),
    Column("lo", Integer, nullable=False),  # items lo ≤ pos < hi
    Column("hi", Integer, nullable=False),
    Index("pushes_job_id_idx", "job_id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", Uuid, ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("n", SmallInteger, primary_key=True),
    _time("started_at", nullable=False),
    Column("seconds", Double, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("response", Text, nullable=False, server_default=""),  # its first characters
)
