"""Webhooks: endpoints, the events that are delivered to them, and each attempt."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from lengthwise.tables.base import metadata, time

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("events", ARRAY(Text), nullable=False),  # names, and groups such as job.*
    Column("filter", Text),  # which results are pushed
    # Sealed. The old ones still sign until ``old_until``. The signing key is an ed25519 key.
    Column("secret", Text, nullable=False),
    Column("signing_key", Text, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("old_secret", Text),
    Column("old_signing_key", Text),
    time("old_until"),
    Column("is_enabled", Boolean, nullable=False, server_default=text("true")),
    Column("disabled_reason", Text),
    time("failing_since"),  # the first failure after the last success
    time("created_at", default=True, nullable=False),
    Index("webhook_endpoints_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
)

# It has no foreign keys, because a job may end, and write here, while its endpoint is being deleted.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", Uuid),  # NULL for a test event
    Column("endpoint_id", Uuid),  # NULL for the job's own webhook
    # Deliveries wait for others in the same lane only. It is the endpoint's id, or a hash of the tenant and the
    # webhook's host.
    Column("lane", Uuid, nullable=False, server_default=text("'00000000-0000-0000-0000-000000000000'")),
    Column("url", Text, nullable=False),
    Column(
        "secrets", ARRAY(Text), nullable=False, server_default=text("'{}'")
    ),  # not used any more; see ledger/webhooks/event.py
    Column("event", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("n_before", SmallInteger, nullable=False, server_default="0"),  # attempts made before it was last resent
    Column("token", Uuid),
    time("next_attempt_at", default=True, nullable=False),  # while an attempt runs: when it is presumed dead
    time("created_at", default=True, nullable=False),
    time("finished_at"),
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

# Settled shards whose results are still to be pushed, in the order in which they were settled.
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
    time("started_at", nullable=False),
    Column("seconds", Double, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("response", Text, nullable=False, server_default=""),  # its first characters
)
