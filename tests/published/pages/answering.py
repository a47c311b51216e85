"""One request of a kind to a model of ``models.toml``, from its item to its output, in this process."""

from collections.abc import Iterator
from typing import Any

from lengthwise.kinds.embed import EmbedOptions
from lengthwise.kinds.kind import KindModel, ModelAnswer
from lengthwise.kinds.moderate import ModerateOptions
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec
from tests.published import verdict
from tests.unit.kinds.kind_calls import output_of, prompts_of
from worker.engine import registry
from worker.engine.completions import completions
from worker.engine.protocol import Engine, Request

TEXT = "The cook wants the bread again."


def answers(spec: ModelSpec) -> dict[str, list[dict[str, Any]]]:
    """The outputs of each kind of the model, one for each language pair and each prefix that its table names."""
    engine, model = registry.load(spec), KindModel(spec, tokenizer.load(spec))
    return {kind: [_output(engine, model, kind, each) for each in _params(spec, kind)] for kind in spec.kinds}


def _params(spec: ModelSpec, kind: str) -> Iterator[dict[str, Any]]:
    if pairs := spec.kind_options[kind].language_pairs():
        yield from ({"source": source, "target": target} for source, target in pairs)
    elif kind == "embed":
        yield from ({"prefix": name} for name in EmbedOptions.of(spec).prefix)
    else:
        yield {}


def _output(engine: Engine, model: KindModel, kind: str, params: dict[str, Any]) -> dict[str, Any]:
    prompts = prompts_of(model, kind, {"text": TEXT}, params)
    requests = [
        Request(
            number, prompt.tokens, min(prompt.max_new_tokens, verdict.NEW_TOKENS), decoder_prefix=prompt.decoder_prefix
        )
        for number, prompt in enumerate(prompts)
    ]
    found = sorted(completions(engine, requests), key=lambda completion: completion.id)
    texts = model.tokenizer.decode_batch([each.tokens for each in found])
    labels = engine.capabilities().labels
    given = [
        ModelAnswer(text, each.finish_reason, labels, each.scores, len(each.tokens), each.vector, tokens=each.tokens)
        for each, text in zip(found, texts, strict=True)
    ]
    output = output_of(model, kind, {"text": TEXT}, given, params)
    assert output is not None, f"{kind} made no output of {given}"
    return output


def is_well_formed(spec: ModelSpec, kind: str, output: dict[str, Any]) -> bool:
    """Whether an output has what its kind promises. What a model with random weights writes is not judged."""
    if kind == "chat":
        return isinstance(output["message"]["content"], str) and output["finish_reason"] in ("stop", "length")
    if kind == "embed":
        return len(output["embedding"]) > 1 and any(output["embedding"])
    if kind == "moderate":
        kept = set(spec.config["id2label"].values()) - set(ModerateOptions.of(spec).harmless)
        return output["scores"].keys() == kept and all(0 <= score <= 1 for score in output["scores"].values())
    return isinstance(output["text"], str) and output["finish_reason"] in ("stop", "length")
