"""workers: a row for each process that works

It only adds a table. Older workers keep working beside it, and report nothing.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'workers',
        sa.Column('id', sa.Uuid(), primary_key=True),
        sa.Column('role', sa.Text(), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('host', sa.Text(), nullable=False),
        sa.Column('pid', sa.Integer(), nullable=False),
        sa.Column('device', sa.Text()),
        sa.Column('version', sa.Text(), nullable=False),
        sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('stepped_at', sa.DateTime(timezone=True)),
        sa.Column('state', sa.Text(), nullable=False),
        sa.Column('model', sa.Text()),
        sa.Column('pool', sa.Text()),
        sa.Column('batch_rows', sa.Integer()),
        sa.Column('batch_tokens', sa.Integer()),
        sa.Column('n_items', sa.BigInteger(), nullable=False),
        sa.Column('n_tokens', sa.BigInteger(), nullable=False),
        sa.Column('items_per_second', sa.Double(), nullable=False),
        sa.Column('models', postgresql.JSONB(), nullable=False),
        sa.Column('last_error', sa.Text()),
        sa.Column('last_error_at', sa.DateTime(timezone=True)),
        prefixes=['UNLOGGED'],
        postgresql_with={'fillfactor': '50'},
    )


def downgrade() -> None:
    op.drop_table('workers')
