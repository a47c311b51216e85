"""Says in the log that this worker is ready. ``lengthwise up`` waits for these lines."""

import logging

from lengthwise.local import program

log = logging.getLogger(__name__)
# They are written at every level of the settings, because a start is no detail.
log.setLevel(logging.INFO)


def takes_tasks() -> None:
    """The worker is connected to the broker and takes tasks."""
    log.info(program.TAKES_TASKS)


def models_are_loaded() -> None:
    """The process that computes has loaded its first models, or has logged why not."""
    log.info(program.MODELS_LOADED)
