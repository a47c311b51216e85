"""All that a worker's process keeps between its tasks, in one object."""

from worker.delivery.deliver import Deliverer
from worker.generation.generate import Generator
from worker.generation.model_reload import ModelReload
from worker.generation.models import LoadedModels
from worker.generation.preload import preload, step_back
from worker.generation.watchdog import Watchdog
from worker.shutdown import Shutdown
from worker.upkeep.sweep import Sweeper


class Worker:
    """Made once, before Celery forks: the shutdown and the watchdog are shared memory. Nothing else is begun here."""

    def __init__(self) -> None:
        self.shutdown = Shutdown()
        self.watchdog = Watchdog(self.shutdown)
        self.models = LoadedModels()
        self.reload = ModelReload(self.models, self.shutdown)
        self.generator = Generator(self.models, self.reload, self.watchdog, self.shutdown)
        self.deliverer = Deliverer(self.shutdown)
        self.sweeper = Sweeper(self.shutdown)

    def generate(self, pool: str) -> None:
        """The task of a bell for generation."""
        self.generator.generate(pool)

    def deliver(self) -> None:
        """The task of a bell for deliveries."""
        self.deliverer.deliver()

    def begin_generation(self) -> None:
        """Prepares a process that is to generate: its priority, its models, and the thread that reloads them."""
        step_back()
        try:
            preload(self.models)
        finally:
            self.reload.start()
