"""deaths, urgency, idempotency, deduplication, retention

It only adds, so that older code keeps working beside it. Columns get constant defaults, which rewrite no row. Indexes
are built without blocking writers.

Revision ID: 0002
Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

_INDEXES = {
    'jobs_deadline_idx': (['deadline_at'], "state = 'open' AND deadline_at IS NOT NULL", False),
    'jobs_finished_idx': (['finished_at'], "finished_at IS NOT NULL AND deleted_at IS NULL", False),
    'jobs_deleted_idx': (['deleted_at'], "deleted_at IS NOT NULL", False),
    'jobs_idempotency_key_idx': (['tenant_id', 'idempotency_key'], "idempotency_key IS NOT NULL", True),
}


# Table, column, and its default, which existing rows get too.
_COLUMNS: list[tuple[str, str, TypeEngine[Any], str | None]] = [
    ('tenants', 'max_pending_tokens', sa.BigInteger(), None),
    ('jobs', 'deduplicate', sa.Boolean(), 'true'),
    ('jobs', 'idempotency_key', sa.Text(), None),
    ('jobs', 'request_hash', sa.LargeBinary(), None),
    ('jobs', 'retry_of', sa.Uuid(), None),
    ('jobs', 'urgency', sa.SmallInteger(), None),
    ('jobs', 'deleted_at', sa.DateTime(timezone=True), None),
    ('shards', 'deaths', sa.SmallInteger(), '0'),
    ('shards', 'n_deduplicated', sa.Integer(), '0'),
]


def upgrade() -> None:
    # Each statement is a transaction of its own. Locking two tables in one transaction may deadlock with a transaction
    # that locks them in the other order. A run that was interrupted continues where it stopped.
    with op.get_context().autocommit_block():
        for table, name, kind, default in _COLUMNS:
            value = None if default is None else sa.text(default)
            op.add_column(
                table, sa.Column(name, kind, server_default=value, nullable=default is None), if_not_exists=True
            )
        # Building an index waits for transactions that began before, but blocks no other statement meanwhile.
        op.execute("SET lock_timeout = 0")
        for name, (columns, where, unique) in _INDEXES.items():
            # An index that an interrupted run left is invalid, so it is made again.
            op.drop_index(name, table_name='jobs', if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name, 'jobs', columns, unique=unique, postgresql_where=sa.text(where), postgresql_concurrently=True
            )
        op.execute("SET lock_timeout = '2s'")


def downgrade() -> None:
    for name in reversed(_INDEXES):
        op.drop_index(name, table_name='jobs')
    for column in ('n_deduplicated', 'deaths'):
        op.drop_column('shards', column)
    for column in ('deleted_at', 'urgency', 'retry_of', 'request_hash', 'idempotency_key', 'deduplicate'):
        op.drop_column('jobs', column)
    op.drop_column('tenants', 'max_pending_tokens')
