"""The events there are, and what an endpoint subscribes to: names, and groups such as ``job.*``."""

from collections.abc import Iterable

from lengthwise.errors import InvalidInput

#: Settled results, in pages.
RESULTS = "job.results"
#: Sent on request alone; nobody subscribes to it.
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
    """Raises ``InvalidInput`` unless each is one of ``NAMES`` or ``GROUPS``."""
    if not set(patterns) <= {*NAMES, *GROUPS}:
        raise InvalidInput(f"has an unknown event; known are {', '.join((*NAMES, *GROUPS))}", "events")


def includes(patterns: Iterable[str], name: str) -> bool:
    """Whether one of ``patterns`` is this event or its group."""
    return not {name, f"{name.partition('.')[0]}.*"}.isdisjoint(patterns)
