"""Builds a model's tokenizer. Runs in a confined child, because the files are a stranger's."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import IO

from tokenizers import Tokenizer

from lengthwise.errors import ConfigurationError
from lengthwise.models.tokenizer import TOKENIZER

#: The caller takes a child that is silent for half a minute for a machine that is too busy.
_SIGN_OF_LIFE_SECONDS = 5.0


def build(request: bytes, _file: IO[bytes] | None) -> Iterator[bytes]:
    """Builds the tokenizer of the files in ``source`` and writes it into ``folder``.

    Yields nothing now and then, and at the end ``warnings``, or what is ``wrong``.
    """
    wanted = json.loads(request)
    # No hub is asked. The parent passes no such settings on.
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done: Future[list[str]] = Future()
    worker = Thread(target=_run, args=(done, wanted["form"], Path(wanted["source"]), Path(wanted["folder"])))
    worker.start()
    while worker.is_alive():
        worker.join(_SIGN_OF_LIFE_SECONDS)
        yield b""
    try:
        yield json.dumps({"warnings": done.result()}).encode()
    except ConfigurationError as error:
        yield json.dumps({"wrong": str(error)}).encode()


def _run(done: Future[list[str]], form: str, source: Path, folder: Path) -> None:
    try:
        tokenizer, warnings = _builder(form)(source)
        tokenizer.save(str(folder / TOKENIZER), pretty=False)
        done.set_result(warnings)
    except BaseException as error:  # a panic of the tokenizers library, too
        done.set_exception(error)


def _builder(form: str) -> Callable[[Path], tuple[Tokenizer, list[str]]]:
    # transformers takes seconds to import, in which the caller has to hear from this process.
    from worker.importing.tokenizers import converted, numbered

    return {"marian": numbered.marian, "m2m_100": numbered.m2m100, "converted": converted.converted}[form]
