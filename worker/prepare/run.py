"""Prepares a model: writes it into a temporary folder, measures it, reports, and then moves the folder into place."""

import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lengthwise.errors import ConfigurationError
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import EngineError
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.shrink import prepare as engine
from worker.engine.transformer.shrink.prepare import Recipe
from worker.engine.transformer.weights import loading
from worker.prepare import comparison, report, source
from worker.prepare.comparison import Side
from worker.prepare.report import ModelFigures, Report
from worker.prepare.sample import Sample, read

_LAYERS = re.compile(r"(?:([a-z]+)=)?([0-9]{1,4})")


def run(
    origin: str,
    target: Path,
    *,
    revision: str | None = None,
    quantize: str = "int8",
    prune_layers: str | None = None,
    sparsity: str | None = None,
    sample: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Prepares the model ``origin`` and writes it to ``target``. If that fails, ``target`` is not created.

    Prints the report and the next step to standard output, and progress to ``console``. Raises ``ConfigurationError``.
    """
    recipe = _recipe(quantize, prune_layers, sparsity)
    if recipe.prunes and sample is None:
        raise ConfigurationError("--sample: pruning costs accuracy, which must be measured: name a file of items")
    _refuse_occupied(target)
    found = source.resolve(origin, revision)
    spec = source.with_kind(found)
    tokenizer.load(spec)  # raises early if it cannot be read
    items = None if sample is None else read(sample, spec, loading.architecture(spec))
    try:
        with _new_folder(target) as folder, _progress(console or Console(stderr=True)) as progress:
            made = _prepare(spec, recipe, folder, items, progress)
            made.write(folder)
    except EngineError as error:
        raise ConfigurationError(str(error)) from None
    out = Console()
    out.print(made.table())
    out.print("\nTo use it, add this to models.toml, and name that file in LENGTHWISE_MODELS:\n", highlight=False)
    entry = report.entry(spec, target.resolve(), _arithmetic(spec, recipe.quantize), is_proposal=not found.kinds)
    out.print(entry, highlight=False, markup=False, soft_wrap=True)
    return made


def _prepare(spec: ModelSpec, recipe: Recipe, folder: Path, items: Sample | None, progress: Progress) -> Report:
    writing = progress.add_task("writing", total=None)
    layers = engine.write(spec, recipe, folder)
    # Load it even if there is nothing to measure: a model that cannot be loaded must not be kept.
    after = Side(TorchEngine.load(_prepared(spec, recipe, folder)))
    progress.update(writing, total=1, completed=1)
    old, new = (ModelFigures(engine.weights_bytes(place)) for place in (spec.folder, folder))
    made = Report(spec.name, spec.made_by, recipe.quantize, recipe.sparsity, layers, old, new)
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


def _recipe(quantize: str, prune_layers: str | None, sparsity: str | None) -> Recipe:
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
def _new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target``. It becomes ``target`` at the end, or is deleted after an error."""
    beside = target.absolute().parent / f".{target.name}.{uuid.uuid4().hex}"
    try:
        beside.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be created ({type(error).__name__})") from None
    try:
        yield beside
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:>10}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
