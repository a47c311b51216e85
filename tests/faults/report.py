"""Prints the table of faults with their outcomes and recoveries, and one JSON object as the last line."""

import json
import math
import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.faults.run import FaultOutcome
from tests.faults.verdict import COUNTS


def show(outcomes: Sequence[FaultOutcome], n_seeds: int, n_faults: int, console: Console) -> None:
    """Prints one row per fault over all seeds, then the notes, then the JSON as the last line of standard output."""
    table = Table(title=f"{n_faults} faults × {n_seeds} seeds")
    table.add_column("fault")
    for heading in ("ok", "items", *COUNTS, "late", "p50 s", "max s", "bound s"):
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(outcome.name for outcome in outcomes):
        _add_rows(table, [outcome for outcome in outcomes if outcome.name == name])
    console.print(table)
    for note, count in _notes(outcomes).items():
        console.print(f"  {count} × {note}", markup=False, highlight=False)
    console.print(json.dumps(summary(outcomes, n_seeds, n_faults)), markup=False, highlight=False, soft_wrap=True)


def _add_rows(table: Table, same: Sequence[FaultOutcome]) -> None:
    n_ok = sum(outcome.is_ok for outcome in same)
    counts = [sum(getattr(outcome.verdict, name) for outcome in same) for name in COUNTS]
    recoveries = sorted(outcome.recovery for outcome in same if outcome.recovery is not None)
    table.add_row(
        same[0].name,
        f"{n_ok}/{len(same)}",
        str(sum(outcome.verdict.acknowledged for outcome in same)),
        *(str(count) for count in counts),
        str(sum(outcome.is_late for outcome in same)),
        *_spread(recoveries),
        f"{same[0].bound:.1f}",
        style=None if n_ok == len(same) else "red",
    )
    for row in dict.fromkeys(row for outcome in same for row in outcome.rows):
        seconds = sorted(outcome.rows[row] for outcome in same if row in outcome.rows)
        table.add_row(f"  {row}", *[""] * (len(COUNTS) + 3), *_spread(seconds))


def _spread(seconds: Sequence[float]) -> tuple[str, str]:
    return (f"{_quantile(seconds, 0.5):.2f}", f"{seconds[-1]:.2f}") if seconds else ("", "")


def _quantile(values: Sequence[float], share: float) -> float:
    """Returns the quantile ``share`` of sorted values (nearest rank); 0 if there are no values."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


def _notes(outcomes: Sequence[FaultOutcome]) -> Counter[str]:
    notes: Counter[str] = Counter()
    for outcome in outcomes:
        notes.update(f"{outcome.name}: {note}" for note in dict.fromkeys(outcome.verdict.notes + outcome.problems))
    return notes


def say(outcome: FaultOutcome) -> None:
    """Prints one line to standard error as soon as a fault is done."""
    print(outcome.line, file=sys.stderr, flush=True)  # noqa: T201


def summary(outcomes: Sequence[FaultOutcome], n_seeds: int, n_faults: int) -> dict[str, object]:
    """Returns the figures of the JSON object.

    ``problems`` are broken promises that the other counts do not cover. ``late`` are recoveries beyond their bound.
    """
    recoveries = sorted(outcome.recovery for outcome in outcomes if outcome.interrupts and outcome.recovery is not None)
    return {
        "seeds": n_seeds,
        "faults": n_faults,
        "acknowledged": sum(outcome.verdict.acknowledged for outcome in outcomes),
        **{name: sum(getattr(outcome.verdict, name) for outcome in outcomes) for name in COUNTS},
        "late": sum(outcome.is_late for outcome in outcomes),
        "problems": sum(len(outcome.problems) for outcome in outcomes),
        "recovery_p95_s": round(_quantile(recoveries, 0.95), 2),
        "failed_faults": sorted({outcome.name for outcome in outcomes if not outcome.is_ok}),
    }
