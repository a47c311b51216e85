"""usage by model

It only adds a table. Counts that exist stay where they are, and count for no model. Code of the release before keeps
counting there too, and both are read; while it runs, its own answers lack the work that newer code counts.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None

_COUNTS = ('items', 'input_tokens', 'output_tokens')


def upgrade() -> None:
    op.create_table(
        'model_usage',
        sa.Column('tenant_id', sa.Uuid(), nullable=False),
        sa.Column('day', sa.Date(), nullable=False),
        sa.Column('key_id', sa.Uuid(), nullable=False),
        sa.Column('model', sa.Text(), nullable=False),
        *[sa.Column(name, sa.BigInteger(), server_default='0', nullable=False) for name in _COUNTS],
        sa.ForeignKeyConstraint(
            ['tenant_id'], ['tenants.id'], name=op.f('model_usage_tenant_id_fkey'), ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('tenant_id', 'day', 'key_id', 'model', name=op.f('model_usage_pkey')),
        if_not_exists=True,
    )


def downgrade() -> None:
    """The work goes back to the counts without models."""
    names = ', '.join(_COUNTS)
    op.execute(
        f"INSERT INTO usage AS kept (tenant_id, day, key_id, {names})"
        f" SELECT tenant_id, day, key_id, {', '.join(f'sum({name})' for name in _COUNTS)}"
        " FROM model_usage GROUP BY tenant_id, day, key_id ORDER BY tenant_id, day, key_id"
        " ON CONFLICT (tenant_id, day, key_id) DO UPDATE"
        f" SET {', '.join(f'{name} = kept.{name} + excluded.{name}' for name in _COUNTS)}"
    )
    op.drop_table('model_usage')
