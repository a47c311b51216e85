"""The rooms of the page, in the order of its navigation, and who may see each."""

from typing import NamedTuple

from api.access.auth import DEFAULT
from api.access.caller import Caller
from lengthwise.key import Scope


class Room(NamedTuple):
    path: str
    name: str
    scope: Scope
    #: Whether it shows the whole installation, which only the first tenant's keys may see.
    is_operators: bool = False


#: A room that is added here appears in the navigation of all keys that may see it.
ROOMS = (
    Room("/page", "Overview", Scope.READ),
    Room("/page/jobs", "Jobs", Scope.READ),
    Room("/page/submit", "Submit", Scope.SUBMIT),
    Room("/page/workers", "Workers", Scope.ADMIN, is_operators=True),
    Room("/page/models", "Models", Scope.ADMIN, is_operators=True),
    Room("/page/webhooks", "Webhooks", Scope.WEBHOOKS),
    Room("/page/usage", "Usage", Scope.READ),
    Room("/page/keys", "Keys", Scope.ADMIN),
    Room("/page/tenants", "Tenants", Scope.ADMIN),
)


def is_operator(viewer: Caller) -> bool:
    """Whether the key may see the whole installation."""
    return viewer.tenant_id == DEFAULT and viewer.may(Scope.ADMIN)


def seen_by(viewer: Caller) -> list[Room]:
    """The rooms that this key may see."""
    return [room for room in ROOMS if viewer.may(room.scope) and (is_operator(viewer) or not room.is_operators)]


def first_of(viewer: Caller) -> str:
    """Where this key begins. Every scope has a room."""
    return seen_by(viewer)[0].path
