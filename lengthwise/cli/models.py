"""``lengthwise models``: the models that an API serves. ``lengthwise model``: models made ready to serve, here."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lengthwise.cli import extras
from lengthwise.cli.connection import AsJson, Key, Url, connected, console, print_json
from lengthwise.client import DEFAULT_URL

app = typer.Typer(help="Prepare models for serving.", no_args_is_help=True)


def models(as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """List the models, and say what is wrong with those that cannot be served."""
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
            line = f"\n{model.id} cannot be served: {model.reason}.\nTo mend it: {model.remedy}"
            console().print(line, markup=False, highlight=False, soft_wrap=True)


@app.callback()
def model() -> None:
    """Prepare models for serving."""


@app.command()
def manifest(folder: Annotated[Path, typer.Argument(help="The model's folder.")]) -> None:
    """Write manifest.json, against which every load then checks the files of the folder."""
    count = import_module("lengthwise.models.manifest").write_all(folder)
    console().print(f"{folder / 'manifest.json'} lists {count} files", highlight=False, soft_wrap=True)


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help="Name in models.toml, folder, or hub id (owner/name).")],
    target: Annotated[Path, typer.Argument(help="Folder to write; it must be new or empty.")],
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id; main by default.")] = None,
    quantize: Annotated[str, typer.Option(help="int8 (rows with fp16 scales) or none.")] = "int8",
    prune_layers: Annotated[
        str | None, typer.Option(help="Layers to keep: a number, or encoder=N,decoder=M. Needs --sample.")
    ] = None,
    sparsity: Annotated[
        str | None, typer.Option(help="2:4 sets the two smallest of every four weights to zero. Needs --sample.")
    ] = None,
    sample: Annotated[Path | None, typer.Option(help="NDJSON file of items to measure speed and agreement on.")] = None,
) -> None:
    """Write a smaller model, and report what it costs in agreement with the original."""
    extras.require("worker")
    from lengthwise import settings

    settings.get().limit_threads()
    import_module("worker.prepare.run").run(
        source,
        target,
        revision=revision,
        quantize=quantize,
        prune_layers=prune_layers,
        sparsity=sparsity,
        sample=sample,
    )
