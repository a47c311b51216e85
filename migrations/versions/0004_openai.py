"""the OpenAI-compatible surface: files, batches, and the tokens and bytes of a shard's result lines

It only adds, so that older code keeps working beside it.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

_SHARD_COLUMNS = ('used_input', 'used_output', 'n_bytes', 'n_failed_bytes')


def _time(name: str, *, default: bool = False, nullable: bool = True) -> 'sa.Column[object]':
    value = sa.text('now()') if default else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=value, nullable=nullable)


def upgrade() -> None:
    # A transaction of its own, as in 0002: a transaction that locks shards may wait for other locks of this one.
    with op.get_context().autocommit_block():
        for name in _SHARD_COLUMNS:
            column: sa.Column[int] = sa.Column(name, sa.BigInteger(), server_default='0', nullable=False)
            op.add_column('shards', column, if_not_exists=True)
    _files()
    _batches()


def _files() -> None:
    op.create_table(
        'files',
        sa.Column('id', sa.Uuid(), nullable=False),
        sa.Column('tenant_id', sa.Uuid(), nullable=False),
        sa.Column('filename', sa.Text(), nullable=False),
        sa.Column('purpose', sa.Text(), nullable=False),
        sa.Column('n_bytes', sa.BigInteger(), nullable=False),
        sa.Column('n_lines', sa.Integer(), nullable=False),
        _time('created_at', default=True, nullable=False),
        _time('expires_at', nullable=False),
        _time('deleted_at'),
        sa.PrimaryKeyConstraint('id', name='files_pkey'),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='files_tenant_id_fkey'),
    )
    op.create_index('files_tenant_id_created_at_id_idx', 'files', ['tenant_id', 'created_at', 'id'])
    op.create_index('files_expires_idx', 'files', ['expires_at'], postgresql_where=sa.text('deleted_at IS NULL'))
    op.create_index('files_deleted_idx', 'files', ['deleted_at'], postgresql_where=sa.text('deleted_at IS NOT NULL'))
    op.create_table(
        'file_chunks',
        sa.Column('file_id', sa.Uuid(), nullable=False),
        sa.Column('n', sa.Integer(), nullable=False),
        sa.Column('data', sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint('file_id', 'n', name='file_chunks_pkey'),
    )


def _batches() -> None:
    op.create_table(
        'batches',
        sa.Column('id', sa.Uuid(), nullable=False),
        sa.Column('tenant_id', sa.Uuid(), nullable=False),
        sa.Column('state', sa.Text(), nullable=False),
        sa.Column('key_id', sa.Uuid()),
        sa.Column('input_file_id', sa.Uuid(), nullable=False),
        sa.Column('endpoint', sa.Text(), nullable=False),
        sa.Column('completion_window', sa.Text(), nullable=False),
        sa.Column('priority', sa.SmallInteger(), nullable=False),
        sa.Column('deduplicate', sa.Boolean(), nullable=False),
        sa.Column('webhook_url', sa.Text()),
        sa.Column('webhook_secret', sa.Text()),
        sa.Column('output_seconds', sa.Integer()),
        sa.Column('details', postgresql.JSONB(), nullable=False),
        sa.Column('model', sa.Text()),
        sa.Column('idempotency_key', sa.Text()),
        sa.Column('request_hash', sa.LargeBinary(), nullable=False),
        sa.Column('attempts', sa.SmallInteger(), server_default='0', nullable=False),
        _time('not_before', default=True, nullable=False),
        _time('created_at', default=True, nullable=False),
        _time('deadline_at', nullable=False),
        *(_time(name) for name in ('in_progress_at', 'cancelling_at', 'finished_at')),
        *(_time(name) for name in ('output_deleted_at', 'error_deleted_at')),
        sa.Column('dropped_bytes', sa.BigInteger()),
        sa.PrimaryKeyConstraint('id', name='batches_pkey'),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='batches_tenant_id_fkey'),
    )
    op.create_index('batches_tenant_id_created_at_id_idx', 'batches', ['tenant_id', 'created_at', 'id'])
    for name, column, where in (
        ('validating', 'created_at', "state = 'validating'"),
        ('cancelling', 'cancelling_at', 'cancelling_at IS NOT NULL'),
        ('finished', 'finished_at', 'finished_at IS NOT NULL'),
        ('input_file_id', 'input_file_id', "state = 'validating'"),
    ):
        op.create_index(f'batches_{name}_idx', 'batches', [column], postgresql_where=sa.text(where))
    op.create_index(
        'batches_idempotency_key_idx',
        'batches',
        ['tenant_id', 'idempotency_key'],
        unique=True,
        postgresql_where=sa.text('idempotency_key IS NOT NULL'),
    )


def downgrade() -> None:
    for table in ('batches', 'file_chunks', 'files'):
        op.drop_table(table)
    for name in _SHARD_COLUMNS:
        op.drop_column('shards', name)
