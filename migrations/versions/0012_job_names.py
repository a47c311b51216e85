"""names, tags and source files of jobs, the indexes of their lists, and the trace of a submission

It only adds columns that may be null, which rewrites no row, a table and indexes. Older code keeps working beside it: the
jobs that it makes have neither names nor tags.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

_LISTED = ('state', 'kind', 'model', 'key_id')


def upgrade() -> None:
    op.add_column('jobs', sa.Column('name', sa.Text(collation='C')), if_not_exists=True)
    op.add_column('jobs', sa.Column('tags', postgresql.ARRAY(sa.Text())), if_not_exists=True)
    op.add_column('jobs', sa.Column('source_file', sa.Text()), if_not_exists=True)
    op.add_column('jobs', sa.Column('trace', sa.Text()), if_not_exists=True)
    op.create_table(
        'job_tags',
        sa.Column('tenant_id', sa.Uuid(), primary_key=True),
        sa.Column('tag', sa.Text(collation='C'), primary_key=True),
        sa.Column('created_at', sa.DateTime(timezone=True), primary_key=True),
        sa.Column('job_id', sa.Uuid(), primary_key=True),
        if_not_exists=True,  # an interrupted run can be repeated
    )
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        for column in _LISTED:
            _create(f'jobs_list_{column}_idx', ['tenant_id', column, 'created_at', 'id'], 'deleted_at IS NULL')
        _create('jobs_list_name_idx', ['tenant_id', 'name'], 'name IS NOT NULL AND deleted_at IS NULL')
        op.execute("SET lock_timeout = '2s'")


def downgrade() -> None:
    for column in ('name', *_LISTED):
        op.drop_index(f'jobs_list_{column}_idx', 'jobs', if_exists=True)
    op.drop_table('job_tags', if_exists=True)
    for column in ('trace', 'source_file', 'tags', 'name'):
        op.drop_column('jobs', column, if_exists=True)


def _create(name: str, columns: list[str], where: str) -> None:
    """Builds an index. It blocks no other statement, and an interrupted run can be repeated."""
    op.drop_index(name, 'jobs', if_exists=True, postgresql_concurrently=True)
    op.create_index(name, 'jobs', columns, postgresql_where=sa.text(where), postgresql_concurrently=True)
