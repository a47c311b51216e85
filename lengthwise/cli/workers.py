"""``lengthwise workers``: the processes that work, and what each of them does."""

from datetime import datetime

from rich.table import Table
from rich.text import Text

from lengthwise.cli.connection import AsJson, Key, Url, connected, console, print_json
from lengthwise.client import DEFAULT_URL, WorkerInfo

_COLUMNS = ("role", "name", "host", "state", "seen", "items/s", "items", "works on", "models")


def workers(as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """List the workers: what each does, which models it holds, and when it was last seen.

    A worker is lost if it has not reported for 15 seconds: it is frozen, killed, or cut off from the database. It needs
    an admin key of the first tenant.
    """
    with connected(url, key) as client:
        found = client.workers()
    if as_json:
        print_json([worker.model_dump(mode="json") for worker in found])
        return
    table = Table(*_COLUMNS, box=None)
    for worker in found:
        table.add_row(*map(Text, _cells(worker)))  # no markup: names may hold brackets
    console().print(table)
    for worker in found:
        for line in _troubles(worker):
            console().print(f"{worker.name}: {line}", markup=False, highlight=False, soft_wrap=True)


def _cells(worker: WorkerInfo) -> tuple[str, ...]:
    """The row of a worker, in the order of ``_COLUMNS``."""
    batch = "" if worker.batch_rows is None else f", {worker.batch_rows} rows, {worker.batch_tokens} tokens"
    return (
        worker.role,
        worker.name,
        worker.host,
        worker.state,
        _ago(worker.seen_seconds),
        f"{worker.items_per_second:.1f}",
        str(worker.items),
        f"{worker.model}{batch}" if worker.model else "",
        ", ".join(_model(each.name, each.memory_bytes) for each in worker.models if each.state == "loaded"),
    )


def _model(name: str, memory_bytes: int | None) -> str:
    return name if memory_bytes is None else f"{name} ({memory_bytes / 1e6:.0f} MB)"


def _troubles(worker: WorkerInfo) -> list[str]:
    """What went wrong with its models, and its last error."""
    found = []
    for model in worker.models:
        if model.reason and model.state == "loaded":
            found.append(f"model {model.name} goes on with revision {model.revision}; the newer one: {model.reason}")
        elif model.reason:
            found.append(f"model {model.name} could not be loaded at {_local(model.failed_at)}: {model.reason}")
        if model.paused_until:
            found.append(f"model {model.name} pauses until {_local(model.paused_until)}: {model.paused_for}")
    if worker.last_error:
        found.append(f"last error at {_local(worker.last_error_at)}: {worker.last_error}")
    return found


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


def _local(at: datetime | None) -> str:
    return f"{at.astimezone():%H:%M:%S}" if at else ""
