"""The installation under attack: a whole ``lengthwise up`` on private ports, and the memory that its processes take."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lengthwise.models.catalog import DEMO_CATALOG
from tests.fakes import write_echo_model
from tests.servers import Up, processes_mentioning, reachable_folder, up

#: A model for each surface: the demo's for translate and moderate, and an echo for chat, generate and batches.
_CATALOG = """
[models.echo]
path = "echo"
engine = "echo"
batch_tokens = 4096
batch_rows = 64
max_new_tokens = 64
[models.echo.generate]
[models.echo.chat]

"""
_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
_SETTINGS = {
    # A second worker would hide that the first one hangs.
    "LENGTHWISE_HANG_SECONDS": "20",
    "LENGTHWISE_LEASE_SECONDS": "10",
    "LENGTHWISE_HEARTBEAT_SECONDS": "3",
    "LENGTHWISE_ANSWER_SECONDS": "20",
}


@dataclass(frozen=True)
class Installation:
    """Where to reach it, with which key, and its log files."""

    url: str
    key: str
    logs: Path
    running: Up

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def memory(self) -> dict[str, int]:
        """The memory of the API and of the generation worker, each with its children, in bytes (PSS)."""
        ours = set(processes_mentioning(f"--name\0generate-1-{self.running.process.pid}"))
        api = {pid for pid in processes_mentioning(f"--port\0{self.port}") if pid != self.running.process.pid}
        return {"api": _memory_of(api), "worker": _memory_of(ours)}

    def words(self) -> str:
        """Everything that was logged."""
        return "".join(log.read_text(errors="replace") for log in sorted(self.logs.glob("*.log")))


def _memory_of(processes: set[int]) -> int:
    pending, seen, total = list(processes), set[int](), 0
    while pending:
        pid = pending.pop()
        if pid in seen:
            continue
        seen.add(pid)
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:  # it has ended
            continue
        total += next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
        pending += map(int, children)
    return total


@contextmanager
def installation(keep: Path | None = None) -> Iterator[Installation]:
    """Starts it and waits until it is ready. At the end its logs are kept in ``keep``."""
    with reachable_folder() as folder:
        echo = write_echo_model(folder / "echo")
        (echo / "chat_template.jinja").write_text(_TEMPLATE)
        demo = DEMO_CATALOG.read_text()
        for name in ("translate", "moderate"):
            demo = demo.replace(f'path = "{name}"', f'path = "{DEMO_CATALOG.parent / name}"')
        catalog = folder / "models.toml"
        catalog.write_text(_CATALOG + demo)
        with up(folder / "data", environment=_SETTINGS | {"LENGTHWISE_MODELS": str(catalog)}) as running:
            logs = folder / "data" / "logs"
            try:
                yield Installation(running.wait_ready(), running.key(), logs, running)
            finally:
                if keep is not None:
                    shutil.copytree(logs, keep, dirs_exist_ok=True)
