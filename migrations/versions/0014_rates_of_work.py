"""rates_of_work: what all workers did in each interval of the last day, and an index of open jobs by priority and model

It only adds a table and an index. Older code keeps working beside it, and adds no intervals.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'rates_of_work',
        sa.Column('slot', sa.BigInteger(), autoincrement=False, primary_key=True),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('seconds', sa.Double(), nullable=False),
        sa.Column('n_items', sa.BigInteger(), nullable=False),
        sa.Column('n_tokens', sa.BigInteger(), nullable=False),
        sa.Column('counters', postgresql.JSONB()),
        if_not_exists=True,  # an interrupted run can be repeated
    )
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        # It is built without blocking any other statement.
        op.drop_index('jobs_open_work_idx', 'jobs', if_exists=True, postgresql_concurrently=True)
        op.create_index(
            'jobs_open_work_idx',
            'jobs',
            ['priority', 'model', 'created_at'],
            postgresql_where=sa.text("state = 'open'"),
            postgresql_concurrently=True,
        )
        op.execute("SET lock_timeout = '2s'")


def downgrade() -> None:
    op.drop_index('jobs_open_work_idx', 'jobs', if_exists=True)
    op.drop_table('rates_of_work', if_exists=True)
