"""What the supervisor reads in a worker's log is what the worker writes there."""

from lengthwise import program
from worker import preload


def test_up_waits_for_the_line_that_preload_ends_with() -> None:
    assert preload.DONE == program.MODELS_LOADED
