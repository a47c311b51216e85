"""Runs ``lengthwise up`` as a child process during the demonstration."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: By default, webhooks may not reach loopback, where the demonstration's receiver listens. One thread: models this
#: small gain nothing from more, and are much slower with more if another program wants the same core.
ENVIRONMENT = {"LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "LENGTHWISE_THREADS": "1"}


@contextmanager
def running(data: Path) -> Iterator[tuple[str, str]]:
    """Yields the URL of a ready API and a key for it. At the end it stops the API, the workers and the servers."""
    command = [sys.executable, "-m", "lengthwise", "up", "--data", str(data), "--port", "0"]
    # In a session of its own, Ctrl-C reaches only this process, which then stops everything in order.
    up = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | ENVIRONMENT, text=True, start_new_session=True
    )
    try:
        yield _ready(up), os.environ.get("LENGTHWISE_ADMIN_KEY") or (data / "admin.key").read_text().strip()
    finally:
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=120)


def _ready(up: "subprocess.Popen[str]") -> str:
    for line in up.stdout or ():
        word, _, url = line.strip().partition(" ")
        if word == "ready":
            return url
    raise SystemExit("lengthwise up did not become ready; its output is above")
