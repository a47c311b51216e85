"""A large job is read, checked and written while it arrives: memory follows the chunk, not the job."""

import subprocess
import sys

from lengthwise.settings import Settings

N_ITEMS = 100_000

#: In a process of its own, so that its peak is this job's; a small job first, so that what is loaded once is not counted.
PROGRAM = f"""
import resource, sys
from starlette.testclient import TestClient
from api.app import create_app

def body(n):
    yield b'{{"kind": "generate"}}\\n'
    for start in range(0, n, 100):
        yield b"".join(b'{{"id": "%d", "text": "%s"}}\\n' % (i, b"x" * (i % 300 + 1)) for i in range(start, start + 100))

def submit(client, n):
    answer = client.post("/v1/jobs", content=body(n), headers={{"content-type": "application/x-ndjson"}})
    assert answer.status_code == 202, answer.text
    assert answer.json()["counts"]["pending"] == n

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

with TestClient(create_app()) as client:
    submit(client, 12_000)
    before = peak()
    submit(client, {N_ITEMS})
    print(peak() - before)
"""


def test_memory_does_not_grow_with_the_job(catalog: object, installed: Settings) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    # The test client itself holds the body (18 MB) twice; all items at once would be hundreds of MiB.
    assert int(done.stdout) < 80, f"{done.stdout.strip()} MiB more at the peak"
