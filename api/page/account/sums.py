"""What a tenant used, as the API's own routes sum it."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request

from api.access.caller import Caller
from api.admin import usage
from api.admin.usage import GroupName, UsageSum
from lengthwise.errors import Forbidden
from lengthwise.key import Scope

#: The tenant that a request for a page names, as those for the API do.
OfTenant = Annotated[str | None, Query(alias="tenant")]


def read(
    request: Request, tenant: UUID, of_tenant: str | None, first: date, last: date, by: list[GroupName]
) -> list[UsageSum]:
    """What the viewer's tenant used, or the one that an admin names.

    Raises ``Forbidden``, ``InvalidInput``, ``NotFound`` and ``Unavailable``.
    """
    viewer: Caller = request.state.caller
    days = first.isoformat(), last.isoformat()
    if of_tenant is None:
        return usage.usage(request, tenant, *days, by).data
    if not viewer.may(Scope.ADMIN):
        raise Forbidden
    return usage.usage_of_tenant(request, tenant, of_tenant, *days, by).data
