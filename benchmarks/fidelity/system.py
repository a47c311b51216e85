"""A measured system: it loads a model and gives what the model computes, in its own process with one thread.

``python -m benchmarks.fidelity.system PLACE FOLDER`` loads the system and prints the versions of its libraries. Then it
reads lines of JSON with ``inputs``, lists of token ids, and ``path``, where it writes its answers in numpy's format.
It imports only what the peers have in their environment, too.
"""

import json
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_LIBRARIES = ("torch", "transformers", "openvino", "optimum-intel", "nncf", "ctranslate2")

Answers = NDArray[np.float32]


class FidelitySystem(Protocol):
    def __init__(self, model: Path) -> None:
        """Loads the model. If needed, first converts it to the system's own format, in a folder next to it."""
        ...

    def answers(self, inputs: Sequence[Sequence[int]]) -> Answers:
        """Of a language model the scores behind each token of all inputs in a row, ``[tokens, vocabulary]``.

        Of an embedder a vector of length 1 for each input, ``[inputs, size]``.
        """
        ...


def pooled(hidden: Any) -> Answers:
    """The mean of the vectors of a text's tokens, ``[tokens, size]``, with length 1."""
    mean = np.asarray(hidden, dtype=np.float32).mean(axis=0)
    vector: Answers = mean / np.linalg.norm(mean)
    return vector


def versions() -> dict[str, str]:
    """The versions of the libraries that systems compute with, as far as they are installed here."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    place, folder = sys.argv[1:]
    module, _, class_name = place.partition(":")
    system: FidelitySystem = getattr(import_module(module), class_name)(Path(folder))
    print(json.dumps({"versions": versions()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        found = system.answers(request["inputs"])
        np.save(request["path"], found)
        print(json.dumps({"shape": found.shape}), flush=True)


if __name__ == "__main__":
    main()
