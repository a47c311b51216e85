"""Who may ask: tenants, their keys, and what they used."""

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
    # Tokens it may have waiting or running; NULL is the setting's limit.
    Column("max_pending_tokens", BigInteger),
    # Requests in a minute, and jobs that are open at a time, likewise.
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
    Column("hash", LargeBinary, nullable=False),  # of the whole key, under the pepper
    Column("scopes", ARRAY(Text), nullable=False),
    time("created_at", default=True, nullable=False),
    time("expires_at"),
    time("revoked_at"),
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
    time("full_at", nullable=False),
    prefixes=["UNLOGGED"],
)
