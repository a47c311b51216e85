"""stores: tables of items and results that each hold one large job at a time

It only adds tables, and columns with a constant default, which rewrites no row. Existing jobs stay where they are. Older
code keeps working beside it, but finds neither the items nor the results of a job in a store.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

_STORES = range(1, 33)


def upgrade() -> None:
    with op.get_context().autocommit_block():  # no transaction locks both tables, so that it is in nobody's way
        for table in ('jobs', 'shards'):
            column = sa.Column('store', sa.SmallInteger(), server_default='0', nullable=False)
            op.add_column(table, column, if_not_exists=True)
    op.create_table(
        'stores',
        sa.Column('id', sa.SmallInteger(), autoincrement=False, primary_key=True),
        sa.Column('job_id', sa.Uuid(), unique=True),
    )
    op.execute(f"INSERT INTO stores (id) SELECT generate_series({_STORES.start}, {_STORES.stop - 1})")
    for store in _STORES:
        op.create_table(
            f'items_{store}',
            sa.Column('job_id', sa.Uuid(), primary_key=True),
            sa.Column('pos', sa.Integer(), primary_key=True),
            sa.Column('index', sa.Integer(), nullable=False),
            sa.Column('n_tokens', sa.Integer(), nullable=False),
            sa.Column('payload', sa.LargeBinary(), nullable=False),
        )
        op.create_table(
            f'results_{store}',
            sa.Column('job_id', sa.Uuid(), primary_key=True),
            sa.Column('index', sa.Integer(), primary_key=True),
            sa.Column('status', sa.Text(), nullable=False),
            sa.Column('result', sa.LargeBinary(), nullable=False),
        )


def downgrade() -> None:
    for store in _STORES:
        for table in ('items', 'results'):
            op.execute(f"INSERT INTO {table} SELECT * FROM {table}_{store}")
            op.drop_table(f'{table}_{store}')
    for table in ('shards', 'jobs'):
        op.drop_column(table, 'store')
    op.drop_table('stores')
