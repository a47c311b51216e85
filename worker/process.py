"""The state that a worker's process keeps from task to task, in one object."""

from lengthwise import database, settings
from lengthwise.metrics import meters, server
from lengthwise.metrics.connections import ConnectionCollector
from lengthwise.states import WorkerRole
from worker.delivery.deliver import Deliverer
from worker.generation.generate import Generator
from worker.generation.model_reload import ModelReload
from worker.generation.models import LoadedModels
from worker.generation.process_tuning import tune_process
from worker.generation.watchdog import Watchdog
from worker.health import WorkerHealth
from worker.presence import Presence
from worker.shutdown import Shutdown
from worker.upkeep.sweep import Sweeper


class Worker:
    """Created once, before Celery forks, because the shutdown and the watchdog are in shared memory.

    Creating it loads no model and starts no thread.
    """

    def __init__(self) -> None:
        self.shutdown = Shutdown()
        self.watchdog = Watchdog(self.shutdown)
        #: At most one of the two begins: a process has one role.
        self.generating = Presence(WorkerRole.GENERATE, self.shutdown)
        self.delivering = Presence(WorkerRole.DELIVER, self.shutdown)
        self.models = LoadedModels(self.watchdog, self.generating)
        self.reload = ModelReload(self.models, self.shutdown)
        self.generator = Generator(self.models, self.reload, self.watchdog, self.shutdown, self.generating)
        self.deliverer = Deliverer(self.shutdown, self.delivering)
        self.sweeper = Sweeper(self.shutdown)
        #: The server of its metrics, once it has begun; None if they are not served.
        self.metrics: server.MetricsServer | None = None

    def generate(self, pool: str) -> None:
        """Handles a bell of the generation queue: works on ``pool``."""
        self.generator.generate(pool)

    def deliver(self) -> None:
        """Handles a bell of the delivery queue."""
        self.deliverer.deliver()

    def is_named(self, name: str) -> None:
        """Tells it the name of its worker, before Celery forks."""
        self.generating.name = self.delivering.name = name

    def begin_generation(self) -> None:
        """Prepares a process that will generate: tunes it, loads models, and starts the thread that reloads them.

        Its metrics are served from before the first model is loaded.
        """
        tune_process()
        self.watchdog.beat()
        watchdog = self.watchdog
        self.generating.begin(
            lambda: watchdog.step_at,
            busy_seconds=lambda: watchdog.busy_seconds,
            is_deserted=lambda: watchdog.is_deserted,
        )
        current = settings.get()
        health = WorkerHealth(lambda: self.watchdog.stalled(current.hang_seconds) is not None, is_prepared=False)
        self.metrics = server.start(current, meters.GENERATE, ConnectionCollector(database.engine), health=health)
        try:
            with self.watchdog.starting(before_end=self.generating.end):
                self.models.preload()
        finally:
            health.is_prepared = True
            self.generating.ready()
            self.reload.start()

    def begin_delivery(self) -> None:
        """Starts what a delivery worker does besides its tasks: the sweep, and the server of its metrics.

        Only delivery workers sweep, because a generation worker is busy enough.
        """
        self.delivering.begin(self.deliverer.step_at)
        self.delivering.ready()
        self.sweeper.start()
        health = WorkerHealth(self.sweeper.is_stuck)
        self.metrics = server.start(settings.get(), meters.DELIVER, ConnectionCollector(database.engine), health=health)

    def end(self) -> None:
        """Call this when a process ends in order."""
        self.generating.end()
        self.delivering.end()
