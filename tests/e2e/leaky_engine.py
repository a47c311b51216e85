"""An engine that tells every secret it hears, in all the ways that a library has. Its answers are its input, reversed.

Single characters in a text decide how it fails: only the log may be free of the text itself.
"""

import logging
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

from tests.fakes import write_echo_model
from worker.engine.echo import EchoEngine
from worker.engine.plain_batch import Steps
from worker.engine.protocol import EngineError, EngineUnavailable, OutOfMemoryError, Request

#: A batch with such a text fails: by an error of ours, for want of memory, or as something that is away.
FAILS, IMMENSE, AWAY = "#", "|", "%"
#: An error that is not ours, which ends the worker's task.
UNEXPECTED = "~"
#: An error in a thread that nobody waits for.
THREAD = "^"

_CATALOG = """
[models.echo]
path = "echo"
engine = "leaky"
batch_tokens = 4096
batch_rows = 8
max_new_tokens = 512
[models.echo.generate]
[models.echo.translate]
pairs = [["zh", "en"]]
source_prefix = ">>{target}<<"
"""
_ENTRY_POINTS = """\
[lengthwise.engines]
leaky = tests.e2e.leaky_engine:LeakyEngine
"""


class LeakyEngine(EchoEngine):
    """Every character is a token, so that it can read what it is given."""

    _was_away = False

    def run(self, requests: Sequence[Request]) -> Steps:
        for request in requests:
            self._tell("".join(chr(token - 4 + 0x20) for token in request.tokens if token >= 4))
        yield from super().run(requests)

    def _tell(self, text: str) -> None:
        logging.getLogger("some.library").error("cannot parse %s", text)
        logging.getLogger(f"library.{len(text)}").warning(f"cannot parse {text}")
        warnings.warn(f"cannot parse {text}", stacklevel=1)
        if THREAD in text:
            thread = threading.Thread(target=int, args=[text])
            thread.start()
            thread.join()
        if UNEXPECTED in text:
            raise RuntimeError(text)
        if AWAY in text and not self._was_away:
            type(self)._was_away = True
            raise EngineUnavailable("the server is away", 1) from ValueError(text)
        if IMMENSE in text:
            raise OutOfMemoryError("the batch does not fit") from MemoryError(text)
        if FAILS in text:
            try:
                raise ValueError(text)
            except ValueError:
                raise EngineError("the batch failed with ValueError") from None


def install(folder: Path) -> Path:
    """Makes a package in ``folder``, for PYTHONPATH, that registers the engine. Returns its ``models.toml``."""
    package = folder / "leaky-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1\n")
    (package / "entry_points.txt").write_text(_ENTRY_POINTS)
    write_echo_model(folder / "echo")
    catalog = folder / "models.toml"
    catalog.write_text(_CATALOG)
    return catalog
