"""The engine ``torch`` on one device: transformers' modules with our attention, KV caches, layers and decoding loop."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from typing import Any, Self

import torch
from tokenizers import Tokenizer
from torch.distributed.device_mesh import DeviceMesh

from lengthwise.models import fitting
from lengthwise.models.architecture import class_name
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.labels import Labels
from worker.engine.plain_batch import PlainBatch, Steps
from worker.engine.protocol import (
    Architecture,
    Capabilities,
    Completion,
    EngineBatch,
    EngineError,
    OutOfMemoryError,
    Request,
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
    decoder_only,
    encoder_decoder,
    encoder_only,
    fallback,
)
from worker.engine.transformer.decode.beam import BeamSearch
from worker.engine.transformer.decode.decoding import DecodeLoop, Stepper
from worker.engine.transformer.decode.history import History
from worker.engine.transformer.decode.rules import Rules, unapplied
from worker.engine.transformer.decode.sequence import Detokenizer, RunningSequence
from worker.engine.transformer.decode.vocabulary import Vocabulary, search_rules
from worker.engine.transformer.weights import families, loading, memory
from worker.engine.transformer.weights.pooling import VectorHead

log = logging.getLogger(__name__)


class TorchEngine:
    """One loaded model. Only one thread may use it at a time; it computes on all of torch's threads."""

    def __init__(
        self, model: Any, spec: ModelSpec, capabilities: Capabilities, fits: bool, *, can_capture: bool = True
    ) -> None:
        self.model, self.folder, self.fits = model, spec.folder, fits
        self.vocabulary = Vocabulary.read(spec.folder, model.config.to_dict())
        self._search_rules = search_rules(spec.folder, model.config.to_dict())
        self._rules = Rules.read(spec.folder, spec.config, self.vocabulary.ends)
        self._capabilities = capabilities
        self._prefixes = PrefixCache()
        self._capture = CaptureContext() if can_capture and model.device.type == "cuda" else None
        self._head = VectorHead()

    @classmethod
    def load(cls, spec: ModelSpec, mesh: DeviceMesh | None = None) -> Self:
        """Loads the model once; with a ``mesh``, only this process's part of it.

        Raises ``ConfigurationError`` if its files differ from their manifest or have an unsupported format, or if it
        cannot serve one of its kinds. Raises ``EngineError`` if the weights do not fit ``config.json``.
        """
        attention.register()
        architecture = loading.architecture(spec)
        labels = Labels.of(spec.config) if architecture is Architecture.CLASSIFIER else None
        fitting.check(spec, class_name(spec.config), architecture, labels)
        fits = families.fits(spec.config, architecture)
        device = precision.device(spec.device)
        if device.type == "cpu":
            memory.retain_freed_memory()
        quantization = precision.supported_precision(spec.quantization, device, fits)
        dtype = torch.bfloat16 if quantization == "bf16" else torch.float32
        model = loading.load_model(spec, dtype, attention.NAME if fits else None)
        if mesh is None:
            precision.apply(model, quantization, device, architecture)
        else:
            precision.shard(model, device, mesh)
        is_packed = fits and architecture in (Architecture.ENCODER_DECODER, Architecture.DECODER_ONLY)
        is_continuous = is_packed and architecture is Architecture.DECODER_ONLY
        capabilities = Capabilities(
            architecture,
            spec.context,
            str(device),
            quantization,
            labels.names if labels else (),
            labels is not None and labels.are_exclusive,
            is_packed,
            is_continuous,
        )
        engine = cls(model, spec, capabilities, fits, can_capture=mesh is None)
        if architecture in (Architecture.ENCODER_DECODER, Architecture.DECODER_ONLY):
            engine._warn_of_unapplied(spec)
        if architecture is Architecture.EMBEDDER:
            engine._head = VectorHead.load(spec.folder, getattr(model.config, "hidden_size", None), device)
        if is_packed:
            engine._limit_batches(spec, device)
        if mesh is None:
            engine._capabilities = replace(engine._capabilities, memory_bytes=engine.memory_bytes)
        return engine

    @cached_property
    def memory_bytes(self) -> int:
        """The memory of its tensors, without those of batches."""
        return memory.held_bytes(self.model) + self._head.n_bytes

    @property
    def threads(self) -> int:
        """How many threads it computes on: torch's, which are those of the whole process."""
        return torch.get_num_threads()

    def _warn_of_unapplied(self, spec: ModelSpec) -> None:
        if names := unapplied(spec.folder, spec.config, self.vocabulary.ends):
            log.warning(
                "model %s asks for %s, which is not applied: its answers may differ", spec.name, ", ".join(names)
            )

    @torch.inference_mode()
    def _limit_batches(self, spec: ModelSpec, device: torch.device) -> None:
        """Limits batches to the free memory. Reads a single token to see how much memory its keys and values take."""
        probe = self.stepper([[0]])
        probe.start()
        limit = memory.batch_tokens(probe.token_bytes, device)
        self._capabilities = replace(self._capabilities, batch_tokens=limit)
        if limit is not None and limit < spec.batch_tokens:
            log.warning(
                "model %s: batches of %d tokens instead of %d, because %s has no memory for more",
                *(spec.name, limit, spec.batch_tokens, device),
            )

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def start(self) -> EngineBatch:
        """Starts a batch: a continuous one for a decoder-only model that ``fits``, else a plain one.

        Requests of a plain batch should have similar lengths, because they may be padded to the longest. A step reads
        the requests that were added, and writes a token for each request. Classifiers, embedders and models that do not
        fit run the whole batch in one step.

        In int8, and in fp32 on our own kernels, a request's answer has the same bits in any batch, provided that the
        model's widths are multiples of 32 × torch's threads. At other widths, torch computes the last few numbers of a
        thread's share of an activation such as GELU with a different formula. In bf16, and in fp32 without our kernels,
        answers may differ in their last bits.

        If a stop string ends an answer, its completion holds the tokens up to the one that completed the string; the
        caller trims the text. After a batch, only its shared prompt prefix stays in memory (``prefix_cache``). Errors
        contain neither text nor ids.
        """
        return ContinuousTorchBatch(self) if self._capabilities.is_continuous else PlainBatch(self._run)

    def _run(self, requests: Sequence[Request]) -> Steps:
        try:
            yield from self._answer(requests)
        except Exception as error:
            raise _translated(error) from None

    def _answer(self, requests: Sequence[Request]) -> Steps:
        refuse_unreadable(requests, self._capabilities.context)
        if not self.fits or self._capabilities.architecture is not Architecture.ENCODER_DECODER:
            refuse_beams(requests, "this architecture")
        refuse_mixed_beams(requests)
        batch = sorted(requests, key=lambda request: len(self.input_tokens(request)))
        if self._capabilities.architecture is Architecture.EMBEDDER:
            yield encoder_only.embed(self.model, batch, self.vocabulary, self.fits, self._head)
        elif self._capabilities.architecture is Architecture.CLASSIFIER:
            yield encoder_only.classify(self.model, batch, self.vocabulary, self.fits)
        else:
            yield from self._write([self._running(request) for request in batch])

    def _write(self, rows: Sequence[RunningSequence]) -> Steps:
        yield [row.completion() for row in rows if not row.is_live]
        live = sorted((row for row in rows if row.is_live), key=lambda row: row.request.beams)
        for beams, group in groupby(live, key=lambda row: row.request.beams):
            same_beams = list(group)
            yield from self._search(same_beams) if beams > 1 else self._decode_plain(same_beams)

    def _decode_plain(self, rows: Sequence[RunningSequence]) -> Steps:
        if not self.fits:
            yield fallback.generate(self.model, [self.input_tokens(row.request) for row in rows], rows, self.vocabulary)
            return
        loop = self.decode_loop()
        loop.add(rows)
        while not loop.is_done:
            yield loop.step()

    def _search(self, rows: Sequence[RunningSequence]) -> Steps:
        """Runs the beam searches of rows that all have the same number of beams."""
        stepper = encoder_decoder.EncoderDecoderStepper(
            self.model, [row.request.tokens for row in rows], self.vocabulary
        )
        searches = {row.request.id: self._new_search(row.request, row.limit) for row in rows}
        scored = {row.request.id for row in rows if row.request.is_scored}
        histories = {row.request.id: row.history for row in rows if row.history is not None}
        loop = beam_decoding.BeamLoop(stepper, searches, self.vocabulary, self._search_rules, histories)
        while not loop.is_done:
            yield [found if found.id in scored else found._replace(log_probability=None) for found in loop.step()]

    def _new_search(self, request: Request, limit: int) -> BeamSearch:
        ends, prefix = self.vocabulary.ends, request.decoder_prefix
        return BeamSearch(request.beams, limit, ends, self._search_rules, prefix, self._rules.forces_end)

    def decode_loop(self) -> DecodeLoop:
        """An empty decoding loop. Only for models that fit (``families.fits``)."""
        return DecodeLoop(lambda rows: self.stepper([self.input_tokens(row.request) for row in rows]), self.vocabulary)

    def rows(self, requests: Sequence[Request]) -> list[RunningSequence]:
        """The rows that ``decode_loop`` takes, for requests to a decoder-only model. Raises ``EngineError``."""
        refuse_unreadable(requests, self._capabilities.context)
        refuse_beams(requests, "this architecture")
        return [self._running(request) for request in sorted(requests, key=lambda each: len(self.input_tokens(each)))]

    def stepper(self, inputs: Sequence[Sequence[int]]) -> Stepper:
        """A stepper for inputs as ``input_tokens`` returns them, sorted by length. Only for models that fit."""
        if self._capabilities.architecture is Architecture.ENCODER_DECODER:
            return encoder_decoder.EncoderDecoderStepper(self.model, inputs, self.vocabulary, self._capture)
        return decoder_only.DecoderOnlyStepper(self.model, inputs, self._prefixes, self._capture)

    def input_tokens(self, request: Request) -> Sequence[int]:
        """The ids that the model reads before it writes. For a decoder-only model they include ``decoder_prefix``."""
        if self._capabilities.architecture is Architecture.DECODER_ONLY:
            return [*request.tokens, *request.decoder_prefix]
        return request.tokens

    def _running(self, request: Request) -> RunningSequence:
        forced: Sequence[int] = ()
        read = self.input_tokens(request)
        limit = limit_of_continuation(request, self._capabilities.context)
        if self._capabilities.architecture is Architecture.ENCODER_DECODER:
            forced, read = request.decoder_prefix, [self.vocabulary.start]
            limit = limit_of_target(request, getattr(self.model.config, "max_position_embeddings", None))
        decode = self._decode if request.stop else None
        history = History.begun(self._rules, read, len(forced), request.sampling.repetition_penalty)
        return RunningSequence(request, self.vocabulary, limit, forced, decode, history, self._rules.forces_end)

    @cached_property
    def _decode(self) -> Detokenizer:
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise EngineError("stop strings need the model's tokenizer.json")
        tokenizer = Tokenizer.from_file(str(path))
        return lambda tokens: str(tokenizer.decode(list(tokens), skip_special_tokens=False))


