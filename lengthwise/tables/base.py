"""What all tables share: their metadata with its naming convention, and columns for times."""

from sqlalchemy import Column, DateTime, MetaData, text

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def time(name: str, *, default: bool = False, nullable: bool = True) -> Column[object]:
    """A timestamp with time zone. With ``default``, it is the start of the transaction unless given."""
    return Column(name, DateTime(timezone=True), server_default=text("now()") if default else None, nullable=nullable)
