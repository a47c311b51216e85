"""The events of webhooks, and subscriptions to them: by name, or by group such as ``job.*``."""

from collections.abc import Iterable

from lengthwise.errors import InvalidInput

#: A page of settled results.
RESULTS = "job.results"
#: Sent only on request. Nobody subscribes to it.
TEST = "endpoint.test"

NAMES = (
    "job.completed",
    "job.cancelled",
    "job.expired",
    RESULTS,
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
)
GROUPS = ("job.*", "batch.*")


def check(patterns: Iterable[str]) -> None:
    """Raises ``InvalidInput`` unless each pattern is one of ``NAMES`` or ``GROUPS``."""
    if not set(patterns) <= {*NAMES, *GROUPS}:
        raise InvalidInput(f"has an unknown event; known are {', '.join((*NAMES, *GROUPS))}", "events")


def includes(patterns: Iterable[str], name: str) -> bool:
    """Whether one of ``patterns`` is this event or its group."""
    return not {name, f"{name.partition('.')[0]}.*"}.isdisjoint(patterns)
