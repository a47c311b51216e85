"""The rooms of the page, in the order of its navigation, and the scope that each needs."""

from typing import NamedTuple

from api.access.caller import Caller
from lengthwise.key import Scope


class Room(NamedTuple):
    path: str
    name: str
    scope: Scope


#: A room that is added here appears in the navigation of all keys that may see it.
ROOMS = (
    Room("/page", "Overview", Scope.READ),
    Room("/page/jobs", "Jobs", Scope.READ),
    Room("/page/submit", "Submit", Scope.SUBMIT),
    Room("/page/usage", "Usage", Scope.READ),
    Room("/page/keys", "Keys", Scope.ADMIN),
    Room("/page/tenants", "Tenants", Scope.ADMIN),
)


def seen_by(viewer: Caller) -> list[Room]:
    """The rooms that this key may see."""
    return [room for room in ROOMS if viewer.may(room.scope)]


def first_of(viewer: Caller) -> str:
    """Where this key begins. A key for webhooks alone has no room yet."""
    found = seen_by(viewer)
    return found[0].path if found else ROOMS[0].path
