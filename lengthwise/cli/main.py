"""The command line: what a person or a process manager starts.

``api`` and ``worker`` are other floors: this one imports neither, and finds them by name to run them.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from lengthwise import settings
from lengthwise.child import Child, Program
from lengthwise.cli import jobs, keys, model, models, results, submit, tenants, webhooks
from lengthwise.errors import ConfigurationError, LengthwiseError
from lengthwise.local import program
from lengthwise.local.supervisor import Supervisor
from lengthwise.models import device

app = typer.Typer(
    help="Asynchronous batch inference by token length.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(model.app, name="model")
app.command()(submit.submit)
app.command()(jobs.jobs)
app.command()(jobs.status)
app.command()(results.results)
app.command()(jobs.cancel)
app.command()(jobs.retry)
app.command()(jobs.delete)
app.command()(models.models)
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(webhooks.app, name="webhooks")

#: Seconds that uvicorn gives open requests at its end; a download may be long.
_API_GRACE = 5


def _say(line: str) -> None:
    typer.echo(line, err=True)


@app.command()
def up(
    data: Annotated[Path, typer.Option(readable=False, help="Where data and logs are kept.")] = Path(".lengthwise"),
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Generation workers.")] = 1,
) -> None:
    """Run everything on this machine: servers (unless settings name some), API and workers."""
    from lengthwise.local import up as everything  # alembic and psycopg are a second that other commands need not wait

    current = settings.get()
    everything.run(
        current,
        data,
        host=host or current.host,
        port=current.port if port is None else port,
        workers=workers,
        say=_say,
        ready=lambda url: typer.echo(f"ready {url}"),
    )


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port to listen on.")] = None,
) -> None:
    """Run the HTTP API alone."""
    current = _with_servers()
    import_module("uvicorn").run(
        "api.app:create_app",
        factory=True,
        host=host or current.host,
        port=current.port if port is None else port,
        access_log=False,
        timeout_graceful_shutdown=_API_GRACE,
    )


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="generate, deliver, or both with a comma.")] = ",".join(program.QUEUES),
    name: Annotated[str | None, typer.Option(help="This worker's name, unique on this host.")] = None,
    loglevel: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    devices: Annotated[
        str | None,
        typer.Option(help="A process each: all, or a list such as cuda:0,cuda:1; cuda:0+cuda:1 share models."),
    ] = None,
) -> None:
    """Run a Celery worker: generation, one process a GPU; or deliveries and the sweep."""
    wanted = list(dict.fromkeys(part.strip() for part in queues.split(",")))
    if unknown := [queue for queue in wanted if queue not in program.QUEUES]:
        raise ConfigurationError(f"--queues: there is no {unknown[0]!r}, only {' and '.join(program.QUEUES)}")
    if devices is not None and program.GENERATE not in wanted:
        raise ConfigurationError(f"--devices: only {program.GENERATE} runs on devices")
    current = _with_servers()
    places = device.parse_devices(devices) if devices is not None else []
    if len(wanted) > 1 or places:
        _work_side_by_side(program.workers(wanted, places, os.environ, loglevel), current.grace_seconds)
        return
    # In this process, not by "celery -A": that would look for a worker package where the user stands first.
    celery = import_module("worker.app").app
    celery.worker_main(program.celery_arguments(wanted[0], name or f"{wanted[0]}-{os.getpid()}", loglevel))


def _work_side_by_side(workers: Sequence[Program], grace: float) -> None:
    """A process each, for pools and devices differ; their output is ours."""
    children = [Child(worker) for worker in workers]
    with Supervisor(_say) as supervisor:
        for child in children:
            child.start()
        supervisor.watch(children)
        supervisor.run()
        supervisor.stop(children, grace + 5)


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    from lengthwise import migrate as migrations

    migrations.upgrade(settings.get().require_database_url())
    _say("the schema is up to date")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(installed_version("lengthwise"))


def _with_servers() -> settings.Settings:
    current = settings.get()
    current.require_database_url()
    current.require_redis_url()
    return current


def main() -> None:
    """The entry point: an error that its reader can mend is one line, without a traceback."""
    try:
        app()
    except LengthwiseError as error:
        _say(f"lengthwise: {error}")
        sys.exit(2)
