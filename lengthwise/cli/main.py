"""The command line: every command is registered here, and nowhere else."""

import sys
from importlib.metadata import version as installed_version

import typer

from lengthwise.cli import estimate, jobs, kind_options, models, results, server, submit, webhooks, workers
from lengthwise.cli.accounts import keys, limits, tenants, usage
from lengthwise.cli.connection import MISUSED, say
from lengthwise.errors import LengthwiseError
from lengthwise.models.published.naming import printable

app = typer.Typer(
    help="Asynchronous batch inference by token length.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

#: The heading that ``--help`` lists server commands under.
_HERE = "Commands that run an installation"


def version() -> None:
    """Print the version."""
    typer.echo(installed_version("lengthwise"))


# Commands that talk to an API, wherever it runs: the client's package is enough.
app.command(cls=kind_options.JobFileCommand)(submit.submit)
app.command(cls=kind_options.JobFileCommand)(estimate.estimate)
app.command()(jobs.jobs)
app.command()(jobs.status)
app.command()(results.results)
app.command()(jobs.cancel)
app.command()(jobs.retry)
app.command()(jobs.delete)
app.command()(models.models)
app.command()(workers.workers)
app.command()(usage.usage)
app.command()(limits.limits)
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(webhooks.app, name="webhooks")
app.command()(version)

# Commands that run an installation here, or prepare its models: each needs an extra.
app.command(rich_help_panel=_HERE)(server.up)
app.command(rich_help_panel=_HERE)(server.api)
app.command(rich_help_panel=_HERE)(server.worker)
app.command(rich_help_panel=_HERE)(server.migrate)
app.add_typer(models.app, name="model", rich_help_panel=_HERE)


def main() -> None:
    """Runs the command line. An error that the user can mend is one line without a traceback."""
    try:
        app()
    except LengthwiseError as error:
        say(f"lengthwise: {printable(str(error))}")
        sys.exit(MISUSED)
