"""The engine ``ctranslate2``: translation, greedy or by beam search, with a model converted for CTranslate2.

Needs the extra ``ctranslate2``. Knows no sampling and no stop strings.
"""

import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import ctranslate2

from lengthwise.errors import ConfigurationError
from lengthwise.models import fitting, manifest, model_file
from lengthwise.models.catalog import ModelSpec
from worker.engine.plain_batch import PlainBatch, Steps
from worker.engine.protocol import (
    Architecture,
    Capabilities,
    Completion,
    EngineError,
    FinishReason,
    OutOfMemoryError,
    Request,
)
from worker.engine.requests import limit_of_target, refuse_unreadable
from worker.engine.transformer.decode.rules import OF_HISTORY, Rules, unapplied
from worker.engine.transformer.decode.vocabulary import Vocabulary, search_rules

log = logging.getLogger(__name__)

#: The folder of the converted model inside the model's folder: both hold a ``config.json``.
FOLDER = "ctranslate2"

_COMPUTE_TYPES = {"int8": "int8", "bf16": "bfloat16", "none": "float32"}


class CTranslate2Engine:
    """One converted encoder–decoder. In int8 on a CPU, the last bits of an answer may depend on its batch."""

    def __init__(self, spec: ModelSpec, translator: Any) -> None:
        self._translator = translator
        self._source, self._target = _words(spec.folder / FOLDER, "source"), _words(spec.folder / FOLDER, "target")
        self._ids = {word: token for token, word in enumerate(self._target)}
        self._vocabulary = Vocabulary.read(spec.folder, spec.config)
        self._length_penalty = search_rules(spec.folder, spec.config).length_penalty
        rules = Rules.read(spec.folder, spec.config, self._vocabulary.ends)
        self._forces_end = rules.forces_end
        self._suppressed = self._words_of(rules)
        self._positions: int | None = spec.config.get("max_position_embeddings")
        quantization = translator.compute_type
        self._capabilities = Capabilities(Architecture.ENCODER_DECODER, spec.context, translator.device, quantization)

    def _words_of(self, rules: Rules) -> list[list[str]]:
        """What must not be written: single words, and the runs of them that ``bad_words_ids`` names."""
        runs = [(*beginning, last) for beginning, ends in rules.bad_words.items() for last in ends]
        every = [*((token,) for token in self._vocabulary.suppressed), *runs]
        return [[self._target[token] for token in run] for run in every if max(run) < len(self._target)]

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Loads the converted model from the folder ``ctranslate2`` inside the model's folder.

        Raises ``ConfigurationError`` if that is missing, does not match its manifest or cannot be read, if the device
        does not support the quantization, or if the model has a kind that this engine cannot serve.
        """
        if not spec.kind_options:
            raise ConfigurationError(f"model {spec.name}: the engine ctranslate2 cannot serve a model without a kind")
        fitting.check(spec, "the engine ctranslate2", Architecture.ENCODER_DECODER, may_sample=False)
        folder = spec.folder / FOLDER
        if not (folder / "model.bin").is_file():
            raise ConfigurationError(
                f"model {spec.name}: {folder} holds no model.bin: convert the model into this folder"
            )
        if not manifest.exists(folder):
            log.warning("%s has no %s: its files are loaded unchecked", folder, manifest.MANIFEST)
        names = sorted(path.name for path in folder.iterdir() if path.name != manifest.MANIFEST)
        try:
            with manifest.opened(folder, names):
                translator = ctranslate2.Translator(
                    str(folder), device=spec.device, compute_type=_COMPUTE_TYPES[spec.quantization]
                )
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(f"model {spec.name}: ctranslate2 could not load it: {error}") from None
        engine = cls(spec, translator)
        if names := unapplied(spec.folder, spec.config, engine._vocabulary.ends, OF_HISTORY):
            log.warning("model %s asks for %s, which ctranslate2 does not apply", spec.name, ", ".join(names))
        return engine

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def start(self) -> PlainBatch:
        """Starts a padded batch. A step answers all requests of one beam width.

        Requests with stop strings or sampling raise ``EngineError`` once the others are answered. Raises
        ``OutOfMemoryError`` or ``EngineError``, whose messages contain neither text nor ids.
        """
        return PlainBatch(self._run)

    def _run(self, requests: Sequence[Request]) -> Steps:
        refuse_unreadable(requests, self._capabilities.context)
        able = [request for request in requests if not _is_refused(request)]
        yield from self._generate(able)
        if len(able) < len(requests):
            raise EngineError("ctranslate2 supports no stop strings, no seeded sampling and no penalty of a request")

    def _generate(self, requests: Sequence[Request]) -> Steps:
        limits = [limit_of_target(request, self._positions) for request in requests]
        live = [index for index, limit in enumerate(limits) if limit > 0]
        yield [
            Completion(request.id, (), FinishReason.LENGTH)
            for request, limit in zip(requests, limits, strict=True)
            if limit <= 0
        ]
        live.sort(key=lambda index: requests[index].beams)
        for beams, group in groupby(live, key=lambda index: requests[index].beams):
            same = list(group)
            yield self._translate([requests[index] for index in same], [limits[index] for index in same], beams)

    def _translate(self, requests: Sequence[Request], limits: Sequence[int], beams: int) -> list[Completion]:
        try:
            answers = self._translator.translate_batch(
                [[self._source[token] for token in request.tokens] for request in requests],
                [[self._target[token] for token in request.decoder_prefix] for request in requests],
                beam_size=beams,
                length_penalty=self._length_penalty,
                max_input_length=0,
                max_decoding_length=max(map(self._steps, requests, limits)),
                suppress_sequences=self._suppressed or None,
                return_end_token=True,
                # A beam search has one limit for all rows; ``_completion`` cuts each answer at its own.
                callback=self._ending(requests, limits) if beams == 1 else None,
            )
        except IndexError:
            raise EngineError("a request holds an id that the converted model does not have") from None
        except (RuntimeError, ValueError, MemoryError) as error:
            if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
                raise OutOfMemoryError("the batch does not fit the device") from None
            raise EngineError(f"the batch failed with {type(error).__name__}") from None
        return [
            self._completion(request, limit, answer.hypotheses[0])
            for request, limit, answer in zip(requests, limits, answers, strict=True)
        ]

    def _steps(self, request: Request, limit: int) -> int:
        return len(request.decoder_prefix) + limit

    def _ending(self, requests: Sequence[Request], limits: Sequence[int]) -> Callable[[Any], bool] | None:
        """A callback that ends each row at its own limit. ``None`` if all limits are equal: that saves calls."""
        steps = list(map(self._steps, requests, limits))
        if min(steps) == max(steps):
            return None
        return lambda step: step.step + 1 >= steps[step.batch_id]

    def _completion(self, request: Request, limit: int, words: Sequence[str]) -> Completion:
        written = [self._ids[word] for word in words[len(request.decoder_prefix) :]]
        is_ended = bool(written) and written[-1] in self._vocabulary.ends and len(written) <= limit
        # transformers puts the end token into the last place before the limit, if the model says so.
        tokens = written[:-1] if is_ended else written[: limit - self._forces_end]
        return Completion(request.id, tuple(tokens), FinishReason.STOP if is_ended else FinishReason.LENGTH)


def _is_refused(request: Request) -> bool:
    sampling = request.sampling
    return bool(request.stop or sampling.temperature) or sampling.repetition_penalty is not None


def _words(folder: Path, side: str) -> list[str]:
    """The vocabulary's words in the order of their ids. Raises ``ConfigurationError`` if the file cannot be read."""
    own = f"{side}_vocabulary.json"
    found = model_file.read_json(folder, own if model_file.exists(folder, own) else "shared_vocabulary.json", list)
    if not all(isinstance(word, str) for word in found):
        raise ConfigurationError(f"{folder} has a vocabulary with something else than words")
    return found
