"""The options of commands that read a job's file that kinds of job declare, such as --to of translate.

They are made when the command is parsed or explained, so that no other command waits for the kinds to load.
"""

import inspect
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from lengthwise.kinds.native import NativeKind

_META = "lengthwise.kind_options"


class JobFileCommand(TyperCommand):
    """A command with an option for each one that an installed kind declares, unless it has an option of that name."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)
        taken = {flag for param in params for flag in param.opts}
        at = next(at for at, param in enumerate(params, 1) if param.name == "kind")
        params[at - 1].help = "; ".join(f"{name} {kind.summary}" for name, kind in self._kinds.items()) + "."
        return params[:at] + [option for option in self._options if taken.isdisjoint(option.opts)] + params[at:]

    @cached_property
    def _kinds(self) -> "dict[str, NativeKind]":
        from lengthwise.kinds import KINDS

        return KINDS.usable()

    @cached_property
    def _options(self) -> list[Any]:
        return _make_options(self._kinds)


def option_values(ctx: typer.Context) -> dict[str, str]:
    """The values of these options on the command line, by the kind's parameter."""
    found: dict[str, str] = ctx.meta.get(_META, {})
    return found


def _make_options(kinds: "dict[str, NativeKind]") -> list[Any]:
    """Typer makes options from the signature of a function, which is never called. If two kinds declare the same
    option, it sets the parameter of the first kind.
    """
    params: dict[str, str] = {}
    helps: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        for option in kind.command_options:
            if params.setdefault(option.flag, option.param) == option.param:
                helps.setdefault(option.flag, []).append(f"Of {name}: {option.help}")

    def declared() -> None: ...

    declared.__annotations__ = {
        param: Annotated[str | None, typer.Option(flag, help=" ".join(helps[flag]), callback=_keep, expose_value=False)]
        for flag, param in params.items()
    }
    declared.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(param, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for param, annotation in declared.__annotations__.items()
        ]
    )
    app = typer.Typer(add_completion=False)
    app.command()(declared)
    return list(typer.main.get_command(app).params)


def _keep(ctx: typer.Context, param: typer.CallbackParam, value: str | None) -> None:
    if value is not None:
        ctx.meta.setdefault(_META, {})[param.name] = value
