"""deaths, urgency, idempotency, deduplication, retention

Only adds: code of before this revision goes on working beside it. Columns get constant defaults, which rewrite no
row; indexes are built without blocking writers.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

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


def upgrade() -> None:
    op.add_column('tenants', sa.Column('max_pending_tokens', sa.BigInteger(), nullable=True))
    for column in (
        sa.Column('deduplicate', sa.Boolean(), server_default=sa.text('true'), nullable=False),
        sa.Column('idempotency_key', sa.Text(), nullable=True),
        sa.Column('request_hash', sa.LargeBinary(), nullable=True),
        sa.Column('retry_of', sa.Uuid(), nullable=True),
        sa.Column('urgency', sa.SmallInteger(), nullable=True),
        sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column('jobs', column)
    op.add_column('shards', sa.Column('deaths', sa.SmallInteger(), server_default='0', nullable=False))
    op.add_column('shards', sa.Column('n_deduplicated', sa.Integer(), server_default='0', nullable=False))
    with op.get_context().autocommit_block():
        # Building them waits for transactions that began before, and blocks nobody meanwhile.
        op.execute("SET lock_timeout = 0")
        for name, (columns, where, unique) in _INDEXES.items():
            # What a run that was broken off left is invalid: it is made again.
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
