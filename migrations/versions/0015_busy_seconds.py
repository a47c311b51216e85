"""busy_seconds of workers: how long each has worked, and how fast it was then

It only adds columns that may be null, to a table that no crash has to keep. Older workers write NULL.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

_ADDED = ('busy_seconds', 'items_per_busy_second')


def upgrade() -> None:
    for name in _ADDED:
        op.add_column('workers', sa.Column(name, sa.Double()), if_not_exists=True)


def downgrade() -> None:
    for name in _ADDED:
        op.drop_column('workers', name, if_exists=True)
