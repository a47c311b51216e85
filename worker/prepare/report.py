"""The report on a prepared model: a table for people, and ``report.json`` in its folder for programs."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from lengthwise.models.catalog import ModelSpec
from lengthwise.models.listing.load_report import LoadFigures
from lengthwise.models.manifest import REPORT
from lengthwise.models.published.naming import printable
from worker.prepare.comparison import Agreement

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """The figures of one of the two models. Without a sample nothing was run, and only the size is known."""

    weights_bytes: int
    #: Its arithmetic and its device, such as ``int8, cpu``.
    runs_as: str | None = None
    items_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to the model, and the figures of both models."""

    source: str
    revision: str
    quantize: str
    sparsity: str | None
    #: The layers that were kept, by stack, with their numbers in the source model; empty if none was dropped.
    layers: dict[str, list[int]]
    before: ModelFigures
    after: ModelFigures
    #: The prepared model's, once it was loaded.
    load: LoadFigures
    agreement: Agreement | None = None

    def write(self, folder: Path) -> None:
        """Writes ``report.json``. The manifest does not list it, because speeds differ from run to run."""
        (folder / REPORT).write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")

    def table(self) -> Table:
        table = Table("", "before", "after", title=Text(printable(f"{self.source}, prepared")))
        for column in table.columns[1:]:
            column.justify = "right"
        for stack, kept in self.layers.items():
            table.add_row(f"{stack} kept" if stack == "layers" else f"{stack} layers kept", "", _listed(kept))
        table.add_row("weights", _megabytes(self.before), _megabytes(self.after))
        if self.agreement is not None:
            table.add_row("runs as", self.before.runs_as, self.after.runs_as)
            table.add_row("items/s", f"{self.before.items_per_second:.1f}", f"{self.after.items_per_second:.1f}")
            table.add_section()
            for name, value in _agreement(self.agreement):
                table.add_row(name, "", value)
        return table


def entry(
    spec: ModelSpec, name: str, place: Path, quantization: str, *, is_proposal: bool = False, is_pruned: bool = False
) -> str:
    """The table for ``models.toml`` that serves the prepared model from ``place``, with the options of its source.

    ``is_proposal``: whether the tables of its kinds are only guessed from its files.
    """
    options = spec.model_dump(
        exclude_defaults=True, exclude={"name", "path", "hub", "revision", "engine", "quantization"}
    )
    name = name if _BARE_KEY.fullmatch(name) else json.dumps(name)
    own = {"path": str(place), "quantization": quantization}
    revision = spec.revision if spec.hub is None else spec.made_by  # the commit, and not a branch that moves
    if revision is not None:  # the answers are not quite those of the original
        own["revision"] = revision + "-pruned" * is_pruned + "-int8" * (quantization == "int8")
    lines = [f"[models.{name}]"]
    lines += _lines(own | {key: value for key, value in options.items() if not isinstance(value, dict)})
    if spec.kinds and is_proposal:
        lines.append("# Proposed from the model's files: compare it with the model's card.")
    for kind in spec.kinds:
        lines += [f"[models.{name}.{kind}]", *_lines(options["kind_options"][kind])]
    if not spec.kinds:
        lines.append("# … and a table for each kind that it serves: see docs/models.md")
    return "\n".join(lines)


def _lines(options: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in options.items()]


def _toml(value: Any) -> str:
    """A value as TOML, in which strings, numbers, booleans and lists are written as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    written = json.dumps(value, ensure_ascii=False)
    # TOML has no place for some of them, and a terminal obeys others.
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in written)


def _agreement(found: Agreement) -> list[tuple[str, str]]:
    shares = {
        f"identical of {found.items} items": found.identical,
        "tokens at their place": found.tokens,
        "next token, teacher-forced": found.forced_top1,
        "labels": found.labels,
        "same nearest neighbour": found.neighbours,
    }
    rows = [(name, f"{value:.2%}") for name, value in shares.items() if value is not None]
    if found.largest_difference is not None:
        rows.append(("largest difference of a probability", f"{found.largest_difference:.4f}"))
    if found.mean_cosine is not None and found.least_cosine is not None:
        rows += [("cosine, mean", f"{found.mean_cosine:.4f}"), ("cosine, least", f"{found.least_cosine:.4f}")]
    return rows


def _megabytes(figures: ModelFigures) -> str:
    return f"{figures.weights_bytes / 1e6:.1f} MB"


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
