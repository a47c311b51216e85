"""Shows the results: tables for people, and figures for the JSON object."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.engine.compare import ARRIVAL, CTRANSLATE2, EXACT, OPENVINO, OURS, SORTED, EngineComparison
from benchmarks.engine.workload import WORKLOADS

if TYPE_CHECKING:  # it imports what starts the servers, which a machine with a GPU may lack
    from benchmarks.engine.share import Share

Figures = dict[str, Any]

_KEYS = {OURS: "int8", EXACT: "exact", CTRANSLATE2: "ctranslate2", OPENVINO: "openvino", SORTED: "sorted"}


def rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)


def spread(rates: Sequence[float]) -> str:
    return f"{median(rates):.2f} ({min(rates):.2f}–{max(rates):.2f})"


def comparison(console: Console, found: EngineComparison) -> Figures:
    table = Table("system", title=WORKLOADS[found.workload].title, title_justify="left")
    for column in ("items/s (min–max)", "ours is × as fast", "exact is × as fast"):
        table.add_column(column, justify="right")
    for name, rates in found.rates.items():
        ratios = (found.ratio(ours, name) for ours in (OURS, EXACT))
        table.add_row(name, spread(rates), *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios))
    console.print(table)
    key = found.workload
    return {
        f"{key}_vs_ctranslate2": rounded(found.ratio(OURS, CTRANSLATE2)),
        f"{key}_vs_openvino": rounded(found.ratio(OURS, OPENVINO)),
        f"{key}_vs_transformers": rounded(found.ratio(OURS, ARRIVAL)),
        f"{key}_vs_transformers_sorted": rounded(found.ratio(OURS, SORTED)),
        f"{key}_exact_vs_transformers": rounded(found.ratio(EXACT, ARRIVAL)),
        f"{key}_items_per_second": {
            _KEYS.get(name, "transformers"): round(median(rates), 3) for name, rates in found.rates.items()
        },
    }


def peak(console: Console, share: float, operations: float) -> Figures:
    console.print(
        f"one large int8 matrix product reaches {operations / 1e9:.0f} GOP/s on this core; "
        f"W1's linear layers reach {share:.0%} of that"
    )
    return {"int8_gops": round(operations / 1e9), "w1_share_of_peak": round(share, 3)}


def share(console: Console, found: "Share") -> Figures:
    console.print(
        f"through API, PostgreSQL, Redis and worker: {spread(found.system)} items/s, "
        f"the bare engine on the same items: {spread(found.engine)}"
    )
    return {"system_share_of_engine": round(found.ratio, 3)}
