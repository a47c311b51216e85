"""The engine ``ctranslate2``: translates with a converted model, greedily or by beam search.

Needs the extra ``ctranslate2``.
"""

import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import ctranslate2

from lengthwise.errors import ConfigurationError
from lengthwise.models import json_file, manifest
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
from worker.engine.transformer.decode.vocabulary import Vocabulary, search_rules

log = logging.getLogger(__name__)

#: The converted model's folder inside the model's own. Both have a ``config.json``.
FOLDER = "ctranslate2"

_COMPUTE_TYPES = {"int8": "int8", "bf16": "bfloat16", "none": "float32"}


class CTranslate2Engine:
    """One converted encoder–decoder. In int8 on a CPU, an answer may differ with its neighbours in the last bits."""

    def __init__(self, spec: ModelSpec, translator: Any) -> None:
        self._translator = translator
        self._source, self._target = _words(spec.folder / FOLDER, "source"), _words(spec.folder / FOLDER, "target")
        self._ids = {word: token for token, word in enumerate(self._target)}
        self._vocabulary = Vocabulary.read(spec.folder, spec.config)
        self._length_penalty = search_rules(spec.folder, spec.config).length_penalty
        self._suppressed = [[self._target[token]] for token in self._vocabulary.suppressed if token < len(self._target)]
        self._positions: int | None = spec.config.get("max_position_embeddings")
        quantization = translator.compute_type
        self._capabilities = Capabilities(Architecture.ENCODER_DECODER, spec.context, translator.device, quantization)

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Loads the converted model from the folder ``ctranslate2`` inside the model's own.

        Raises ``ConfigurationError`` if the folder is missing, differs from its manifest or cannot be read, if the
        device does not support the quantization, and if the model serves any other kind than translate.
        """
        if spec.kinds != ("translate",):
            raise ConfigurationError(f"model {spec.name}: the engine ctranslate2 serves translate, and that alone")
        folder = spec.folder / FOLDER
        if not (folder / "model.bin").is_file():
            raise ConfigurationError(f"model {spec.name}: {folder} holds no model.bin: convert the model into it")
        if (folder / manifest.MANIFEST).is_file():
            manifest.verify(folder, sorted(path.name for path in folder.iterdir() if path.name != manifest.MANIFEST))
        else:
            log.warning("%s has no %s: its files are not verified", folder, manifest.MANIFEST)
        try:
            translator = ctranslate2.Translator(
                str(folder), device=spec.device, compute_type=_COMPUTE_TYPES[spec.quantization]
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(f"model {spec.name}: not loaded by ctranslate2: {error}") from None
        return cls(spec, translator)

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def start(self) -> PlainBatch:
        """Starts a padded batch. A step answers all requests of one beam width.

        Stop strings and sampling are refused with ``EngineError``, once the other requests are answered. Messages of
        errors hold neither text nor ids.
        """
        return PlainBatch(self._run)

    def _run(self, requests: Sequence[Request]) -> Steps:
        refuse_unreadable(requests, self._capabilities.context)
        able = [request for request in requests if not request.stop and not request.sampling.temperature]
        yield from self._generate(able)
        if len(able) < len(requests):
            raise EngineError("ctranslate2 knows no stop strings, and no sampling that a seed repeats")

    def _generate(self, requests: Sequence[Request]) -> Steps:
        limits = [limit_of_target(request, self._positions) for request in requests]
        live = [index for index, limit in enumerate(limits) if limit > 0]
        yield [
            Completion(request.id, (), FinishReason.LENGTH)
            for request, limit in zip(requests, limits, strict=True)
            if limit <= 0
        ]
        live.sort(key=lambda index: requests[index].beams)
        for beams, alike in groupby(live, key=lambda index: requests[index].beams):
            same = list(alike)
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
                # Beam search has no limit for a single row: longer answers are cut off afterwards.
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
        """Ends each row at its own limit. Equal limits need no callback, which saves a call a token."""
        steps = list(map(self._steps, requests, limits))
        if min(steps) == max(steps):
            return None
        return lambda step: step.step + 1 >= steps[step.batch_id]

    def _completion(self, request: Request, limit: int, words: Sequence[str]) -> Completion:
        written = [self._ids[word] for word in words[len(request.decoder_prefix) :]]
        is_ended = bool(written) and written[-1] in self._vocabulary.ends and len(written) <= limit
        tokens = written[:-1] if is_ended else written[:limit]
        return Completion(request.id, tuple(tokens), FinishReason.STOP if is_ended else FinishReason.LENGTH)


def _words(folder: Path, side: str) -> list[str]:
    """The vocabulary's words in the order of their ids. Raises ``ConfigurationError``."""
    path = folder / f"{side}_vocabulary.json"
    if not path.is_file():
        path = folder / "shared_vocabulary.json"
    return json_file.read(path, list)
