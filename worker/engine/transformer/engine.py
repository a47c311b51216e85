"""The engine that ships: transformers' own modules, our attention, caches, linear layers and decoding loop."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import torch
from tokenizers import Tokenizer
from torch.distributed.device_mesh import DeviceMesh

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import AnswerForm, ModelSpec
from worker.engine.protocol import (
    Architecture,
    Capabilities,
    Completion,
    EngineError,
    OutOfMemoryError,
    Request,
    Source,
)
from worker.engine.requests import (
    limit_of_continuation,
    limit_of_target,
    refuse_beams,
    refuse_mixed_beams,
    refuse_unreadable,
)
from worker.engine.transformer import precision
from worker.engine.transformer.attention import interface as attention
from worker.engine.transformer.attention.graph import CaptureContext
from worker.engine.transformer.attention.prefix_cache import PrefixCache
from worker.engine.transformer.decode import (
    beam_decoding,
    classifier,
    decoder_only,
    embedder,
    encoder_decoder,
    fallback,
)
from worker.engine.transformer.decode.beam import BeamSearch
from worker.engine.transformer.decode.decoding import Stepper, decode, decode_from
from worker.engine.transformer.decode.sequence import Detokenizer, RunningSequence
from worker.engine.transformer.decode.vocabulary import Vocabulary, search_rules
from worker.engine.transformer.weights import families, loading, memory
from worker.engine.transformer.weights.pooling import Pooling

log = logging.getLogger(__name__)


class TorchEngine:
    """One loaded model. Not for two threads at once; uses as many of torch's threads as the process has."""

    def __init__(
        self, model: Any, folder: Path, capabilities: Capabilities, fits: bool, *, can_capture: bool = True
    ) -> None:
        self.model, self.folder, self.fits = model, folder, fits
        self.vocabulary = Vocabulary.read(folder, model.config.to_dict())
        self._rules = search_rules(folder, model.config.to_dict())
        self._capabilities = capabilities
        self._prefixes = PrefixCache()
        self._capture = CaptureContext() if can_capture and model.device.type == "cuda" else None
        self._pooling = Pooling.read(folder)

    @classmethod
    def load(cls, spec: ModelSpec, mesh: DeviceMesh | None = None) -> Self:
        """Loads the model once, or this process's part of it, where each of a ``mesh`` has one.

        Raises ``ConfigurationError`` if its files do not match their manifest, are not of a kind that is read, or are
        an embedder's where the model is to serve another kind, or the other way round; and ``EngineError`` if the
        weights are not the ones ``config.json`` describes.
        """
        attention.register()
        kind = loading.architecture(spec)
        _refuse_others(spec, kind)
        fits = families.fits(spec.config, kind)
        where = precision.device(spec.device)
        if where.type == "cpu":
            memory.retain_freed_memory()
        quantization = precision.supported_precision(spec.quantization, where, fits)
        dtype = torch.bfloat16 if quantization == "bf16" else torch.float32
        model = loading.load_model(spec, dtype, attention.NAME if fits else None)
        if mesh is None:
            precision.apply(model, quantization, where, kind)
        else:
            precision.shard(model, where, mesh)
        labels = classifier.labels(model.config) if kind is Architecture.CLASSIFIER else ()
        is_packed = fits and kind in (Architecture.ENCODER_DECODER, Architecture.DECODER_ONLY)
        is_open = is_packed and kind is Architecture.DECODER_ONLY
        capabilities = Capabilities(kind, spec.context, str(where), quantization, labels, is_packed, is_open)
        engine = cls(model, spec.folder, capabilities, fits, can_capture=mesh is None)
        if is_packed:
            engine._limit_batches(spec, where)
        return engine

    @torch.inference_mode()
    def _limit_batches(self, spec: ModelSpec, where: torch.device) -> None:
        """By what one token's keys and values take, which the model itself tells by reading one."""
        probe = self.stepper([[0]])
        probe.start()
        most = memory.batch_tokens(probe.token_bytes, where)
        self._capabilities = replace(self._capabilities, batch_tokens=most)
        if most is not None and most < spec.batch_tokens:
            log.warning(
                "model %s: batches of %d tokens instead of %d, for which %s has no memory",
                *(spec.name, most, spec.batch_tokens, where),
            )

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Runs the requests as one padded batch, to be planned by length beforehand.

        In int8, and in fp32 on our own kernels, a request's answer has the same bits in any batch, provided that the
        model's widths are multiples of 32 × torch's threads: torch computes activations such as GELU in vectors, and
        what is left over at the end of a thread's share with another formula. In bf16, and in fp32 without kernels,
        answers may differ in their last bits.

        A completion that a stop string ended holds the tokens up to the one that completed it: the caller trims the
        text. Of the batch nothing stays in memory but what its prompts begin with (``prefixes``). Raises
        ``OutOfMemoryError`` or ``EngineError``, whose messages hold neither text nor ids.
        """
        with _translated():
            yield from self._run(requests)

    def generate_from(self, source: Source) -> Iterator[Completion]:
        """The same for requests that come bit by bit; decoder-only models alone (``Capabilities.is_open``)."""
        with _translated():
            yield from decode_from(lambda: self._arrived(source()), self._decoder_only_of, self.vocabulary)

    def _arrived(self, requests: Sequence[Request]) -> list[RunningSequence]:
        refuse_unreadable(requests, self._capabilities.context)
        refuse_beams(requests, "this architecture")
        return [self._running(request) for request in sorted(requests, key=lambda each: len(self.read_first(each)))]

    def _decoder_only_of(self, rows: Sequence[RunningSequence]) -> decoder_only.DecoderOnlyStepper:
        return self._decoder_only([self.read_first(row.request) for row in rows])

    def _run(self, requests: Sequence[Request]) -> Iterator[Completion]:
        if not requests:
            return
        refuse_unreadable(requests, self._capabilities.context)
        if not self.fits or self._capabilities.architecture is not Architecture.ENCODER_DECODER:
            refuse_beams(requests, "this architecture")
        refuse_mixed_beams(requests)
        batch = sorted(requests, key=lambda request: len(self.read_first(request)))
        if self._capabilities.architecture is Architecture.EMBEDDER:
            yield from embedder.embed(self.model, batch, self.vocabulary, self.fits, self._pooling)
            return
        if self._capabilities.architecture is Architecture.CLASSIFIER:
            yield from classifier.classify(self.model, batch, self.vocabulary, self.fits)
            return
        running = [self._running(request) for request in batch]
        yield from (row.completion() for row in running if not row.is_live)
        live = sorted((row for row in running if row.is_live), key=lambda row: row.request.beams)
        for beams, alike in groupby(live, key=lambda row: row.request.beams):
            rows = list(alike)
            yield from self._search(rows) if beams > 1 else self._generate(rows)

    def _generate(self, rows: list[RunningSequence]) -> Iterator[Completion]:
        inputs = [self.read_first(row.request) for row in rows]
        if not self.fits:
            steps = max(row.steps for row in rows)
            yield from fallback.generate(self.model, inputs, rows, self.vocabulary, steps)
        else:
            yield from decode(self.stepper(inputs), rows, self.vocabulary)

    def _search(self, rows: list[RunningSequence]) -> Iterator[Completion]:
        """Requests of as many beams each."""
        stepper = encoder_decoder.EncoderDecoderStepper(
            self.model, [row.request.tokens for row in rows], self.vocabulary
        )
        searches = {row.request.id: self._search_of(row.request, row.limit) for row in rows}
        scored = {row.request.id for row in rows if row.request.is_scored}
        for found in beam_decoding.search(stepper, searches, self.vocabulary, self._rules):
            yield found if found.id in scored else found._replace(log_probability=None)

    def _search_of(self, request: Request, limit: int) -> BeamSearch:
        return BeamSearch(request.beams, limit, self.vocabulary.ends, self._rules, request.decoder_prefix)

    def stepper(self, inputs: Sequence[Sequence[int]]) -> Stepper:
        """A batch of what ``read_first`` gave, sorted by length; only where the model ``fits``."""
        if self._capabilities.architecture is Architecture.ENCODER_DECODER:
            return encoder_decoder.EncoderDecoderStepper(self.model, inputs, self.vocabulary, self._capture)
        return self._decoder_only(inputs)

    def _decoder_only(self, inputs: Sequence[Sequence[int]]) -> decoder_only.DecoderOnlyStepper:
        return decoder_only.DecoderOnlyStepper(self.model, inputs, self._prefixes, self._capture)

    def read_first(self, request: Request) -> Sequence[int]:
        """What is read before the first step: a decoder-only model's answer simply continues its prefix."""
        if self._capabilities.architecture is Architecture.DECODER_ONLY:
            return [*request.tokens, *request.decoder_prefix]
        return request.tokens

    def _running(self, request: Request) -> RunningSequence:
        forced: Sequence[int] = ()
        limit = limit_of_continuation(request, self._capabilities.context)
        if self._capabilities.architecture is Architecture.ENCODER_DECODER:
            forced = request.decoder_prefix
            limit = limit_of_target(request, getattr(self.model.config, "max_position_embeddings", None))
        return RunningSequence(request, self.vocabulary, limit, forced, self._decode if request.stop else None)

    @cached_property
    def _decode(self) -> Detokenizer:
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise EngineError("stop strings need the model's tokenizer.json")
        tokenizer = Tokenizer.from_file(str(path))
        return lambda tokens: str(tokenizer.decode(list(tokens), skip_special_tokens=False))


def _refuse_others(spec: ModelSpec, architecture: Architecture) -> None:
    """Only an embedder gives vectors, and it gives nothing else."""
    embeds = architecture is Architecture.EMBEDDER
    wanted = {kind: options.answer_form is AnswerForm.VECTOR for kind, options in spec.kind_options.items()}
    if unable := [kind for kind, wants_vector in wanted.items() if wants_vector is not embeds]:
        raise ConfigurationError(f"model {spec.name}: its architecture ({architecture}) cannot serve {unable[0]}")


@contextmanager
def _translated() -> Iterator[None]:
    """torch's errors as ours, which name nothing of what was sent."""
    try:
        yield
    except EngineError:
        raise
    except (torch.OutOfMemoryError, MemoryError):
        raise OutOfMemoryError("the batch does not fit the device") from None
    except Exception as error:
        if "DefaultCPUAllocator: can't allocate memory" in str(error):
            raise OutOfMemoryError("the batch does not fit the memory") from None
        raise EngineError(f"the batch failed with {type(error).__name__}") from None
