"""``lengthwise up`` as a child process, for as long as the demonstration lasts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: The demonstration's receiver listens on loopback, which webhooks may otherwise never reach. And models this small
#: gain nothing from threads, and lose much where another program wants the same core.
ENVIRONMENT = {"LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "LENGTHWISE_THREADS": "1"}


@contextmanager
def running(data: Path) -> Iterator[tuple[str, str]]:
    """The URL of a ready API and a key for it; its servers, API and workers are stopped at the end."""
    command = [sys.executable, "-m", "lengthwise", "up", "--data", str(data), "--port", "0"]
    # A session of its own, so that Ctrl-C reaches this process alone and everything is stopped in order.
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
    raise SystemExit("lengthwise up did not become ready; what it said stands above")
