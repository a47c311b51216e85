"""A hub of models on this machine, which ``huggingface_hub`` downloads from, with the faults that a real one has.

It answers what ``snapshot_download``, ``hf_hub_download`` and ``HfApi.model_info`` ask for. Large files are redirected
to another host, as the real hub redirects them to its content network. It knows nothing of the repositories' content.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.published.loopback.hub_requests import HubHandler
from tests.published.snapshot import Snapshot

#: The token that may read gated repositories, and one that the hub does not know any more.
TOKEN, REVOKED = "hf_of_a_reader", "hf_that_was_revoked"


@dataclass
class Cut:
    """The next ``times`` downloads of a file end after so many bytes."""

    after_bytes: int
    times: int


@dataclass
class Hub:
    """What is served, what goes wrong, and what was asked for. Tests change it while it runs."""

    url: str = ""
    #: Where large files are, as on a content network: another host, which no token is sent to.
    content_url: str = ""
    #: By repository and name of the revision.
    repositories: dict[str, dict[str, Snapshot]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    cuts: dict[str, Cut] = field(default_factory=dict)
    #: Waited before each 64 KiB of a file.
    seconds_per_block: float = 0.0
    #: Whether it answers everything with 503.
    is_down: bool = False
    #: By a part of the path: the status with which such requests are answered.
    fails: dict[str, int] = field(default_factory=dict)
    #: A part of the paths that are answered only once the hub is closed.
    silent: str | None = None
    closes: threading.Event = field(default_factory=threading.Event)
    #: Each request's method and path, such as ``("GET", "/api/models/…")``.
    requests: list[tuple[str, str]] = field(default_factory=list)
    #: The ``Range`` of each download that began in the middle.
    ranges: list[str] = field(default_factory=list)

    def serve(self, name: str, folder: Path, *, revision: str = "main", is_gated: bool = False) -> Snapshot:
        """Publishes the folder as this revision of the repository. Gated ones need ``TOKEN``."""
        snapshot = Snapshot(folder)
        self.repositories.setdefault(name, {})[revision] = snapshot
        if is_gated:
            self.gated.add(name)
        return snapshot

    def find(self, name: str, revision: str) -> Snapshot | None:
        """A revision by its name or commit."""
        revisions = self.repositories[name]
        named = (snapshot for snapshot in revisions.values() if snapshot.commit == revision)
        return revisions.get(revision) or next(named, None)

    def cut(self, file: str, after_bytes: int, times: int = 1) -> None:
        """Cuts the connection after so many bytes of a file of this name, in any repository."""
        self.cuts[file] = Cut(after_bytes, times)

    def status_of(self, path: str) -> int | None:
        """The status of a failure that a request of this path is answered with, if there is one."""
        if self.silent is not None and self.silent in path:
            self.closes.wait()
        if self.is_down:
            return 503
        return next((status for part, status in self.fails.items() if part in path), None)

    def bytes_to_send(self, file: str, size: int) -> int:
        """How much of a download of ``size`` bytes is sent before the connection is cut, if it is to be."""
        cut = self.cuts.get(file)
        if cut is None or cut.times == 0:
            return size
        cut.times -= 1
        return min(cut.after_bytes, size)

    def wait(self) -> None:
        if self.seconds_per_block:
            time.sleep(self.seconds_per_block)

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """The variables with which a process downloads from here into ``home``.

        ``huggingface_hub`` reads them as it is imported, so they have to be set for a new process. Xet, its other way
        to download large files, need not be disabled: it is used only if a hub offers it.
        """
        found = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        return found | ({"HF_TOKEN": token} if token else {})


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on free ports of the loopback interface, in threads of this process."""
    hub = Hub()

    class Handler(HubHandler):
        served = hub

    with _serving("127.0.0.1", Handler) as hub.url, _serving("127.0.0.2", Handler) as hub.content_url:
        try:
            yield hub
        finally:
            hub.closes.set()


@contextmanager
def _serving(host: str, handler: type[HubHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name=f"hub {host}", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
