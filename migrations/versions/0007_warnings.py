"""how many items of a shard have which warnings

It only adds a column that may be null, which rewrites no row. Older code keeps working beside it, and counts none.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('shards', sa.Column('n_warned', JSONB(), nullable=True), if_not_exists=True)


def downgrade() -> None:
    op.drop_column('shards', 'n_warned')
