"""Counts the errors of a job's failed items by their codes."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json

from api.jobs.progress.schema import ErrorCount
from lengthwise.kinds import KINDS
from lengthwise.kinds.result_line import ERRORS
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.why.failed_lines import FailedLine
from lengthwise.states import JobState

_FIRST_ITEMS = 5
#: These come from the item itself, which a retry does not change.
_LASTING = frozenset({"too_long", "empty_prompt", "untokenizable", "too_intricate"})
_UNKNOWN = "unknown"


def counted(job: JobFigures, lines: Iterable[FailedLine]) -> list[ErrorCount]:
    """The errors of these lines, the most frequent first. If the job has more failed items, each is a lower bound."""
    items: dict[str, list[str]] = defaultdict(list)
    for index, line in lines:
        code, item = _read(line)
        items[code].append(str(index) if item is None else item)
    is_partial = sum(map(len, items.values())) < job.n_failed
    by_frequency = sorted(items.items(), key=lambda found: (-len(found[1]), found[0]))
    return [
        ErrorCount(
            code=code,
            message=ERRORS.get(code),
            count=len(ids),
            at_least=is_partial,
            first_items=ids[:_FIRST_ITEMS],
            retry=_retry(job, code),
        )
        for code, ids in by_frequency
    ]


def _retry(job: JobFigures, code: str) -> str | None:
    """Only ended jobs are retried, and not those of OpenAI's endpoints."""
    is_open = job.state is JobState.OPEN
    return None if is_open or code in _LASTING or job.kind not in KINDS else f"lengthwise retry {job.id}"


def _read(line: bytes) -> tuple[str, str | None]:
    """The error's code and the item's id, in a line of ours or in one of OpenAI's form."""
    found = from_json(line)
    error = _member(found, "error") or _member(_member(_member(found, "response"), "body"), "error")
    code, item = _member(error, "code"), _member(found, "custom_id") or _member(found, "id")
    return code if isinstance(code, str) else _UNKNOWN, item if isinstance(item, str) else None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
