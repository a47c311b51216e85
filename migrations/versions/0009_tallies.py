"""tallies: running totals of large jobs, and indexes that make the sums over open work cheap

Existing jobs keep their figures as sums over their shards: no row is rewritten. Older code keeps working beside it. A
shard that it makes is not tallied yet; one that it settles is found by ``shards_untallied_idx``.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

_OPEN = "state IN ('ready', 'leased')"


def upgrade() -> None:
    op.create_table(
        'tallies',
        sa.Column('job_id', sa.Uuid(), primary_key=True),
        sa.Column('slot', sa.BigInteger(), autoincrement=False, primary_key=True),
        sa.Column('n_done', sa.Integer(), nullable=False),
        sa.Column('n_failed', sa.Integer(), nullable=False),
        sa.Column('n_input', sa.BigInteger(), nullable=False),
        sa.Column('n_output', sa.BigInteger(), nullable=False),
        sa.Column('n_padded', sa.BigInteger(), nullable=False),
        sa.Column('n_batches', sa.Double(), nullable=False),
        sa.Column('n_deduplicated', sa.Integer(), nullable=False),
        sa.Column('used_input', sa.BigInteger(), nullable=False),
        sa.Column('used_output', sa.BigInteger(), nullable=False),
        sa.Column('n_bytes', sa.BigInteger(), nullable=False),
        sa.Column('n_failed_bytes', sa.BigInteger(), nullable=False),
        sa.Column('n_warned', postgresql.JSONB()),
        sa.Column('recent_at', sa.BigInteger(), nullable=False),
        sa.Column('recent', postgresql.ARRAY(sa.Integer()), nullable=False),
        postgresql_with={'fillfactor': '50'},
        if_not_exists=True,  # an interrupted run can be repeated
    )
    false = sa.text('false')
    op.add_column('jobs', sa.Column('is_tallied', sa.Boolean(), server_default=false, nullable=False), if_not_exists=True)
    # Shards that exist already get NULL: they belong to jobs without tallies. Only then comes the default of new ones.
    op.add_column('shards', sa.Column('is_tallied', sa.Boolean()), if_not_exists=True)
    op.alter_column('shards', 'is_tallied', server_default=false)
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        _create('shards_untallied_idx', 'shards', ['job_id'], "state = 'done' AND NOT is_tallied")
        _replace('shards_open_idx', 'shards', ['job_id', 'state'], _OPEN)
        _replace(
            'jobs_tenant_open_idx', 'jobs', ['tenant_id'], "state = 'open'", include=['id', 'n_tokens', 'is_tallied']
        )
        op.execute("SET lock_timeout = '2s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        _replace('shards_open_idx', 'shards', ['job_id'], _OPEN)
        _replace('jobs_tenant_open_idx', 'jobs', ['tenant_id'], "state = 'open'")
        op.execute("SET lock_timeout = '2s'")
    op.drop_index('shards_untallied_idx', 'shards', if_exists=True)
    op.drop_column('shards', 'is_tallied', if_exists=True)
    op.drop_column('jobs', 'is_tallied', if_exists=True)
    op.drop_table('tallies', if_exists=True)


def _create(name: str, table: str, columns: list[str], where: str, include: list[str] | None = None) -> None:
    """Builds an index. It blocks no other statement, and an interrupted run can be repeated."""
    op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
    op.create_index(
        name,
        table,
        columns,
        postgresql_include=include or [],
        postgresql_where=sa.text(where),
        postgresql_concurrently=True,
    )


def _replace(name: str, table: str, columns: list[str], where: str, include: list[str] | None = None) -> None:
    """Replaces an index by one of the same name. Only if this is interrupted at its end is there none for a while."""
    _create(f'new_{name}', table, columns, where, include)
    op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
    op.execute(f'ALTER INDEX new_{name} RENAME TO {name}')
