"""How seldom the garbage collector runs in a generation worker."""

import gc


def collect_seldom() -> None:
    """Spares the collector what will live as long as the process, and most of its rounds.

    An item is a dozen small objects, and none of them is in a cycle once it is settled: looking for cycles after every
    700 of them, and through all that the libraries hold, took a third of the time of everything but the engine. Called
    again it frees what was spared before and is no longer needed, such as a model that was dropped.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
