"""keys, limits of tenants, usage

It only adds, so that older code keeps working beside it; what that code does is counted for no key. Columns get
constant defaults, which rewrite no row. Indexes are built without blocking writers.

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

_INDEXES: dict[str, tuple[str, list[str], str | None]] = {
    'tenants_created_at_id_idx': ('tenants', ['created_at', 'id'], None),
    'jobs_tenant_open_idx': ('jobs', ['tenant_id'], "state = 'open'"),
    'jobs_usage_due_idx': ('jobs', ['finished_at'], "usage_due AND finished_at IS NOT NULL"),
}

# Table, column, and its default, which existing rows get too.
_COLUMNS: list[tuple[str, str, TypeEngine[Any], str | None]] = [
    ('tenants', 'max_requests_per_minute', sa.Integer(), None),
    ('tenants', 'max_open_jobs', sa.Integer(), None),
    ('tenants', 'created_at', sa.DateTime(timezone=True), 'now()'),
    ('jobs', 'key_id', sa.Uuid(), None),
    ('jobs', 'usage_due', sa.Boolean(), 'false'),
]

_COUNTS = ('requests', 'items', 'input_tokens', 'output_tokens')


def upgrade() -> None:
    # Each statement is a transaction of its own, as in 0002.
    with op.get_context().autocommit_block():
        for table, name, kind, default in _COLUMNS:
            value = None if default is None else sa.text(default)
            op.add_column(
                table, sa.Column(name, kind, server_default=value, nullable=default is None), if_not_exists=True
            )
        _create_tables()
        # Building an index waits for transactions that began before, but blocks no other statement meanwhile.
        op.execute("SET lock_timeout = 0")
        for name, (table, columns, where) in _INDEXES.items():
            # An index that an interrupted run left is invalid, so it is made again.
            op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name,
                table,
                columns,
                postgresql_where=None if where is None else sa.text(where),
                postgresql_concurrently=True,
            )
        op.execute("SET lock_timeout = '2s'")


def _create_tables() -> None:
    op.create_table(
        'keys',
        sa.Column('id', sa.Uuid(), nullable=False),
        sa.Column('tenant_id', sa.Uuid(), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('hash', sa.LargeBinary(), nullable=False),
        sa.Column('scopes', sa.ARRAY(sa.Text()), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
        _tenant('keys'),
        sa.PrimaryKeyConstraint('id', name=op.f('keys_pkey')),
        if_not_exists=True,
    )
    op.create_index(
        'keys_tenant_id_created_at_id_idx', 'keys', ['tenant_id', 'created_at', 'id'], if_not_exists=True
    )
    op.create_table(
        'usage',
        sa.Column('tenant_id', sa.Uuid(), nullable=False),
        sa.Column('day', sa.Date(), nullable=False),
        sa.Column('key_id', sa.Uuid(), nullable=False),
        *[sa.Column(name, sa.BigInteger(), server_default='0', nullable=False) for name in _COUNTS],
        _tenant('usage'),
        sa.PrimaryKeyConstraint('tenant_id', 'day', 'key_id', name=op.f('usage_pkey')),
        if_not_exists=True,
    )
    op.create_table(
        'rates',
        sa.Column('tenant_id', sa.Uuid(), nullable=False),
        sa.Column('full_at', sa.DateTime(timezone=True), nullable=False),
        _tenant('rates'),
        sa.PrimaryKeyConstraint('tenant_id', name=op.f('rates_pkey')),
        prefixes=['UNLOGGED'],
        if_not_exists=True,
    )


def _tenant(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ['tenant_id'], ['tenants.id'], name=op.f(f'{table}_tenant_id_fkey'), ondelete='CASCADE'
    )


def downgrade() -> None:
    for table in ('rates', 'usage', 'keys'):
        op.drop_table(table)
    for name, (table, _, _) in reversed(_INDEXES.items()):
        op.drop_index(name, table_name=table)
    for table, name, _, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
