"""The engine ``ctranslate2``: translation, greedy or by beams, by a model that was converted for it.

Needs the extra of that name.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import ctranslate2

from lengthwise.errors import ConfigurationError
from lengthwise.models import json_file, manifest
from lengthwise.models.catalog import ModelSpec
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

#: The conversion's folder in the model's own: both have a ``config.json``.
FOLDER = "ctranslate2"

_COMPUTE_TYPES = {"int8": "int8", "bf16": "bfloat16", "none": "float32"}


class CTranslate2Engine:
    """One converted encoder–decoder. In int8 on a CPU, an answer may depend on its batch in the last bits."""

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
        """Loads the conversion in the folder ``ctranslate2`` of the model's own.

        Raises ``ConfigurationError`` where it is not there, is not what its manifest says or cannot be read, where
        the device lacks the arithmetic, and where the model is to do anything but translate.
        """
        if spec.kinds != ("translate",):
            raise ConfigurationError(f"model {spec.name}: the engine ctranslate2 serves translate, and that alone")
        folder = spec.folder / FOLDER
        if not (folder / "model.bin").is_file():
            raise ConfigurationError(f"model {spec.name}: {folder} holds no model.bin: convert the model into it")
        if (folder / manifest.MANIFEST).is_file():
            manifest.verify(folder, sorted(path.name for path in folder.iterdir() if path.name != manifest.MANIFEST))
        else:
            log.warning("%s has no %s: its files are taken as they are", folder, manifest.MANIFEST)
        try:
            translator = ctranslate2.Translator(
                str(folder), device=spec.device, compute_type=_COMPUTE_TYPES[spec.quantization]
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(f"model {spec.name}: not loaded by ctranslate2: {error}") from None
        return cls(spec, translator)

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Runs the requests as one padded batch; all completions come at its end.

        Stop strings and sampling are refused with ``EngineError``, after the others are answered. Raises
        ``OutOfMemoryError`` or ``EngineError``, whose messages hold neither text nor ids.
        """
        refuse_unreadable(requests, self._capabilities.context)
        able = [request for request in requests if not request.stop and not request.sampling.temperature]
        yield from self._generate(able)
        if len(able) < len(requests):
            raise EngineError("ctranslate2 knows no stop strings, and no sampling that a seed repeats")

    def _generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        limits = [limit_of_target(request, self._positions) for request in requests]
        live = [index for index, limit in enumerate(limits) if limit > 0]
        yield from (
            Completion(request.id, (), FinishReason.LENGTH)
            for request, limit in zip(requests, limits, strict=True)
            if limit <= 0
        )
        live.sort(key=lambda index: requests[index].beams)
        for beams, alike in groupby(live, key=lambda index: requests[index].beams):
            same = list(alike)
            yield from self._translate([requests[index] for index in same], [limits[index] for index in same], beams)

    def _translate(self, requests: Sequence[Request], limits: Sequence[int], beams: int) -> Iterator[Completion]:
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
                # A search knows no limits of single rows: what is beyond is cut off.
                callback=self._ending(requests, limits) if beams == 1 else None,
            )
        except IndexError:
            raise EngineError("a request holds an id that the converted model does not have") from None
        except (RuntimeError, ValueError, MemoryError) as error:
            if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
                raise OutOfMemoryError("the batch does not fit the device") from None
            raise EngineError(f"the batch failed with {type(error).__name__}") from None
        for request, limit, answer in zip(requests, limits, answers, strict=True):
            yield self._completion(request, limit, answer.hypotheses[0])

    def _steps(self, request: Request, limit: int) -> int:
        return len(request.decoder_prefix) + limit

    def _ending(self, requests: Sequence[Request], limits: Sequence[int]) -> Callable[[Any], bool] | None:
        """Ends each row at its own limit; nothing to do where all have the same, which saves a call for each token."""
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
    return json_file.read_json(path, list)
