"""What lengthwise does with a published folder as it is: serves it, answers otherwise than transformers, or refuses it.

``python -m tests.published.verdict`` prints the table of all repositories; further arguments choose some by a part of
their names.
"""

# ruff: noqa: T201
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.kinds.kind import KindModel
from lengthwise.models import labels, tokenizer, usable
from lengthwise.models.catalog import ModelSpec
from tests.published import distance, reference, repositories
from tests.published.forms import texts
from tests.published.published import Direction, Published
from tests.unit.kinds.kind_calls import prompts_of
from worker.engine.completions import completions
from worker.engine.protocol import Completion, EngineError, Request
from worker.engine.transformer.engine import TorchEngine

NEW_TOKENS = 12
_LANGUAGES = ("en", "de")


class Verdict(NamedTuple):
    """``said``: serves, differs, refused (before it is loaded), load refused, or traceback. ``line`` says more."""

    name: str
    kind: str
    said: str
    line: str


def of(published: Published, folder: Path, base: Path | None = None) -> Verdict:
    """``base``: the folder of an adapter's base. Everything runs in fp32 on the CPU."""
    kind = published.kinds[0] if published.kinds else _likely_kind(folder)

    def verdict(said: str, line: str) -> Verdict:
        return Verdict(published.name, kind, said, line.replace(str(folder), "FOLDER").replace("\n", " "))

    try:
        spec = ModelSpec.from_table("model", _table(published, folder, kind))
        usable.check(spec, is_local=True)
        found = differences(published, folder, base, kind, spec)
    except ModelUnusable as error:
        return verdict("refused", f"{error.code}: {error.reason}; {error.remedy}")
    except (ConfigurationError, EngineError) as error:
        return verdict("load refused", f"{type(error).__name__}: {error}")
    except Exception as error:
        return verdict("traceback", f"{type(error).__name__}: {error}")
    return verdict("differs", "; ".join(found)) if found else verdict("serves", "as transformers")


def _likely_kind(folder: Path) -> str:
    """What somebody would try a repository as that serves nothing."""
    has_template = any("chat_template" in path.read_text("utf-8") for path in folder.glob("tokenizer_config.json"))
    return "chat" if has_template else "moderate"


def _table(published: Published, folder: Path, kind: str) -> dict[str, Any]:
    """What docs/models.md tells an operator to write."""
    own: dict[str, Any] = {}
    if published.direction is not None:
        own = _translation(published.direction)
    elif kind == "moderate":
        config = folder / "config.json"
        found = labels.Labels.of(json.loads(config.read_text())) if config.exists() else None
        own = {"harmless": found.harmless()} if found is not None and found.are_exclusive else {}
    return {
        "path": folder, "quantization": "none", "device": "cpu", "max_new_tokens": NEW_TOKENS, kind: own,
    }  # fmt: skip


def _translation(direction: Direction) -> dict[str, Any]:
    source, target = _LANGUAGES
    found: dict[str, Any] = {"pairs": [[source, target]]}
    if direction.needs_codes:
        codes = {source: direction.source, target: direction.target}
        codes = {code: name if "_" in name else f"__{name}__" for code, name in codes.items()}
        found |= {"codes": codes, "source_prefix": "{source}", "target_prefix": "{target}"}
    elif direction.text_prefix.startswith(("<", ">")):
        found |= {"source_prefix": direction.text_prefix.strip()}
    return found


def differences(
    published: Published,
    folder: Path,
    base: Path | None,
    kind: str,
    spec: ModelSpec,
    languages: tuple[str, str] = _LANGUAGES,
) -> list[str]:
    """What ``spec`` does not have as transformers has it of ``folder``, in prompts and in answers."""
    given: Sequence[str] = texts.INPUTS[published.direction.inputs if published.direction else "en"]
    if kind == "moderate":  # whose texts are read without blanks at their ends and several in a row
        given = [" ".join(text.split()) for text in given]
    if kind == "translate":  # blanks at a text's ends are put around the translation: no model reads them
        given = [text.strip() for text in given]
    own = KindModel(spec, tokenizer.load(spec))
    prompts = [_prompt(own, kind, text, languages) for text in given]
    engine = TorchEngine.load(spec)
    requests = [
        Request(number, prompt.tokens, prompt.max_new_tokens, decoder_prefix=prompt.decoder_prefix)
        for number, prompt in enumerate(prompts)
    ]
    answers = sorted(completions(engine, requests), key=lambda completion: completion.id)
    if kind == "moderate":
        theirs = [list(each.values()) for each in reference.scores(published, folder, given)]
        return distance.of_scores([answer.scores for answer in answers], theirs)
    if kind == "embed":
        vectors = partial(reference.vectors, published, folder, given)
        return distance.of_vectors([answer.vector for answer in answers], vectors(), partial(vectors, torch.float64))
    written = _written(published, folder, base, kind, given)
    same_prompts = [tuple(prompt.tokens) == tuple(each.prompt) for prompt, each in zip(prompts, written, strict=True)]
    same_answers = [_is_same(answer, each.tokens) for answer, each in zip(answers, written, strict=True)]
    found = []
    for what, same in (("prompts", same_prompts), ("answers", same_answers)):
        if not all(same):
            found.append(f"{what} differ ({len(same) - sum(same)} of {len(same)})")
    return found


def _prompt(model: KindModel, kind: str, text: str, languages: tuple[str, str]) -> Any:
    params = dict(zip(("source", "target"), languages, strict=True)) if kind == "translate" else {}
    return prompts_of(model, kind, {"text": text}, params)[0]


def _written(
    published: Published, folder: Path, base: Path | None, kind: str, given: Sequence[str]
) -> list[reference.Written]:
    if kind == "translate":
        return reference.translated(published, folder, given, NEW_TOKENS)
    if kind == "generate":
        return reference.continued(published, folder, given, NEW_TOKENS)
    asked = [[{"role": "user", "content": text}] for text in given]
    return reference.answered(published, folder, asked, NEW_TOKENS, base)


def _is_same(answer: Completion, truth: Sequence[int]) -> bool:
    """Ours may leave out the end token, and what the answer had to begin with."""
    ours, theirs = tuple(answer.tokens), tuple(truth)
    return ours in (theirs, theirs[:-1])


def table(verdicts: Sequence[Verdict]) -> str:
    """As a table of markdown."""
    rows = [f"| {each.name} | {each.kind} | {each.said} | {each.line} |" for each in verdicts]
    return "\n".join(["| repository | kind | says | line |", "|---|---|---|---|", *rows])


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    reference.hub.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        built = {name: repositories.build(name, Path(place) / name) for name in repositories.PUBLISHED}
        chosen = [name for name in built if not sys.argv[1:] or any(part in name for part in sys.argv[1:])]
        verdicts = []
        for name in chosen:
            published = repositories.PUBLISHED[name]
            verdicts.append(of(published, built[name], built[published.base] if published.base else None))
            print(f"{verdicts[-1].said:12} {name}: {verdicts[-1].line[:160]}", file=sys.stderr, flush=True)
    print(table(verdicts))


if __name__ == "__main__":
    main()
