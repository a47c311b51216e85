"""Prepares a model: writes it into a temporary folder, measures it, reports, and then moves the folder into place."""

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lengthwise.errors import ConfigurationError
from lengthwise.models import tokenizer, weights
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import EngineError
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.shrink import prepare as engine
from worker.engine.transformer.shrink.prepare import Recipe
from worker.engine.transformer.weights import loading
from worker.prepare import comparison, disk, measure, report, source
from worker.prepare.comparison import Side
from worker.prepare.report import ModelFigures, Report
from worker.prepare.sample import Sample, read

_LAYERS = re.compile(r"(?:([a-z]+)=)?([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Made:
    """A model that was made ready to serve."""

    spec: ModelSpec
    report: Report
    #: Whether the tables of its kinds are only guessed from its files.
    is_proposal: bool
    #: What was left out or assumed, as lines for people.
    warnings: list[str]
    quantization: str

    def table(self, name: str, place: Path) -> str:
        """The table of ``models.toml`` that serves it under this name from the folder ``place``."""
        is_pruned = bool(self.report.layers or self.report.sparsity)
        return report.entry(
            self.spec, name, place, self.quantization, is_proposal=self.is_proposal, is_pruned=is_pruned
        )


@disk.explained()
def run(
    origin: str,
    target: Path,
    *,
    recipe: Recipe,
    revision: str | None = None,
    sample: Path | None = None,
    harmless: tuple[str, ...] = (),
    is_dry: bool = False,
    console: Console | None = None,
) -> Made:
    """Prepares the model ``origin`` (see ``source.resolve``) and writes it to ``target``.

    If that fails, or if ``is_dry``, ``target`` is not created. Shows progress on ``console``. Raises
    ``ConfigurationError``.
    """
    if recipe.prunes and sample is None:
        raise ConfigurationError("--sample: pruning costs accuracy, which must be measured: name a file of items")
    _refuse_occupied(target)
    with tempfile.TemporaryDirectory(prefix="lengthwise-") as workspace:
        found = source.resolve(origin, revision, Path(workspace))
        spec = source.with_kind(found.spec, harmless)
        tokenizer.load(spec)  # raises early if it cannot be read
        items = None if sample is None else read(sample, spec, loading.architecture(spec))
        try:
            with _new_folder(target, is_dry) as folder, _progress(console or Console(stderr=True)) as progress:
                made = _prepare(spec, recipe, folder, items, progress)
                made.write(folder)
        except EngineError as error:
            raise ConfigurationError(str(error)) from None
    warnings = found.brought.warnings if found.brought else []
    return Made(spec, made, not found.spec.kinds, warnings, _arithmetic(spec, recipe.quantize))


def _prepare(spec: ModelSpec, recipe: Recipe, folder: Path, items: Sample | None, progress: Progress) -> Report:
    writing = progress.add_task("writing", total=None)
    layers = engine.write(spec, recipe, folder)
    # Load it even if there is nothing to measure: a model that cannot be loaded must not be kept.
    after = Side(TorchEngine.load(_prepared(spec, recipe, folder)))
    progress.update(writing, total=1, completed=1)
    old, new = (ModelFigures(weights.weights_bytes(place)) for place in (spec.folder, folder))
    load = measure.figures(after.engine, spec)
    made = Report(spec.name, spec.made_by, recipe.quantize, recipe.sparsity, layers, old, new, load)
    if items is None:
        return made
    before = Side(TorchEngine.load(spec.model_copy(update={"quantization": _arithmetic(spec, "none")})))
    measuring = progress.add_task("measuring", total=comparison.total(items))
    found = comparison.compare(before, after, spec, items, lambda count: progress.advance(measuring, count))
    progress.update(measuring, completed=comparison.total(items))
    return replace(made, before=_figures(old, before, items), after=_figures(new, after, items), agreement=found)


def _figures(known: ModelFigures, side: Side, items: Sample) -> ModelFigures:
    capabilities = side.engine.capabilities()
    arithmetic = "fp32" if capabilities.quantization == "none" else capabilities.quantization
    runs_as = f"{arithmetic}, {capabilities.device}"
    return replace(known, runs_as=runs_as, items_per_second=round(items.n_items / min(side.seconds), 2))


def _prepared(spec: ModelSpec, recipe: Recipe, folder: Path) -> ModelSpec:
    """The spec of the prepared model. A new object, because a ``ModelSpec`` caches what it knows of its files."""
    options = {name: getattr(spec, name) for name in ModelSpec.model_fields}
    place = {"path": folder, "hub": None, "quantization": _arithmetic(spec, recipe.quantize)}
    return ModelSpec(**(options | place))


def _arithmetic(spec: ModelSpec, quantize: str) -> str:
    """The arithmetic of the model: int8 if it is quantized, else bf16 if ``models.toml`` says so, else fp32."""
    if quantize == "int8":
        return "int8"
    return "bf16" if spec.quantization == "bf16" else "none"


def recipe(quantize: str, prune_layers: str | None, sparsity: str | None) -> Recipe:
    """What the options of a command ask for. Raises ``ConfigurationError``."""
    if quantize not in ("int8", "none"):
        raise ConfigurationError("--quantize: must be int8 or none")
    if sparsity not in (None, "2:4"):
        raise ConfigurationError("--sparsity: the only pattern is 2:4")
    return Recipe(quantize, {} if prune_layers is None else _layers(prune_layers), sparsity)


def _layers(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in text.split(","):
        match = _LAYERS.fullmatch(part.strip())
        if match is None or (match[1] or "") in found:
            raise ConfigurationError("--prune-layers: must be a number, or such as encoder=6,decoder=3")
        found[match[1] or ""] = int(match[2])
    return found


def _refuse_occupied(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ConfigurationError(f"{target} is there and is no folder")
    if target.is_dir() and any(target.iterdir()):
        raise ConfigurationError(f"{target} is not empty: name a new folder")


@contextmanager
def _new_folder(target: Path, is_dry: bool) -> Iterator[Path]:
    """A temporary folder beside ``target``. It becomes ``target`` at the end.

    After an error, or if ``is_dry``, it is deleted, and so are the folders around it that are new.
    """
    beside = target.absolute().parent / f".{target.name}.{uuid.uuid4().hex}"
    new = [folder for folder in beside.parents if not folder.exists()]
    try:
        try:
            beside.mkdir(parents=True)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from None
        yield beside
        if not is_dry:
            beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(OSError):  # they hold something, such as the model
            for folder in new:
                folder.rmdir()


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:>10}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