def _translated(error: Exception) -> EngineError:
    """Converts an error of torch to ours, whose message holds nothing of the requests."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return OutOfMemoryError("the batch does not fit the device")
    if "DefaultCPUAllocator: can't allocate memory" in str(error):
        return OutOfMemoryError("the batch does not fit the memory")
    return EngineError(f"the batch failed with {type(error).__name__}")


class ContinuousTorchBatch:
    """A batch of a decoder-only model that takes further requests between its steps."""

    def __init__(self, engine: TorchEngine) -> None:
        self._engine = engine
        self._loop: DecodeLoop | None = engine.decode_loop()

    @property
    def is_done(self) -> bool:
        return self._loop is None or self._loop.is_done

    def add(self, requests: Sequence[Request]) -> None:
        """See ``EngineBatch.add``."""
        if self._loop is None:
            raise EngineError("the batch is closed")
        try:
            self._loop.add(self._engine.rows(requests))
        except Exception as error:
            self.close()
            raise _translated(error) from None

    def step(self) -> Sequence[Completion]:
        """See ``EngineBatch.step``."""
        if self._loop is None:
            return ()
        try:
            return self._loop.step()
        except Exception as error:
            self.close()
            raise _translated(error) from None

    def close(self) -> None:
        """See ``EngineBatch.close``."""
        self._loop = None
