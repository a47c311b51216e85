"""What a fault is."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.scene import Scene
from tests.faults.stack import LEASE_SECONDS

#: Promise 3, with the harness's lease.
LEASE_BOUND = LEASE_SECONDS + 2


@dataclass(frozen=True)
class InjectedFault:
    name: str
    #: Injects the fault into a stack at work, heals it, and returns the seconds of its recovery: what these are is
    #: said where it is defined. Problems that are not the verdict's are noted in the scene.
    inject: Callable[[Scene], float]
    #: Seconds that the recovery may take.
    bound: float
    #: Seconds after the recovery until every job has ended, at most.
    patience: float = 30.0
    #: Whether its recovery is that of interrupted work, as a worker's death or a server's absence interrupt it.
    interrupts: bool = True
    #: Whether processes of the product may end by it: else each that does is a broken promise.
    ends: bool = False
