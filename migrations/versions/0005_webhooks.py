"""webhook endpoints, lanes, pushed results

It only adds, so that older code keeps working beside it. Columns get constant defaults, which rewrite no row. Indexes
are built without blocking writers.

Revision ID: 0005
Revises: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

# Table, column, and its default, which existing rows get too.
_COLUMNS: list[tuple[str, str, TypeEngine[Any], str | None]] = [
    ('jobs', 'followers', sa.ARRAY(sa.Uuid()), None),
    ('shards', 'is_followed', sa.Boolean(), 'false'),
    ('deliveries', 'endpoint_id', sa.Uuid(), None),
    ('deliveries', 'lane', sa.Uuid(), "'00000000-0000-0000-0000-000000000000'"),
    ('deliveries', 'n_before', sa.SmallInteger(), '0'),
]

_INDEXES: dict[str, tuple[str, list[Any], str]] = {
    'jobs_sealed_idx': ('jobs', [sa.text("split_part(webhook_secret, ':', 2)")], "webhook_secret IS NOT NULL"),
    'batches_sealed_idx': ('batches', [sa.text("split_part(webhook_secret, ':', 2)")], "webhook_secret IS NOT NULL"),
    'deliveries_lane_idx': ('deliveries', ['lane', 'next_attempt_at'], "state = 'pending'"),
    'deliveries_held_idx': ('deliveries', ['lane'], "state = 'pending' AND token IS NOT NULL"),
    'deliveries_endpoint_id_idx': ('deliveries', ['endpoint_id', 'created_at', 'id'], "endpoint_id IS NOT NULL"),
    'deliveries_jobless_idx': ('deliveries', ['created_at'], "job_id IS NULL"),
}


def upgrade() -> None:
    # Each statement is a transaction of its own. Locking two tables in one transaction may deadlock with a transaction
    # that locks them in the other order. A run that was interrupted continues where it stopped.
    with op.get_context().autocommit_block():
        _create_tables()
        for table, name, kind, default in _COLUMNS:
            value = None if default is None else sa.text(default)
            op.add_column(
                table, sa.Column(name, kind, server_default=value, nullable=default is None), if_not_exists=True
            )
        op.alter_column('deliveries', 'job_id', nullable=True)
        op.alter_column('deliveries', 'secrets', server_default=sa.text("'{}'"))
        # Building an index waits for transactions that began before, but blocks no other statement meanwhile.
        op.execute("SET lock_timeout = 0")
        for name, (table, columns, where) in _INDEXES.items():
            # An index that an interrupted run left is invalid, so it is made again.
            op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, table, columns, postgresql_where=sa.text(where), postgresql_concurrently=True)
        op.execute("SET lock_timeout = '2s'")


def _create_tables() -> None:
    op.create_table('webhook_endpoints',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), server_default='', nullable=False),
    sa.Column('events', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('filter', sa.Text(), nullable=True),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('signing_key', sa.Text(), nullable=False),
    sa.Column('public_key', sa.Text(), nullable=False),
    sa.Column('old_secret', sa.Text(), nullable=True),
    sa.Column('old_signing_key', sa.Text(), nullable=True),
    sa.Column('old_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('is_enabled', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('disabled_reason', sa.Text(), nullable=True),
    sa.Column('failing_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('webhook_endpoints_tenant_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('webhook_endpoints_pkey')),
    if_not_exists=True,
    )
    op.create_index('webhook_endpoints_tenant_id_created_at_id_idx', 'webhook_endpoints', ['tenant_id', 'created_at', 'id'], if_not_exists=True)
    op.create_table('pushes',
    sa.Column('id', sa.BigInteger(), autoincrement=True, nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('lo', sa.Integer(), nullable=False),
    sa.Column('hi', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pushes_pkey')),
    if_not_exists=True,
    )
    op.create_index('pushes_job_id_idx', 'pushes', ['job_id'], if_not_exists=True)


def downgrade() -> None:
    # The older schema has no place for test events and the deliveries of endpoints, so they are removed.
    op.execute("DELETE FROM deliveries WHERE job_id IS NULL OR endpoint_id IS NOT NULL")
    for name, (table, _, _) in _INDEXES.items():
        op.drop_index(name, table_name=table)
    op.alter_column('deliveries', 'secrets', server_default=None)
    op.alter_column('deliveries', 'job_id', nullable=False)
    for table, name, _, _ in _COLUMNS:
        op.drop_column(table, name)
    op.drop_table('pushes')
    op.drop_table('webhook_endpoints')
