"""Who may call: tenants, their keys, and what they used."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
)

from lengthwise.tables.base import metadata, time

tenants = Table(
    "tenants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("weight", Double, nullable=False, server_default="1"),
    # Input tokens it may have waiting or running. With NULL the limit of the settings applies.
    Column("max_pending_tokens", BigInteger),
    # Requests a minute, and open jobs at a time. With NULL the limits of the settings apply.
    Column("max_requests_per_minute", Integer),
    Column("max_open_jobs", Integer),
    time("created_at", default=True, nullable=False),
    Index("tenants_created_at_id_idx", "created_at", "id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),  # of the whole key, with the pepper
    Column("scopes", ARRAY(Text), nullable=False),
    time("created_at", default=True, nullable=False),
    time("expires_at"),
    time("revoked_at"),
    Index("keys_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
)

# What each key did on each day (UTC): requests, and work that was counted without its model. It has no foreign key
# to keys, because the installation's own key is in no table.
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

# The work of each key on each day (UTC) with each model.
model_usage = Table(
    "model_usage",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("key_id", Uuid, primary_key=True),
    Column("model", Text, primary_key=True),  # that of the job, which is "several" if its items name several
    Column("items", BigInteger, nullable=False, server_default="0"),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
)

# When a tenant's full quota of requests is available again. The table is unlogged: after a crash all quotas are full,
# which is not worth a write to disk.
rates = Table(
    "rates",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    time("full_at", nullable=False),
    prefixes=["UNLOGGED"],
)
