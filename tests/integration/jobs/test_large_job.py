"""A large job is read, checked and written while it arrives: memory depends on the chunk, not on the job."""

import json
import os
import subprocess
import sys
from pathlib import Path

from lengthwise.settings import Settings

N_ITEMS = 30_000
#: A job's bytes are mostly metadata, so that counting tokens takes no time.
METADATA = {"x": "x" * 1_000}

#: Runs in its own process, to measure this job's peak memory; a small job first loads what is loaded once.
PROGRAM = """
import asyncio, resource, sys
from api.app import create_app
from api.jobs.body_format import BodyDescription, BodyFormat
from api.jobs.routes import _submit
from api.access.auth import DEFAULT

def submit(path):
    with open(path, "rb") as file:
        sent = BodyDescription(BodyFormat.NDJSON, None)
        taken = asyncio.run(_submit(state, DEFAULT, file, sent, None))
        return taken.figures.n_items, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

state = create_app().state.shared
_, before = submit(sys.argv[1])
pending, after = submit(sys.argv[2])
print(pending, (after - before) // 1024)
"""


def write_job(path: Path, n_items: int) -> Path:
    with path.open("w") as file:
        file.write('{"kind": "generate"}\n')
        for index in range(n_items):
            file.write(json.dumps({"id": str(index), "text": "x" * (index % 9 + 1), "metadata": METADATA}) + "\n")
    return path


def test_memory_does_not_grow_with_the_job(catalog: object, installed: Settings, tmp_path: Path) -> None:
    small, large = write_job(tmp_path / "small", 1_500), write_job(tmp_path / "large", N_ITEMS)
    command = [sys.executable, "-c", PROGRAM, str(small), str(large)]
    environment = {**os.environ, "LENGTHWISE_CHUNK_ITEMS": "500"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment)
    assert done.returncode == 0, done.stderr
    pending, grown_mib = map(int, done.stdout.split())
    assert pending == N_ITEMS
    assert grown_mib < large.stat().st_size // 2**20 // 2, "less than half of the body was ever held"
