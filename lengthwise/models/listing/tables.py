"""The models of ``models.toml`` as a table for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from lengthwise.models.listing.entry import ModelEntry
from lengthwise.models.listing.load_report import LoadFigures

_COLUMNS = (
    *("model", "state", "kinds", "engine", "weights", "memory", "tokens/s", "items/s", "measured on"),
    *("revision", "licence"),
)
#: Of a table that may be as wide as it needs.
_ANY_WIDTH = 1 << 20


def tables(entries: Sequence[ModelEntry], out: Console) -> list[Table]:
    """One table with a row for each model; or, if that is wider than the screen, a table for each model."""
    rows = [_cells(each) for each in entries]
    whole = Table(*_COLUMNS, box=None)
    for row in rows:
        whole.add_row(*map(Text, row))  # no markup: names and revisions may hold brackets
    if Measurement.get(out, out.options.update(max_width=_ANY_WIDTH), whole).maximum <= out.width:
        return [whole]
    return [_block(row) for row in rows]


def _block(row: tuple[str, ...]) -> Table:
    """A model with a line for each column that is not empty."""
    name, *values = row
    table = Table(Column(Text(_COLUMNS[0])), Column(Text(name)), box=None)
    for column, value in zip(_COLUMNS[1:], values, strict=True):
        if value:
            table.add_row(Text(column), Text(value, overflow="fold"))
    table.add_row()
    return table


def _cells(entry: ModelEntry) -> tuple[str, ...]:
    """The row of a model, in the order of ``_COLUMNS``."""
    return (
        entry.name,
        f"unusable: {entry.unusable.code}" if entry.unusable else "usable",
        ", ".join(_kind(kind, len(entry.pairs.get(kind, ()))) for kind in entry.kinds) or "none",
        entry.engine if entry.engine == "openai" else f"{entry.engine}, {entry.quantization}",
        "" if entry.weights_bytes is None else _megabytes(entry.weights_bytes),
        *_figures(entry.load),
        entry.revision or "",
        entry.licence or ("not named" if entry.folder else ""),
    )


def _kind(name: str, n_pairs: int) -> str:
    return f"{name} ({n_pairs} pair{'s' * (n_pairs != 1)})" if n_pairs else name


def _figures(load: LoadFigures | None) -> tuple[str, str, str, str]:
    if load is None:
        return "", "", "", "not measured"
    return _megabytes(load.memory_bytes), f"{load.tokens_per_second:.0f}", f"{load.items_per_second:.1f}", load.place


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB"
