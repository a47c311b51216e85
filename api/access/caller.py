"""The caller of a request: its key, once that was checked, and what the key may do."""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from lengthwise.key import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """An admitted key. A limit is None if there is none."""

    key_id: UUID
    tenant_id: UUID
    scopes: frozenset[str]
    max_requests_per_minute: int | None = None
    max_open_jobs: int | None = None

    def may(self, scope: str) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


#: The caller of the request that this task or thread answers, so that every job records the key that made it.
_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def set_current(caller: Caller) -> None:
    _current.set(caller)


def key_id() -> UUID | None:
    """The id of the caller's key; None outside of a request."""
    caller = _current.get()
    return caller.key_id if caller else None


def max_open_jobs() -> int | None:
    """The caller's limit; None if there is none, and outside of a request."""
    caller = _current.get()
    return caller.max_open_jobs if caller else None
