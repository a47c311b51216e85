"""Whose request this is. One tenant owns everything until keys arrive; every query is told the tenant already."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

#: The tenant that the first migration makes.
DEFAULT = UUID(int=1)


async def current() -> UUID:
    return DEFAULT


Tenant = Annotated[UUID, Depends(current)]
#: By what a key must be allowed to do.
Reader = Annotated[UUID, Depends(current)]
Submitter = Annotated[UUID, Depends(current)]
WebhookKeeper = Annotated[UUID, Depends(current)]
Admin = Annotated[UUID, Depends(current)]
