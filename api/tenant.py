"""Whose request this is. One tenant owns everything until keys arrive; every query is told the tenant already."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

#: The tenant that the first migration makes.
DEFAULT = UUID(int=1)


async def current() -> UUID:
    return DEFAULT


Tenant = Annotated[UUID, Depends(current)]
