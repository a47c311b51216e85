"""Who asks: the key that came with a request, checked, and what it may do."""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from lengthwise.key import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that was let in. Limits are None where there are none."""

    key_id: UUID
    tenant_id: UUID
    scopes: frozenset[str]
    max_requests_per_minute: int | None = None
    max_open_jobs: int | None = None

    def may(self, scope: str) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


#: Of the request that this task or thread answers: every way in which a job is made knows whose key made it.
_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def set_current(caller: Caller) -> None:
    _current.set(caller)


def key_id() -> UUID | None:
    """Of the key that asks; None outside of a request."""
    asking = _current.get()
    return asking.key_id if asking else None


def max_open_jobs() -> int | None:
    """The limit of who asks; None where there is none, and outside of a request."""
    asking = _current.get()
    return asking.max_open_jobs if asking else None
