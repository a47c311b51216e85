"""Measures every system on the workloads that it supports. The systems take turns: only one runs at a time."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.engine.process import SystemProcess, running

OURS, EXACT, ARRIVAL = "lengthwise int8", "lengthwise exact fp32", "transformers, arrival order"
SORTED, CTRANSLATE2, OPENVINO = "transformers, sorted", "CTranslate2 int8", "OpenVINO GenAI int8"


@dataclass(frozen=True)
class SystemEntry:
    """Where to find a system's class (``module:class``). Peers run in their own environment."""

    place: str
    workloads: str = "w1 w2 w3"
    is_peer: bool = False


SYSTEMS = {
    OURS: SystemEntry("benchmarks.engine.ours:Int8System"),
    EXACT: SystemEntry("benchmarks.engine.ours:Fp32System"),
    CTRANSLATE2: SystemEntry("benchmarks.engine.ctranslate2_peer:CTranslate2Peer", "w1", is_peer=True),
    OPENVINO: SystemEntry("benchmarks.engine.openvino_peer:OpenVinoPeer", "w2 w3", is_peer=True),
    SORTED: SystemEntry("benchmarks.engine.transformers_peer:SortedPeer"),
    ARRIVAL: SystemEntry("benchmarks.engine.transformers_peer:ArrivalOrderPeer"),
}


@dataclass(frozen=True)
class EngineComparison:
    """Items per second of each system that ran this workload, one figure per round."""

    workload: str
    rates: Mapping[str, Sequence[float]]
    #: Each system's peak memory, and its batches if it plans them itself.
    peak_bytes: Mapping[str, int]
    batches: Mapping[str, Sequence[Sequence[int]] | None]

    def ratio(self, of: str, to: str) -> float | None:
        """Returns the median of the rounds' ratios, or None if one of the two did not run."""
        if of not in self.rates or to not in self.rates:
            return None
        return median(mine / other for mine, other in zip(self.rates[of], self.rates[to], strict=True))


def compare(
    workload: str,
    model: Path,
    count: int,
    rounds: int,
    systems: Mapping[str, SystemEntry],
    interpreters: Mapping[bool, Path],
    clock: str,
    say: Callable[[str], None],
) -> EngineComparison:
    """Loads the systems that support this workload, then measures them in turns.

    ``interpreters`` maps True to the peers' Python and False to ours. ``clock`` is ``wall`` or ``cpu``.
    Raises ``SystemFailure``.
    """
    with ExitStack() as exits:
        loaded: dict[str, SystemProcess] = {}
        for name, system in systems.items():
            if workload in system.workloads.split():
                say(f"loading {name}")
                process = running(name, system.place, workload, model, interpreters[system.is_peer])
                loaded[name] = exits.enter_context(process)
        rates: dict[str, list[float]] = {name: [] for name in loaded}
        for number in range(1, rounds + 1):
            for name, system_process in loaded.items():
                rates[name].append(system_process.items_per_second(count, number, clock))
                say(f"{workload} round {number}: {name} {rates[name][-1]:.2f} items/s")
        peaks = {name: process.peak_bytes for name, process in loaded.items()}
        return EngineComparison(workload, rates, peaks, {name: process.batches for name, process in loaded.items()})
