"""The commands that run an installation: ``up``, ``api``, ``worker`` and ``migrate``. Each needs an extra.

The client's package has no web framework, no database and no Celery. So each command first checks its
extra, and only then imports what it runs. ``api`` and ``worker`` are imported by name, since this package must not
depend on them.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.child import Child, Program
from lengthwise.cli import extras
from lengthwise.cli.connection import say
from lengthwise.errors import ConfigurationError, Unavailable
from lengthwise.local import program
from lengthwise.local.port import free_port
from lengthwise.local.supervisor import Supervisor
from lengthwise.models import device

if TYPE_CHECKING:
    from lengthwise.settings import Settings


def up(
    data: Annotated[Path, typer.Option(readable=False, help="Folder for data and logs.")] = Path(".lengthwise"),
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Number of generation workers.")] = 1,
) -> None:
    """Run everything on this machine: PostgreSQL and Redis (unless settings name yours), API and workers."""
    extras.require("api", suggested="local")
    if workers:
        extras.require(_generation_extra(), suggested="local")
    from lengthwise import settings
    from lengthwise.local import up as everything

    current = settings.get()
    everything.run(
        current,
        data,
        host=host or current.host,
        port=current.port if port is None else port,
        workers=workers,
        say=say,
        ready=lambda url: typer.echo(f"ready {url}"),
    )


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
) -> None:
    """Run only the HTTP API."""
    extras.require("api")
    current = _settings_with_servers()
    host, port = host or current.host, current.port if port is None else port
    current.refuse_published_secrets(host)
    import_module("api.serve.server").run(current, host, free_port(host, port))


def worker(
    queues: Annotated[str, typer.Option(help="generate, deliver, or both with a comma.")] = ",".join(program.QUEUES),
    name: Annotated[str | None, typer.Option(help="Name of this worker, unique on this host.")] = None,
    devices: Annotated[
        str | None,
        typer.Option(help="all, or a list such as cuda:0,cuda:1: a process for each; cuda:0+cuda:1 share models."),
    ] = None,
) -> None:
    """Run a Celery worker: generation, with one process for each GPU, or webhook deliveries and the sweep."""
    wanted = list(dict.fromkeys(part.strip() for part in queues.split(",")))
    if unknown := [queue for queue in wanted if queue not in program.QUEUES]:
        raise ConfigurationError(f"--queues: {unknown[0]!r} is none of {' and '.join(program.QUEUES)}")
    if devices is not None and program.GENERATE not in wanted:
        raise ConfigurationError(f"--devices: only {program.GENERATE} runs on devices")
    extras.require(_generation_extra() if program.GENERATE in wanted else "server")
    current = _settings_with_servers()
    places = device.parse_devices(devices) if devices is not None else []
    if len(wanted) > 1 or places:
        _work_side_by_side(program.workers(wanted, places, os.environ), current.grace_seconds)
        return
    # Not by "celery -A worker.app" in a subprocess: that would first look for a package `worker` in the current folder.
    celery = import_module("worker.app").app
    celery.worker_main(program.celery_arguments(wanted[0], name or f"{wanted[0]}-{os.getpid()}"))


def _generation_extra() -> str:
    """``worker``, which has torch; or ``server`` if other engines run every model of the catalog."""
    if not extras.is_installed("server"):
        return "worker"
    from lengthwise import settings
    from lengthwise.models.catalog import Catalog

    models = Catalog.read(settings.get().models).models
    return "worker" if any(spec.engine == "torch" for spec in models.values()) else "server"


def _work_side_by_side(workers: Sequence[Program], grace: float) -> None:
    """One process for each queue and device, because their pools differ. They write to this process's output."""
    children = [Child(worker) for worker in workers]
    with Supervisor(say) as supervisor:
        for child in children:
            child.start()
        supervisor.watch(children)
        supervisor.run()
        supervisor.stop(children, grace + 5)


def migrate(
    wait: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Change nothing: wait until another process has migrated."),
    ] = None,
) -> None:
    """Bring the database schema up to date."""
    extras.require("server")
    from lengthwise import migrate as migrations
    from lengthwise import settings

    current = settings.get()
    if wait is not None:
        migrations.wait_until_current(current.require_database_url(), wait)
    else:
        migrations.upgrade(current.database_session_url or current.require_database_url())
    say("the schema is up to date")


def _settings_with_servers() -> "Settings":
    """The settings, once the database's schema fits. If the database is away, the schema is not checked."""
    from lengthwise import migrate as migrations
    from lengthwise import settings

    current = settings.get()
    database_url = current.require_database_url()
    current.require_redis_url()
    with suppress(Unavailable):
        migrations.require_current(database_url)
    return current
