"""How each benchmark begins, and where it prints."""

import signal
import sys

from rich.console import Console


def begun() -> Console:
    """The console of a benchmark. From here on, SIGTERM ends it normally, so that every child process is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    return Console() if sys.stdout.isatty() else Console(width=140)
