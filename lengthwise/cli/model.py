"""``lengthwise model``: what is done to models before they serve."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from lengthwise import settings
from lengthwise.errors import ConfigurationError

app = typer.Typer(help="Make models ready to serve.", no_args_is_help=True)


@app.callback()
def model() -> None:
    """Make models ready to serve."""


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help="A name in models.toml, a folder, or a hub id (owner/name).")],
    target: Annotated[Path, typer.Argument(help="The folder to make; it must not be there, or be empty.")],
    revision: Annotated[str | None, typer.Option(help="Of a hub id; main if not given.")] = None,
    quantize: Annotated[str, typer.Option(help="int8 (rows with fp16 scales) or none.")] = "int8",
    prune_layers: Annotated[
        str | None, typer.Option(help="Layers to keep: a number, or encoder=N,decoder=M. Needs --sample.")
    ] = None,
    sparsity: Annotated[
        str | None, typer.Option(help="2:4: the two smallest of each four weights become zero. Needs --sample.")
    ] = None,
    sample: Annotated[
        Path | None, typer.Option(help="NDJSON of items, on which speed and agreement are measured.")
    ] = None,
) -> None:
    """Write a smaller model, and measure what that cost."""
    settings.get().limit_threads()
    try:
        found = import_module("worker.prepare.run")
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: pip install 'lengthwise[worker]'") from None
    found.run(
        source,
        target,
        revision=revision,
        quantize=quantize,
        prune_layers=prune_layers,
        sparsity=sparsity,
        sample=sample,
    )
