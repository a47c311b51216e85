"""``lengthwise models``: the models that an API serves. ``lengthwise model``: those of this machine."""

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from lengthwise.cli import extras, interrupt
from lengthwise.cli.connection import MISUSED, AsJson, Key, Url, connected, console, print_json
from lengthwise.client import DEFAULT_URL

app = typer.Typer(help="Add, check, list and prepare models on this machine.", no_args_is_help=True)

#: Said if a model's making was interrupted.
_INTERRUPTED = (
    "interrupted: nothing half-written stays; run the command again, which keeps the files that have arrived whole"
)


def models(as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """List the models, and say what is wrong with those that cannot be served.

    An API says which models jobs may name. `lengthwise model list` reads models.toml on this machine, and shows what
    each model needs.
    """
    with connected(url, key) as client:
        found = client.models()
    if as_json:
        print_json([model.model_dump(mode="json") for model in found])
        return
    table = Table("model", "usable", "kinds", "languages", "context", "quantization", "revision", box=None)
    for model in found:
        pairs = ", ".join(f"{source}→{target}" for source, target in model.languages)
        usable, context = "yes" if model.usable else "no", "" if model.context is None else str(model.context)
        kinds = ", ".join(model.kinds)
        table.add_row(model.id, usable, kinds, pairs, context, model.quantization, model.revision or "")
    console().print(table)
    for model in found:
        if not model.usable:
            _say_unusable(model.id, model.reason, model.remedy)


def _say_unusable(name: str, reason: str | None, remedy: str | None) -> None:
    line = f"\n{name} cannot be served: {reason}.\nTo mend it: {remedy}"
    console().print(line, markup=False, highlight=False, soft_wrap=True)


@app.callback()
def model() -> None:
    """Add, check, list and prepare models on this machine."""


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models of models.toml here: what is served, its memory and speed as measured, revision and licence.

    It needs no API and loads nothing. `lengthwise models` asks an API which models jobs may name.
    """
    extras.require("server")
    from lengthwise import settings

    current = settings.get()
    is_local = current.has_local_workers or extras.is_installed("worker")
    found = import_module("lengthwise.models.listing.entry").entries(current.models, is_local=is_local)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    out = console()
    for table in import_module("lengthwise.models.listing.tables").tables(found, out):
        out.print(table)
    for each in found:
        if each.unusable:
            _say_unusable(each.name, each.unusable.reason, each.unusable.remedy)


@app.command()
def manifest(folder: Annotated[Path, typer.Argument(help="The model's folder.")]) -> None:
    """Write manifest.json, against which every load then checks the files of the folder."""
    count = import_module("lengthwise.models.manifest").write_all(folder)
    console().print(f"{folder / 'manifest.json'} lists {count} files", highlight=False, soft_wrap=True)


Revision = Annotated[str | None, typer.Option(help="Revision of a hub id; main by default.")]
Quantize = Annotated[str, typer.Option(help="int8 (rows with fp16 scales) or none.")]
PruneLayers = Annotated[
    str | None, typer.Option(help="Layers to keep: a number, or encoder=N,decoder=M. Needs --sample.")
]
Sparsity = Annotated[
    str | None, typer.Option(help="2:4 sets the two smallest of every four weights to zero. Needs --sample.")
]
Harmless = Annotated[
    list[str] | None,
    typer.Option(metavar="LABEL", help="Label of a classifier that says that nothing is wrong; may be repeated."),
]
SampleFile = Annotated[Path | None, typer.Option(help="NDJSON file of items to measure speed and agreement on.")]


@app.command()
def add(
    source: Annotated[str, typer.Argument(help="Hub id (owner/name), folder, or .gguf file.")],
    name: Annotated[str | None, typer.Option("--as", help="Its name in models.toml; its own name by default.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where its folder is made; by default models/ beside models.toml.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the table for models.toml.")] = False,
    revision: Revision = None,
    quantize: Quantize = "int8",
    prune_layers: PruneLayers = None,
    sparsity: Sparsity = None,
    sample: SampleFile = None,
    harmless: Harmless = None,
) -> None:
    """Fetch a model, bring it into the form that is served, check it, and name it in models.toml."""
    with interrupt.catching(_INTERRUPTED):
        recipe = _recipe(quantize, prune_layers, sparsity)
        import_module("worker.prepare.add").add(
            source,
            name=name,
            folder=folder,
            revision=revision,
            recipe=recipe,
            sample=sample,
            harmless=tuple(harmless or ()),
            is_dry=dry_run,
        )


@app.command()
def check(name: Annotated[str, typer.Argument(help="The model's name in models.toml.")]) -> None:
    """Look at a model step by step: its files, its kinds, and whether it loads and answers."""
    extras.require("worker")
    from lengthwise import settings

    with interrupt.catching("interrupted"):
        settings.get().limit_threads()
        if not import_module("worker.prepare.check").check(name):
            raise typer.Exit(MISUSED)


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help="Name in models.toml, hub id (owner/name), folder, or .gguf file.")],
    target: Annotated[Path, typer.Argument(help="Folder to write; it must be new or empty.")],
    revision: Revision = None,
    quantize: Quantize = "int8",
    prune_layers: PruneLayers = None,
    sparsity: Sparsity = None,
    sample: SampleFile = None,
    harmless: Harmless = None,
) -> None:
    """Write a smaller model, and report what it costs in agreement with the original."""
    with interrupt.catching(_INTERRUPTED):
        recipe = _recipe(quantize, prune_layers, sparsity)
        import_module("worker.prepare.add").prepare(
            source, target, revision=revision, recipe=recipe, sample=sample, harmless=tuple(harmless or ())
        )


def _recipe(quantize: str, prune_layers: str | None, sparsity: str | None) -> Any:
    """What to do to the model. Torch runs with the threads of the settings from here on."""
    extras.require("worker")
    from lengthwise import settings

    settings.get().limit_threads()
    return import_module("worker.prepare.run").recipe(quantize, prune_layers, sparsity)
