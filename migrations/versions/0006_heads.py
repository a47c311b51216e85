"""an index that only queries for the first shard of a queue use

Older code keeps working beside it: it finds the first shard by the index of buckets, which costs it a sort.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

_COLUMNS = ['pool', 'priority', 'vkey', 'id']


def upgrade() -> None:
    _exchange('shards_ready_idx', 'shards_head_idx', "state = 'ready' AND hi > lo")


def downgrade() -> None:
    _exchange('shards_head_idx', 'shards_ready_idx', "state = 'ready'")


def _exchange(old: str, new: str, where: str) -> None:
    """Replaces one index by another. It blocks no other statement, and an interrupted run can be repeated."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(new, table_name='shards', if_exists=True, postgresql_concurrently=True)
        op.create_index(new, 'shards', _COLUMNS, postgresql_where=sa.text(where), postgresql_concurrently=True)
        op.drop_index(old, table_name='shards', if_exists=True, postgresql_concurrently=True)
        op.execute("SET lock_timeout = '2s'")
