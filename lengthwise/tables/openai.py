"""The OpenAI-compatible surface: files, and batches. A batch becomes a job once its file is read."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
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
from sqlalchemy.dialects.postgresql import JSONB

from lengthwise.tables.base import metadata, time

# Uploaded files; their bytes are in ``file_chunks``. A batch's output has no row, since it is read from its results.
files = Table(
    "files",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("n_lines", Integer, nullable=False),
    time("created_at", default=True, nullable=False),
    time("expires_at", nullable=False),
    time("deleted_at"),  # hidden from then on; the sweep removes its rows
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

# A batch as its caller created it. Once its file is read, a job of the same id holds its lines.
batches = Table(
    "batches",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("key_id", Uuid),  # the API key that made it
    Column("input_file_id", Uuid, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("completion_window", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("deduplicate", Boolean, nullable=False),
    Column("webhook_url", Text),
    Column("webhook_secret", Text),
    Column("output_seconds", Integer),  # how long its output files are kept, if the caller set it
    Column("details", JSONB, nullable=False),  # its metadata and, if it failed, the errors of its lines
    Column("model", Text),  # the model of its lines, if they name one
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary, nullable=False),
    # How often its validation was begun, and when it may be begun again.
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    time("not_before", default=True, nullable=False),
    time("created_at", default=True, nullable=False),
    time("deadline_at", nullable=False),
    time("in_progress_at"),
    time("cancelling_at"),
    time("finished_at"),  # if it never became a job
    time("output_deleted_at"),
    time("error_deleted_at"),
    Column("dropped_bytes", BigInteger),  # of the result lines of items that never ran, once counted
    Index("batches_tenant_id_created_at_id_idx", "tenant_id", "created_at", "id"),
    Index("batches_validating_idx", "created_at", postgresql_where=text("state = 'validating'")),
    # As in jobs. Validation clears the secret, so that the index stays small.
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
