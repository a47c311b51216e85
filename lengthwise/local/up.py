"""Runs the whole system on one machine, with servers, schema, API and workers, until a signal comes."""

import ipaddress
import os
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lengthwise import migrate
from lengthwise.child import Child, Program
from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.local import program, secrets_on_disk
from lengthwise.local.embedded import Servers
from lengthwise.local.port import free_port
from lengthwise.local.supervisor import StopRequested, Supervisor
from lengthwise.models.catalog import Catalog
from lengthwise.models.usable import unusable
from lengthwise.settings import Settings

#: A file in the data folder while the system runs. It says how to reach the servers, and holds the secrets.
ENVIRONMENT_FILE = "environment"
#: How long open downloads may continue when the API stops.
API_GRACE_SECONDS = 8.0
#: How long after its own grace time a worker is killed.
WORKER_SLACK_SECONDS = 5.0

Say = Callable[[str], None]


def run(settings: Settings, data: Path, host: str, port: int, workers: int, say: Say, ready: Say) -> None:
    """Runs everything. Calls ``ready`` with the API's URL once jobs can be submitted and run.

    Says which models cannot be served. Returns when a signal has stopped everything. Raises ``ConfigurationError`` if
    something cannot start, or if no model can be served.
    """
    port = free_port(host, port)
    _unusable_models(settings, workers)
    with Supervisor(say) as supervisor:
        servers = Servers(
            data,
            database_url=settings.database_url,
            redis_url=settings.redis_url,
            say=say,
            pause=supervisor.pause,
        )
        try:
            _serve(supervisor, servers, settings, host, port, workers, say, ready)
        except StopRequested:
            pass
        finally:
            servers.stop()


def _serve(
    supervisor: Supervisor,
    servers: Servers,
    settings: Settings,
    host: str,
    port: int,
    workers: int,
    say: Say,
    ready: Say,
) -> None:
    began = time.monotonic()
    database_url, redis_url = servers.start()
    say(f"servers ready, {time.monotonic() - began:.1f} s; data and logs in {servers.data}")
    migrate.upgrade(settings.database_session_url or database_url)
    urls = {"LENGTHWISE_DATABASE_URL": database_url, "LENGTHWISE_REDIS_URL": redis_url}
    secrets = secrets_on_disk.load_or_create(settings, servers.data, say)
    environment = {**os.environ, **urls} | ({"LENGTHWISE_HAS_LOCAL_WORKERS": "true"} if workers else {})
    _write_environment(servers.data / ENVIRONMENT_FILE, urls | secrets)

    def child(started: Program) -> Child:
        return Child(started, servers.logs / f"{started.name}.log")

    worker_children = [
        child(program.worker(program.GENERATE, number, program.with_metrics_port(environment, number)))
        for number in range(1, workers + 1)
    ]
    for_deliveries = environment | secrets_on_disk.delivery_variables(secrets)
    worker_children.append(
        child(program.worker(program.DELIVER, 1, program.with_metrics_port(for_deliveries, workers + 1)))
    )
    api = child(program.api(host, port, environment | secrets))
    _say_metrics(settings, [api, *worker_children], say)
    try:
        for started in (*worker_children, api):
            started.start()
        reachable = _reachable(host)
        supervisor.wait_ready(api, program.api_is_ready(reachable, port))
        for worker in worker_children:
            supervisor.wait_ready(worker, program.worker_is_ready(worker))
        say(f"api and workers ready, {time.monotonic() - began:.1f} s")
        for found in _unusable_models(settings, workers):
            say(str(found))
        ready(f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}")
        supervisor.watch([*servers.children, *worker_children, api])
        supervisor.run()
        say("stopping: the API first, then the workers finish what they hold, then the servers")
    finally:
        supervisor.stop([api], API_GRACE_SECONDS)
        supervisor.stop(worker_children, settings.grace_seconds + WORKER_SLACK_SECONDS)
        (servers.data / ENVIRONMENT_FILE).unlink(missing_ok=True)


def _say_metrics(settings: Settings, children: Sequence[Child], say: Say) -> None:
    if settings.metrics_port:
        ports = ", ".join(f"{each.name} {program.metrics_port(each.program)}" for each in children)
        say(f"metrics on {settings.metrics_host}, port: {ports}")


def _unusable_models(settings: Settings, workers: int) -> list[ModelUnusable]:
    """Why models of ``models.toml`` cannot be served. Raises ``ConfigurationError`` if none of them can."""
    models = Catalog.read(settings.models).models.values()
    found = [each for spec in models if (each := unusable(spec, is_local=workers > 0)) is not None]
    if len(found) == len(models):
        raise ConfigurationError("no model can be served\n" + "\n".join(map(str, found)))
    return found


def _write_environment(path: Path, named: dict[str, str]) -> None:
    """Writes lines for ``set -a; . FILE``, so that other commands find these servers and accept the same keys."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in named.items()))


def _reachable(host: str) -> str:
    """An address at which a server bound to ``host`` answers on this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return ("127.0.0.1" if address.version == 4 else "::1") if address.is_unspecified else host
