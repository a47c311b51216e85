"""``lengthwise model add`` and ``model prepare``: one path from a model's name to a folder that can be served."""

import os
import re
import shutil
from pathlib import Path

from rich.console import Console

from lengthwise import settings
from lengthwise.errors import ConfigurationError
from lengthwise.models.published import licence
from lengthwise.models.published.naming import printable
from worker.engine.transformer.shrink.prepare import Recipe
from worker.importing.bring import check_origin, name_of
from worker.prepare import catalog_table
from worker.prepare import run as preparation
from worker.prepare.run import Made

_NAME = re.compile(r"[\w.+-]{1,100}", re.ASCII)
#: The folder, beside ``models.toml``, into which models are added.
_FOLDER = "models"


def add(
    origin: str,
    *,
    name: str | None,
    folder: Path | None,
    revision: str | None,
    recipe: Recipe,
    sample: Path | None,
    harmless: tuple[str, ...] = (),
    is_dry: bool,
) -> None:
    """Prepares the model, and appends its table to ``models.toml``. Prints what it serves, and what to do next.

    ``folder``: where its own folder is made. Raises ``ConfigurationError``; nothing is left behind then.
    """
    catalog = catalog_table.writable(settings.get().models)
    known = catalog_table.known(catalog)
    check_origin(origin)
    name = name or name_of(origin)
    if not _NAME.fullmatch(name):
        raise ConfigurationError("--as: a name has letters, digits, dots, hyphens and underscores")
    if known is not None and name in known.models:
        raise ConfigurationError(f"{catalog} names a model {name} already: choose another name with --as")
    target = (folder or catalog.absolute().parent / _FOLDER) / name
    made = preparation.run(
        origin, target, recipe=recipe, revision=revision, sample=sample, harmless=harmless, is_dry=is_dry
    )
    table = made.table(name, _as_written(target, catalog))
    out = Console()
    if is_dry:
        out.print(table, highlight=False, markup=False, soft_wrap=True)
        return
    try:
        catalog_table.add(catalog, table)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(target)
        raise
    _show(out, made, target)
    _say_next(out, made, name, catalog)


def prepare(
    origin: str,
    target: Path,
    *,
    revision: str | None,
    recipe: Recipe,
    sample: Path | None,
    harmless: tuple[str, ...] = (),
) -> None:
    """Prepares the model into ``target``. Prints a report, and the table for ``models.toml``.

    Raises ``ConfigurationError``; nothing is left behind then.
    """
    made = preparation.run(origin, target, recipe=recipe, revision=revision, sample=sample, harmless=harmless)
    out = Console()
    _show(out, made, target)
    out.print("\nTo use it, add this to models.toml, and name that file in LENGTHWISE_MODELS:\n", highlight=False)
    out.print(made.table(target.name, target.resolve()), highlight=False, markup=False, soft_wrap=True)


def _as_written(target: Path, catalog: Path) -> Path:
    """Relative to ``models.toml`` if it is below, so that both can be moved together."""
    parent = catalog.resolve().parent
    return (
        Path(os.path.relpath(target.resolve(), parent)) if target.resolve().is_relative_to(parent) else target.resolve()
    )


def _show(out: Console, made: Made, folder: Path) -> None:
    out.print(made.report.table())
    lines = [f"loaded: {made.report.load.line}", f"licence: {licence.of(folder) or 'not named'}"]
    for line in (*lines, *(f"warning: {printable(warning)}" for warning in made.warnings)):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _say_next(out: Console, made: Made, name: str, catalog: Path) -> None:
    kinds = ", ".join(made.spec.kinds)
    lines = [f"\n{name} serves {kinds or 'no kind yet'}: see its table in {catalog}."]
    if settings.get().models.resolve() != catalog.resolve():
        lines.append(f"Set LENGTHWISE_MODELS={catalog.resolve()} for the API and the workers.")
    lines.append("A system that runs with this file takes it up by itself.")
    out.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
