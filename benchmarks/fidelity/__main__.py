"""Measures what int8 costs on real models: ``python -m benchmarks.fidelity``. The last line printed is one JSON object.

Ends with 1 if our int8 breaks one of its bounds.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.child_program import SystemFailure
from benchmarks.console import begun
from benchmarks.core import one_core
from benchmarks.fidelity import corpus, processor, real_models, report
from benchmarks.fidelity.compare import SYSTEMS, Ids, Runner, VectorTexts, compare_embedders, compare_writers
from lengthwise.models.tokenizer import ModelTokenizer

#: Texts of the language model, and tokens of each.
_TEXTS, _QUICK_TEXTS, _TOKENS = 28, 4, 160
#: Sentences to embed, tweets on which the classifier is trained, and tweets that it judges.
_SENTENCES, _TRAINING, _CLASSIFIED = 300, 1200, 360
#: Single numbers are the texts whose vectors int8 moves most.
_NUMBERS = ("2.", "8.")
_PEERS = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True)
class FidelityOptions:
    """What to measure. ``n_texts``: texts of the language model."""

    n_texts: int
    systems: Sequence[str]
    peers: Path
    models: Path | None


def parse_options(arguments: list[str]) -> FidelityOptions:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_TEXTS} texts, to see that it works")
    parser.add_argument("--texts", type=int, default=_TEXTS, help="texts that the language model reads")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--peers", type=Path, default=_PEERS, help="the Python interpreter of the peers' environment")
    parser.add_argument("--models", type=Path, help="a folder in which to keep the models")
    given = parser.parse_args(arguments)
    systems = [name for name in given.systems if given.peers.is_file() or not SYSTEMS[name].is_peer]
    return FidelityOptions(_QUICK_TEXTS if given.quick else given.texts, systems, given.peers, given.models)


def prose_ids(model: Path, n_texts: int) -> Ids:
    """The ids of the first tokens of each text."""
    return [ids[:_TOKENS] for ids in ModelTokenizer(model).encode(corpus.sections(n_texts), framed=True)]


def vector_texts() -> VectorTexts:
    """Draws the tweets, always the same ones. Raises ``MissingPackage``."""
    own = real_models.BertIds()
    sentences = own.encode(corpus.sentences(_SENTENCES))
    drawn = random.Random(0).sample(corpus.labelled(), _TRAINING + _CLASSIFIED)
    training, classified = drawn[:_TRAINING], drawn[_TRAINING:]
    return VectorTexts(
        [ids for ids in sentences if len(ids) >= corpus.LONG],
        [ids for ids in sentences if len(ids) < corpus.LONG],
        own.encode(_NUMBERS),
        own.encode([each.text for each in training]),
        [each.is_flagged for each in training],
        own.encode([each.text for each in classified]),
    )


def measure(options: FidelityOptions, folder: Path, console: Console, say: Callable[[str], None]) -> bool:
    """Prints the tables and, as the last line, the figures. Returns whether the bounds hold.

    Raises ``SystemFailure`` and ``MissingPackage``.
    """
    texts = vector_texts()  # what is missing is said before anything is made
    say("making the models from their packages")
    writer, embedder = real_models.chat_model(folder), real_models.embedder(folder)
    systems = {name: SYSTEMS[name] for name in options.systems}
    interpreters = {False: Path(sys.executable), True: options.peers}
    versions: dict[str, str] = {}
    with Runner(writer, interpreters, versions, say) as runner:
        written = compare_writers(runner, systems, prose_ids(writer, options.n_texts))
    report.writers(console, written, "SmolLM2-135M-Instruct")
    with Runner(embedder, interpreters, versions, say) as runner:
        embedded = compare_embedders(runner, systems, texts)
    counts = tuple(map(len, (texts.sentences, texts.short, texts.numbers, texts.classified)))
    report.embedders(console, embedded, "all-MiniLM-L6-v2", counts)
    console.print(f"{processor.described()}; {', '.join(f'{name} {found}' for name, found in versions.items())}")
    holds = report.judged(console, report.bounds(written, embedded), processor.has_vnni())
    figures: dict[str, Any] = report.figures(written, embedded) | {"processor": processor.described()}
    print(json.dumps(figures))
    return holds


def main() -> None:
    options = parse_options(sys.argv[1:])
    console = begun()
    if not options.peers.is_file():
        console.print(f"the peers are left out: their own environment {options.peers} is not there")
    torch.set_num_threads(1)
    with one_core() as core, tempfile.TemporaryDirectory(prefix="lw-real-") as made:
        console.print(f"everything runs on core {core}; each system has one thread")
        try:
            holds = measure(options, options.models or Path(made), console, console.print)
        except (SystemFailure, real_models.MissingPackage) as error:
            sys.exit(str(error))
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
