"""The definition of a fault."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.scene import Scene
from tests.faults.stack import LEASE_SECONDS

#: Seconds in which a dead worker's shards must be taken over, with the harness's lease.
LEASE_BOUND = LEASE_SECONDS + 2


@dataclass(frozen=True)
class InjectedFault:
    name: str
    #: Injects the fault into a working stack, ends it, and returns the seconds of recovery. Each fault's module says
    #: what it counts as recovery. Problems that the verdict does not count are noted in the scene.
    inject: Callable[[Scene], float]
    #: The longest recovery in seconds.
    bound: float
    #: The longest time in seconds from the recovery until every job has ended.
    patience: float = 30.0
    #: Whether the fault interrupts work, as a worker's death or a server's absence does.
    interrupts: bool = True
    #: Whether the fault may end processes of lengthwise. If not, each process that ends is a broken promise.
    ends: bool = False
