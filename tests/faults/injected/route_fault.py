"""Another way to Postgres: through PgBouncer in transaction mode, or over a long distance.

All processes are restarted with the address of this way, and at the end with their own. Meanwhile a worker dies.
Recovery is the time until its work is taken over or, for the pooler, from the pooler's return until work is settled.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.faults.injected.fault import LEASE_BOUND, InjectedFault
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.faults.stack import WORKERS
from tests.pooler import PROGRAM, pooled
from tests.servers import DATABASE_VARIABLE

_BOUND = 10.0


def connect_all(scene: Scene, url: str) -> None:
    """Restarts every process, so that it connects to this URL."""
    for name in ("api", *WORKERS):
        scene.stack.restart(name, **{DATABASE_VARIABLE: url})
    scene.until_settling(time.monotonic())


@contextmanager
def _through(scene: Scene, url: str) -> Iterator[None]:
    connect_all(scene, url)
    try:
        scene.submit_load()
        yield
        jobs = {job.id for job in scene.jobs}
        scene.until(lambda: not jobs & set(scene.tables.open_jobs()), "all jobs end on this way", 60)
    finally:
        connect_all(scene, scene.stack.database_url)


def _worker_dies(scene: Scene) -> float:
    name = scene.until_holding()
    tokens, died_at = scene.stack.control.tokens_of(name), time.monotonic()
    scene.stack.keeper.send_group(name, signal.SIGKILL)
    return scene.until_taken_over(tokens, died_at)


def _far(scene: Scene, milliseconds: int) -> float:
    url = make_url(scene.stack.database_url)
    with Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432", milliseconds / 1000) as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port, query={})
        with _through(scene, through.render_as_string(hide_password=False)):
            return _worker_dies(scene)


def _pooled(scene: Scene) -> float:
    """The pooler dies in the middle of everybody's transactions, and comes back."""
    with pooled(scene.stack.database_url) as bouncer, _through(scene, bouncer.url):
        _worker_dies(scene)
        bouncer.kill()
        time.sleep(scene.random.uniform(0.2, 3))
        bouncer.start()
        return scene.until_settling(time.monotonic())


FAULTS = (
    *(
        InjectedFault(f"far database: {each} ms", partial(_far, milliseconds=each), LEASE_BOUND, ends=True)
        for each in (5, 20)
    ),
    *([InjectedFault("PgBouncer by transaction", _pooled, _BOUND, ends=True)] if PROGRAM else []),
)
