"""What one process shows: its meters, its memory and CPU time, its garbage collection, and its version.

Each process has a registry of its own, because no process shows what another one counts.
"""

import platform
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, Info, ProcessCollector
from prometheus_client.registry import Collector

from lengthwise.metrics import meters


def registry_of(role: str, *more: Collector) -> CollectorRegistry:
    """The registry of a process of this role. ``more`` are collectors that ask for their figures at each scrape."""
    made = CollectorRegistry()
    for each in (*meters.get().of_role(role), *more):
        made.register(each)
    ProcessCollector(registry=made)
    GCCollector(registry=made)
    build = Info("lengthwise_build", "The version of this process, and its role.", registry=made)
    build.info({"version": version("lengthwise"), "python": platform.python_version(), "role": role})
    return made
