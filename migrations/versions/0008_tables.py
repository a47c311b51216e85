"""tables come back: the rows of jobs that were sent as CSV or Parquet

It only adds, so that older code keeps working beside it.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('source', postgresql.JSONB()))
    op.create_table(
        'source_blocks',
        sa.Column('job_id', sa.Uuid(), primary_key=True),
        sa.Column('first', sa.Integer(), primary_key=True),
        sa.Column('n_rows', sa.Integer(), nullable=False),
        sa.Column('content', sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table('source_blocks')
    op.drop_column('jobs', 'source')
